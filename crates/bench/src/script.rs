//! Peers in processes of their own.
//!
//! A peer is a script that Python runs: it makes streams of its own, does the same jobs through its
//! library, and takes the time of each batch itself. So it takes its turn among the others, batch
//! by batch, on the same machine. What it says and hears is a line of JSON each:
//!
//! - It says first who it is, `{"peer": "torch", "versions": "torch 2.11.0", "operations":
//!   ["query", …]}`, or `{"peer": "torch", "missing": "No module named torch"}` and ends.
//! - It hears `query 4000`, makes so many calls, and says `{"ns": 1987654}`, the time of all of
//!   them, or `{"error": "…"}`. Between two batches it waits until its streams are idle.
//! - At the end of its input it ends.

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

/// How long a script may take to say who it is: one compiles an extension first.
const START: Duration = Duration::from_secs(300);

/// How long one batch may take.
const BATCH: Duration = Duration::from_secs(60);

/// How long to wait for what a script that has ended wrote last.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How much of what a script writes to its stderr is kept for the reason of a failure.
const KEPT: usize = 2_000;

/// The first line of a script.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct Greeting {
    /// As it calls itself.
    pub peer: String,
    /// The versions of what it measures, in words.
    #[serde(default)]
    pub versions: String,
    /// The names of the operations that it has.
    #[serde(default)]
    pub operations: Vec<String>,
    /// What it lacks, if it cannot take part.
    pub missing: Option<String>,
}

#[derive(Deserialize)]
struct Batch {
    ns: Option<f64>,
    error: Option<String>,
}

/// Reads the first line of a script.
///
/// # Errors
/// A line that is none, with the line.
pub fn greeting(line: &str) -> Result<Greeting, String> {
    serde_json::from_str(line).map_err(|error| format!("it began with {line:?}: {error}"))
}

/// Reads what a script answers when it has made a batch of calls: the time of all of them.
///
/// # Errors
/// The error that it tells; a line that is no answer, with the line.
pub fn answer(line: &str) -> Result<Duration, String> {
    let batch: Batch =
        serde_json::from_str(line).map_err(|error| format!("it answered {line:?}: {error}"))?;
    match batch {
        Batch { error: Some(error), .. } if error.trim().is_empty() => {
            Err(format!("it told of an error and did not say which: {line:?}"))
        }
        Batch { error: Some(error), .. } => Err(error),
        // Also for one so close to 0 that it would be 0 s: none is negative. Nor longer than can be
        // said.
        Batch { ns: Some(ns), .. } if ns >= 0.0 => Duration::try_from_secs_f64(ns / 1e9)
            .map_err(|error| format!("it answered {line:?}: {error}")),
        _ => Err(format!("it answered {line:?}")),
    }
}

/// The scripts in `folder`: its files `*.py` but those that begin with `_`, by name.
///
/// # Errors
/// A folder that cannot be read, or has none.
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
        return Err(format!("{shown}: there is no script of a peer (*.py) in it"));
    }
    Ok(found)
}

/// A script that runs.
pub struct Script {
    /// As it calls itself.
    pub name: String,
    /// The versions of what it measures, in words.
    pub versions: String,
    jobs: Vec<Job>,
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    complaints: Complaints,
}

/// What a script has written to its stderr.
struct Complaints {
    text: Arc<Mutex<String>>,
    /// Closed when there will be no more.
    end: Receiver<()>,
}

/// Why a script does not take part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Missing {
    /// As it calls itself, or its file if it said nothing.
    pub name: String,
    /// In words.
    pub reason: String,
}

impl Script {
    /// Starts a script. Blocks until it has said who it is.
    ///
    /// # Errors
    /// If it does not start, or lacks what it measures.
    pub fn start(python: &OsStr, path: &Path) -> Result<Self, Missing> {
        let file = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let missing = |reason| Missing { name: file.clone(), reason };
        let mut command = Command::new(python);
        // Nothing is to be written beside the scripts.
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
        let (lines, complaints) = (read_lines(output), keep_end(errors));
        let (name, versions, jobs) = (file.clone(), String::new(), Vec::new());
        let mut script = Script { name, versions, jobs, child, input, lines, complaints };
        let hello = script.hear(START).and_then(|line| greeting(&line));
        let hello = hello.map_err(missing)?;
        if let Some(reason) = hello.missing {
            return Err(Missing { name: hello.peer, reason });
        }
        script.jobs = hello.operations.iter().filter_map(|name| Job::of_name(name)).collect();
        (script.name, script.versions) = (hello.peer, hello.versions);
        Ok(script)
    }

    /// The script at this job, if it has it.
    pub fn contender(&mut self, job: Job) -> Option<Contender<'_>> {
        if !self.jobs.contains(&job) {
            return None;
        }
        Some(Box::new(move |calls| self.batch(job, calls)))
    }

    fn batch(&mut self, job: Job, calls: u64) -> Result<Duration, String> {
        let line = format!("{} {calls}\n", job.name());
        let said = self.input.write_all(line.as_bytes()).and_then(|()| self.input.flush());
        said.map_err(|error| format!("it does not listen: {error}{}", self.complained()))?;
        answer(&self.hear(BATCH)?)
    }

    fn hear(&mut self, limit: Duration) -> Result<String, String> {
        self.lines.recv_timeout(limit).map_err(|why| {
            let why = match why {
                std::sync::mpsc::RecvTimeoutError::Timeout => format!("no answer in {limit:?}"),
                std::sync::mpsc::RecvTimeoutError::Disconnected => {
                    // Its last words may still be on their way.
                    let _ = self.complaints.end.recv_timeout(LAST_WORDS);
                    "it ended".into()
                }
            };
            why + &self.complained()
        })
    }

    fn complained(&mut self) -> String {
        let text = self.complaints.text.lock().unwrap_or_else(PoisonError::into_inner);
        match text.trim() {
            "" => String::new(),
            text => format!("; it wrote: {text}"),
        }
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // It may hang, and nothing that it has is to be kept.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_lines(output: impl Read + Send + 'static) -> Receiver<String> {
    let (say, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            let Ok(line) = line else { return };
            if say.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

fn keep_end(errors: impl Read + Send + 'static) -> Complaints {
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
            let mut cut = text.len().saturating_sub(KEPT);
            while !text.is_char_boundary(cut) {
                cut += 1;
            }
            text.drain(..cut);
        }
    });
    Complaints { text: kept, end }
}
