//! The log that `HSA_SIM_TRACE` enables: one line for each event of the machine.

use std::fmt::Arguments;
use std::fs::File;
use std::io::Write;
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::clock;
use crate::config::{Trace, config};

/// Writes a line to the log. Without a log, the arguments are not evaluated.
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
    /// The file, or `None` for stderr.
    file: Option<Mutex<File>>,
}

impl Log {
    /// Writes one line, with the milliseconds since the log was opened.
    pub fn line(&self, words: Arguments<'_>) {
        let after = clock::now().saturating_sub(self.began) / 1000;
        let line = format!("[hsa-sim {:>7}.{:03} ms] {words}\n", after / 1000, after % 1000);
        // A log that cannot be written (a full disk, a closed pipe) must not change the behaviour
        // of the program under test.
        let _ = match &self.file {
            Some(file) => {
                file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes())
            }
            None => std::io::stderr().write_all(line.as_bytes()),
        };
    }
}

/// Returns the log. Returns `None` if the environment does not enable it.
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

/// Writes a message that the user must see, with or without a log.
pub fn trace_line(words: Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "[hsa-sim] {words}");
}
