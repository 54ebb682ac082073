//! Plays a scenario in a process of its own, and watches it.

use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use gpu_stream_core::BackendKind;

use crate::list::{End, Scenario};
use crate::run::{self, NOT_HERE, SKIPPED};

/// How long a process may take; only one that hangs comes near it. `GPU_STREAM_ENDS_LIMIT` says
/// otherwise, in seconds.
fn limit() -> Duration {
    let seconds = std::env::var("GPU_STREAM_ENDS_LIMIT").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(120))
}

/// What came of one scenario.
#[derive(Clone, Debug)]
pub struct Seen {
    /// As it had to be, or what was wrong, or why it did not run.
    pub outcome: Outcome,
    /// How long the process took.
    pub took: Duration,
    /// What it has to tell beside that, line by line.
    pub notes: Vec<String>,
}

/// What came of one scenario, in a word.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// As it had to be.
    Passed,
    /// Not so, in words.
    Failed(String),
    /// It was not played, since the machine lacks something.
    Skipped(String),
    /// It was not played, since it has nothing to show on this backend or this version of it.
    NotHere(String),
}

impl Seen {
    /// Whether it ended as it must not.
    pub fn is_failed(&self) -> bool {
        matches!(self.outcome, Outcome::Failed(_))
    }

    fn without_a_process(outcome: Outcome) -> Self {
        Seen { outcome, took: Duration::ZERO, notes: Vec::new() }
    }
}

/// Plays the scenario. Blocks until its process has ended, or has hung.
pub fn run(scenario: &Scenario, backend: BackendKind) -> Seen {
    if let Some((_, why)) = scenario.not_on.iter().find(|(kind, _)| *kind == backend) {
        return Seen::without_a_process(Outcome::NotHere((*why).into()));
    }
    let start = Instant::now();
    let mut command = match run::this_program() {
        Ok(command) => command,
        Err(reason) => return Seen::without_a_process(Outcome::Failed(reason)),
    };
    run::as_child_of(&mut command, scenario.name, backend);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A group of its own: what it forks is ended with it.
    command.process_group(0);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            let reason = format!("the process did not start: {error}");
            return Seen::without_a_process(Outcome::Failed(reason));
        }
    };
    let (said, complained) = (collect(child.stdout.take()), collect(child.stderr.take()));
    let status = wait(&mut child, start);
    let (said, complained) = (last_words(&said), last_words(&complained));
    let (notes, lines): (Vec<_>, Vec<_>) =
        said.lines().partition(|line| line.starts_with("note: "));
    Seen {
        outcome: judge(scenario, backend, status, &lines, &complained),
        took: start.elapsed(),
        notes: notes.into_iter().map(|note| note["note: ".len()..].to_owned()).collect(),
    }
}

fn judge(
    scenario: &Scenario,
    backend: BackendKind,
    status: Option<ExitStatus>,
    lines: &[&str],
    complained: &str,
) -> Outcome {
    let failed = |what: String| {
        let last = lines.last().map_or(String::new(), |line| format!("; it said last: {line}"));
        let complained = complained.trim();
        let complained = match complained.len() {
            0 => String::new(),
            _ => format!("; it wrote: {}", complained.replace('\n', " | ")),
        };
        Outcome::Failed(format!("{what}{last}{complained}"))
    };
    let Some(status) = status else {
        return failed(format!("it was still there after {:?}", limit()));
    };
    let reason = || complained.trim().replace('\n', " ");
    match status.code() {
        Some(SKIPPED) => return Outcome::Skipped(reason()),
        Some(NOT_HERE) => return Outcome::NotHere(reason()),
        _ => {}
    }
    let end = match (status.code(), status.signal()) {
        (Some(code), _) => End::Code(code),
        (None, signal) => End::Signal(signal.unwrap_or(0)),
    };
    if end != scenario.end {
        return failed(format!("{end}, and not {}", scenario.end));
    }
    for (backends, text) in scenario.says {
        if backends.contains(&backend) && !lines.contains(text) {
            return failed(format!("it did not say {text:?}"));
        }
    }
    match scenario.never.iter().find(|text| lines.contains(text)) {
        Some(text) => failed(format!("it said {text:?}")),
        None if !complained.trim().is_empty() && scenario.end == End::Code(0) => {
            failed("it complained".into())
        }
        None => Outcome::Passed,
    }
}

/// How it ended; `None` if it hung, and was ended.
fn wait(child: &mut Child, start: Instant) -> Option<ExitStatus> {
    let limit = limit();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => {
                end_group(child);
                return Some(status);
            }
            Ok(None) if start.elapsed() < limit => std::thread::sleep(Duration::from_millis(2)),
            Ok(None) | Err(_) => {
                end_group(child);
                let _ = child.wait();
                return None;
            }
        }
    }
}

/// Ends the process and those that it has forked.
fn end_group(child: &Child) {
    let Ok(group) = libc::pid_t::try_from(child.id()) else { return };
    // SAFETY: takes any number. The group is the child's own, and no other can have the number
    // while one of its processes is there.
    let _ = unsafe { libc::killpg(group, libc::SIGKILL) };
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (say, hear) = channel();
    std::thread::spawn(move || {
        let mut all = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut all);
        }
        let _ = say.send(all);
    });
    hear
}

fn last_words(pipe: &Receiver<Vec<u8>>) -> String {
    let all = pipe.recv_timeout(Duration::from_secs(10)).unwrap_or_default();
    String::from_utf8_lossy(&all).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list;

    fn judged(name: &str, status: i32, lines: &[&str], complained: &str) -> Outcome {
        let scenario = list::find(name).expect("a scenario");
        judge(scenario, BackendKind::Host, Some(ExitStatus::from_raw(status)), lines, complained)
    }

    #[test]
    fn what_is_wrong_is_said() {
        let good = ["played", "the last task ran"];
        assert_eq!(judged("exit::main_returns", 0, &good, ""), Outcome::Passed);
        let wrong = [
            judged("exit::main_returns", 7 << 8, &good, ""),
            judged("exit::main_returns", libc::SIGSEGV, &good, ""),
            judged("exit::main_returns", 0, &["played"], ""),
            judged("exit::main_returns", 0, &good, "a warning"),
            judged("exit::behind_a_gate", 0, &["played", "beside the gate", "behind the gate"], ""),
        ];
        let words = ["exit code 7", "signal 11", "did not say", "complained", "it said \"behind"];
        for (outcome, word) in wrong.iter().zip(words) {
            let Outcome::Failed(text) = outcome else { panic!("{word}: {outcome:?}") };
            assert!(text.contains(word), "{text}");
        }
        let skipped = judged("exit::main_returns", SKIPPED << 8, &[], "there is no driver\n");
        assert_eq!(skipped, Outcome::Skipped("there is no driver".into()));
    }
}
