//! Wraps a stream that another library allocated, in both ways: on a promise, and with its owner.
//!
//! The other library is played by `theirs` below. With another backend that module and `launch`
//! change, and nothing else: a stream of torch comes as the integer `stream.cuda_stream`, one of
//! C++ as a pointer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use gpu_stream::prelude::*;
use gpu_stream::{Host, HostError, HostStream};

type B = Host;

/// The library that allocates streams, and knows nothing of this crate.
mod theirs {
    use gpu_stream::{Device, Host, HostError, RawStream, StreamOptions, StreamOwner, host};

    pub struct TheirStream {
        pub handle: RawStream<Host>,
    }

    impl TheirStream {
        pub fn new(device: Device) -> Result<Self, HostError> {
            Ok(TheirStream { handle: host::raw::create(device, StreamOptions::new())? })
        }
    }

    impl Drop for TheirStream {
        fn drop(&mut self) {
            host::raw::destroy(self.handle)
                .expect("the stream is alive, and only this destroys it");
            println!("their library destroys its stream");
        }
    }

    // SAFETY: the handle is a live stream from `new` to `drop`, it never changes, and nothing else
    // destroys it.
    unsafe impl StreamOwner<Host> for TheirStream {
        fn raw_stream(&self) -> RawStream<Host> {
            self.handle
        }
    }
}

/// The launching part: how work comes onto a stream is the vendor's business.
fn launch(stream: &HostStream, counter: &Arc<AtomicU32>) -> Result<(), HostError> {
    let counter = counter.clone();
    stream.launch(move || {
        counter.fetch_add(1, Ordering::Relaxed);
    })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let done = Arc::new(AtomicU32::new(0));
    let device = B::device(0)?;

    // On a promise. The device is taken from the handle; a wrong one would be an error that names
    // both.
    let foreign = theirs::TheirStream::new(device)?;
    // SAFETY: `foreign` lives longer than the wrapper, and nothing is recorded through it.
    let stream = unsafe { B::stream_from_raw(foreign.handle, None)? };
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
