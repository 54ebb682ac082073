//! Loom tests of [`Rundown`], with up to three preemptions.
//!
//! `RUSTFLAGS="--cfg gpu_stream_loom" cargo test -p gpu-stream-hip --lib --release`

use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::thread;

use super::{FinalStatus, Rundown, with_guards};

/// A thread's stream. A guarded call reads it, and the thread's end destroys it. Loom checks that they do not
/// overlap.
struct Stream(UnsafeCell<bool>);

// SAFETY: the models show it: loom fails one if a read and the destruction overlap.
unsafe impl Sync for Stream {}
// SAFETY: the models show it, as for `Sync`.
unsafe impl Send for Stream {}

impl Stream {
    fn use_it(&self) {
        // SAFETY: checked by loom.
        assert!(self.0.with(|alive| unsafe { *alive }), "the stream is destroyed");
    }

    fn destroy(&self) {
        // SAFETY: checked by loom.
        self.0.with_mut(|alive| unsafe { *alive = false });
    }
}

fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

fn stream() -> (Arc<Rundown>, Arc<Stream>) {
    (Arc::default(), Arc::new(Stream(UnsafeCell::new(true))))
}

/// Two threads take guards while the third may be ending. No guarded call sees a destroyed stream, and later calls
/// get the final status.
#[test]
fn thread_end_waits_for_guards() {
    check(|| {
        let (rundown, stream) = stream();
        let threads = [(); 2].map(|()| {
            let (rundown, stream) = (Arc::clone(&rundown), Arc::clone(&stream));
            thread::spawn(move || {
                let outcome = with_guards(&mut [&*rundown].into_iter(), || stream.use_it());
                assert!(matches!(outcome, Ok(()) | Err(FinalStatus::Done)));
            })
        });
        rundown.end(FinalStatus::Done, || false);
        stream.destroy();
        assert_eq!(with_guards(&mut [&*rundown].into_iter(), || ()), Err(FinalStatus::Done));
        threads.map(|thread| thread.join().expect("a thread"));
    });
}

/// One call takes guards of the streams of two threads, which both end meanwhile.
#[test]
fn guards_of_two_streams_are_taken_together() {
    check(|| {
        let both = [stream(), stream()];
        let threads = both.clone().map(|(rundown, stream)| {
            thread::spawn(move || {
                rundown.end(FinalStatus::Done, || false);
                stream.destroy();
            })
        });
        let mut rundowns = both.iter().map(|(rundown, _)| &**rundown);
        let outcome =
            with_guards(&mut rundowns, || both.iter().for_each(|(_, stream)| stream.use_it()));
        assert!(matches!(outcome, Ok(()) | Err(FinalStatus::Done)));
        threads.map(|thread| thread.join().expect("a thread"));
    });
}
