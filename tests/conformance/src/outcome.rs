//! The outcome of a case: [`Outcome`], [`Verdict`], and the checks that make one.

use std::fmt::{Debug, Display};
use std::panic::Location;

use gpu_stream_core::{Error, ErrorKind};

/// `Ok` if the case passed, else why it failed or did not run.
pub type Outcome = Result<(), Verdict>;

/// Why a case did not pass.
///
/// The operator `?` turns any error into `Failed`, with its text and the line of the case. So a
/// case can call a backend and a fixture directly.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The backend does not do what the contract says. The text says what was seen.
    Failed(String),
    /// The case did not run here. It counts as neither passed nor failed.
    Skipped(Skip),
}

/// Why a case did not run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Skip {
    reason: String,
    lacks: Requirement,
}

/// What a skipped case would need to run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Requirement {
    /// Another backend: this one has nothing to check.
    Nothing,
    /// Something of the machine, such as a driver.
    Machine,
    /// So many devices.
    Devices(u32),
}

impl Skip {
    /// Returns the reason.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Returns `true` if the backend has nothing to check, on any machine. Returns `false` if this
    /// machine lacks something: a driver, a second device.
    pub const fn is_by_nature(&self) -> bool {
        matches!(self.lacks, Requirement::Nothing)
    }

    pub(crate) const fn lacks(&self) -> Requirement {
        self.lacks
    }
}

impl Verdict {
    /// Creates a failure, with what was seen and the line of the caller.
    #[track_caller]
    pub fn failed(seen: impl Display) -> Self {
        let place = Location::caller();
        Verdict::Failed(format!("{seen} ({}:{})", file_name(place.file()), place.line()))
    }

    /// Creates a skip for something that this machine lacks.
    pub fn skipped(reason: impl Display) -> Self {
        Verdict::Skipped(Skip { reason: reason.to_string(), lacks: Requirement::Machine })
    }

    /// Creates a skip because the case needs `count` devices. `GPU_STREAM_REQUIRE` makes it a
    /// failure only if it requires so many, as `cuda:2` does.
    pub fn needs_devices(count: u32) -> Self {
        let reason = format!("the case needs {count} devices");
        Verdict::Skipped(Skip { reason, lacks: Requirement::Devices(count) })
    }

    /// Creates a skip because there is nothing to check on this backend, on any machine.
    /// `GPU_STREAM_REQUIRE` does not make it a failure.
    pub fn inapplicable(reason: impl Display) -> Self {
        Verdict::Skipped(Skip { reason: reason.to_string(), lacks: Requirement::Nothing })
    }

    /// Returns `true` if the backend has nothing to check.
    pub(crate) fn is_inapplicable(&self) -> bool {
        matches!(self, Verdict::Skipped(Skip { lacks: Requirement::Nothing, .. }))
    }

    /// Returns what was seen, or the reason of a skip.
    pub fn reason(&self) -> &str {
        match self {
            Verdict::Failed(reason) => reason,
            Verdict::Skipped(skip) => skip.reason(),
        }
    }

    /// Returns `true` if this is a failure and not a skip.
    pub const fn is_failed(&self) -> bool {
        matches!(self, Verdict::Failed(_))
    }
}

// Possible only because `Verdict` does not implement `Error`.
impl<E: std::error::Error> From<E> for Verdict {
    #[track_caller]
    fn from(error: E) -> Self {
        Verdict::failed(format_args!("an unexpected error: {error}"))
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

/// Fails the case with `seen` unless `holds`.
///
/// # Errors
/// [`Verdict::Failed`].
#[track_caller]
pub fn check(holds: bool, seen: impl Display) -> Outcome {
    if holds { Ok(()) } else { Err(Verdict::failed(seen)) }
}

/// Fails the case unless `seen` equals `wanted`; `what` names what was examined. The order is that of `assert_eq`.
///
/// # Errors
/// [`Verdict::Failed`], with both values.
#[track_caller]
pub fn check_eq<T: PartialEq + Debug>(seen: T, wanted: T, what: impl Display) -> Outcome {
    check(seen == wanted, format_args!("{what} is {seen:?} and should be {wanted:?}"))
}

/// Fails the case unless `result` is an error of kind `wanted`; `what` names the call. Returns the
/// error's text.
///
/// # Errors
/// [`Verdict::Failed`], with the result that came instead.
#[track_caller]
pub fn check_err<T, E: Error>(
    result: Result<T, E>,
    wanted: ErrorKind,
    what: impl Display,
) -> Result<String, Verdict> {
    match result {
        Ok(_) => Err(Verdict::failed(format_args!(
            "{what} succeeded and should be refused with an error of kind {wanted}"
        ))),
        Err(error) if error.kind() == wanted => Ok(error.to_string()),
        Err(error) => Err(Verdict::failed(format_args!(
            "{what} gave an error of kind {}, which should be {wanted}: {error}",
            error.kind()
        ))),
    }
}

/// Fails the case unless an error's `text` contains `part`, which the reader needs to find the
/// mistake.
///
/// # Errors
/// [`Verdict::Failed`], with the text.
#[track_caller]
pub fn check_names(text: &str, part: impl Display) -> Outcome {
    let part = part.to_string();
    check(text.contains(&part), format_args!("the error's text should name {part}, and is: {text}"))
}

#[cfg(test)]
mod tests {
    use gpu_stream_core::ContractError;

    use super::*;

    #[test]
    fn an_error_becomes_a_failure_with_its_text_and_line() {
        fn case() -> Outcome {
            Err(ContractError::InterprocessTiming)?
        }
        let verdict = case().unwrap_err();
        assert!(verdict.is_failed());
        assert!(verdict.reason().contains("interprocess event"), "{verdict:?}");
        assert!(verdict.reason().contains("(outcome.rs:"), "{verdict:?}");
    }

    #[test]
    fn the_kind_of_an_error_is_compared() {
        let error = || Err::<(), _>(ContractError::InterprocessTiming);
        assert!(check_err(error(), ErrorKind::InvalidOptions, "it").is_ok());
        let other = check_err(error(), ErrorKind::DeviceMismatch, "it").unwrap_err();
        assert!(other.reason().contains("InvalidOptions"), "{other:?}");
        let none = check_err(Ok::<_, ContractError>(1), ErrorKind::DeviceMismatch, "it");
        assert!(none.unwrap_err().reason().contains("succeeded"));
    }
}
