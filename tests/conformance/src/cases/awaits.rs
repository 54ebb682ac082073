//! Awaited streams: when a future of a stream's work is ready, and which task is woken.

use std::pin::Pin;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use super::awaited::{Task, check_pending, finish};
use super::support::*;

/// Checks that a future is pending while a gate holds the work back, and then is `Ok`, with the work
/// done.
pub fn future_is_pending_until_the_work_is_done<F: Fixture>(fx: &F) -> Outcome {
    let (stream, gate) = gated(fx)?;
    let data = work(fx, &stream)?;
    let mut future = fx.done(&stream)?;
    check_pending(fx, &[&stream], &mut future)?;
    check_held(fx, &[&stream], &data)?;
    fx.open(&gate);
    finish(&mut future)?;
    check_done(fx, &data)
}

/// Checks that a future does not wait for work that is submitted after the call.
pub fn later_work_is_not_awaited<F: Fixture>(fx: &F) -> Outcome {
    let (stream, first) = gated(fx)?;
    let mut future = fx.done(&stream)?;
    let second = fx.gate(&stream)?;
    let mut later = fx.done(&stream)?;
    check_pending(fx, &[&stream], &mut future)?;
    check_pending(fx, &[&stream], &mut later)?;
    fx.open(&first);
    finish(&mut future)?;
    check_pending(fx, &[&stream], &mut later)?;
    fx.open(&second);
    finish(&mut later)?;
    Ok(())
}

/// Checks that a thread's default stream can be awaited on another thread, and that another thread's
/// is not waited for.
pub fn per_thread_stream_is_awaited<F: Fixture>(fx: &F) -> Outcome {
    let device = device(fx)?;
    let own = per_thread_stream::<F>(device)?;
    let gate = fx.gate(&own)?;
    let (mut future, task) = (fx.done(&own)?, Task::new());
    task.poll_pending(&mut future)?;
    let elsewhere = |body: &mut (dyn FnMut() -> Outcome + Send)| {
        let joined = thread::scope(|scope| scope.spawn(body).join());
        joined.unwrap_or_else(|_| Err(Verdict::failed("the thread panicked")))
    };
    elsewhere(&mut || {
        let other = per_thread_stream::<F>(device)?;
        let data = work(fx, &other)?;
        finish(&mut fx.done(&other)?)?;
        check_done(fx, &data)
    })?;
    task.poll_pending(&mut future)?;
    fx.open(&gate);
    elsewhere(&mut || Ok(finish(&mut future)?))
}

/// Checks that a task that has polled once is woken once, and that the future is ready then.
pub fn task_is_woken_once<F: Fixture>(fx: &F) -> Outcome {
    let (stream, gate) = gated(fx)?;
    let (mut future, task) = (fx.done(&stream)?, Task::new());
    task.poll_pending(&mut future)?;
    fx.open(&gate);
    task.await_wake(0);
    let Poll::Ready(outcome) = task.poll(&mut future) else {
        return Err(Verdict::failed("the task was woken, and the future is pending"));
    };
    outcome?;
    drop(future);
    check_becomes("the number of references to the task", || Arc::strong_count(&task), 1)?;
    check_eq(task.wakes(), 1, "the number of wake-ups")
}

/// Checks that if two tasks have polled a future, the later one is woken, and the earlier one is not.
pub fn latest_task_is_woken<F: Fixture>(fx: &F) -> Outcome {
    let (stream, gate) = gated(fx)?;
    let (mut future, earlier, later) = (fx.done(&stream)?, Task::new(), Task::new());
    earlier.poll_pending(&mut future)?;
    later.poll_pending(&mut future)?;
    fx.open(&gate);
    later.finish(&mut future)?;
    check_eq(earlier.wakes(), 0, "the number of wake-ups of the earlier task")
}

/// Checks that each of many tasks that poll once, at any time while the work ends, is woken or finds
/// the work done.
pub fn no_wake_up_is_lost<F: Fixture>(fx: &F) -> Outcome {
    let streams = streams(fx, 2)?;
    let data = fx.data(streams[0].device(), 0)?;
    let submit = |stream: &StreamOf<F>| -> Outcome {
        for round in 0..200 {
            fx.store(stream, &data, round)?;
            let (mut future, task) = (fx.done(stream)?, Task::new());
            for _ in 0..round % 50 {
                std::hint::spin_loop();
            }
            task.finish(&mut future)?;
            drop(future);
            check_becomes("the number of references to the task", || Arc::strong_count(&task), 1)?;
            check(task.wakes() <= 1, "a task was woken twice")?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> =
            streams.iter().map(|stream| scope.spawn(move || submit(stream))).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, Outcome>| {
            thread.join().unwrap_or_else(|_| Err(Verdict::failed("the thread panicked")))
        };
        threads.into_iter().map(join).fold(Ok(()), Result::and)
    })
}

/// A waker that blocks until the sender of its channel is dropped.
struct BlockingWaker {
    entered: Sender<()>,
    released: Mutex<Receiver<()>>,
}

impl Wake for BlockingWaker {
    fn wake(self: Arc<Self>) {
        let _ = self.entered.send(());
        let _ = self.released.lock().unwrap_or_else(PoisonError::into_inner).recv();
    }
}

/// Checks that the stream goes on while the waker of an awaiting task blocks.
pub fn blocking_waker_holds_no_stream<F: Fixture>(fx: &F) -> Outcome {
    let (stream, gate) = gated(fx)?;
    let mut future = fx.done(&stream)?;
    let ((entered, has_entered), (release, released)) = (channel(), channel());
    let waker = BlockingWaker { entered, released: Mutex::new(released) };
    let waker = Waker::from(Arc::new(waker));
    let poll = Pin::new(&mut future).poll(&mut Context::from_waker(&waker));
    check(poll.is_pending(), "the future is ready, and the work is not done")?;
    fx.open(&gate);
    has_entered
        .recv()
        .map_err(|_| Verdict::failed("the waker was dropped, and the task not woken"))?;
    let data = work(fx, &stream)?;
    check_goes_on(fx, &[&stream], &data)?;
    drop(release);
    finish(&mut future)?;
    Ok(())
}
