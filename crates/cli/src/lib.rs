#![doc = include_str!("../README.md")]
//!
//! This library is the command's inside, apart so that it can be tested with a backend that fails.

pub mod args;
pub mod bench;
pub mod check;
pub mod environment;
pub mod fresh;
pub mod grounds;
pub mod info;
pub mod json;
pub mod list;
pub mod live;
pub mod matrix;
pub mod notes;
pub mod report;
pub mod screen;
pub mod select;
pub mod suites;

use std::process::ExitCode;

use args::{Arguments, Command};
use environment::Variables;
use screen::Screen;

/// Why the command could not do what it was asked: exit status 2.
#[derive(Debug)]
pub struct Refusal(pub String);

impl<E: std::error::Error> From<E> for Refusal {
    fn from(error: E) -> Self {
        Refusal(error.to_string())
    }
}

/// Runs the command. Blocks until it is done. `set` is what [`environment::prepare`] has set for it.
///
/// If a case hung, the process ends in here: see
/// [`end_process`](gpu_stream_conformance::runner::end_process).
pub fn run(arguments: Arguments, set: Variables) -> ExitCode {
    let screen = Screen::of_process(arguments.is_plain());
    let done = match arguments.command {
        None => check::command(&arguments.check, set, &screen),
        Some(Command::Check(check)) => check::command(&check, set, &screen),
        Some(Command::Info(info)) => info::command(&info, &screen),
        Some(Command::Bench(bench)) => bench::command(&bench, &screen),
    };
    match done {
        Ok(code) => code,
        Err(Refusal(text)) => {
            screen::complain(&text);
            ExitCode::from(2)
        }
    }
}
