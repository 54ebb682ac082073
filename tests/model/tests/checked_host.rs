//! Random programs with accesses on the host backend with a check.

use std::convert::Infallible;
use std::process::ExitCode;

use gpu_stream_conformance::fixtures::{CheckedFixture, HostFixture};
use gpu_stream_model::checked::harness;

fn main() -> ExitCode {
    harness::main(Ok::<_, Infallible>(CheckedFixture(HostFixture::new())), false, 5_000)
}
