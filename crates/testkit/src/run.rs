//! What the macros call: [`test`], and [`outcome`] for the harness without libtest.

use std::io::Write;
use std::panic::resume_unwind;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gpu_stream_conformance::Verdict;

use crate::messages::{Message, Over, Ready};
pub use crate::target::Target;
use crate::{Kit, TestBackend, TestResult, child, limit, process, report, required};
/// The backends of the checked variants, each by one word for the macros.
#[cfg(feature = "checked")]
pub use checked::*;

#[cfg(feature = "checked")]
mod checked {
    use gpu_stream::Checked;

    /// The backend of `checked_host`.
    pub type CheckedHost = Checked<gpu_stream::Host>;
    /// The backend of `checked_cuda_sim`.
    #[cfg(feature = "cuda")]
    pub type CheckedCuda = Checked<gpu_stream::Cuda>;
    /// The backend of `checked_hip_sim`.
    #[cfg(feature = "hip")]
    pub type CheckedHip = Checked<gpu_stream::Hip>;
    /// The backend of `checked_opencl`.
    #[cfg(feature = "opencl")]
    pub type CheckedOpenCl = Checked<gpu_stream::OpenCl>;
}

/// A test as it stands in the source.
#[derive(Clone, Copy, Debug)]
pub struct Test {
    /// The package that it belongs to.
    pub package: &'static str,
    /// The path of the module with the variants, as `module_path!` returns it. Its last part is the
    /// test's name.
    pub path: &'static str,
    /// The binary that it belongs to, if it does: a library and a binary can have the same module paths.
    pub binary: Option<&'static str>,
    /// The doc comment.
    pub about: &'static str,
}

impl Test {
    /// Returns the name of a variant as libtest has it: the path without the crate.
    pub fn name_on(&self, target: Target) -> String {
        let path = self.path.split_once("::").map_or(self.path, |(_, rest)| rest);
        format!("{path}::{}", target.name())
    }
}

/// Runs a variant of a test, as an ordinary `#[test]`. Unwinds if it fails. Prints why it is skipped to
/// stderr, past the capture of libtest.
pub fn test<B: TestBackend>(test: &Test, target: Target, body: fn(&Kit<B>) -> TestResult) {
    let name = test.name_on(target);
    // The test that started this process prints what it is told.
    let is_told = child::word(&name).is_some_and(|word| !word.is_empty());
    match outcome(test, target, body) {
        Ok(()) => {}
        Err(Verdict::Skipped(_)) if is_told => {}
        Err(Verdict::Skipped(skip)) => {
            // One write, so that the lines of several tests do not mix. A closed stderr loses the line.
            let line = format!("skipped: {name}: {}\n", skip.reason());
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
        Err(Verdict::Failed(reason)) => {
            if !is_told {
                eprintln!("{name} failed: {reason}");
            }
            // Not a panic, whose message would name a line of this file.
            resume_unwind(Box::new(reason));
        }
    }
}

/// Runs a variant of a test. In the process that was started for it, runs it there; otherwise starts such
/// a process, and blocks until it has ended.
pub fn outcome<B: TestBackend>(
    test: &Test,
    target: Target,
    body: fn(&Kit<B>) -> TestResult,
) -> TestResult {
    let name = test.name_on(target);
    match child::word(&name) {
        Some(word) => child::run(test, target, body, &word),
        None => in_a_process(test, target, &name),
    }
}

/// Held while a test uses a GPU. Tests of one process that run at once would fight for its memory and its
/// hardware queues.
static HARDWARE: Mutex<()> = Mutex::new(());

fn in_a_process(test: &Test, target: Target, name: &str) -> TestResult {
    let folder = report::folder().map_err(Verdict::Failed)?;
    let mut by_hand = String::new();
    let (ready, over) = match run_process(target, name, &mut by_hand) {
        Ok((ended, limit)) => {
            // Captured by libtest, and so shown only if the test fails.
            print!("{}", ended.stdout);
            eprint!("{}", ended.stderr);
            let over = over(&ended, limit, name);
            let ready = ended.messages.into_iter().find_map(|message| match message {
                Message::Ready(ready) => Some(ready),
                Message::Over(_) => None,
            });
            (ready.unwrap_or_default(), over)
        }
        // A report as well, or the matrix would show an earlier run.
        Err(reason) => (Ready::default(), Over::of(&Err(Verdict::Failed(reason)), 0.0)),
    };
    if let Some(folder) = folder {
        report::write(&folder, test, target, &ready, &over).map_err(Verdict::Failed)?;
    }
    over.result().map_err(|verdict| match verdict {
        Verdict::Failed(reason) => Verdict::Failed(reason + &by_hand),
        skipped => skipped,
    })
}

/// Runs the process of a test. Returns how it ended, and its limit. Sets `by_hand` to the text with its command.
///
/// # Errors
/// A text, if the process did not start.
fn run_process(
    target: Target,
    name: &str,
    by_hand: &mut String,
) -> Result<(process::Ended, Duration), String> {
    let limit = required::required().and_then(|_| limit::limit())?;
    let word = new_word();
    let command = command(target, name, &word)?;
    let text = text_by_hand(&command);
    let _hardware =
        target.is_hardware().then(|| HARDWARE.lock().unwrap_or_else(PoisonError::into_inner));
    let ended = process::run(command, &word, limit)
        .map_err(|error| format!("the process of the test did not start: {error}"))?;
    *by_hand = text;
    Ok((ended, limit))
}

/// Returns a word that no output of a test has.
fn new_word() -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("gpu-stream-testkit-{}-{number}-{since:x}", std::process::id())
}

