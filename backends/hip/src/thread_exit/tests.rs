use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;

use super::*;

/// `is_exiting` is called once the limit is over.
#[test]
fn thread_end_waits_for_guards_without_a_limit() {
    let (rundown, is_over) = (Arc::<Rundown>::default(), Arc::new(AtomicBool::new(false)));
    let guard = rundown.guard_owned().expect("the thread rundowns");
    let (send, receive) = channel();
    let ending = {
        let (rundown, is_over) = (Arc::clone(&rundown), Arc::clone(&is_over));
        thread::spawn(move || {
            rundown.end(FinalStatus::Done, || send.send(()).is_err());
            assert!(is_over.load(Ordering::SeqCst), "a guard goes on");
        })
    };
    receive.recv().expect("the end of the limit");
    assert!(rundown.guard_owned().is_none(), "a guard after the end");
    is_over.store(true, Ordering::SeqCst);
    drop(guard);
    ending.join().expect("no panic");
}

/// Without the limit this would not end.
#[test]
fn exit_waits_for_guards_with_a_limit() {
    let rundown = Arc::<Rundown>::default();
    let _guard = rundown.guard_owned().expect("the thread rundowns");
    rundown.end(FinalStatus::Done, || true);
    assert!(rundown.guard_owned().is_none(), "a guard after the end");
}
