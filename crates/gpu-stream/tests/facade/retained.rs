//! Retained values on fake backends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gpu_stream::prelude::*;
use gpu_stream::{Error, Reclaimer};

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
