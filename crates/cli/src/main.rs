//! The command `gpu-stream`.

use std::process::ExitCode;

use clap::Parser;
use gpu_stream_cli::args::Arguments;
use gpu_stream_cli::environment;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // SAFETY: no other thread is running: `main` has just started, and parsing the command line starts
    // none.
    let set = unsafe { environment::prepare(&arguments) };
    gpu_stream_cli::run(arguments, set)
}
