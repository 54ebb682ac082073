#![doc = include_str!("../README.md")]
//!
//! This library implements the command. It is separate from the binary so that tests can run it with a
//! backend that fails.

pub mod args;
pub mod bench;
pub mod check;
pub mod environment;
pub mod environments;
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
pub mod reports;
pub mod select;
pub mod suites;

use std::process::ExitCode;

use args::{Arguments, Command};
use environment::Variables;
use output::OutputStyle;

/// The error text of a command that could not run. The exit status is then 2.
#[derive(Debug)]
pub struct CommandError(pub String);

impl<E: std::error::Error> From<E> for CommandError {
    fn from(error: E) -> Self {
        CommandError(error.to_string())
    }
}

/// Runs the command. Blocks until it is done.
///
/// `set` has the variables that [`environment::prepare`] has set. If a case hung, ends the process with
/// [`end_process`](gpu_stream_conformance::runner::end_process) instead of returning.
pub fn run(arguments: Arguments, set: Variables) -> ExitCode {
    let style = OutputStyle::of_process(arguments.is_plain());
    let done = match arguments.command {
        None => check::command(&arguments.check, set, &style),
        Some(Command::Check(check)) => check::command(&check, set, &style),
        Some(Command::Info(info)) => info::command(&info, &style),
        Some(Command::Bench(bench)) => bench::command(&bench, &style),
        Some(Command::Matrix(matrix)) => reports::command(&matrix, &style),
    };
    match done {
        Ok(code) => code,
        Err(CommandError(text)) => {
            output::complain(&text);
            ExitCode::from(2)
        }
    }
}