/// Returns the command that starts this program again for one test.
///
/// # Errors
/// A text, if the program or the simulator is not found.
fn command(target: Target, name: &str, word: &str) -> Result<Command, String> {
    let mut command = this_program().map_err(|error| format!("this program: {error}"))?;
    target.hidden_variables().for_each(|name| {
        command.env_remove(name);
    });
    command.envs(target.variables()?).env(child::VARIABLE, format!("{word}:{name}"));
    command.args(["--exact", name, "--nocapture", "--test-threads=1", "--include-ignored"]);
    Ok(command)
}

#[cfg(feature = "hip")]
use hsa_sim::this_program;

/// Returns a command that starts the running program again.
#[cfg(not(feature = "hip"))]
fn this_program() -> std::io::Result<Command> {
    std::env::current_exe().map(Command::new)
}

/// Returns a text with the command to run a test by hand, as under a debugger.
fn text_by_hand(command: &Command) -> String {
    let mut text = String::from("\nalone, as for a debugger:");
    let removed = command.get_envs().filter(|(_, value)| value.is_none());
    let removed: String =
        removed.map(|(name, _)| format!(" -u {}", name.to_string_lossy())).collect();
    if !removed.is_empty() {
        text.push_str(&format!(" env{removed}"));
    }
    for (name, value) in command.get_envs() {
        let Some(value) = value else { continue };
        let value = value.to_string_lossy();
        let value = match name == child::VARIABLE {
            true => value.split_once(':').map_or("", |(_, name)| name).to_owned(),
            false => value.into_owned(),
        };
        let colon = if name == child::VARIABLE { ":" } else { "" };
        text.push_str(&format!(" {}={colon}{value}", name.to_string_lossy()));
    }
    text.push_str(&format!(" {}", command.get_program().to_string_lossy()));
    command.get_args().for_each(|one| text.push_str(&format!(" {}", one.to_string_lossy())));
    text
}

/// Returns the outcome of a process that has ended.
fn over(ended: &process::Ended, limit: std::time::Duration, name: &str) -> Over {
    let told = ended.messages.iter().find_map(|message| match message {
        Message::Over(over) => Some(over),
        Message::Ready(_) => None,
    });
    let failed = |reason: String| {
        let seconds = told.map_or(0.0, |over| over.seconds);
        Over::of(&Err(Verdict::Failed(reason)), seconds)
    };
    let killed = format!(
        "its process was still running after {limit:?}, and was killed; is a gate still shut? \
         {}=SECONDS sets another limit",
        limit::VARIABLE
    );
    match (told, ended.status) {
        (Some(over), Some(status)) if over.outcome == "failed" || status.success() => over.clone(),
        (Some(over), status) => {
            let end = status.map_or(killed, |status| format!("its process ended with {status}"));
            failed(format!("the test was over ({}), and then {end}", over.outcome))
        }
        (None, None) => failed(killed),
        (None, Some(status)) => failed(before_the_end(ended, status, name)),
    }
}

fn before_the_end(ended: &process::Ended, status: ExitStatus, name: &str) -> String {
    match (ended.messages.is_empty(), status.success()) {
        (true, true) => format!(
            "its process ran no test {name}; run the tests by Rust's own harness, or by `backend_main!`"
        ),
        (true, false) => format!("its process ended with {status} before the test began"),
        (false, _) => format!("its process ended with {status} before the test was over"),
    }
}
