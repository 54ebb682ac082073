//! The cases on `Any`, over the host backend.

#[path = "../../gpu-stream/tests/any_fixture/mod.rs"]
mod any_fixture;
mod cases;

use std::process::ExitCode;

use any_fixture::AnyFixture;
use gpu_stream_conformance::fixtures::HostFixture;

fn main() -> ExitCode {
    cases::main(Ok(AnyFixture(HostFixture::new())), cases::all(), &[])
}
