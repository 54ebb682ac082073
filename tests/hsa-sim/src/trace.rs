//! The log that `HSA_SIM_TRACE` turns on: one line for everything that the machine does.

use std::fmt::Arguments;
use std::fs::File;
use std::io::Write;
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::clock;
use crate::config::{Trace, config};

/// Writes a line to the log, if there is one. The arguments are not even looked at otherwise.
macro_rules! trace {
    ($($words:tt)*) => {
        if let Some(log) = crate::trace::log() {
            log.line(format_args!($($words)*));
        }
    };
}
pub(crate) use trace;

/// An open log.
pub struct Log {
    began: u64,
    /// `None` is the standard error output.
    file: Option<Mutex<File>>,
}

impl Log {
    /// Writes one line, with the milliseconds since the log was opened.
    pub fn line(&self, words: Arguments<'_>) {
        let after = clock::now().saturating_sub(self.began) / 1000;
        let line = format!("[hsa-sim {:>7}.{:03} ms] {words}\n", after / 1000, after % 1000);
        // A log that cannot be written (a full disk, a closed pipe) must not change what the
        // program under test does.
        let _ = match &self.file {
            Some(file) => {
                file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes())
            }
            None => std::io::stderr().write_all(line.as_bytes()),
        };
    }
}

/// The log, if the environment asks for one.
pub fn log() -> Option<&'static Log> {
    static LOG: OnceLock<Option<Log>> = OnceLock::new();
    LOG.get_or_init(|| {
        let file = match &config().as_ref().ok()?.trace {
            Trace::Off => return None,
            Trace::Stderr => None,
            Trace::File(path) => match File::create(path) {
                Ok(file) => Some(Mutex::new(file)),
                Err(error) => {
                    trace_line(format_args!(
                        "HSA_SIM_TRACE={path}: {error}; the log goes to stderr"
                    ));
                    None
                }
            },
        };
        Some(Log { began: clock::now(), file })
    })
    .as_ref()
}

/// Says something that a user has to know, whether or not there is a log.
pub fn trace_line(words: Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "[hsa-sim] {words}");
}
