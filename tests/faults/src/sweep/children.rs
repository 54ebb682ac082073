//! Drivers that lack functions, are too old, or do not start. A process loads one driver, so these cases
//! run in processes of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gpu_stream_core::{Backend, Error, ErrorKind, Event, EventOptions, RawStream, Stream};

use super::{ErrorOf, FaultFixture, Feature, Sort, StreamOf, WithoutIt};
use crate::{At, InjectedFault, Threads};

/// The variable with the task of a child process: a word, and its arguments.
const CHILD: &str = "GPU_STREAM_FAULT_CHILD";

/// The task that makes one of each call, and prints a line for each.
const BASICS: &str = "basics";

/// The task that looks for a reused handle, and prints whether there was one.
const REUSED: &str = "reused";

/// Runs the task of a child process. Returns `false` if this is not one.
///
/// # Panics
/// If the task fails.
pub fn run_as_child<V: FaultFixture>() -> bool {
    let Ok(task) = std::env::var(CHILD) else { return false };
    V::prepare_child();
    match task.split(' ').collect::<Vec<_>>().as_slice() {
        [BASICS] => {}
        [REUSED] => {
            println!("{}", reuses_handles::<V>());
            return true;
        }
        ["start", function, code] => {
            let code = InjectedFault::Answer(code.parse().expect("a number"));
            V::controls().set(function, At::Always, Threads::All, code);
        }
        other => panic!("no such task: {other:?}"),
    }
    for (name, answer) in basics::<V>() {
        match answer {
            Ok(()) => println!("{name}{OK}"),
            Err((kind, text)) => println!("{name}: {kind:?}: {text}"),
        }
    }
    true
}

/// The end of the line of a call that worked.
const OK: &str = ": ok";

