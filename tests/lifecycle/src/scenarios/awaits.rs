//! Awaited streams whose work is pending when the process exits.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use gpu_stream_async::DoneExt;
use gpu_stream_conformance::outcome::check;
use gpu_stream_conformance::{Fixture, Outcome, Verdict};

use super::{print_line, stream};

/// A value that the work uses.
struct Value;

impl Drop for Value {
    fn drop(&mut self) {
        print_line("a value was dropped early");
    }
}

/// A waker that unparks a thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn poll<T: Future + Unpin>(future: &mut T) -> Poll<T::Output> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    Pin::new(future).poll(&mut Context::from_waker(&waker))
}

pub(super) fn exit_with_futures<F: Fixture>(fx: &'static F) -> Outcome {
    let (held, free) = (stream(fx)?, stream(fx)?);
    let gate = fx.gate(&held)?;
    // The value of a future that is dropped, and that of one that lives until the end.
    let mut left = held.done()?.with(Value);
    check(poll(&mut left).is_pending(), "a future is ready too early")?;
    drop(left);
    let mut kept = held.done()?.with(Value);
    check(poll(&mut kept).is_pending(), "a future is ready too early")?;
    let mut awaited = held.done()?;
    let (entered, has_entered) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let outcome = loop {
            match poll(&mut awaited) {
                Poll::Ready(outcome) => break outcome,
                Poll::Pending => {
                    let _ = entered.send(());
                    thread::park();
                }
            }
        };
        // A backend may refuse questions while the process ends.
        if outcome.is_ok() {
            print_line("a future was ready early");
        }
    });
    has_entered.recv().map_err(|_| Verdict::failed("the thread has ended"))?;
    // The watcher still answers.
    let second = fx.gate(&free)?;
    let mut future = free.done()?;
    check(poll(&mut future).is_pending(), "a future is ready too early")?;
    fx.open(&second);
    loop {
        if let Poll::Ready(outcome) = poll(&mut future) {
            outcome?;
            break;
        }
        thread::park();
    }
    std::mem::forget((gate, held, kept));
    Ok(())
}
