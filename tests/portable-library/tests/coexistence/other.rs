//! A program that has cudarc for its kernels, in the version and the way of loading that its
//! manifest asks for, and hands a stream of it to a library.

use std::error::Error;

use cudarc::driver::CudaContext;
use gpu_stream::CudaStream;
use gpu_stream::prelude::*;

fn a_library<S: Stream>(stream: &S) -> Result<(), ErrorOf<S>> {
    stream.synchronize()
}

/// Both ways between the two, which type only if this crate and gpu-stream have one cudarc.
pub fn run() -> Result<(), Box<dyn Error>> {
    let context = CudaContext::new(0)?;
    let theirs = context.new_stream()?;
    let stream = CudaStream::from_cudarc(&theirs)?;
    a_library(&stream)?;
    // SAFETY: `stream` is dropped after what is made of it.
    let back = unsafe { stream.to_cudarc(&context)? };
    back.synchronize()?;
    Ok(())
}
