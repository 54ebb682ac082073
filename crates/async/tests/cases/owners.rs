//! Owners of foreign streams whose destructors run on the watcher's thread.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use gpu_stream_async::DoneExt;
use gpu_stream_core::StreamOwner;

use super::support::*;

/// What a destructor saw: the thread's name, and the kind of the error of its await.
type Seen = (Option<String>, Option<ErrorKind>);

/// The owner of a stream. Its destructor awaits another stream, which is held back. Then it panics, if it should.
struct Owner<S: Stream> {
    stream: S,
    held: S,
    panics: bool,
    seen: Sender<Seen>,
}

// SAFETY: the stream is live while the owner is, which keeps a clone of it.
unsafe impl<S: Stream + Send + Sync> StreamOwner<S::Backend> for Owner<S> {
    fn raw_stream(&self) -> <S::Backend as Backend>::RawStream {
        self.stream.raw()
    }
}

impl<S: Stream> Drop for Owner<S> {
    fn drop(&mut self) {
        let outcome = self.held.done().map(|mut future| finish(&mut future));
        let kind = match outcome {
            Ok(Ok(outcome)) => outcome.err().map(|error| error.kind()),
            Ok(Err(_)) | Err(_) => None,
        };
        let _ = self.seen.send((std::thread::current().name().map(String::from), kind));
        if self.panics {
            // Unwinds like a panic, without the panic's message on the terminal.
            std::panic::resume_unwind(Box::new("a destructor that is meant to panic"));
        }
    }
}

/// Returns a wrapper of `stream` with an owner, and the receiver of what the owner's destructor saw.
fn owned<F: Fixture>(
    stream: &StreamOf<F>,
    held: &StreamOf<F>,
    panics: bool,
) -> Result<(StreamOf<F>, Receiver<Seen>), Verdict> {
    let (seen, is_seen) = channel();
    let owner = Owner { stream: stream.clone(), held: held.clone(), panics, seen };
    Ok((F::Backend::stream_from_owner(Arc::new(owner), Some(stream.device()))?, is_seen))
}

/// Fails unless the destructor ran on the watcher's thread, and its await was refused.
fn check_refused(is_seen: &Receiver<Seen>) -> Outcome {
    let seen = is_seen.recv_timeout(limit());
    let (thread, kind) = seen.map_err(|_| Verdict::failed("the owner is not dropped"))?;
    check(
        thread.as_deref() == Some("gpu-stream-await"),
        &format!("the owner was dropped on the thread {thread:?}"),
    )?;
    check(kind == Some(ErrorKind::NotPermitted), &format!("the owner's await ended with {kind:?}"))
}

/// Checks the owner that the event of a dropped future keeps: its destructor cannot wait for the watcher, and its panic
/// ends no later await.
pub fn owner_of_a_dropped_future<F: Fixture>(fx: &F) -> Outcome {
    if !F::Backend::EVENTS_KEEP_OWNER {
        return Err(Verdict::inapplicable("events keep no owner"));
    }
    let (stream, gate) = gated(fx)?;
    let (held, second) = gated(fx)?;
    let (wrapper, is_seen) = owned::<F>(&stream, &held, true)?;
    let (mut future, task) = (wrapper.done()?, Task::new());
    check(task.poll(&mut future).is_pending(), "the future is ready too early")?;
    drop(wrapper);
    drop(future);
    // Makes the watcher remove the records of dropped futures.
    for _ in 0..100 {
        let _ = Task::new().poll(&mut stream.done()?);
    }
    check_refused(&is_seen)?;
    let mut later = held.done()?;
    check_pending(fx, &[&held], &mut later)?;
    fx.open(&second);
    finish(&mut later)??;
    fx.open(&gate);
    Ok(())
}

/// Checks an owner that is dropped inside a host function, whose destructor the backend defers to its next call: if that is
/// a question of the watcher, the destructor cannot wait for it. Needs a process whose other threads make no calls.
pub fn owner_that_is_deferred<F: Fixture>(fx: &F) -> Outcome {
    let (held, second) = gated(fx)?;
    let (inner, stream) = (stream(fx)?, stream(fx)?);
    let (wrapper, is_seen) = owned::<F>(&inner, &held, false)?;
    let ((release, released), (finish_work, work)) = (channel::<()>(), channel::<()>());
    stream.launch_host_func(Box::new(move || {
        let _ = released.recv();
        drop(wrapper);
    }))?;
    stream.launch_host_func(Box::new(move || {
        let _ = work.recv();
    }))?;
    let (mut future, task) = (stream.done()?, Task::new());
    check(task.poll(&mut future).is_pending(), "the future is ready too early")?;
    drop(release);
    let refused = check_refused(&is_seen);
    drop(finish_work);
    fx.open(&second);
    refused?;
    task.finish(&mut future)??;
    finish(&mut held.done()?)??;
    Ok(())
}
