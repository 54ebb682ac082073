#![doc = include_str!("../README.md")]
//!
//! This library is the command's inside, apart so that it can be tested with a backend that fails.

pub mod args;
pub mod bench;
pub mod check;
pub mod environment;
pub mod fixtures;
pub mod fresh;
pub mod info;
pub mod json;
pub mod list;
pub mod live;
pub mod matrix;
pub mod notes;
pub mod output;
pub mod report;
pub mod select;
pub mod suites;

use std::process::ExitCode;

use args::{Arguments, Command};
use environment::Variables;
use output::OutputStyle;

/// Why the command could not do what it was asked: exit status 2.
#[derive(Debug)]
pub struct CommandError(pub String);

impl<E: std::error::Error> From<E> for CommandError {
    fn from(error: E) -> Self {
        CommandError(error.to_string())
    }
}

/// Runs the command. Blocks until it is done. `set` is what [`environment::prepare`] has set for it.
///
/// If a case hung, the process ends in here: see
/// [`end_process`](gpu_stream_conformance::runner::end_process).
pub fn run(arguments: Arguments, set: Variables) -> ExitCode {
    let screen = OutputStyle::of_process(arguments.is_plain());
    let done = match arguments.command {
        None => check::command(&arguments.check, set, &screen),
        Some(Command::Check(check)) => check::command(&check, set, &screen),
        Some(Command::Info(info)) => info::command(&info, &screen),
        Some(Command::Bench(bench)) => bench::command(&bench, &screen),
    };
    match done {
        Ok(code) => code,
        Err(CommandError(text)) => {
            output::complain(&text);
            ExitCode::from(2)
        }
    }
}
