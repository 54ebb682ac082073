//! The fault sweep: every call of the backend, with every driver call in it failing in turn, with every
//! code. Runs over the simulated driver, also on a machine with a real one.
//!
//! ```sh
//! cargo test -p gpu-stream-cuda --test fault_sweep                           # a part of the codes
//! GPU_STREAM_FAULT_SWEEP=full cargo test -p gpu-stream-cuda --test fault_sweep --release
//! GPU_STREAM_FAULT_TRACE=1 cargo test -p gpu-stream-cuda --test fault_sweep  # prints each combination
//! ```

mod allowed;
mod vendor;

use std::process::ExitCode;

use gpu_stream_cuda::Cuda;
use gpu_stream_faults::sweep::{cases, run_as_child};
use vendor::OnCuda;

fn main() -> ExitCode {
    // SAFETY: no other thread is running yet.
    unsafe { cuda_sim::install(1) }.expect("the simulated driver");
    if run_as_child::<OnCuda>() {
        return ExitCode::SUCCESS;
    }
    gpu_stream_test_support::run::<Cuda, _>(cases::<OnCuda>())
}
