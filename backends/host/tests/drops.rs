//! Closures that do not run, and destructors that panic: nothing is lost, nothing waits for ever.

use std::panic::panic_any;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;

use gpu_stream_core::{Backend, Event, Stream, StreamOptions};
use gpu_stream_host::{Gate, Host, HostStream};

/// Ends a test that would hang otherwise.
const LIMIT: Duration = Duration::from_secs(60);

fn stream() -> HostStream {
    Host::new_stream(Host::device(0).expect("device"), StreamOptions::new()).expect("stream")
}

/// Panics when it is dropped, with a payload that does so, too, as deep as this says.
struct Bomb(u32);

impl Drop for Bomb {
    fn drop(&mut self) {
        if self.0 > 0 {
            panic_any(Bomb(self.0 - 1));
        }
    }
}

/// A closure that must not run. Its drop closes the channel, and panics.
fn unrun(sender: &Sender<()>) -> impl FnOnce() + Send + 'static {
    let (sender, bomb) = (sender.clone(), Bomb(3));
    move || {
        let _all = (&sender, &bomb);
        unreachable!("it stands behind a fault")
    }
}

/// A stream fails; others wait for it, through each other. Every closure behind is dropped, although
/// no handle is left, and although each drop panics.
#[test]
fn closures_behind_a_fault_are_dropped_without_handles() {
    let (send, receive) = mpsc::channel();
    let gate = Gate::new(Host::device(0).expect("device")).expect("gate");
    let failing = stream();
    failing.wait_event(gate.event()).expect("wait");
    failing.launch(|| panic_any(Bomb(3))).expect("launch");
    (0..3).for_each(|_| failing.launch(unrun(&send)).expect("launch"));
    let mut last = failing;
    for _ in 0..5 {
        let next = stream();
        next.wait_stream(&last).expect("wait");
        // One that is boxed, too.
        let (large, closure) = ([0u64; 100], unrun(&send));
        let boxed = move || {
            let _large = &large;
            closure();
        };
        next.launch(boxed).expect("launch");
        next.launch(unrun(&send)).expect("launch");
        last = next;
    }
    let event = last.record_event().expect("event");
    drop((last, send, gate));
    assert_eq!(receive.recv_timeout(LIMIT), Err(RecvTimeoutError::Disconnected));
    event.synchronize().expect_err("the fault has come through");
}

/// What comes later is dropped by the call that refuses it.
#[test]
fn a_refused_closure_is_dropped() {
    let stream = stream();
    stream.launch(|| panic!("meant to")).expect("launch");
    stream.synchronize().expect_err("fault");
    let (send, receive) = mpsc::channel::<()>();
    let held = send.clone();
    stream.launch(move || drop(held)).expect_err("refused");
    let held = send.clone();
    stream.launch_host_func(Box::new(move || drop(held))).expect_err("refused");
    drop(send);
    assert_eq!(receive.try_recv(), Err(mpsc::TryRecvError::Disconnected));
}

/// On many streams at once, run and unrun, so that each thread of the pool meets several.
#[test]
fn no_thread_is_lost_to_destructors_that_panic() {
    const STREAMS: usize = if cfg!(miri) { 4 } else { 64 };
    let (send, receive) = mpsc::channel();
    for _ in 0..STREAMS {
        let stream = stream();
        let (bomb, ran) = (Bomb(2), send.clone());
        let run = move || {
            ran.send(()).expect("send");
            drop(bomb);
        };
        stream.launch(run).expect("launch");
        let _ = stream.launch(unrun(&send));
        let _ = stream.launch(unrun(&send));
    }
    drop(send);
    let ran = std::iter::from_fn(|| match receive.recv_timeout(LIMIT) {
        Ok(()) => Some(()),
        Err(RecvTimeoutError::Disconnected) => None,
        Err(RecvTimeoutError::Timeout) => panic!("a closure was neither run nor dropped"),
    });
    assert_eq!(ran.count(), STREAMS);
    // All threads live: as many streams as there were work at the same time as one waits.
    let streams: Vec<_> = (0..STREAMS).map(|_| stream()).collect();
    streams.iter().for_each(|stream| stream.launch(|| ()).expect("launch"));
    streams.iter().for_each(|stream| stream.synchronize().expect("synchronize"));
}
