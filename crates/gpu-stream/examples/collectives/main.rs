//! An all-reduce by NCCL or RCCL, in order with the streams of an application.
//!
//! ```sh
//! cargo run --release -p gpu-stream --example collectives --features cuda               # all GPUs, one process
//! cargo run --release -p gpu-stream --example collectives --features cuda -- --processes 2
//! ```
//!
//! On several hosts, start each rank by hand: `--rank 0 --ranks 2` prints an id, and `--rank 1 --ranks 2 --id ID` joins.
//! With `hip` in place of `cuda` it loads RCCL. `docs/collectives.md` explains the order of the calls.

#[cfg(any(feature = "cuda", feature = "hip"))]
#[path = "../device/mod.rs"]
mod device;
#[cfg(any(feature = "cuda", feature = "hip"))]
mod nccl;
#[cfg(any(feature = "cuda", feature = "hip"))]
mod rank;
#[cfg(any(feature = "cuda", feature = "hip"))]
mod start;

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(feature = "cuda")]
    let outcome = start::run::<gpu_stream::Cuda>();
    #[cfg(all(feature = "hip", not(feature = "cuda")))]
    let outcome = start::run::<gpu_stream::Hip>();
    #[cfg(not(any(feature = "cuda", feature = "hip")))]
    let outcome = Err::<(), _>("the host has no collectives: build with --features cuda or hip");
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
