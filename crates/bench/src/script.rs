//! Peers that run in separate processes: [`Script`].
//!
//! A peer is a Python script. It creates its own streams, does the same jobs through its library, and
//! times each batch itself. Its batches are interleaved with those of the other contenders, on the
//! same machine. The protocol is line-based:
//!
//! - The script first writes a greeting: `{"peer": "torch", "versions": "torch 2.11.0", "operations":
//!   ["query", …]}`. If it cannot run, it writes `{"peer": "torch", "missing": "No module named
//!   torch"}` and exits.
//! - It then reads requests such as `query 4000`. For each it makes that number of calls and writes
//!   `{"ns": 1987654}`, the time of all calls, or `{"error": "…"}`. Between two batches it waits until
//!   its streams are idle.
//! - It exits at the end of its input.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde::Deserialize;

use crate::{Contender, Job};

/// The time limit for the greeting. One script compiles an extension first.
const START_LIMIT: Duration = Duration::from_secs(300);

/// The time limit for one batch.
const BATCH_LIMIT: Duration = Duration::from_secs(60);

/// The time to wait for the last stderr output of a script that has exited.
const STDERR_WAIT: Duration = Duration::from_secs(2);

/// The number of bytes of stderr output that are kept for error texts.
const STDERR_LIMIT: usize = 2_000;

/// The first line of a script.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct Greeting {
    /// The peer's name.
    pub peer: String,
    /// The versions of the measured library and its dependencies, as text.
    #[serde(default)]
    pub versions: String,
    /// The names of the operations that the script can measure.
    #[serde(default)]
    pub operations: Vec<String>,
    /// The reason if the script cannot run.
    pub missing: Option<String>,
}

/// A script's answer to a request.
#[derive(Deserialize)]
struct Batch {
    ns: Option<f64>,
    error: Option<String>,
}

/// Parses the greeting, the first line of a script.
///
/// # Errors
/// An error text with the line if it is no greeting.
pub fn greeting(line: &str) -> Result<Greeting, String> {
    serde_json::from_str(line).map_err(|error| format!("it began with {line:?}: {error}"))
}

/// Parses a script's answer to a request, and returns the time of all its calls.
///
/// # Errors
/// The error that the script reports, or an error text with the line if it is no valid answer.
pub fn answer(line: &str) -> Result<Duration, String> {
    let batch: Batch =
        serde_json::from_str(line).map_err(|error| format!("it answered {line:?}: {error}"))?;
    match batch {
        Batch { error: Some(error), .. } if error.trim().is_empty() => {
            Err(format!("it reported an error without a text: {line:?}"))
        }
        Batch { error: Some(error), .. } => Err(error),
        // Rejects negative times, also those that would round to 0 s, and times too long for `Duration`.
        Batch { ns: Some(ns), .. } if ns >= 0.0 => Duration::try_from_secs_f64(ns / 1e9)
            .map_err(|error| format!("it answered {line:?}: {error}")),
        _ => Err(format!("it answered {line:?}")),
    }
}

/// Returns the scripts in `folder`, sorted by name: the files `*.py` whose names do not begin with `_`.
///
/// # Errors
/// An error text if the folder cannot be read or has no script.
pub fn in_folder(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let shown = folder.display();
    let entries = folder.read_dir().map_err(|error| format!("{shown}: {error}"))?;
    let is_peer = |path: &PathBuf| {
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('_'));
        path.extension() == Some(OsStr::new("py")) && !hidden
    };
    let mut found: Vec<_> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_peer).collect();
    found.sort();
    if found.is_empty() {
        return Err(format!("{shown}: no peer script (*.py) in this folder"));
    }
    Ok(found)
}

/// A running script. Dropping it kills the process.
pub struct Script {
    /// The peer's name.
    pub name: String,
    /// The versions of the measured library and its dependencies, as text.
    pub versions: String,
    jobs: Vec<Job>,
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    stderr: StderrTail,
}

/// The end of a script's stderr output.
struct StderrTail {
    text: Arc<Mutex<String>>,
    /// Disconnected once the script has closed its stderr.
    end: Receiver<()>,
}

