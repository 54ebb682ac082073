//! When a future resolves, and what the call does to streams and captures.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use gpu_stream_core::{CaptureStatus, Device, EventOf};

use super::support::*;

/// Checks W1: the future is pending while a gate holds the work back, and then resolves with `Ok`, with the work done.
pub fn pending_until_the_work_is_done<F: Fixture, A: Awaiter>(fx: &F) -> Outcome {
    let (stream, gate) = gated(fx)?;
    let data = fx.data(stream.device(), 0)?;
    fx.store(&stream, &data, 7)?;
    let mut future = A::done(&stream)?;
    check_pending(fx, &[&stream], &mut future)?;
    check(fx.load(&data)? == 0, "the gate does not hold the work back")?;
    fx.open(&gate);
    finish(&mut future)??;
    check(fx.load(&data)? == 7, "the future is ready, and the work is not visible")
}

/// Checks W1: work that is submitted after the call is not waited for.
pub fn later_work_is_not_waited_for<F: Fixture, A: Awaiter>(fx: &F) -> Outcome {
    let (stream, first) = gated(fx)?;
    let mut future = A::done(&stream)?;
    let second = fx.gate(&stream)?;
    let mut later = A::done(&stream)?;
    check_pending(fx, &[&stream], &mut future)?;
    check_pending(fx, &[&stream], &mut later)?;
    fx.open(&first);
    finish(&mut future)??;
    check_pending(fx, &[&stream], &mut later)?;
    fx.open(&second);
    finish(&mut later)??;
    Ok(())
}

/// Checks W2: a task that was polled once is woken, and resolves at its second poll.
pub fn task_is_woken<F: Fixture, A: Awaiter>(fx: &F) -> Outcome {
    let (stream, gate) = gated(fx)?;
    let (mut future, task) = (A::done(&stream)?, Task::new());
    check(task.poll(&mut future).is_pending(), "the future is ready, and the work is not done")?;
    fx.open(&gate);
    task.await_wake(0)?;
    check(task.poll(&mut future).is_ready(), "the task was woken, and the future is pending")?;
    check(task.wakes() == 1, "the task was woken more than once")
}

/// Checks W2: if two tasks polled, the later one is woken.
pub fn latest_waker_is_woken<F: Fixture, A: Awaiter>(fx: &F) -> Outcome {
    let (stream, gate) = gated(fx)?;
    let (mut future, earlier, later) = (A::done(&stream)?, Task::new(), Task::new());
    check(earlier.poll(&mut future).is_pending(), "the future is ready too early")?;
    check(later.poll(&mut future).is_pending(), "the future is ready too early")?;
    fx.open(&gate);
    later.finish(&mut future)??;
    check(earlier.wakes() == 0, "the task that gave the future away was woken")
}

/// A waker that blocks until the sender of its channel is dropped. It gives up in the end.
struct BlockingWaker {
    entered: Sender<()>,
    released: Mutex<Receiver<()>>,
    gave_up: Arc<AtomicBool>,
}

impl Wake for BlockingWaker {
    fn wake(self: Arc<Self>) {
        let _ = self.entered.send(());
        let released = self.released.lock().unwrap().recv_timeout(limit() / 2);
        if released == Err(RecvTimeoutError::Timeout) {
            self.gave_up.store(true, Ordering::SeqCst);
        }
    }
}

/// Checks W4: the caller's stream goes on while a waker blocks, so no callback is on the stream.
pub fn blocking_waker_holds_no_stream<F: Fixture, A: Awaiter>(fx: &F) -> Outcome {
    let (stream, gate) = gated(fx)?;
    let data = fx.data(stream.device(), 0)?;
    let mut future = A::done(&stream)?;
    let ((entered, has_entered), (release, released)) = (channel(), channel());
    let gave_up = Arc::new(AtomicBool::new(false));
    let waker =
        BlockingWaker { entered, released: Mutex::new(released), gave_up: Arc::clone(&gave_up) };
    let waker = Waker::from(Arc::new(waker));
    let poll = Pin::new(&mut future).poll(&mut Context::from_waker(&waker));
    check(poll.is_pending(), "the future is ready too early")?;
    fx.open(&gate);
    let woken = has_entered.recv_timeout(limit());
    woken.map_err(|_| Verdict::failed("the task was not woken"))?;
    fx.store(&stream, &data, 1)?;
    check_becomes("the stream does not go on", || fx.load(&data).is_ok_and(|value| value == 1))?;
    check(!gave_up.load(Ordering::SeqCst), "the stream goes on only after the waker")?;
    drop(release);
    finish(&mut future)??;
    Ok(())
}

