//! One case in a process of its own, for the cases that come after one that hung.
//!
//! The thread of a case that hung is left behind, and what it holds can make every later case of the
//! process fail or hang. The command then starts itself again for each of them, as
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

/// How long a process may take beside its rounds: a driver starts, and a fixture is made.
const START: Duration = Duration::from_secs(120);

/// What the process says, as one line of JSON.
#[derive(Serialize, Deserialize)]
struct Answer {
    outcome: String,
    reason: Option<String>,
    inapplicable: bool,
    rounds: u32,
    seconds: f64,
    is_hung: bool,
}

/// Returns the line that tells the starting process what came of the case.
///
/// # Errors
/// None that is known: every value here can be written.
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

/// Runs case `index` on `backend` in a process of its own. Blocks until that has ended, and ends it
/// if it hangs.
///
/// # Errors
/// Why no process could be started. The case has not run then.
pub fn run(arguments: &Check, backend: BackendKind, index: usize) -> Result<Cell, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let limit = arguments.limit.as_secs_f64();
    let mut command = Command::new(program);
    command.args(["check", "--backend", backend.name(), "--single", &index.to_string()]);
    command.args(["--limit", &limit.to_string(), "--repeat", &arguments.repeat.to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let start = Instant::now();
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let whole = arguments.limit.saturating_mul(arguments.repeat.get()).saturating_add(START);
    let said = read(&mut child, whole);
    if said.is_none() {
        // It fails only if the process has ended meanwhile.
        let _ = child.kill();
    }
    let ended = child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
    let answer = said.as_ref().and_then(|said| said.lines().rev().find_map(parse));
    Ok(answer.map_or_else(|| lost(said.is_none(), &ended, start.elapsed()), cell))
}

/// Returns what `child` writes until it ends; `None` if it is still there after `limit`.
fn read(child: &mut Child, limit: Duration) -> Option<String> {
    let (sender, receiver) = channel();
    let mut pipe = child.stdout.take()?;
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came before an error is used.
        let _ = pipe.read_to_end(&mut bytes);
        // The receiver is gone only if the process counts as hung.
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver.recv_timeout(limit).ok()
}

fn parse(line: &str) -> Option<Answer> {
    serde_json::from_str(line).ok()
}

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
    fn an_answer_comes_back_as_it_was() {
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
    fn a_process_without_an_answer_is_a_failure_that_says_how_it_ended() {
        let cell = lost(false, "signal: 11", Duration::ZERO);
        assert!(cell.is_failed() && !cell.is_hung);
        assert!(cell.reason().unwrap().contains("signal: 11"), "{cell:?}");
    }
}