/// A script that cannot be measured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Missing {
    /// The peer's name, or the file name if the script wrote no greeting.
    pub name: String,
    /// The reason.
    pub reason: String,
}

impl Script {
    /// Starts a script. Blocks until it has written its greeting.
    ///
    /// # Errors
    /// [`Missing`] if the script does not start, or reports that it cannot run.
    pub fn start(python: &OsStr, path: &Path) -> Result<Self, Missing> {
        let file = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let missing = |reason| Missing { name: file.clone(), reason };
        let mut command = Command::new(python);
        // Keeps Python from writing bytecode into the folder of the scripts.
        command.env("PYTHONDONTWRITEBYTECODE", "1").arg("-u").arg(path);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = command.spawn();
        let mut child = started.map_err(|error| {
            missing(format!("{} did not start: {error}", Path::new(python).display()))
        })?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(input), Some(output), Some(errors)) = pipes else {
            return Err(missing("the script has no pipes".into()));
        };
        let (lines, stderr) = (read_lines(output), read_stderr(errors));
        let (name, versions, jobs) = (file.clone(), String::new(), Vec::new());
        let mut script = Script { name, versions, jobs, child, input, lines, stderr };
        let first = script.receive(START_LIMIT).and_then(|line| greeting(&line));
        let first = first.map_err(missing)?;
        if let Some(reason) = first.missing {
            return Err(Missing { name: first.peer, reason });
        }
        script.jobs = first.operations.iter().filter_map(|name| Job::of_name(name)).collect();
        (script.name, script.versions) = (first.peer, first.versions);
        Ok(script)
    }

    /// Creates the contender that does `job` in the script. `None` if the script does not have it.
    pub fn contender(&mut self, job: Job) -> Option<Contender<'_>> {
        if !self.jobs.contains(&job) {
            return None;
        }
        Some(Box::new(move |calls| self.batch(job, calls)))
    }

    /// Requests a batch and blocks until the script answers.
    fn batch(&mut self, job: Job, calls: u64) -> Result<Duration, String> {
        let line = format!("{} {calls}\n", job.name());
        let sent = self.input.write_all(line.as_bytes()).and_then(|()| self.input.flush());
        sent.map_err(|error| format!("it reads no input: {error}{}", self.stderr_suffix()))?;
        answer(&self.receive(BATCH_LIMIT)?)
    }

    /// Blocks until the script writes a line, exits, or exceeds the limit.
    fn receive(&mut self, limit: Duration) -> Result<String, String> {
        self.lines.recv_timeout(limit).map_err(|why| {
            let why = match why {
                std::sync::mpsc::RecvTimeoutError::Timeout => format!("no answer in {limit:?}"),
                std::sync::mpsc::RecvTimeoutError::Disconnected => {
                    // The last stderr output may not have arrived yet.
                    let _ = self.stderr.end.recv_timeout(STDERR_WAIT);
                    "it ended".into()
                }
            };
            why + &self.stderr_suffix()
        })
    }

    /// Returns the stderr output as a suffix for an error text. Empty if there is none.
    fn stderr_suffix(&mut self) -> String {
        let text = self.stderr.text.lock().unwrap_or_else(PoisonError::into_inner);
        match text.trim() {
            "" => String::new(),
            text => format!("; it wrote: {text}"),
        }
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // The process may hang, and it has no state to save.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Spawns a thread that sends the lines of `output` to the returned channel.
fn read_lines(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// Spawns a thread that keeps the last [`STDERR_LIMIT`] bytes of `errors`.
fn read_stderr(errors: impl Read + Send + 'static) -> StderrTail {
    let (ended, end) = channel();
    let kept = Arc::new(Mutex::new(String::new()));
    let keep = Arc::clone(&kept);
    thread::spawn(move || {
        let _ended = ended;
        for line in BufReader::new(errors).split(b'\n') {
            let Ok(line) = line else { return };
            let mut text = keep.lock().unwrap_or_else(PoisonError::into_inner);
            text.push_str(&String::from_utf8_lossy(&line));
            text.push('\n');
            let mut cut = text.len().saturating_sub(STDERR_LIMIT);
            while !text.is_char_boundary(cut) {
                cut += 1;
            }
            text.drain(..cut);
        }
    });
    StderrTail { text: kept, end }
}
