//! A program that uses cudarc for its kernels, and passes a stream of cudarc to a library. Its
//! manifest pins cudarc's version and way of loading.

use std::error::Error;

use cudarc::driver::CudaContext;
use gpu_stream::CudaStream;
use gpu_stream::prelude::*;

fn a_library<S: Stream>(stream: &S) -> Result<(), ErrorOf<S>> {
    stream.synchronize()
}

/// Converts streams in both directions. It compiles only if this crate and gpu-stream use one
/// cudarc.
pub fn run() -> Result<(), Box<dyn Error>> {
    let context = CudaContext::new(0)?;
    let theirs = context.new_stream()?;
    let stream = CudaStream::from_cudarc(&theirs)?;
    a_library(&stream)?;
    // SAFETY: `stream` outlives `back`.
    let back = unsafe { stream.to_cudarc(&context)? };
    back.synchronize()?;
    Ok(())
}
