//! Runs a case in a separate process, after an earlier case hung.
//!
//! The thread of a case that hung keeps running, and the resources that it holds can make every later
//! case of the process fail or hang. For each later case the command starts itself again, as
//! `check --backend NAME --single INDEX`, and reads the outcome from that process's stdout.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use gpu_stream::BackendKind;
use gpu_stream_conformance::{Outcome, Verdict};
use serde::{Deserialize, Serialize};

use crate::args::Check;
use crate::report::Cell;

/// The time limit of a process in addition to its rounds, for driver and fixture initialization.
const START: Duration = Duration::from_secs(120);

/// The output of the process, as one line of JSON.
#[derive(Serialize, Deserialize)]
struct Answer {
    outcome: String,
    reason: Option<String>,
    inapplicable: bool,
    rounds: u32,
    seconds: f64,
    is_hung: bool,
}

/// Serializes the result of a case as a line for the parent process.
///
/// # Errors
/// None are known: every value can be serialized.
pub fn answer(cell: &Cell) -> serde_json::Result<String> {
    let answer = Answer {
        outcome: cell.word().into(),
        reason: cell.reason().map(str::to_owned),
        inapplicable: cell.is_inapplicable(),
        rounds: cell.rounds,
        seconds: cell.duration.as_secs_f64(),
        is_hung: cell.is_hung,
    };
    Ok(serde_json::to_string(&answer)? + "\n")
}

/// Runs case `index` on `backend` in a separate process. Blocks until the process has ended, and kills
/// it if it hangs.
///
/// # Errors
/// The reason if no process could be started. The case has not run then.
pub fn run(arguments: &Check, backend: BackendKind, index: usize) -> Result<Cell, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let limit = arguments.limit.as_secs_f64();
    let mut command = Command::new(program);
    command.args(["check", "--backend", backend.name(), "--single", &index.to_string()]);
    command.args(["--limit", &limit.to_string(), "--repeat", &arguments.repeat.to_string()]);
    command.args(arguments.checked.then_some("--checked"));
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let start = Instant::now();
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let whole = arguments.limit.saturating_mul(arguments.repeat.get()).saturating_add(START);
    let output = read(&mut child, whole);
    if output.is_none() {
        // Fails only if the process has ended meanwhile.
        let _ = child.kill();
    }
    let ended = child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
    let answer = output.as_ref().and_then(|output| output.lines().rev().find_map(parse));
    Ok(answer.map_or_else(|| lost(output.is_none(), &ended, start.elapsed()), cell))
}

/// Returns the output of `child` until it ends. `None` if it is still running after `limit`.
fn read(child: &mut Child, limit: Duration) -> Option<String> {
    let (sender, receiver) = channel();
    let mut pipe = child.stdout.take()?;
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // Output before a read error is still used.
        let _ = pipe.read_to_end(&mut bytes);
        // Fails only if the process counts as hung, and the receiver is dropped.
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver.recv_timeout(limit).ok()
}

/// Parses a line of output. Returns `None` if it is no answer.
fn parse(line: &str) -> Option<Answer> {
    serde_json::from_str(line).ok()
}

/// Converts an answer to the result of a case.
fn cell(answer: Answer) -> Cell {
    let reason = answer.reason.unwrap_or_default();
    let outcome = match (answer.outcome.as_str(), answer.inapplicable) {
        ("passed", _) => Ok(()),
        ("skipped", true) => Err(Verdict::inapplicable(reason)),
        ("skipped", false) => Err(Verdict::skipped(reason)),
        _ => Err(Verdict::Failed(reason)),
    };
    Cell {
        outcome,
        rounds: answer.rounds,
        duration: Duration::try_from_secs_f64(answer.seconds).unwrap_or_default(),
        is_hung: answer.is_hung,
        own_process: true,
    }
}

/// Returns the result of a case whose process ended without an answer.
fn lost(is_hung: bool, ended: &str, duration: Duration) -> Cell {
    let what = if is_hung { "hung, and was killed" } else { "ended without a result" };
    let outcome: Outcome =
        Err(Verdict::Failed(format!("the process of the case {what} ({ended})")));
    Cell { outcome, rounds: 1, duration, is_hung, own_process: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_round_trips() {
        let outcomes = [
            Ok(()),
            Err(Verdict::Failed("seen\n\"twice\"".into())),
            Err(Verdict::skipped("one device")),
            Err(Verdict::inapplicable("no such thing")),
        ];
        for outcome in outcomes {
            let duration = Duration::from_millis(1500);
            let before = Cell { outcome, rounds: 3, duration, is_hung: true, own_process: true };
            let line = answer(&before).unwrap();
            let after = cell(parse(line.trim_end()).unwrap());
            assert_eq!(after.is_inapplicable(), before.is_inapplicable());
            assert_eq!((after.word(), after.reason()), (before.word(), before.reason()));
            assert_eq!((after.rounds, after.duration, after.is_hung), (3, duration, true));
        }
    }

    #[test]
    fn process_without_an_answer_is_a_failure_with_its_exit_status() {
        let cell = lost(false, "signal: 11", Duration::ZERO);
        assert!(cell.is_failed() && !cell.is_hung);
        assert!(cell.reason().unwrap().contains("signal: 11"), "{cell:?}");
    }
}
