//! Wraps a stream that another library allocated, in both ways: by its handle, and with its owner.
//!
//! The module `theirs` stands for the other library, on the default backend of this build. In a
//! real program only that module and `launch` change. A stream of torch is the integer
//! `stream.cuda_stream`, one of C++ is a pointer, and `gpu_stream::cuda::interop` converts one of
//! cudarc.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use gpu_stream::DefaultBackend as B;
use gpu_stream::prelude::*;

/// The library that allocates streams, and does not know their wrappers.
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

    // SAFETY: the handle is a live stream from `new` to `drop`. It never changes, and nothing else
    // destroys it.
    unsafe impl StreamOwner<B> for TheirStream {
        fn raw_stream(&self) -> Handle {
            self.handle()
        }
    }
}

/// Submits work to `stream`. Only host functions can be launched without the vendor's API.
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
            eprintln!("error: {error}"); // for example no driver: the text names what was tried
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), <B as Backend>::Error> {
    let done = Arc::new(AtomicU32::new(0));
    let device = B::device(0)?;

    // By the handle, which is `unsafe`. The device is that of the handle; a wrong one would be an
    // error that names both.
    let foreign = theirs::TheirStream::new(device)?;
    // SAFETY: `foreign` outlives the wrapper, and nothing is recorded through it.
    let stream = unsafe { B::stream_from_raw(foreign.handle(), None)? };
    launch(&stream, &done)?;
    stream.synchronize()?;
    println!("wrapped {:?}, a stream of {}", stream.raw(), stream.device());
    drop(stream);
    println!("the wrapper is dropped, and their stream is unchanged");
    drop(foreign);

    // With its owner, which is safe: the wrapper and every clone of it hold the owner.
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
