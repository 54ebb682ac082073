//! The kernels on the host.

mod cases;

use std::process::ExitCode;

use gpu_stream_conformance::fixtures::HostFixture;

fn main() -> ExitCode {
    cases::run(Ok(HostFixture::new()), None, &[])
}
