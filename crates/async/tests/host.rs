//! The cases on the host backend.

mod cases;

use std::process::ExitCode;

use gpu_stream_conformance::fixtures::HostFixture;

fn main() -> ExitCode {
    cases::main(Ok(HostFixture::new()), cases::all(), &[])
}
