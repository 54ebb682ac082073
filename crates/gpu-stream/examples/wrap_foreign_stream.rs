//! Wraps a stream that another library allocated, in both ways: on a promise, and with its owner.
//!
//! The other library is played by `theirs` below, on the default backend of this build. In a real
//! program that module and `launch` change, and nothing else: a stream of torch comes as the
//! integer `stream.cuda_stream`, one of C++ as a pointer, one of cudarc as
//! `gpu_stream::cuda::interop` says.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use gpu_stream::DefaultBackend as B;
use gpu_stream::prelude::*;

/// The library that allocates streams, and does not know who wraps them.
mod theirs {
    use gpu_stream::prelude::*;
    use gpu_stream::{DefaultBackend as B, StreamOwner};

    pub type Handle = <B as Backend>::RawStream;

    pub struct TheirStream(<B as Backend>::Stream);

    impl TheirStream {
        pub fn new(device: Device) -> Result<Self, <B as Backend>::Error> {
            Ok(TheirStream(B::new_stream(device, StreamOptions::new())?))
        }

        pub fn handle(&self) -> Handle {
            self.0.raw()
        }
    }

    impl Drop for TheirStream {
        fn drop(&mut self) {
            println!("their library destroys its stream");
        }
    }

    // SAFETY: the handle is a live stream from `new` to `drop`, it never changes, and nothing else
    // destroys it.
    unsafe impl StreamOwner<B> for TheirStream {
        fn raw_stream(&self) -> Handle {
            self.handle()
        }
    }
}

/// The launching part: how work comes onto a stream is the vendor's business, but for functions on
/// the host.
fn launch<S: Stream>(stream: &S, counter: &Arc<AtomicU32>) -> Result<(), ErrorOf<S>> {
    let counter = counter.clone();
    stream.launch_host_func(Box::new(move || {
        counter.fetch_add(1, Ordering::Relaxed);
    }))
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}"); // no driver, say: the text names what was tried
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), <B as Backend>::Error> {
    let done = Arc::new(AtomicU32::new(0));
    let device = B::device(0)?;

    // On a promise. The device is taken from the handle; a wrong one would be an error that names
    // both.
    let foreign = theirs::TheirStream::new(device)?;
    // SAFETY: `foreign` lives longer than the wrapper, and nothing is recorded through it.
    let stream = unsafe { B::stream_from_raw(foreign.handle(), None)? };
    launch(&stream, &done)?;
    stream.synchronize()?;
    println!("wrapped {:?}, a stream of {}", stream.raw(), stream.device());
    drop(stream);
    println!("the wrapper is gone, and their stream is as it was");
    drop(foreign);

    // With its owner: safe, since the wrapper holds the owner, and so does every clone of it.
    let owner = Arc::new(theirs::TheirStream::new(device)?);
    let stream = B::stream_from_owner(owner, Some(device))?;
    let clone = stream.clone();
    drop(stream);
    launch(&clone, &done)?;
    clone.synchronize()?;
    println!("the owner lives as long as the last wrapper");
    drop(clone);

    assert_eq!(done.load(Ordering::Relaxed), 2);
    Ok(())
}
