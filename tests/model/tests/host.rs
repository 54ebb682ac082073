//! The corpus and random programs on the host backend.

use std::convert::Infallible;
use std::process::ExitCode;

use gpu_stream_conformance::fixtures::HostFixture;
use gpu_stream_model::harness;
use gpu_stream_model::run::Options;

fn main() -> ExitCode {
    let options = Options { exact: true, ..Options::default() };
    harness::main(Ok::<_, Infallible>(HostFixture::new()), 20_000, options)
}
