//! The command `gpu-stream`.

use std::process::ExitCode;

use clap::Parser;
use gpu_stream_cli::args::Arguments;

fn main() -> ExitCode {
    gpu_stream_cli::run(Arguments::parse())
}
