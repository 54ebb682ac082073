//! Retained values on fake backends.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use gpu_stream::prelude::*;
use gpu_stream::{Any, AnyStream, Error, Reclaimer};

use crate::fake::{Fake, FakeStream, Probe};

static RESETS: AtomicUsize = AtomicUsize::new(0);

/// A backend with busy streams, whose context is reset.
struct Reset;

impl Probe for Reset {
    const FAILS: Option<(ErrorKind, &'static str)> = None;
    const IS_IDLE: bool = false;

    fn resets() -> usize {
        RESETS.load(Ordering::SeqCst)
    }
}

/// The default stream has one handle before and after.
#[test]
fn values_after_a_reset_do_not_wait_for_the_marks_before_it() {
    let stream = FakeStream::<Reset>::new(0);
    let (reclaimer, old, new) = (Reclaimer::<Fake<Reset>>::new(), Arc::new(()), Arc::new(()));
    reclaimer.retain(Arc::clone(&old), &[&stream]).expect("retain");
    reclaimer.collect().expect("collect"); // records a mark
    RESETS.fetch_add(1, Ordering::SeqCst);
    for _ in 0..200 {
        reclaimer.retain(Arc::clone(&new), &[&stream]).expect("the stream works");
    }
    for _ in 0..2 {
        let lost = reclaimer.collect().map_err(|error| error.kind());
        assert_eq!(lost, Err(ErrorKind::ContextDestroyed));
    }
    assert_eq!((Arc::strong_count(&old), Arc::strong_count(&new)), (2, 1));
    assert_eq!((reclaimer.pending(), reclaimer.abandon().len()), (1, 1));
}

static EVENTS: Mutex<Option<Sender<()>>> = Mutex::new(None);

/// A backend that tells when an event is created.
struct Watched;

impl Probe for Watched {
    const FAILS: Option<(ErrorKind, &'static str)> = None;

    fn on_new_event() {
        if let Some(sender) = &*EVENTS.lock().expect("lock") {
            let _ = sender.send(());
        }
    }
}

/// Tells that its destructor runs, and waits there.
struct Waits(Arc<(Barrier, Barrier)>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.0.wait();
        self.0.1.wait();
    }
}

/// The other thread runs a destructor, until `drain` has created the event that tells whether it may wait.
#[test]
fn drain_waits_for_another_thread_on_a_backend_that_the_facade_does_not_know() {
    let stream = AnyStream::new(FakeStream::<Watched>::new(0x77));
    let (reclaimer, later) = (Reclaimer::<Any>::new(), Arc::new(()));
    let barriers = Arc::new((Barrier::new(2), Barrier::new(2)));
    let (sender, asked_or_over) = channel();
    reclaimer.retain(Waits(Arc::clone(&barriers)), &[&stream]).expect("retain");
    let drained = thread::scope(|scope| {
        scope.spawn(|| reclaimer.collect().expect("collect"));
        barriers.0.wait();
        reclaimer.retain(Arc::clone(&later), &[&stream]).expect("retain");
        *EVENTS.lock().expect("lock") = Some(sender.clone());
        let drained = scope.spawn(|| {
            let drained = reclaimer.drain();
            let _ = sender.send(());
            drained
        });
        asked_or_over.recv().expect("a message");
        barriers.1.wait();
        drained.join().expect("the thread")
    });
    drained.expect("drain");
    assert_eq!((reclaimer.pending(), Arc::strong_count(&later)), (0, 1));
}