/// Runs a child process, and returns the lines that it prints.
fn child<V: FaultFixture>(task: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let mut command = V::child();
    command.env(CHILD, task).envs(variables.iter().copied());
    let output = command.output().expect("this program runs a second time");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{task} {variables:?}: {}\n{errors}", output.status);
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// Returns the one line of a child process whose driver cannot be used.
fn only_line<V: FaultFixture>(task: &str, variables: &[(&str, &str)]) -> String {
    let lines = child::<V>(task, variables);
    let [line] = lines.as_slice() else { panic!("{task} {variables:?}: {lines:?}") };
    line.clone()
}

/// Returns the lines of the calls that fail in a child process.
fn failures<V: FaultFixture>(variable: &str, value: &str) -> Vec<String> {
    let lines = child::<V>(BASICS, &[(variable, value)]);
    assert!(lines.len() > 10, "{variable}={value}: {lines:?}");
    lines.into_iter().filter(|line| !line.ends_with(OK)).collect()
}

pub(super) fn missing_function_is_named<V: FaultFixture>() {
    let required: Vec<_> = V::REQUIRED.split_whitespace().collect();
    for function in &required {
        let line = only_line::<V>(BASICS, &[(V::HIDE_VARIABLE, function)]);
        assert!(line.starts_with("probe: SymbolNotFound") && line.contains(function), "{line}");
    }
    // What this version of the driver lacks in any case.
    let always = failures::<V>(V::HIDE_VARIABLE, "");
    let failures_without = |hidden: &str| {
        let mut failures = failures::<V>(V::HIDE_VARIABLE, hidden);
        failures.retain(|line| !always.contains(line));
        failures
    };
    for (function, without_it) in V::OPTIONAL {
        let failures = failures_without(function);
        let is_right = match without_it {
            WithoutIt::Works => failures.is_empty(),
            WithoutIt::Refuses(call) => {
                let refused = format!("{call}: Unsupported");
                matches!(failures.as_slice(), [line] if line.starts_with(&refused) && line.contains(function))
            }
            WithoutIt::MayFail(is_expected) => failures.iter().all(|line| is_expected(line)),
        };
        assert!(is_right, "{function}: {failures:?}");
    }
    let (functions, parts) = V::DEVICE_OF_STREAM;
    if !functions.is_empty() {
        let failures = failures_without(&functions.join(","));
        let [line] = failures.as_slice() else { panic!("{failures:?}") };
        let is_explained = parts.iter().all(|part| line.contains(part));
        assert!(line.starts_with("wrap: Unsupported") && is_explained, "{line}");
    }
    println!("{} functions missing, one at a time", required.len() + V::OPTIONAL.len());
}

pub(super) fn old_version_is_rejected_or_works<V: FaultFixture>() {
    for (version, start, parts) in V::REJECTED_VERSIONS {
        let line = only_line::<V>(BASICS, &[(V::VERSION_VARIABLE, version)]);
        let is_explained = parts.iter().all(|part| line.contains(part));
        assert!(line.starts_with(start) && is_explained, "{version}: {line}");
    }
    // What the driver lacks in its own version, too.
    let always = failures::<V>(V::HIDE_VARIABLE, "");
    for (version, refused) in V::ACCEPTED_VERSIONS {
        let mut failures = failures::<V>(V::VERSION_VARIABLE, version);
        failures.retain(|line| !always.contains(line));
        let calls: Vec<_> =
            failures.iter().filter_map(|line| line.split(": Unsup").next()).collect();
        assert_eq!(calls, Vec::from_iter(*refused), "{version}: {failures:?}");
    }
}

/// A successful start is kept, so each fault has a process of its own.
pub(super) fn failed_start_is_explained<V: FaultFixture>() {
    for function in V::START {
        for &code in V::START_CODES {
            let line = only_line::<V>(&format!("start {function} {code}"), &[]);
            let no_device = V::means_no_device(function, code) && line.contains("NoDevice");
            let named = line.contains(function) && line.contains(&code.to_string());
            assert!(named || no_device, "{function} {code}: {line}");
        }
    }
}

/// A child process, because a panic in it makes all later calls check for one.
pub(super) fn reused_handle_is_a_new_stream<V: FaultFixture>() {
    let is_reused = only_line::<V>(REUSED, V::REUSE_VARIABLES) == "true";
    if V::REUSE_VARIABLES.is_empty() && !is_reused {
        V::skip("this driver reused no handle");
    }
    assert!(is_reused, "the driver reused no handle");
}

/// The name and the result of one call of [`basics`].
type Answer = (&'static str, Result<(), (ErrorKind, String)>);

/// Makes one of each call, on a driver that may lack functions. Returns the result of each.
fn basics<V: FaultFixture>() -> Vec<Answer> {
    let mut answers = Vec::new();
    let mut note = |name, answer: Result<(), ErrorOf<V>>| {
        answers.push((name, answer.map_err(|error| (error.kind(), error.to_string()))));
    };
    if let Err(error) = V::Backend::probe() {
        note("probe", Err(error));
        return answers;
    }
    let device = V::Backend::device(0).expect("device 0");
    note("priority_range", V::Backend::priority_range(device).map(drop));
    let stream = V::Backend::new_stream(device, Default::default()).expect("a stream");
    let raw = RawStream::from_bits(V::new_stream(Sort::Ordinary).expect("a stream"));
    // SAFETY: the stream is never destroyed.
    note("wrap", unsafe { V::Backend::stream_from_raw(raw, None) }.map(drop));
    note("query", stream.query().map(drop));
    note("id", stream.id().map(drop));
    note("capture_status", stream.capture_status().map(drop));
    note("record_event", stream.record_event().and_then(|event| event.synchronize()));
    let default = V::Backend::default_stream(device);
    note("wait_stream", default.and_then(|default| default.wait_stream(&stream)));
    let timed = || V::Backend::new_event(device, EventOptions::timed());
    note(
        "elapsed_since",
        (|| {
            let (start, end) = (timed()?, timed()?);
            stream.record(&start)?;
            stream.record(&end)?;
            end.synchronize()?;
            end.elapsed_since(&start).map(drop)
        })(),
    );
    let ran = Arc::new(AtomicBool::new(false));
    let run = Arc::clone(&ran);
    let launched = stream.launch_host_func(Box::new(move || run.store(true, Ordering::SeqCst)));
    let is_refused = launched.is_err();
    note("host function", launched.and_then(|()| stream.synchronize()));
    assert!(is_refused || ran.load(Ordering::SeqCst), "the host function did not run");
    let options = EventOptions::builder().interprocess(true).build().expect("options");
    note("interprocess event", V::Backend::new_event(device, options).map(drop));
    let mine = V::Backend::per_thread_stream(device);
    note("thread's stream", mine.and_then(|mine| mine.record_event()?.synchronize()));
    if V::lacks(Feature::Capture).is_some() {
        return answers;
    }
    V::begin_capture(raw.to_bits());
    note("query beside a capture", stream.query().map(drop));
    // SAFETY: the stream is never destroyed.
    let captured = unsafe { V::Backend::stream_from_raw_unchecked(raw, device) };
    note("record in a capture", captured.and_then(|captured| captured.record_event().map(drop)));
    V::end_capture(raw.to_bits());
    answers
}

/// Checks that a stream with a reused handle does not inherit the failure of the stream that had it
/// before.
///
/// Returns `false` if the driver reused no handle.
fn reuses_handles<V: FaultFixture>() -> bool {
    let device = V::Backend::device(0).expect("device 0");
    let new = || V::Backend::new_stream(device, Default::default()).expect("a stream");
    let panics = |stream: &StreamOf<V>| {
        let func = || std::panic::resume_unwind(Box::new("meant to fail"));
        stream.launch_host_func(Box::new(func)).expect("a host function");
        let answer = stream.synchronize().expect_err("the panic is reported");
        assert_eq!(answer.kind(), ErrorKind::StreamFault, "{answer}");
    };
    let mut found = false;
    for _ in 0..200 {
        let first = new();
        let event = first.record_event().expect("a record");
        panics(&first);
        let handle = first.raw().to_bits();
        drop((first, event));
        let others: Vec<_> = (0..3).map(|_| new()).collect();
        for second in others.iter().filter(|second| second.raw().to_bits() == handle) {
            second.synchronize().expect("a stream with a reused handle");
            assert!(second.query().expect("a stream with a reused handle"));
            let event = second.record_event().expect("a record");
            event.synchronize().expect("synchronize");
            found = true;
        }
        if found {
            break;
        }
    }
    found
}
