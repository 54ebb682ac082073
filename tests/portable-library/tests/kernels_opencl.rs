//! The kernels on OpenCL: OpenCL C that the implementation compiles, on a GPU of any vendor or, by PoCL, on the CPU.

mod cases;

use std::process::ExitCode;

use gpu_stream_conformance::fixtures::OpenClFixture;

fn main() -> ExitCode {
    cases::run(OpenClFixture::new().map_err(|error| error.to_string()), None, &[])
}
