//! The environment variables that `check` sets for itself, kept apart from those of the user.

use std::collections::BTreeMap;

use gpu_stream_bench::machine;

use crate::args::{Arguments, Check, Command};

/// Names and values of environment variables.
pub type Variables = BTreeMap<String, String>;

/// Sets the variables that the cases need, if the command is to run cases. Returns those that it set.
///
/// The cases hold several streams back at once and expect others to go on, which takes more hardware
/// queues than a driver uses by default. A variable that the user has set stays as it is. `bench`
/// and `info` set nothing: they show what the user's own processes get.
///
/// # Safety
/// No other thread is running, as at the start of `main`.
pub unsafe fn prepare(arguments: &Arguments) -> Variables {
    let before = machine::environment();
    let check = match &arguments.command {
        None => &arguments.check,
        Some(Command::Check(check)) => check,
        Some(Command::Info(_) | Command::Bench(_)) => return Variables::new(),
    };
    if !check.list {
        // SAFETY: the caller promises the same.
        unsafe { ask_for_queues(check) };
    }
    let mut set = machine::environment();
    set.retain(|name, _| !before.contains_key(name));
    set
}

/// # Safety
/// As [`prepare`].
#[cfg_attr(not(any(feature = "cuda", feature = "hip")), expect(unused_variables))]
unsafe fn ask_for_queues(check: &Check) {
    #[cfg(any(feature = "cuda", feature = "hip"))]
    let is_checked = |kind| check.backend.is_empty() || check.backend.contains(&kind);
    #[cfg(feature = "cuda")]
    if is_checked(gpu_stream::BackendKind::Cuda) {
        // SAFETY: the caller promises that no other thread is running.
        unsafe { gpu_stream_conformance::fixtures::ask_for_cuda_queues() };
    }
    #[cfg(feature = "hip")]
    if is_checked(gpu_stream::BackendKind::Hip) {
        // SAFETY: the caller promises that no other thread is running.
        unsafe { gpu_stream_conformance::fixtures::ask_for_hip_queues() };
    }
}

/// Returns the variables of drivers and backends that the user has set: all but those in `set`.
pub fn of_user(set: &Variables) -> Variables {
    let mut all = machine::environment();
    all.retain(|name, _| !set.contains_key(name));
    all
}

/// Returns the facts of the machine, with the user's variables only.
pub fn facts(set: &Variables) -> BTreeMap<&'static str, String> {
    let mut facts: BTreeMap<_, _> = machine::facts().into_iter().collect();
    match text(&of_user(set)) {
        none if none.is_empty() => facts.remove(ENVIRONMENT),
        some => facts.insert(ENVIRONMENT, some),
    };
    facts
}

/// The name under which [`machine::facts`] has the variables.
const ENVIRONMENT: &str = "environment";

/// Returns `text` in lines of at most `width`. A value without blanks, as a long path, is broken.
pub fn wrap(text: &str, width: usize) -> String {
    textwrap::fill(text, textwrap::Options::new(width.max(20)).subsequent_indent("  ")) + "\n"
}

/// Returns `NAME=value` of each, with blanks between them.
pub fn text(variables: &Variables) -> String {
    let each = variables.iter().map(|(name, value)| format!("{name}={value}"));
    each.collect::<Vec<_>>().join(" ")
}
