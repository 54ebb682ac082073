//! Loom tests of [`PendingDestroy`], with up to three preemptions.
//!
//! `RUSTFLAGS="--cfg gpu_stream_loom" cargo test -p gpu-stream-hip --lib --release`

use std::sync::Arc;

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::PendingDestroy;

/// How often each stream was checked, and how often it was destroyed.
#[derive(Default)]
struct Model {
    asked: [AtomicUsize; 2],
    destroyed: [AtomicUsize; 2],
}

impl Model {
    /// Returns `false` the first time, when the stream is busy. Destroys it after that.
    fn destroy(&self, stream: usize) -> bool {
        let is_idle = self.asked[stream].fetch_add(1, Ordering::Relaxed) > 0;
        if is_idle {
            let before = self.destroyed[stream].fetch_add(1, Ordering::Relaxed);
            assert_eq!(before, 0, "a stream was destroyed twice");
        }
        is_idle
    }
}

/// Two threads drop a busy stream each, and reap: each stream is destroyed once, by either thread.
#[test]
fn each_pending_stream_is_destroyed_once() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(|| {
        let (pending, model) = (Arc::new(PendingDestroy::new()), Arc::new(Model::default()));
        let drop_stream = |mine: usize| {
            let (pending, model) = (Arc::clone(&pending), Arc::clone(&model));
            move || {
                if !model.destroy(mine) {
                    pending.push(mine);
                }
                pending.reap(|&stream| model.destroy(stream));
            }
        };
        let other = thread::spawn(drop_stream(1));
        drop_stream(0)();
        other.join().expect("the other thread");
        // A later call destroys what is left.
        pending.reap(|&stream| model.destroy(stream));
        for destroyed in &model.destroyed {
            assert_eq!(destroyed.load(Ordering::Relaxed), 1, "a stream was forgotten");
        }
    });
}
