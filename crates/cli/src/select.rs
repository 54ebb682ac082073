//! Which cases and which backends: `--case` and `--backend`.

use gpu_stream::{Availability, BackendKind, Error as _, ErrorKind};
use gpu_stream_conformance::{CaseInfo, Required};
use wildmatch::WildMatch;

use crate::CommandError;

/// The indices of the cases that one of `patterns` matches; all if there is none.
///
/// # Errors
/// A pattern that matches no case.
pub fn cases(all: &[CaseInfo], patterns: &[String]) -> Result<Vec<usize>, CommandError> {
    for pattern in patterns {
        if !all.iter().any(|case| matches(case, pattern)) {
            return Err(CommandError(format!(
                "no case matches {pattern:?}; `gpu-stream check --list` shows all {}",
                all.len()
            )));
        }
    }
    let wanted =
        |case: &CaseInfo| patterns.is_empty() || patterns.iter().any(|one| matches(case, one));
    Ok((0..all.len()).filter(|&index| wanted(&all[index])).collect())
}

fn matches(case: &CaseInfo, pattern: &str) -> bool {
    let name = full_name(case);
    if pattern.contains(['*', '?']) {
        let pattern = WildMatch::new(pattern);
        return pattern.matches(&name) || pattern.matches(case.name);
    }
    name.contains(pattern) || case.rules.iter().any(|rule| rule.id == pattern)
}

/// The case as `--case` knows it and as `cargo test` prints it.
pub fn full_name(case: &CaseInfo) -> String {
    format!("{}::{}", case.area, case.name)
}

/// A backend that gets no column, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeftOut {
    /// Which.
    pub backend: BackendKind,
    /// What kind of thing is missing.
    pub kind: ErrorKind,
    /// What is missing, in words.
    pub reason: String,
    /// What to do about it.
    pub advice: Option<&'static str>,
}

/// The backends to check, and those that are left out.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Backends {
    /// One column each.
    pub checked: Vec<BackendKind>,
    /// The rest of those that the project knows.
    pub left_out: Vec<LeftOut>,
}

/// Chooses the backends: the ones that are `wanted`, or all that are ready. One that is `required`
/// gets its column even if it is missing, so that this counts as a failure.
///
/// # Errors
/// A wanted backend that is not ready, or a setting that a backend cannot use, with what to do; and
/// no backend at all, since a check that checks nothing must not pass for one that found nothing.
pub fn backends(
    available: &[Availability],
    wanted: &[BackendKind],
    required: &Required,
) -> Result<Backends, CommandError> {
    let mut chosen = Backends::default();
    for item in available {
        let backend = item.backend;
        let is_wanted = wanted.is_empty() || wanted.contains(&backend);
        match &item.probe {
            _ if !is_wanted => {}
            Ok(_) => chosen.checked.push(backend),
            Err(error) if wanted.contains(&backend) => {
                let advice = item.advice().unwrap_or_default();
                return Err(CommandError(format!("--backend {backend}: {error}. {advice}")));
            }
            Err(error) if error.kind() == ErrorKind::InvalidOptions => {
                return Err(CommandError(format!("backend {backend}: {error}")));
            }
            Err(_) if required.contains(backend) => chosen.checked.push(backend),
            Err(error) => {
                let (kind, reason, advice) = (error.kind(), error.to_string(), item.advice());
                chosen.left_out.push(LeftOut { backend, kind, reason, advice });
            }
        }
    }
    if chosen.checked.is_empty() {
        let reasons =
            chosen.left_out.iter().map(|one| format!("\n  {}: {}", one.backend, one.reason));
        let reasons: String = reasons.collect();
        return Err(CommandError(format!("there is no backend to check:{reasons}")));
    }
    Ok(chosen)
}
