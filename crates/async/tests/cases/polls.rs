//! Polls and wakers: an idle stream, misuse, a waker that panics, and one that awaits.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, ThreadId};
use std::time::Instant;

use gpu_stream_async::{Done, DoneExt};

use super::support::*;

/// Checks that a future of an idle stream is ready at its first poll, and submits nothing.
pub fn idle_stream_is_ready_at_once<F: Fixture>(fx: &F) -> Outcome {
    let stream = stream(fx)?;
    let data = fx.data(stream.device(), 0)?;
    fx.store(&stream, &data, 1)?;
    stream.synchronize()?;
    let (mut future, task) = (stream.done()?, Task::new());
    check(matches!(task.poll(&mut future), Poll::Ready(Ok(()))), "it is not ready")?;
    check(task.wakes() == 0, "the task was woken")
}

/// Checks that a poll after the last one is an error, and neither blocks nor panics.
pub fn resolved_future_returns_an_error<F: Fixture>(fx: &F) -> Outcome {
    let mut future = stream(fx)?.done()?;
    finish(&mut future)??;
    check_kind("a second poll", finish(&mut future)?, ErrorKind::NotPermitted)
}

/// A waker that panics.
struct PanickingWaker;

impl Wake for PanickingWaker {
    fn wake(self: Arc<Self>) {
        // Unwinds like a panic, without the panic's message on the terminal.
        std::panic::resume_unwind(Box::new("a waker that is meant to panic"));
    }
}

/// Checks that a waker that panics loses no wake-up of another future, of the same or another stream.
pub fn waker_that_panics_loses_no_other<F: Fixture>(fx: &F) -> Outcome {
    let (stream, gate) = gated(fx)?;
    let mut futures = Vec::new();
    for _ in 0..3 {
        let mut broken = stream.done()?;
        let waker = Waker::from(Arc::new(PanickingWaker));
        let poll = Pin::new(&mut broken).poll(&mut Context::from_waker(&waker));
        check(poll.is_pending(), "the future is ready too early")?;
        let (mut sound, task) = (stream.done()?, Task::new());
        check(task.poll(&mut sound).is_pending(), "the future is ready too early")?;
        futures.push((broken, sound, task));
    }
    fx.open(&gate);
    for (mut broken, mut sound, task) in futures {
        task.finish(&mut sound)??;
        finish(&mut broken)??;
    }
    Ok(())
}

/// A waker that calls `done` on a stream, and polls the new future once.
struct AwaitingWaker<S: Stream> {
    stream: S,
    next: Mutex<Option<Done<S::Backend>>>,
    task: Arc<Task>,
}

impl<S: Stream + Send + Sync> Wake for AwaitingWaker<S> {
    fn wake(self: Arc<Self>) {
        let mut next = self.stream.done().expect("a stream without a fault");
        if self.task.poll(&mut next).is_pending() {
            *self.next.lock().unwrap() = Some(next);
        } else {
            Arc::clone(&self.task).wake();
        }
    }
}

/// Checks that a waker may call `done`, also for a stream that is held back.
pub fn waker_that_awaits<F: Fixture>(fx: &F) -> Outcome {
    let (stream, first) = gated(fx)?;
    let mut future = stream.done()?;
    let second = fx.gate(&stream)?;
    let task = Task::new();
    let waker = Arc::new(AwaitingWaker {
        stream: stream.clone(),
        next: Mutex::new(None),
        task: Arc::clone(&task),
    });
    let as_waker = Waker::from(Arc::clone(&waker));
    let poll = Pin::new(&mut future).poll(&mut Context::from_waker(&as_waker));
    check(poll.is_pending(), "the future is ready too early")?;
    fx.open(&first);
    check_becomes("the waker does not run", || waker.next.lock().unwrap().is_some())?;
    check(task.wakes() == 0, "the task was woken, and the work is not done")?;
    fx.open(&second);
    task.await_wake(0)?;
    let next = waker.next.lock().unwrap().take();
    let mut next = next.ok_or_else(|| Verdict::failed("the waker made no future"))?;
    check(matches!(task.poll(&mut next), Poll::Ready(Ok(()))), "the future is not ready")
}

/// A waker that calls a closure once.
struct OnWake<T: FnOnce() + Send>(Mutex<Option<T>>);

impl<T: FnOnce() + Send> Wake for OnWake<T> {
    fn wake(self: Arc<Self>) {
        let call = self.0.lock().unwrap().take();
        call.into_iter().for_each(|call| call());
    }
}

/// Returns a waker that calls `call` once.
fn on_wake(call: impl FnOnce() + Send + 'static) -> Waker {
    Waker::from(Arc::new(OnWake(Mutex::new(Some(call)))))
}

/// Checks that a waker may wait for a future, as the destructor of a task does that the waker drops. Another await ends
/// meanwhile, and the first one ends as well. The watcher may have the inner future before.
pub fn waker_that_waits_for_a_future<F: Fixture>(fx: &F) -> Outcome {
    for is_watched in [false, true] {
        let (stream, first) = gated(fx)?;
        let mut future = stream.done()?;
        let second = fx.gate(&stream)?;
        let mut inner = stream.done()?;
        if is_watched {
            let poll = Task::new().poll(&mut inner);
            check(poll.is_pending(), "the inner future is ready too early")?;
        }
        let ((entered, has_entered), (leave, has_left)) = (channel(), channel());
        let waker = on_wake(move || {
            let _ = entered.send(());
            let _ = leave.send(finish(&mut inner).is_ok_and(|outcome| outcome.is_ok()));
        });
        let poll = Pin::new(&mut future).poll(&mut Context::from_waker(&waker));
        check(poll.is_pending(), "the future is ready too early")?;
        fx.open(&first);
        let entered = has_entered.recv_timeout(limit());
        entered.map_err(|_| Verdict::failed("the task was not woken"))?;
        check(has_left.try_recv().is_err(), "the inner future is ready too early")?;
        fx.open(&second);
        let left = has_left.recv_timeout(limit());
        check(left == Ok(true), "the waker waits forever")?;
        finish(&mut future)??;
        finish(&mut stream.done()?)??;
    }
    Ok(())
}

