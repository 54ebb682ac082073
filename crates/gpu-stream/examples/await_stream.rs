//! Awaits a stream: the task sleeps until the work is done, and a buffer lives until then.
//!
//! `cargo run -p gpu-stream --example await_stream --features async`, with `cuda` or `hip` for a GPU. Any executor works; this
//! example brings the smallest one.

use std::future::Future;
use std::mem::{ManuallyDrop, forget};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use gpu_stream::prelude::*;
use gpu_stream::{DefaultBackend, DoneExt};

/// Runs work on the caller's stream, and returns the buffer that the work uses. A generic library is written like this.
async fn run<S: Stream>(stream: &S) -> Result<Vec<u8>, ErrorOf<S>> {
    stream.launch_host_func(Box::new(|| println!("the work runs")))?;
    let buffer = ManuallyDrop::new(vec![0; 1024]); // not freed if `done` fails
    // … launch a copy into `buffer` on `stream.raw()` …
    match stream.done()?.with(ManuallyDrop::into_inner(buffer)).await {
        (Ok(()), buffer) => {
            println!("the work is done");
            Ok(buffer)
        }
        (Err(error), buffer) => {
            forget(buffer); // the copy may still write to it
            Err(error)
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let stream = DefaultBackend::new_stream(DefaultBackend::device(0)?, StreamOptions::new())?;
    let buffer = block_on(run(&stream))?;
    println!("{} bytes", buffer.len());
    Ok(())
}

/// Wakes a task that is a thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Polls the future on this thread, which sleeps between the polls.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
