//! Users' code that panics in a destructor: that of a panic's payload, and that of a host function.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::support::*;

/// A value that panics when it is dropped, without the panic's message, unless the thread is
/// already panicking.
struct Bomb(Arc<AtomicUsize>);

impl Drop for Bomb {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
        if !std::thread::panicking() {
            resume_unwind(Box::new("dropping this panics"));
        }
    }
}

/// Checks that if a host function panics with a value whose drop panics, the stream reports a
/// fault, later functions are dropped, and other streams live.
pub fn payload_that_panics<F: Fixture>(fx: &F) -> Outcome {
    let (stream, gate) = gated(fx)?;
    let (dropped, held) = (Arc::new(AtomicUsize::new(0)), Arc::new(()));
    let (bomb, held_by_later) = (Bomb(Arc::clone(&dropped)), Arc::clone(&held));
    let func = Box::new(move || resume_unwind(Box::new(bomb)));
    optional("host functions", stream.launch_host_func(func))?;
    stream.launch_host_func(Box::new(move || drop(held_by_later)))?;
    let event = stream.record_event()?;
    fx.open(&gate);
    let outcome = stream.synchronize();
    // The backend finds a stream's panic by the stream's id. An old CUDA driver has no ids, and
    // there the panic is only printed.
    let has_id = stream.id().map_err(|error| error.kind()) != Err(ErrorKind::Unsupported);
    if has_id || outcome.is_err() {
        check_err(outcome, ErrorKind::StreamFault, "synchronize")?;
        check_err(stream.query(), ErrorKind::StreamFault, "query")?;
    }
    // The result is a fault or `Ok`: the call only has to return.
    let _ = event.synchronize();
    check_becomes("how often the value was dropped", || dropped.load(Ordering::SeqCst), 1)?;
    let held_by_later = || Arc::strong_count(&held) - 1;
    check_becomes("how many functions after it still hold something", held_by_later, 0)?;
    let other = super::support::stream(fx)?;
    let data = work(fx, &other)?;
    other.launch_host_func(Box::new(|| ()))?;
    other.synchronize()?;
    check_done(fx, &data)
}

/// Checks that functions after failed work are all dropped, even if dropping each of them panics.
pub fn dropped_function_that_panics<F: Fixture>(fx: &F) -> Outcome {
    const COUNT: usize = 5;
    let (stream, gate) = gated(fx)?;
    fx.fault(&stream)?;
    let (dropped, ran) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    for _ in 0..COUNT {
        let (bomb, ran) = (Bomb(Arc::clone(&dropped)), Arc::clone(&ran));
        let func = move || {
            let _bomb = &bomb;
            ran.fetch_add(1, Ordering::SeqCst);
        };
        optional("host functions", stream.launch_host_func(Box::new(func)))?;
    }
    fx.open(&gate);
    check_err(stream.synchronize(), ErrorKind::StreamFault, "synchronize")?;
    check_eq(ran.load(Ordering::SeqCst), 0, "how many functions ran after the fault")?;
    check_becomes("how many functions were dropped", || dropped.load(Ordering::SeqCst), COUNT)?;
    let other = super::support::stream(fx)?;
    let data = work(fx, &other)?;
    other.synchronize()?;
    check_done(fx, &data)
}
