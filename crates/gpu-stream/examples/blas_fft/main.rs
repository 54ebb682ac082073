//! cuBLAS and cuFFT, or hipBLAS and hipFFT, on a stream of gpu-stream, in order with the stream of an application.
//!
//! ```sh
//! cargo run --release -p gpu-stream --example blas_fft --features cuda
//! ```
//!
//! The libraries are loaded at run time. `GPU_STREAM_BLAS_LIBRARY` and `GPU_STREAM_FFT_LIBRARY` name their files.
//! `docs/collectives.md` describes the rules of handles and workspaces.

#[cfg(any(feature = "cuda", feature = "hip"))]
#[path = "../device/mod.rs"]
mod device;
#[cfg(any(feature = "cuda", feature = "hip"))]
mod handles;
#[cfg(any(feature = "cuda", feature = "hip"))]
mod rounds;

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(feature = "cuda")]
    let outcome = rounds::run::<gpu_stream::Cuda>();
    #[cfg(all(feature = "hip", not(feature = "cuda")))]
    let outcome = rounds::run::<gpu_stream::Hip>();
    #[cfg(not(any(feature = "cuda", feature = "hip")))]
    let outcome = Err::<(), _>("the host has no BLAS handles: build with --features cuda or hip");
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
