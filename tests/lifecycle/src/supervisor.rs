//! Runs a scenario in a process of its own, and checks how the process ends.

use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use gpu_stream_core::BackendKind;

use crate::child::{self, NOT_APPLICABLE, SKIPPED};
use crate::list::{Exit, Scenario};

/// Returns the time limit of a process, which only a hang reaches.
///
/// `GPU_STREAM_LIFECYCLE_LIMIT` overrides the default, in seconds.
fn limit() -> Duration {
    let seconds =
        std::env::var("GPU_STREAM_LIFECYCLE_LIMIT").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(120))
}

/// Result of one scenario, with its duration and notes.
#[derive(Clone, Debug)]
pub struct ScenarioResult {
    /// Whether the scenario passed, failed or was skipped.
    pub outcome: ScenarioOutcome,
    /// Duration of the process.
    pub took: Duration,
    /// Further lines that the process printed for the reader.
    pub notes: Vec<String>,
}

/// Outcome of one scenario.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ScenarioOutcome {
    /// The process ended as expected.
    Passed,
    /// The process did not end as expected, for this reason.
    Failed(String),
    /// The scenario did not run, because the machine lacks something.
    Skipped(String),
    /// The scenario does not apply to this backend, or to this version of its driver.
    NotApplicable(String),
}

impl ScenarioResult {
    /// Returns `true` if the process did not end as expected.
    pub fn is_failed(&self) -> bool {
        matches!(self.outcome, ScenarioOutcome::Failed(_))
    }

    /// Creates the result of a scenario for which no process ran.
    fn not_run(outcome: ScenarioOutcome) -> Self {
        ScenarioResult { outcome, took: Duration::ZERO, notes: Vec::new() }
    }
}

/// Runs the scenario. Blocks until its process ends or exceeds the time limit.
pub fn run(scenario: &Scenario, backend: BackendKind) -> ScenarioResult {
    if let Some((_, why)) = scenario.not_on.iter().find(|(kind, _)| *kind == backend) {
        return ScenarioResult::not_run(ScenarioOutcome::NotApplicable((*why).into()));
    }
    let start = Instant::now();
    let mut command = match child::this_program() {
        Ok(command) => command,
        Err(reason) => return ScenarioResult::not_run(ScenarioOutcome::Failed(reason)),
    };
    child::select_scenario(&mut command, scenario.name, backend);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A process group of its own, so that its forked children are killed with it.
    command.process_group(0);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            let reason = format!("the process did not start: {error}");
            return ScenarioResult::not_run(ScenarioOutcome::Failed(reason));
        }
    };
    let (stdout, stderr) = (collect(child.stdout.take()), collect(child.stderr.take()));
    let status = wait(&mut child, start);
    let (stdout, stderr) = (collected(&stdout), collected(&stderr));
    let (notes, lines): (Vec<_>, Vec<_>) =
        stdout.lines().partition(|line| line.starts_with("note: "));
    ScenarioResult {
        outcome: judge(scenario, backend, status, &lines, &stderr),
        took: start.elapsed(),
        notes: notes.into_iter().map(|note| note["note: ".len()..].to_owned()).collect(),
    }
}

/// Compares the end and the output of a process with what the scenario requires.
fn judge(
    scenario: &Scenario,
    backend: BackendKind,
    status: Option<ExitStatus>,
    lines: &[&str],
    stderr: &str,
) -> ScenarioOutcome {
    let failed = |what: String| {
        let last = lines.last().map_or(String::new(), |line| format!("; its last line is: {line}"));
        let stderr = stderr.trim();
        let stderr = match stderr.len() {
            0 => String::new(),
            _ => format!("; stderr: {}", stderr.replace('\n', " | ")),
        };
        ScenarioOutcome::Failed(format!("{what}{last}{stderr}"))
    };
    let Some(status) = status else {
        return failed(format!("the process was still running after {:?}", limit()));
    };
    let reason = || stderr.trim().replace('\n', " ");
    match status.code() {
        Some(SKIPPED) => return ScenarioOutcome::Skipped(reason()),
        Some(NOT_APPLICABLE) => return ScenarioOutcome::NotApplicable(reason()),
        _ => {}
    }
    let exit = match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, signal) => Exit::Signal(signal.unwrap_or(0)),
    };
    if exit != scenario.exit {
        return failed(format!("{exit} instead of {}", scenario.exit));
    }
    for (backends, text) in scenario.required_lines {
        if backends.contains(&backend) && !lines.contains(text) {
            return failed(format!("the line {text:?} is missing"));
        }
    }
    match scenario.forbidden_lines.iter().find(|text| lines.contains(text)) {
        Some(text) => failed(format!("the line {text:?} is forbidden")),
        None if !stderr.trim().is_empty() && scenario.exit == Exit::Code(0) => {
            failed("stderr is not empty".into())
        }
        None => ScenarioOutcome::Passed,
    }
}

/// Waits for the process. Returns `None` if it exceeded the time limit and was killed.
fn wait(child: &mut Child, start: Instant) -> Option<ExitStatus> {
    let limit = limit();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => {
                kill_group(child);
                return Some(status);
            }
            Ok(None) if start.elapsed() < limit => std::thread::sleep(Duration::from_millis(2)),
            Ok(None) | Err(_) => {
                kill_group(child);
                let _ = child.wait();
                return None;
            }
        }
    }
}

/// Kills the process and its forked children.
fn kill_group(child: &Child) {
    let Ok(group) = libc::pid_t::try_from(child.id()) else { return };
    // SAFETY: `killpg` accepts any number. The group belongs to the child, and its number is not reused
    // while one of its processes exists.
    let _ = unsafe { libc::killpg(group, libc::SIGKILL) };
}

/// Reads the pipe to its end on a thread of its own.
fn collect(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut all = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut all);
        }
        let _ = sender.send(all);
    });
    receiver
}

/// Returns the collected output. Waits 10 seconds for its end, which a surviving child can delay.
fn collected(pipe: &Receiver<Vec<u8>>) -> String {
    let all = pipe.recv_timeout(Duration::from_secs(10)).unwrap_or_default();
    String::from_utf8_lossy(&all).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list;

    fn judge_host(name: &str, status: i32, lines: &[&str], stderr: &str) -> ScenarioOutcome {
        let scenario = list::find(name).expect("a scenario");
        judge(scenario, BackendKind::Host, Some(ExitStatus::from_raw(status)), lines, stderr)
    }

    #[test]
    fn judge_reports_each_deviation() {
        let good = ["done", "the last task ran"];
        assert_eq!(judge_host("exit::main_returns", 0, &good, ""), ScenarioOutcome::Passed);
        let wrong = [
            judge_host("exit::main_returns", 7 << 8, &good, ""),
            judge_host("exit::main_returns", libc::SIGSEGV, &good, ""),
            judge_host("exit::main_returns", 0, &["done"], ""),
            judge_host("exit::main_returns", 0, &good, "a warning"),
            judge_host("exit::gated_work", 0, &["done", "beside the gate", "after the gate"], ""),
        ];
        let words =
            ["exit code 7", "signal 11", "is missing", "stderr", "\"after the gate\" is forbidden"];
        for (outcome, word) in wrong.iter().zip(words) {
            let ScenarioOutcome::Failed(text) = outcome else { panic!("{word}: {outcome:?}") };
            assert!(text.contains(word), "{text}");
        }
        let skipped = judge_host("exit::main_returns", SKIPPED << 8, &[], "there is no driver\n");
        assert_eq!(skipped, ScenarioOutcome::Skipped("there is no driver".into()));
    }
}