/// Checks W5: the call on a captured stream is refused, and the capture lives.
pub fn captured_stream_is_refused<F: Fixture, A: Awaiter>(fx: &F) -> Outcome {
    for mode in CaptureMode::ALL {
        let stream = stream(fx)?;
        fx.begin_capture(&stream, mode)?;
        let refused = A::done(&stream);
        let lives = fx.is_capturing(&stream)?;
        let nodes = fx.end_capture(&stream, false);
        check_kind("done", refused.map(drop), ErrorKind::Capturing)?;
        check(lives, "the capture is broken")?;
        check(nodes?.unwrap_or(0) == 0, "the call added a node")?;
    }
    Ok(())
}

/// A stream that another thread begins to capture when the call makes its record, and may cease to capture right after.
struct CapturedAtTheRecord<S> {
    stream: S,
    /// Asks the thread for the next step.
    step: Sender<()>,
    stepped: Receiver<()>,
    ends: bool,
}

impl<S> CapturedAtTheRecord<S> {
    fn captured<T>(&self, record: impl FnOnce(&S) -> T) -> T {
        let step = || {
            let _ = self.step.send(());
            let _ = self.stepped.recv();
        };
        step();
        let recorded = record(&self.stream);
        if self.ends {
            step();
        }
        recorded
    }
}

// SAFETY: every method forwards to the stream inside.
unsafe impl<S: Stream> Stream for CapturedAtTheRecord<S> {
    type Backend = S::Backend;

    fn raw(&self) -> <S::Backend as Backend>::RawStream {
        self.stream.raw()
    }

    fn device(&self) -> Device {
        self.stream.device()
    }

    fn query(&self) -> Result<bool, ErrorOf<S>> {
        self.stream.query()
    }

    fn synchronize(&self) -> Result<(), ErrorOf<S>> {
        self.stream.synchronize()
    }

    fn record(&self, event: &EventOf<Self>) -> Result<(), ErrorOf<S>> {
        self.captured(|stream| stream.record(event))
    }

    fn record_event(&self) -> Result<EventOf<Self>, ErrorOf<S>> {
        self.captured(S::record_event)
    }

    fn wait_event(&self, event: &EventOf<Self>) -> Result<(), ErrorOf<S>> {
        self.stream.wait_event(event)
    }

    fn capture_status(&self) -> Result<CaptureStatus, ErrorOf<S>> {
        self.stream.capture_status()
    }
}

/// What a call of `done` returns.
type DoneResult<F, A> =
    Result<<A as Awaiter>::Future<<F as Fixture>::Backend>, ErrorOf<StreamOf<F>>>;

/// Calls `done` while another thread begins a capture between the call's query and its record. With `ends`, the capture
/// ends before the call does. Otherwise it is ended after it, if it lives.
fn done_in_a_capture<F: Fixture, A: Awaiter>(
    fx: &F,
    stream: &StreamOf<F>,
    ends: bool,
) -> Result<DoneResult<F, A>, Verdict> {
    let ((step, asked), (answer, stepped)) = (channel(), channel());
    let wrapper = CapturedAtTheRecord { stream: stream.clone(), step, stepped, ends };
    std::thread::scope(|scope| {
        let other = scope.spawn(move || -> Outcome {
            asked.recv().map_err(|_| Verdict::failed("the call made no record"))?;
            fx.begin_capture(stream, CaptureMode::Relaxed)?;
            let _ = answer.send(());
            // Returns when the call asks, or has ended.
            let _ = asked.recv();
            let lives = fx.is_capturing(stream);
            fx.end_capture(stream, false)?;
            let _ = answer.send(());
            check(lives?, "the capture is broken")
        });
        let outcome = A::done(&wrapper);
        drop(wrapper);
        other.join().map_err(|_| Verdict::failed("the thread panicked"))??;
        Ok(outcome)
    })
}

/// Checks W5: the call is refused if another thread begins a capture between the call's query and its record. The capture
/// lives.
pub fn capture_that_has_the_record_is_refused<F: Fixture, A: Awaiter>(fx: &F) -> Outcome {
    let (stream, gate) = gated(fx)?;
    let refused = done_in_a_capture::<F, A>(fx, &stream, false);
    fx.open(&gate);
    check_kind("done", refused?.map(drop), ErrorKind::Capturing)
}

