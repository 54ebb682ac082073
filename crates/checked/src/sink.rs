//! Where findings go that no scope takes: standard error, a hook, and a file.

use std::collections::HashSet;
use std::fs;
use std::panic::{Location, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};

use gpu_stream_core::Backend;

use crate::engine::Engine;
use crate::finding::{Finding, FindingKind, Report, Severity};
use crate::scope::Hook;
use crate::settings::{Level, REPORT_VARIABLE, level, report_file};

/// The engines that exist, and what was printed and written so far.
static SINK: Mutex<Sink> = Mutex::new(Sink { engines: Vec::new(), report: Vec::new() });

struct Sink {
    engines: Vec<&'static Engine>,
    /// All findings that were taken, for the file.
    report: Vec<Finding>,
}

/// The findings that were printed.
static PRINTED: Mutex<Option<HashSet<Identity>>> = Mutex::new(None);

/// What makes two findings one.
type Identity = (FindingKind, &'static Location<'static>, Option<&'static Location<'static>>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Returns the hook that prints findings to standard error, each once.
pub(crate) fn default_hook() -> Hook {
    Arc::new(print_once)
}

fn print_once(finding: &Finding) {
    let is_quiet = level() == Some(Level::Error) && finding.kind.severity() == Severity::Warning;
    let identity =
        (finding.kind, finding.second.place, finding.first.as_ref().map(|site| site.place));
    if !is_quiet && lock(&PRINTED).get_or_insert_default().insert(identity) {
        print(finding);
    }
}

/// Prints a finding to standard error.
pub(crate) fn print(finding: &Finding) {
    eprintln!("{finding:?}");
}

/// Adds a report that was taken to the file of `GPU_STREAM_CHECK_REPORT`, if the variable is set.
pub(crate) fn write(report: &Report) {
    let Some(path) = report_file() else { return };
    let mut sink = lock(&SINK);
    sink.report.extend(report.findings.iter().cloned());
    let mut whole = Report::default();
    whole.findings.clone_from(&sink.report);
    let text = match path.extension().and_then(|extension| extension.to_str()) {
        Some("json") => format!("{whole:?}"),
        Some("svg") => format!("{whole:?}"),
        _ => format!("{whole:?}"),
    };
    if let Err(error) = fs::write(&path, text) {
        complain(&path, &error);
    }
}

/// Reports once that the file cannot be written.
fn complain(path: &Path, error: &std::io::Error) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        eprintln!(
            "gpu-stream-checked: {REPORT_VARIABLE}={}: the report cannot be written: {error}; name a file in a folder \
             that exists",
            path.display()
        );
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
        // SAFETY: `at_exit` does not unwind. If the table is full, nothing is registered.
        unsafe { atexit(at_exit) };
    });
}

/// Takes the reports of all engines: prints what was not printed yet, and writes the file.
extern "C" fn at_exit() {
    // A panic must not leave this function. The panic hook has reported it.
    let _ = catch_unwind(|| {
        let engines = lock(&SINK).engines.clone();
        for engine in engines {
            let report = engine.take_report();
            report.findings.iter().for_each(print_once);
            write(&report);
        }
    });
}
