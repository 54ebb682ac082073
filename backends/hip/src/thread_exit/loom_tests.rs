//! Loom runs these in every order that the memory model allows, up to three preemptions.
//!
//! `RUSTFLAGS="--cfg gpu_stream_loom" cargo test -p gpu-stream-hip --lib --release`

use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::thread;

use super::{FinalStatus, Rundown, with_guards};

/// A thread's stream, which loom watches: who visits reads, and the end of the thread destroys.
struct Stream(UnsafeCell<bool>);

// SAFETY: that is what the model is to show; loom fails it if the stream is destroyed while somebody
// may still look, or looked at afterwards.
unsafe impl Sync for Stream {}
// SAFETY: as above.
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

/// Two threads visit, each while the third may be ending: no visit sees a destroyed stream, and who
/// comes later is told how the work ended.
#[test]
fn the_end_waits_for_visits() {
    check(|| {
        let (life, stream) = stream();
        let visitors = [(); 2].map(|()| {
            let (life, stream) = (Arc::clone(&life), Arc::clone(&stream));
            thread::spawn(move || {
                let seen = with_guards(&mut [&*life].into_iter(), || stream.use_it());
                assert!(matches!(seen, Ok(()) | Err(FinalStatus::Done)));
            })
        });
        life.end(FinalStatus::Done, || false);
        stream.destroy();
        assert_eq!(with_guards(&mut [&*life].into_iter(), || ()), Err(FinalStatus::Done));
        visitors.map(|visitor| visitor.join().expect("a visitor"));
    });
}

/// One visit to the streams of two threads, which both end meanwhile.
#[test]
fn a_visit_to_two_streams() {
    check(|| {
        let both = [stream(), stream()];
        let threads = both.clone().map(|(life, stream)| {
            thread::spawn(move || {
                life.end(FinalStatus::Done, || false);
                stream.destroy();
            })
        });
        let mut lives = both.iter().map(|(life, _)| &**life);
        let seen = with_guards(&mut lives, || both.iter().for_each(|(_, stream)| stream.use_it()));
        assert!(matches!(seen, Ok(()) | Err(FinalStatus::Done)));
        threads.map(|thread| thread.join().expect("a thread"));
    });
}
