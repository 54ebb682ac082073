//! Awaited streams that fail, are reset, or are captured.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::Poll;
use std::thread;

use gpu_stream_core::ErrorOf;

use super::awaited::{DoneOf, Task, check_pending, finish};
use super::support::*;
use crate::CaptureMode;

/// Checks that work that fails before the call makes an error of each future, and of a later call.
pub fn fault_ends_its_futures<F: Fixture>(fx: &F) -> Outcome {
    let (stream, gate) = gated(fx)?;
    fx.fault(&stream)?;
    let (mut polled, mut fresh) = (fx.done(&stream)?, fx.done(&stream)?);
    check_pending(fx, &[&stream], &mut polled)?;
    fx.open(&gate);
    let fault = ErrorKind::StreamFault;
    check_err(finish(&mut polled), fault, "a future that was polled")?;
    check_err(finish(&mut fresh), fault, "a future that was not")?;
    check_err(fx.done(&stream).map(drop), fault, "done after the fault").map(drop)
}

/// Checks that a reset makes an error of a future that is polled after it, and that a future that was
/// polled before is ready, too.
pub fn reset_ends_its_futures<F: Fixture>(fx: &F) -> Outcome {
    let (stream, gate) = gated(fx)?;
    let (mut polled, mut fresh) = (fx.done(&stream)?, fx.done(&stream)?);
    check_pending(fx, &[&stream], &mut polled)?;
    // A driver's reset waits for the work.
    fx.open(&gate);
    fx.reset(stream.device())?;
    let destroyed = ErrorKind::ContextDestroyed;
    check_err(finish(&mut fresh), destroyed, "a future that was not polled")?;
    // It may have seen the end of the work.
    if let Err(error) = finish(&mut polled) {
        check_err(Err::<(), _>(error), destroyed, "a future that was polled")?;
    }
    check_err(fx.done(&stream).map(drop), destroyed, "done")?;
    std::mem::forget(gate); // its memory was destroyed
    finish(&mut fx.done(&stream_on::<F>(stream.device())?)?)?;
    Ok(())
}

/// Checks that a captured stream cannot be awaited, and that the call leaves its capture alive and
/// adds no node, in each mode.
pub fn captured_stream_is_not_awaited<F: Fixture>(fx: &F) -> Outcome {
    for mode in CaptureMode::ALL {
        let stream = stream(fx)?;
        fx.begin_capture(&stream, mode)?;
        let refused = fx.done(&stream);
        let lives = fx.is_capturing(&stream)?;
        let nodes = fx.end_capture(&stream, false);
        check_err(refused.map(drop), ErrorKind::Capturing, "done")?;
        check(lives, "the capture is broken")?;
        check_eq(nodes?.unwrap_or(0), 0, "the number of nodes of the graph")?;
    }
    Ok(())
}

/// A stream that another thread begins to capture when a call makes its record, and may cease to
/// capture right after.
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

    fn record(&self, event: &<S::Backend as Backend>::Event) -> Result<(), ErrorOf<S>> {
        self.captured(|stream| stream.record(event))
    }

    fn record_event(&self) -> Result<<S::Backend as Backend>::Event, ErrorOf<S>> {
        self.captured(S::record_event)
    }

    fn wait_event(&self, event: &<S::Backend as Backend>::Event) -> Result<(), ErrorOf<S>> {
        self.stream.wait_event(event)
    }

    fn capture_status(&self) -> Result<CaptureStatus, ErrorOf<S>> {
        self.stream.capture_status()
    }
}

/// Calls `done` while another thread begins a capture between the call's query and its record. With
/// `ends`, the capture ends before the call does. Otherwise it is ended after it, if it lives.
fn done_in_a_capture<F: Fixture>(
    fx: &F,
    stream: &StreamOf<F>,
    ends: bool,
) -> Result<Result<DoneOf<F>, ErrorOf<StreamOf<F>>>, Verdict> {
    let ((step, asked), (answer, stepped)) = (channel(), channel());
    let wrapper = CapturedAtTheRecord { stream: stream.clone(), step, stepped, ends };
    thread::scope(|scope| {
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
        let outcome = fx.done(&wrapper);
        drop(wrapper);
        other.join().unwrap_or_else(|_| Err(Verdict::failed("the thread panicked")))?;
        Ok(outcome)
    })
}

/// Checks that the call is refused if another thread begins a capture between the call's query and
/// its record, and that the capture lives.
pub fn capture_during_the_call_is_noticed<F: Fixture>(fx: &F) -> Outcome {
    let (stream, gate) = gated(fx)?;
    let refused = done_in_a_capture(fx, &stream, false);
    fx.open(&gate);
    check_err(refused?.map(drop), ErrorKind::Capturing, "done").map(drop)
}

/// Checks that a capture that has the record, and is over when the call ends, makes an error of the
/// future.
pub fn capture_within_the_call_is_an_error<F: Fixture>(fx: &F) -> Outcome {
    let (stream, gate) = gated(fx)?;
    let outcome = done_in_a_capture(fx, &stream, true)?.map(|mut future| finish(&mut future));
    fx.open(&gate);
    check_err(outcome?, ErrorKind::InvalidEvent, "the future").map(drop)
}

/// Checks that awaits leave the capture of another stream alive, in each mode.
pub fn capture_of_another_stream_survives<F: Fixture>(fx: &F) -> Outcome {
    for mode in CaptureMode::ALL {
        let captured = stream(fx)?;
        let (stream, gate) = gated(fx)?;
        fx.begin_capture(&captured, mode)?;
        let awaited = thread::scope(|scope| {
            let other = scope.spawn(|| -> Outcome {
                let mut future = fx.done(&stream)?;
                check_pending(fx, &[&stream], &mut future)?;
                fx.open(&gate);
                Ok(finish(&mut future)?)
            });
            other.join().unwrap_or_else(|_| Err(Verdict::failed("the thread panicked")))
        });
        let lives = fx.is_capturing(&captured)?;
        let ended = fx.end_capture(&captured, false);
        awaited?;
        check(lives, "the capture is broken")?;
        ended?;
    }
    Ok(())
}

/// Checks that a capture of the stream that begins after the call survives, and that the future is
/// `Ok` at the latest when the capture has ended.
pub fn capture_that_begins_later_is_outlasted<F: Fixture>(fx: &F) -> Outcome {
    let (stream, gate) = gated(fx)?;
    let (mut future, task) = (fx.done(&stream)?, Task::new());
    task.poll_pending(&mut future)?;
    fx.begin_capture(&stream, CaptureMode::Relaxed)?;
    // The event may be asked now, and may answer `Capturing`.
    fx.settle(&[]);
    let held = task.poll(&mut future);
    fx.open(&gate);
    check(held.is_pending(), "the future is ready, and the work is not done")?;
    let before = task.poll(&mut future);
    let lives = fx.is_capturing(&stream)?;
    fx.end_capture(&stream, false)?;
    check(lives, "the capture is broken")?;
    match before {
        Poll::Ready(outcome) => outcome?,
        Poll::Pending => task.finish(&mut future)?,
    }
    Ok(())
}
