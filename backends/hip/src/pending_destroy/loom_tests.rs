//! Loom runs these in every order that the memory model allows, up to three preemptions.
//!
//! `RUSTFLAGS="--cfg gpu_stream_loom" cargo test -p gpu-stream-hip --lib --release`

use std::sync::Arc;

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::PendingDestroy;

/// Streams, by number: how often each was asked, and how often it was destroyed.
#[derive(Default)]
struct Model {
    asked: [AtomicUsize; 2],
    destroyed: [AtomicUsize; 2],
}

impl Model {
    /// Busy the first time, idle from then on.
    fn destroy(&self, stream: usize) -> bool {
        let is_idle = self.asked[stream].fetch_add(1, Ordering::Relaxed) > 0;
        if is_idle {
            let before = self.destroyed[stream].fetch_add(1, Ordering::Relaxed);
            assert_eq!(before, 0, "a stream was destroyed twice");
        }
        is_idle
    }
}

/// Two threads drop a stream each, which are busy, and look at what is there: each stream is destroyed
/// once, by whomever, and none is forgotten.
#[test]
fn each_is_destroyed_once() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(|| {
        let (busy, model) = (Arc::new(PendingDestroy::new()), Arc::new(Model::default()));
        let part = |mine: usize| {
            let (busy, model) = (Arc::clone(&busy), Arc::clone(&model));
            move || {
                if !model.destroy(mine) {
                    busy.put(mine);
                }
                busy.clear(|&stream| model.destroy(stream));
            }
        };
        let other = thread::spawn(part(1));
        part(0)();
        other.join().expect("the other");
        // A later call destroys what is left.
        busy.clear(|&stream| model.destroy(stream));
        for destroyed in &model.destroyed {
            assert_eq!(destroyed.load(Ordering::Relaxed), 1, "a stream was forgotten");
        }
    });
}
