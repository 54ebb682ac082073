//! The environment variables that `check` sets for itself, separate from the user's.

use std::collections::BTreeMap;

use gpu_stream_bench::machine;

use crate::args::{Arguments, Check, Command};

/// Names and values of environment variables.
pub type Variables = BTreeMap<String, String>;

/// Sets the variables that the cases need, if the command runs cases. Returns the variables that it
/// set.
///
/// The cases block several streams at once and expect others to make progress. That takes more hardware
/// queues than a driver uses by default. A variable that the user has set is not changed. The other
/// commands set nothing, so that they show what the user's own processes get.
///
/// # Safety
/// - No other thread is running, as at the start of `main`.
pub unsafe fn prepare(arguments: &Arguments) -> Variables {
    let before = machine::environment();
    let check = match &arguments.command {
        None => &arguments.check,
        Some(Command::Check(check)) => check,
        Some(Command::Info(_) | Command::Bench(_) | Command::Matrix(_)) => return Variables::new(),
    };
    if !check.list {
        // SAFETY: no other thread is running (caller contract).
        unsafe { set_queue_variables(check) };
    }
    let mut set = machine::environment();
    set.retain(|name, _| !before.contains_key(name));
    set
}

/// Sets the variables that increase the number of hardware queues of the checked backends.
///
/// # Safety
/// - No other thread is running.
#[cfg_attr(not(any(feature = "cuda", feature = "hip")), expect(unused_variables))]
unsafe fn set_queue_variables(check: &Check) {
    #[cfg(any(feature = "cuda", feature = "hip"))]
    let is_checked = |kind| check.backend.is_empty() || check.backend.contains(&kind);
    #[cfg(feature = "cuda")]
    if is_checked(gpu_stream::BackendKind::Cuda) {
        // SAFETY: no other thread is running (caller contract).
        unsafe { gpu_stream_conformance::fixtures::ask_for_cuda_queues() };
    }
    #[cfg(feature = "hip")]
    if is_checked(gpu_stream::BackendKind::Hip) {
        // SAFETY: no other thread is running (caller contract).
        unsafe { gpu_stream_conformance::fixtures::ask_for_hip_queues() };
    }
}

/// Returns the variables of drivers and backends that the user has set: all except those in `set`.
pub fn of_user(set: &Variables) -> Variables {
    let mut all = machine::environment();
    all.retain(|name, _| !set.contains_key(name));
    all
}

/// Returns the facts of the machine, with only the user's variables.
pub fn facts(set: &Variables) -> BTreeMap<&'static str, String> {
    let mut facts: BTreeMap<_, _> = machine::facts().into_iter().collect();
    match text(&of_user(set)) {
        none if none.is_empty() => facts.remove(ENVIRONMENT),
        some => facts.insert(ENVIRONMENT, some),
    };
    facts
}

/// The name of the variables in [`machine::facts`].
const ENVIRONMENT: &str = "environment";

/// Wraps `text` into lines of at most `width` characters. Breaks a value without blanks, such as a long
/// path.
pub fn wrap(text: &str, width: usize) -> String {
    textwrap::fill(text, textwrap::Options::new(width.max(20)).subsequent_indent("  ")) + "\n"
}

/// Formats the variables as `NAME=value`, separated by blanks.
pub fn text(variables: &Variables) -> String {
    let each = variables.iter().map(|(name, value)| format!("{name}={value}"));
    each.collect::<Vec<_>>().join(" ")
}
