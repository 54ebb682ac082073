//! A process waits on the GPU for an event of another process.

mod support;

use std::process::ExitCode;

fn main() -> ExitCode {
    gpu_stream_test_support::shared::ipc::main::<support::OnCuda>()
}
