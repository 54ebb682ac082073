//! Futures that are dropped, and values that they keep.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};

use gpu_stream_async::{Done, DoneExt};

use super::support::*;

/// Checks that a future can be dropped before its first poll, between polls, and when it is ready. The work goes on, and
/// the task's memory is freed.
pub fn dropped_at_every_point<F: Fixture>(fx: &F) -> Outcome {
    let (stream, gate) = gated(fx)?;
    let data = fx.data(stream.device(), 0)?;
    fx.store(&stream, &data, 1)?;
    drop(stream.done()?);
    let task = Task::new();
    for _ in 0..100 {
        let mut future = stream.done()?;
        check(task.poll(&mut future).is_pending(), "the future is ready too early")?;
    }
    check(Arc::strong_count(&task) == 1, "a dropped future keeps its waker")?;
    let (mut ready, waiting) = (stream.done()?, Task::new());
    check(waiting.poll(&mut ready).is_pending(), "the future is ready too early")?;
    let mut last = stream.done()?;
    fx.open(&gate);
    waiting.await_wake(0)?;
    drop(ready);
    finish(&mut last)??;
    check(fx.load(&data)? == 1, "the work was not done")?;
    check(task.wakes() == 0, "a dropped future woke its task")
}

/// A value that counts its drops.
pub struct Counted(pub Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Returns a value, and the counter of its drops.
pub fn counted() -> (Counted, Arc<AtomicUsize>) {
    let drops = Arc::new(AtomicUsize::new(0));
    (Counted(Arc::clone(&drops)), drops)
}

/// Checks that the value comes back with the outcome: at once from an idle stream, and later from a busy one.
pub fn value_comes_back<F: Fixture>(fx: &F) -> Outcome {
    let idle = stream(fx)?;
    let (outcome, value) = finish(&mut idle.done()?.with(vec![1, 2, 3]))?;
    outcome?;
    check(value == [1, 2, 3], "another value came back")?;
    let (stream, gate) = gated(fx)?;
    let mut future = stream.done()?.with(String::from("kept"));
    check_pending(fx, &[&stream], &mut future)?;
    fx.open(&gate);
    let (outcome, value) = finish(&mut future)?;
    outcome?;
    check(value == "kept", "another value came back")
}

/// Checks that a value of a dropped future is kept until the work is done, and is then dropped. The future was polled, or
/// was not, before or after the value came.
pub fn value_outlives_a_dropped_future<F: Fixture>(fx: &F) -> Outcome {
    let (stream, gate) = gated(fx)?;
    let mut all = Vec::new();
    for polls in 0..3 {
        let (value, drops) = counted();
        let (mut future, task) = (stream.done()?, Task::new());
        if polls == 2 {
            check(task.poll(&mut future).is_pending(), "the future is ready too early")?;
        }
        let mut future = future.with(value);
        if polls == 1 {
            check(task.poll(&mut future).is_pending(), "the future is ready too early")?;
        }
        drop(future);
        check(Arc::strong_count(&task) == 1, "a dropped future keeps its waker")?;
        all.push(drops);
    }
    // Makes the watcher remove the records of dropped futures.
    for _ in 0..100 {
        let _ = Task::new().poll(&mut stream.done()?);
    }
    fx.settle(&[&stream]);
    let dropped = || all.iter().map(|drops| drops.load(Ordering::SeqCst)).collect::<Vec<_>>();
    check(dropped() == [0; 3], "a value was dropped, and the work is not done")?;
    fx.open(&gate);
    check_becomes("a value is not dropped", || dropped() == [1; 3])?;
    // Ready, and not polled.
    stream.synchronize()?;
    let (value, drops) = counted();
    drop(stream.done()?.with(value));
    check(drops.load(Ordering::SeqCst) == 1, "the value of an idle stream is not dropped")
}

/// A value whose destructor awaits a stream that is held back, by a new future and by one that was polled before. Then it
/// panics.
struct Awaiting<S: Stream> {
    stream: S,
    polled: Done<S::Backend>,
    seen: Sender<[Option<ErrorKind>; 2]>,
}

impl<S: Stream> Drop for Awaiting<S> {
    fn drop(&mut self) {
        let kind = |future: &mut Done<S::Backend>| match finish(future) {
            Ok(outcome) => outcome.err().map(|error| error.kind()),
            Err(_) => None,
        };
        let mut new = self.stream.done().expect("a stream without a fault");
        let _ = self.seen.send([kind(&mut new), kind(&mut self.polled)]);
        // Unwinds like a panic, without the panic's message on the terminal.
        std::panic::resume_unwind(Box::new("a destructor that is meant to panic"));
    }
}

/// Checks that a destructor on the watcher's thread cannot wait for that thread, and that its panic harms no other future.
pub fn destructor_may_panic_and_must_not_wait<F: Fixture>(fx: &F) -> Outcome {
    let (stream, first) = gated(fx)?;
    let (seen, is_seen) = channel();
    let (future, mut same) = (stream.done()?, stream.done()?);
    let second = fx.gate(&stream)?;
    let (mut polled, mut later) = (stream.done()?, stream.done()?);
    check_pending(fx, &[&stream], &mut polled)?;
    check_pending(fx, &[&stream], &mut later)?;
    drop(future.with(Awaiting { stream: stream.clone(), polled, seen }));
    fx.open(&first);
    finish(&mut same)??;
    let kinds = is_seen.recv_timeout(limit());
    let kinds = kinds.map_err(|_| Verdict::failed("the value is not dropped"))?;
    check(
        kinds == [Some(ErrorKind::NotPermitted); 2],
        "an await of the destructor is not refused",
    )?;
    fx.open(&second);
    finish(&mut later)??;
    Ok(())
}

/// Checks that a value behind a fault comes back with the error, and that the value of a dropped future is not dropped.
pub fn value_behind_a_fault<F: Fixture>(fx: &F) -> Outcome {
    let (stream, gate) = gated(fx)?;
    fx.fault(&stream)?;
    let [(kept, kept_drops), (left, left_drops), (late, late_drops)] = [(); 3].map(|()| counted());
    let mut future = stream.done()?.with(kept);
    let mut polled = stream.done()?.with(late);
    let task = Task::new();
    check(task.poll(&mut polled).is_pending(), "the future is ready too early")?;
    drop(stream.done()?.with(left));
    let mut last = stream.done()?;
    fx.open(&gate);
    let (outcome, value) = finish(&mut future)?;
    check_kind("the outcome", outcome, ErrorKind::StreamFault)?;
    check(kept_drops.load(Ordering::SeqCst) == 0, "the value was dropped")?;
    drop(value);
    // It has an outcome and was not polled since.
    task.await_wake(0)?;
    drop(polled);
    check_kind("a later future", finish(&mut last)?, ErrorKind::StreamFault)?;
    fx.settle(&[]);
    check(late_drops.load(Ordering::SeqCst) == 0, "the value of a faulted future was dropped")?;
    check(left_drops.load(Ordering::SeqCst) == 0, "the value of a dropped future was dropped")
}

/// Leaves futures pending, polled and with a value, for the end of the process.
pub fn process_ends<F: Fixture>(fx: &F) -> Outcome {
    let (stream, gate) = gated(fx)?;
    drop(stream.done()?.with(vec![0; 64]));
    let mut pending = stream.done()?;
    check(Task::new().poll(&mut pending).is_pending(), "the future is ready too early")?;
    std::mem::forget((gate, pending, stream));
    Ok(())
}
