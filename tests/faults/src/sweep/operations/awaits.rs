//! Futures of a stream's work: [`add_awaits`]. After each fault, a future that was made is ready once the work has ended.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use gpu_stream_async::DoneExt;
use gpu_stream_core::Stream;

use super::{Table, expect_ok};
use crate::sweep::{CallProbe, FaultFixture, TestStreams};

/// A task: its waker unparks the thread that it belongs to.
struct Task {
    thread: Thread,
    is_woken: AtomicBool,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.is_woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

impl Task {
    /// Creates a task of this thread.
    fn new() -> Arc<Self> {
        Arc::new(Task { thread: thread::current(), is_woken: AtomicBool::new(false) })
    }

    /// Polls a future, which must be pending. Returns the task that it wakes.
    fn of<T: Future + Unpin>(probe: &CallProbe, future: &mut T) -> Arc<Self> {
        let task = Self::new();
        probe.check(task.poll(future).is_pending(), "a future was ready early");
        task
    }

    fn poll<T: Future + Unpin>(self: &Arc<Self>, future: &mut T) -> Poll<T::Output> {
        let waker = Waker::from(Arc::clone(self));
        Pin::new(future).poll(&mut Context::from_waker(&waker))
    }

    /// Polls the future until it is ready, and blocks in between.
    fn resolve<T: Future + Unpin>(self: &Arc<Self>, future: &mut T) -> T::Output {
        match self.poll(future) {
            Poll::Ready(output) => output,
            Poll::Pending => self.finish(future),
        }
    }

    /// Blocks until the task is woken, and polls its future, which must be ready. The watcher has no reference to the
    /// record then.
    fn finish<T: Future + Unpin>(self: &Arc<Self>, future: &mut T) -> T::Output {
        while !self.is_woken.load(Ordering::Acquire) {
            thread::park();
        }
        ready(self.poll(future))
    }
}

#[track_caller]
fn ready<T>(poll: Poll<T>) -> T {
    match poll {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the future is pending, and its work has ended"),
    }
}

/// Polls a future, which must be ready.
#[track_caller]
fn poll_ready<T: Future + Unpin>(future: &mut T) -> T::Output {
    ready(Pin::new(future).poll(&mut Context::from_waker(Waker::noop())))
}

/// Adds the calls of a future, on each kind of stream.
pub(super) fn add_awaits<'w, V: FaultFixture>(
    table: &mut Table<'w>,
    test_streams: &'w TestStreams<V>,
) {
    for (kind, stream) in &test_streams.streams {
        table.add(format!("await: done, idle, {kind}"), move |probe| {
            expect_ok("synchronize", stream.synchronize());
            if let Some(mut future) = probe.act(|| stream.done()) {
                let outcome = match V::IS_IDLE_AT_ONCE {
                    true => poll_ready(&mut future),
                    false => Task::new().resolve(&mut future),
                };
                expect_ok("the future", outcome);
            }
        });
    }
    let (_, stream) = &test_streams.streams[0];
    let bits = stream.raw().to_bits();
    table.add("await: done, busy", move |probe| {
        let gate = V::gate(bits);
        if let Some(mut future) = probe.act(|| stream.done()) {
            let task = Task::of(probe, &mut future);
            drop(gate);
            expect_ok("the future", task.finish(&mut future));
        }
    });
    // The watcher asks the event, and gets the fault.
    table.add("await: the future, polled before", move |probe| {
        let gate = V::gate(bits);
        let mut future = expect_ok("done", stream.done());
        let task = Task::of(probe, &mut future);
        probe.act(|| {
            drop(gate);
            task.finish(&mut future)
        });
    });
    table.add("await: the future, not polled before", move |probe| {
        let gate = V::gate(bits);
        let mut future = expect_ok("done", stream.done());
        drop(gate);
        expect_ok("synchronize", stream.synchronize());
        // The driver can answer that the event belongs to a capture. The future asks again then.
        let task = Task::new();
        probe.act(|| task.resolve(&mut future));
    });
}
