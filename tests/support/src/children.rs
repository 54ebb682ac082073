//! Cases in processes of their own: [`Children`].

use std::io;
use std::process::{Command, Output};

use libtest_mimic::{Completion, Failed};

use crate::cases::{skip, skip_reason};

/// The exit code of a child process that skips its case.
const SKIPPED: i32 = 77;

/// The child processes of a test program, each of which runs one case.
#[derive(Clone, Copy, Debug)]
pub struct Children {
    /// The environment variable that names the case of a child process.
    pub variable: &'static str,
    /// Returns a command that runs this program again.
    pub program: fn() -> io::Result<Command>,
}

impl Children {
    /// Returns the case of this process. Returns `None` if it is not a child process.
    ///
    /// # Panics
    /// If the process is to run a case that does not exist.
    pub fn case<C: Copy>(&self, cases: &[(&'static str, C)]) -> Option<C> {
        let name = std::env::var(self.variable).ok()?;
        Some(cases.iter().find(|(case, _)| *case == name).expect("a case").1)
    }

    /// Returns a command that runs this program again as the child process `name`.
    ///
    /// # Panics
    /// If the path of this program is unknown.
    pub fn command(&self, name: &str) -> Command {
        let mut command = (self.program)().expect("this program");
        command.env(self.variable, name);
        command
    }
}

/// Runs the case of a child process. Exits if the case panics or skips.
pub fn run_to_exit(case: impl FnOnce() + std::panic::UnwindSafe) {
    let Err(panic) = std::panic::catch_unwind(case) else { return };
    let Some(reason) = skip_reason(panic) else { std::process::exit(1) };
    eprint!("{reason}");
    std::process::exit(SKIPPED);
}

/// Converts the output of a child process into the result of its case.
///
/// # Errors
/// The exit status and the error output, if the child failed.
pub fn completion(output: &Output) -> Result<Completion, Failed> {
    let errors = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) => Ok(Completion::Completed),
        Some(SKIPPED) => Ok(Completion::ignored_with(errors.into_owned())),
        _ => Err(format!("{}: {errors}", output.status).into()),
    }
}

/// Checks that a child process succeeded. Skips the case of this process if the child skipped its own.
///
/// # Panics
/// If the child failed.
#[track_caller]
pub fn expect_success(name: &str, output: &Output) {
    let errors = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(SKIPPED) {
        skip(&errors);
    }
    assert!(output.status.success(), "{name}: {}\n{errors}", output.status);
}
