//! Helpers of the cases: a task that counts its wake-ups, and streams.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

pub use gpu_stream_conformance::{Fixture, Outcome, Verdict};
pub use gpu_stream_core::{Backend, Error, ErrorKind, Stream, StreamOptions};

/// The stream type of a fixture's backend.
pub type StreamOf<F> = <<F as Fixture>::Backend as Backend>::Stream;

/// The time after which a test gives up. Only a broken future makes a test wait so long.
const LIMIT: Duration = Duration::from_secs(60);

/// Returns the time after which a test gives up.
pub fn limit() -> Duration {
    LIMIT
}

/// A task: its waker counts.
#[derive(Default)]
pub struct Task {
    wakes: Mutex<usize>,
    woken: Condvar,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        *self.wakes.lock().unwrap() += 1;
        self.woken.notify_all();
    }
}

impl Task {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Returns the number of wake-ups.
    pub fn wakes(&self) -> usize {
        *self.wakes.lock().unwrap()
    }

    /// Polls the future once.
    pub fn poll<F: Future + Unpin>(self: &Arc<Self>, future: &mut F) -> Poll<F::Output> {
        let waker = Waker::from(Arc::clone(self));
        Pin::new(future).poll(&mut Context::from_waker(&waker))
    }

    /// Waits until there were more than `before` wake-ups.
    pub fn await_wake(&self, before: usize) -> Outcome {
        let (begin, mut wakes) = (Instant::now(), self.wakes.lock().unwrap());
        while *wakes <= before {
            let Some(left) = limit().checked_sub(begin.elapsed()) else {
                return Err(Verdict::failed("the task was not woken"));
            };
            wakes = self.woken.wait_timeout(wakes, left).unwrap().0;
        }
        Ok(())
    }

    /// Polls until the future is ready, each time after a wake-up.
    pub fn finish<F: Future + Unpin>(
        self: &Arc<Self>,
        future: &mut F,
    ) -> Result<F::Output, Verdict> {
        loop {
            let before = self.wakes();
            if let Poll::Ready(output) = self.poll(future) {
                return Ok(output);
            }
            self.await_wake(before)?;
        }
    }
}

/// Polls until the future is ready.
pub fn finish<F: Future + Unpin>(future: &mut F) -> Result<F::Output, Verdict> {
    Task::new().finish(future)
}

/// Fails with the text if the condition is false.
#[track_caller]
pub fn check(condition: bool, text: &str) -> Outcome {
    if condition { Ok(()) } else { Err(Verdict::failed(text)) }
}

/// Fails unless the result is an error of this kind.
#[track_caller]
pub fn check_kind<T, E: Error>(what: &str, result: Result<T, E>, kind: ErrorKind) -> Outcome {
    match result {
        Err(error) if error.kind() == kind => Ok(()),
        Err(error) => Err(Verdict::failed(format!("{what}: {}: {error}", error.kind()))),
        Ok(_) => Err(Verdict::failed(format!("{what} succeeded, and should be {kind}"))),
    }
}

/// Waits until the condition is true.
#[track_caller]
pub fn check_becomes(what: &str, condition: impl Fn() -> bool) -> Outcome {
    let begin = Instant::now();
    while !condition() {
        check(begin.elapsed() < limit(), what)?;
        std::thread::yield_now();
    }
    Ok(())
}

/// Creates a stream on the first device.
pub fn stream<F: Fixture>(fx: &F) -> Result<StreamOf<F>, Verdict> {
    Ok(F::Backend::new_stream(fx.devices()?[0], StreamOptions::new())?)
}

/// Creates a stream on the first device, with a gate that is shut.
pub fn gated<F: Fixture>(fx: &F) -> Result<(StreamOf<F>, F::Gate), Verdict> {
    let stream = stream(fx)?;
    let gate = fx.gate(&stream)?;
    Ok((stream, gate))
}

/// Checks that the future stays pending while the stream may run what nothing holds back.
#[track_caller]
pub fn check_pending<F: Fixture, T: Future + Unpin>(
    fx: &F,
    streams: &[&StreamOf<F>],
    future: &mut T,
) -> Outcome {
    let task = Task::new();
    for _ in 0..3 {
        check(task.poll(future).is_pending(), "the future is ready, and the work is not done")?;
        fx.settle(streams);
    }
    check(task.wakes() == 0, "the task was woken, and the work is not done")
}