/// Checks a capture that has the record and is over when the call looks for it: the future is an error, and does not take
/// the record for one of the work.
pub fn capture_within_the_call_is_an_error<F: Fixture>(fx: &F) -> Outcome {
    let (stream, gate) = gated(fx)?;
    let done = done_in_a_capture::<F, Ours>(fx, &stream, true);
    let outcome = done.and_then(|done| finish(&mut done?));
    fx.open(&gate);
    check_kind("the future", outcome?, ErrorKind::InvalidEvent)
}

/// Checks that a future of an idle stream is ready at its first poll, and submits nothing.
pub fn idle_stream_is_ready_at_once<F: Fixture>(fx: &F) -> Outcome {
    let stream = stream(fx)?;
    let data = fx.data(stream.device(), 0)?;
    fx.store(&stream, &data, 1)?;
    stream.synchronize()?;
    let (mut future, task) = (Ours::done(&stream)?, Task::new());
    check(matches!(task.poll(&mut future), Poll::Ready(Ok(()))), "it is not ready")?;
    check(task.wakes() == 0, "the task was woken")
}

/// Checks a per-thread stream: the record is made on the calling thread, and another thread awaits it. Another thread's
/// stream, which has the same handle, is not waited for.
pub fn per_thread_stream<F: Fixture>(fx: &F) -> Outcome {
    let device = fx.devices()?[0];
    let stream = F::Backend::per_thread_stream(device)?;
    let gate = fx.gate(&stream)?;
    let mut future = Ours::done(&stream)?;
    let task = Task::new();
    check(task.poll(&mut future).is_pending(), "the future is ready too early")?;
    std::thread::scope(|scope| {
        let other = scope.spawn(|| -> Outcome {
            let stream = F::Backend::per_thread_stream(device)?;
            let data = fx.data(device, 0)?;
            fx.store(&stream, &data, 1)?;
            finish(&mut Ours::done(&stream)?)??;
            check(fx.load(&data)? == 1, "the work of the thread is not done")
        });
        other.join().map_err(|_| Verdict::failed("the thread panicked"))?
    })?;
    check(task.poll(&mut future).is_pending(), "the future is ready too early")?;
    fx.open(&gate);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| finish(&mut future));
        other.join().map_err(|_| Verdict::failed("the thread panicked"))?
    })??;
    Ok(())
}

/// Checks that awaits and the watcher's questions leave the capture of another stream alive, in each mode.
pub fn capture_of_another_thread_lives<F: Fixture>(fx: &F) -> Outcome {
    for mode in CaptureMode::ALL {
        let captured = stream(fx)?;
        let (stream, gate) = gated(fx)?;
        fx.begin_capture(&captured, mode)?;
        let awaited = std::thread::scope(|scope| {
            let other = scope.spawn(|| -> Outcome {
                let mut future = Ours::done(&stream)?;
                check_pending(fx, &[&stream], &mut future)?;
                fx.open(&gate);
                finish(&mut future)??;
                Ok(())
            });
            other.join().map_err(|_| Verdict::failed("the thread panicked"))?
        });
        let lives = fx.is_capturing(&captured)?;
        fx.end_capture(&captured, false)?;
        awaited?;
        check(lives, "the capture is broken")?;
    }
    Ok(())
}

/// Checks a capture of the awaited stream that begins after the call: the future resolves with `Ok`, at the latest when
/// the capture has ended.
pub fn capture_that_begins_later_is_outlasted<F: Fixture>(fx: &F) -> Outcome {
    let (stream, gate) = gated(fx)?;
    let (mut future, task) = (Ours::done(&stream)?, Task::new());
    check(task.poll(&mut future).is_pending(), "the future is ready too early")?;
    fx.begin_capture(&stream, CaptureMode::Relaxed)?;
    // The watcher asks, and the event may answer `Capturing`.
    fx.settle(&[]);
    let held = task.poll(&mut future);
    fx.open(&gate);
    check(held.is_pending(), "the future is ready, and the work is not done")?;
    let before = task.poll(&mut future);
    check(stream.capture_status()? == CaptureStatus::Active, "the capture is broken")?;
    fx.end_capture(&stream, false)?;
    match before {
        Poll::Ready(outcome) => outcome?,
        Poll::Pending => task.finish(&mut future)??,
    }
    Ok(())
}