/// Checks that a waker that blocks holds back no other task that is polled again.
pub fn waker_that_blocks_is_left_by_a_poll<F: Fixture>(fx: &F) -> Outcome {
    let ((stream, gate), (other, other_gate)) = (gated(fx)?, gated(fx)?);
    let (mut blocked, mut waiting, task) = (stream.done()?, other.done()?, Task::new());
    let ((entered, has_entered), (release, released)) = (channel(), channel::<()>());
    let waker = on_wake(move || {
        let _ = entered.send(());
        let _ = released.recv();
    });
    let poll = Pin::new(&mut blocked).poll(&mut Context::from_waker(&waker));
    check(poll.is_pending(), "the future is ready too early")?;
    check(task.poll(&mut waiting).is_pending(), "the future is ready too early")?;
    fx.open(&gate);
    let entered = has_entered.recv_timeout(limit());
    entered.map_err(|_| Verdict::failed("the task was not woken"))?;
    fx.open(&other_gate);
    // Polls again without being woken, as a `select` with a timeout does. The waker counts as blocked after some time.
    let begin = Instant::now();
    while task.poll(&mut waiting).is_pending() {
        check(begin.elapsed() < limit(), "the other task waits for the waker")?;
        std::thread::yield_now();
    }
    drop(release);
    finish(&mut blocked)??;
    finish(&mut stream.done()?)??;
    Ok(())
}

/// Checks that a waker that blocks holds back no other task once a further await begins, and that all awaits go on after it.
pub fn waker_that_blocks_is_left_behind<F: Fixture>(fx: &F) -> Outcome {
    let (stream, gate) = gated(fx)?;
    let (mut blocked, mut other, task) = (stream.done()?, stream.done()?, Task::new());
    let ((entered, has_entered), (release, released)) = (channel(), channel::<()>());
    let waker = on_wake(move || {
        let _ = entered.send(());
        let _ = released.recv();
    });
    let poll = Pin::new(&mut blocked).poll(&mut Context::from_waker(&waker));
    check(poll.is_pending(), "the future is ready too early")?;
    check(task.poll(&mut other).is_pending(), "the future is ready too early")?;
    fx.open(&gate);
    let entered = has_entered.recv_timeout(limit());
    entered.map_err(|_| Verdict::failed("the task was not woken"))?;
    // The waker counts as blocked after some time.
    let begin = Instant::now();
    while task.wakes() == 0 {
        check(begin.elapsed() < limit(), "the other task is not woken")?;
        let (further, gate) = gated(fx)?;
        let mut future = further.done()?;
        check(Task::new().poll(&mut future).is_pending(), "the future is ready too early")?;
        fx.open(&gate);
        further.synchronize()?;
    }
    check(matches!(task.poll(&mut other), Poll::Ready(Ok(()))), "the future is not ready")?;
    drop(release);
    finish(&mut blocked)??;
    finish(&mut stream.done()?)??;
    Ok(())
}

/// A task with many futures, which its waker polls at once, on the thread that calls the waker.
struct InlineTask<B: Backend> {
    futures: Mutex<Vec<Done<B>>>,
    /// The threads that have called the waker.
    threads: Mutex<HashSet<ThreadId>>,
    /// The number of futures that have not resolved.
    pending: AtomicUsize,
}

impl<B: Backend> InlineTask<B> {
    /// Polls all futures, and forgets those that have resolved.
    fn poll(self: &Arc<Self>) {
        let waker = Waker::from(Arc::clone(self));
        let mut context = Context::from_waker(&waker);
        let mut futures = self.futures.lock().unwrap();
        futures.retain_mut(|future| match Pin::new(future).poll(&mut context) {
            Poll::Pending => true,
            Poll::Ready(outcome) => {
                outcome.expect("a stream without a fault");
                false
            }
        });
        self.pending.store(futures.len(), Ordering::SeqCst);
    }
}

impl<B: Backend> Wake for InlineTask<B> {
    fn wake(self: Arc<Self>) {
        self.threads.lock().unwrap().insert(thread::current().id());
        self.poll();
    }
}

/// Checks that a task that is polled inside its waker is not called by a new thread each time. Two are enough, and a waker
/// that is stopped for long adds one.
pub fn waker_that_polls_needs_few_threads<F: Fixture>(fx: &F) -> Outcome {
    const COUNT: usize = 64;
    let stream = stream(fx)?;
    let (mut gates, mut futures) = (Vec::new(), Vec::new());
    for _ in 0..COUNT {
        gates.push(fx.gate(&stream)?);
        futures.push(stream.done()?);
    }
    let task = Arc::new(InlineTask {
        futures: Mutex::new(futures),
        threads: Mutex::default(),
        pending: AtomicUsize::new(COUNT),
    });
    task.poll();
    for (index, gate) in gates.iter().enumerate() {
        let pending = || task.pending.load(Ordering::SeqCst);
        check(pending() == COUNT - index, "a future is ready too early")?;
        fx.open(gate);
        check_becomes("the task was not woken", || pending() < COUNT - index)?;
    }
    let threads = task.threads.lock().unwrap().len();
    check(threads <= COUNT / 4, &format!("{COUNT} wakers ran on {threads} threads"))
}
