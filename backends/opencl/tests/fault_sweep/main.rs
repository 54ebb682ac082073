//! The fault sweep: every call of the backend, with every call of OpenCL that it makes failing in turn, with every
//! code. PoCL or another OpenCL, behind the layer of `tests/faults/opencl`.
//!
//! ```sh
//! cargo test -p gpu-stream-opencl --test fault_sweep                          # a part of the codes
//! GPU_STREAM_FAULT_SWEEP=full cargo test -p gpu-stream-opencl --test fault_sweep --release
//! GPU_STREAM_FAULT_TRACE=1 cargo test -p gpu-stream-opencl --test fault_sweep # prints each combination
//! ```

mod allowed;
mod cases;
mod front;
mod vendor;

use std::process::ExitCode;

use cases::{CASES, CHILD_CASES, CHILDREN};
use gpu_stream_core::Backend as _;
use gpu_stream_faults::sweep;
use gpu_stream_opencl::OpenCl;
use gpu_stream_test_support::{is_required, run, run_to_exit, skip};
use vendor::OnOpenCl;

fn main() -> ExitCode {
    if sweep::run_as_child::<OnOpenCl>() {
        return ExitCode::SUCCESS;
    }
    if let Some(case) = CHILDREN.case(&CHILD_CASES) {
        front::use_own_layer();
        run_to_exit(case);
        return ExitCode::SUCCESS;
    }
    let missing = front::use_layer().err();
    let all = CASES.into_iter().chain(sweep::cases::<OnOpenCl>());
    run::<OpenCl, _>(all.map(|(name, case)| {
        let missing = missing.clone();
        let case = move || match missing {
            None => {
                // A case that failed may have left a fault.
                front::controls().clear();
                case();
            }
            Some(reason) if is_required(OpenCl::KIND) => panic!("{reason}"),
            Some(reason) => skip(&reason),
        };
        (name, case)
    }))
}
