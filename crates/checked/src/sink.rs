//! Where findings go that no scope takes: standard error, a hook, and a file.

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};

use gpu_stream_core::Backend;

use crate::engine::Engine;
use crate::finding::{Finding, Report, Severity};
use crate::scope::Hook;
use crate::settings::{Level, REPORT_VARIABLE, level, report_file};

/// The engines that exist, and what was written so far.
static SINK: Mutex<Sink> = Mutex::new(Sink { engines: Vec::new(), report: Vec::new() });

/// The process that takes the reports when it exits.
static PROCESS: AtomicU32 = AtomicU32::new(0);

struct Sink {
    engines: Vec<&'static Engine>,
    /// All findings that were taken, for the file.
    report: Vec<Finding>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes the lock of the sink, for a fork. It is never taken while an engine is locked.
#[cfg(unix)]
pub(crate) fn hold() -> MutexGuard<'static, impl Sized> {
    lock(&SINK)
}

/// Returns `true` if another thread holds the lock of the sink.
#[cfg(all(test, unix))]
pub(crate) fn is_held() -> bool {
    SINK.try_lock().is_err()
}

/// Returns the engine of a backend type. An engine that is new prints what it finds.
pub(crate) fn engine_of<B: Backend>() -> &'static Engine {
    let engine = Engine::of::<B>();
    let mut sink = lock(&SINK);
    if !sink.engines.iter().any(|known| std::ptr::eq(*known, engine)) {
        sink.engines.push(engine);
        drop(sink);
        engine.set_hook(Some(default_hook()));
        finish_at_exit();
    }
    engine
}

/// Returns the hook that prints findings to standard error.
pub(crate) fn default_hook() -> Hook {
    Arc::new(print_unless_quiet)
}

fn print_unless_quiet(finding: &Finding) {
    let is_quiet = level() == Some(Level::Error) && finding.kind.severity() == Severity::Warning;
    if !is_quiet {
        print(finding);
    }
}

/// Prints a finding to standard error.
pub(crate) fn print(finding: &Finding) {
    say(&finding.to_terminal());
}

/// Writes a line to standard error. A program goes on if nobody reads it, where `eprintln` panics.
fn say(text: &str) {
    // `eprintln` is what a test captures.
    let _ = catch_unwind(|| eprintln!("{text}"));
}

/// Adds a report that was taken to the file of `GPU_STREAM_CHECK_REPORT`, if the variable is set.
pub(crate) fn write(report: &Report) {
    let Some(path) = report_file() else { return };
    let mut sink = lock(&SINK);
    sink.report.extend(report.findings.iter().cloned());
    let mut whole = Report::default();
    whole.findings.clone_from(&sink.report);
    let mut text = match path.extension().and_then(|extension| extension.to_str()) {
        Some("json") => whole.to_json(),
        Some("svg") => whole.to_svg(),
        _ => whole.to_string(),
    };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    if let Err(error) = fs::write(&path, text) {
        complain(&path, &error);
    }
}

/// Reports once that the file cannot be written.
fn complain(path: &Path, error: &std::io::Error) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        say(&format!(
            "gpu-stream-checked: {REPORT_VARIABLE}={}: the report cannot be written: {error}; name a file in a folder \
             that exists",
            path.display()
        ));
    });
}

/// Makes the process take all reports when it exits, if a variable asks for a check or a file.
fn finish_at_exit() {
    static ONCE: Once = Once::new();
    if level().is_none() && report_file().is_none() {
        return;
    }
    ONCE.call_once(|| {
        unsafe extern "C" {
            fn atexit(function: extern "C" fn()) -> std::ffi::c_int;
        }
        PROCESS.store(process::id(), Ordering::Relaxed);
        // SAFETY: `at_exit` does not unwind. If the table is full, nothing is registered.
        unsafe { atexit(at_exit) };
    });
}

/// Takes the reports of all engines. That calls the hook for the kinds that are decided late, and writes the file.
///
/// A child that was forked leaves that to its parent: it has the same findings, and a thread of the parent can have held a
/// lock.
extern "C" fn at_exit() {
    if PROCESS.load(Ordering::Relaxed) != process::id() {
        return;
    }
    // A panic must not leave this function. The panic hook has reported it.
    let _ = catch_unwind(|| {
        let engines = lock(&SINK).engines.clone();
        for engine in engines {
            write(&engine.take_report());
        }
    });
}
