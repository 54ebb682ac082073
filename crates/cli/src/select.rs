//! Selects the cases and the backends: `--case` and `--backend`.

use gpu_stream::{Availability, BackendKind, Error as _, ErrorKind};
use gpu_stream_conformance::{CaseInfo, Required};
use wildmatch::WildMatch;

use crate::CommandError;

/// Returns the indices of the cases that match one of `patterns`, or of all cases if there are no
/// patterns.
///
/// # Errors
/// [`CommandError`] if a pattern matches no case.
pub fn cases(all: &[CaseInfo], patterns: &[String]) -> Result<Vec<usize>, CommandError> {
    for pattern in patterns {
        if !all.iter().any(|case| matches(case, pattern)) {
            return Err(CommandError(format!(
                "no case matches {pattern:?}; `gpu-stream check --list` shows all {}",
                all.len()
            )));
        }
    }
    let named =
        |case: &CaseInfo| patterns.is_empty() || patterns.iter().any(|one| matches(case, one));
    Ok((0..all.len()).filter(|&index| named(&all[index])).collect())
}

/// Returns `true` if the case's name or one of its rules matches the pattern.
fn matches(case: &CaseInfo, pattern: &str) -> bool {
    let name = full_name(case);
    if pattern.contains(['*', '?']) {
        let pattern = WildMatch::new(pattern);
        return pattern.matches(&name) || pattern.matches(case.name);
    }
    name.contains(pattern) || case.rules.iter().any(|rule| rule.id == pattern)
}

/// Returns the name that `--case` matches and that `cargo test` prints.
pub fn full_name(case: &CaseInfo) -> String {
    format!("{}::{}", case.area, case.name)
}

/// Probes the named backends, or all that the project has if there are no names. Another one's driver is not started.
pub fn probe(named: &[BackendKind]) -> Vec<Availability> {
    let known = BackendKind::KNOWN.iter().copied();
    let wanted = known.filter(|kind| named.is_empty() || named.contains(kind));
    wanted.map(Availability::of_kind).collect()
}

/// A backend that is not checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeftOut {
    /// The backend's kind.
    pub backend: BackendKind,
    /// The kind of the probe's error.
    pub kind: ErrorKind,
    /// The text of the probe's error.
    pub reason: String,
    /// The remedy.
    pub advice: Option<&'static str>,
}

/// The backends to check, and those that are left out.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Backends {
    /// The backends to check, each a column of the matrix.
    pub checked: Vec<BackendKind>,
    /// The other backends of the project.
    pub left_out: Vec<LeftOut>,
}

/// Selects the backends in `named`, or all available backends if it is empty.
///
/// A `required` backend gets its column even if it is not available, so that this counts as a failure.
///
/// # Errors
/// [`CommandError`] with a remedy:
/// - if a named backend is not available,
/// - if an environment variable has a value that a backend cannot use,
/// - if a backend has fewer devices than `required` says,
/// - if no backend is left, because a check of nothing must not pass.
pub fn backends(
    available: &[Availability],
    named: &[BackendKind],
    required: &Required,
) -> Result<Backends, CommandError> {
    let mut chosen = Backends::default();
    for item in available {
        let backend = item.backend;
        let is_wanted = named.is_empty() || named.contains(&backend);
        match &item.probe {
            _ if !is_wanted => {}
            Ok(info) => {
                let counted = required.check_devices(backend, info.devices.len());
                counted.map_err(|verdict| CommandError(verdict.reason().to_owned()))?;
                chosen.checked.push(backend);
            }
            Err(error) if named.contains(&backend) => {
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
