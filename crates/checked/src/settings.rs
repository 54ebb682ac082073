//! The environment variables: [`level`], [`report_file`].

use std::env;
use std::path::PathBuf;
use std::sync::OnceLock;

use gpu_stream_core::ErrorKind;

/// Turns the check on for backends that are chosen at run time.
pub(crate) const CHECK_VARIABLE: &str = "GPU_STREAM_CHECK";

/// Names the file that reports are written to.
pub(crate) const REPORT_VARIABLE: &str = "GPU_STREAM_CHECK_REPORT";

/// What the check prints.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// Errors and warnings: `GPU_STREAM_CHECK=1` or `warn`.
    Warning,
    /// Errors only: `GPU_STREAM_CHECK=error`.
    Error,
}

/// The value of `GPU_STREAM_CHECK`, if it is none that is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InvalidLevel {
    value: String,
}

impl std::fmt::Display for InvalidLevel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{CHECK_VARIABLE}={}: not one of 1, warn, error and 0; correct or unset the variable",
            self.value
        )
    }
}

impl std::error::Error for InvalidLevel {}

impl gpu_stream_core::Error for InvalidLevel {
    fn kind(&self) -> ErrorKind {
        ErrorKind::InvalidOptions
    }
}

/// Reads `GPU_STREAM_CHECK`. Returns `None` if it is unset, empty or `0`. The first answer is kept for the process.
///
/// # Errors
/// [`InvalidLevel`] for any other value than `1`, `warn`, `error` and `0`.
pub fn requested_level() -> Result<Option<Level>, InvalidLevel> {
    static REQUESTED: OnceLock<Result<Option<Level>, InvalidLevel>> = OnceLock::new();
    REQUESTED
        .get_or_init(|| parse(&env::var_os(CHECK_VARIABLE).unwrap_or_default().to_string_lossy()))
        .clone()
}

fn parse(value: &str) -> Result<Option<Level>, InvalidLevel> {
    match value {
        "" | "0" => Ok(None),
        "1" | "warn" => Ok(Some(Level::Warning)),
        "error" => Ok(Some(Level::Error)),
        _ => Err(InvalidLevel { value: value.to_owned() }),
    }
}

/// Returns what the check prints, if `GPU_STREAM_CHECK` says it.
pub(crate) fn level() -> Option<Level> {
    requested_level().ok().flatten()
}

/// Returns the file of `GPU_STREAM_CHECK_REPORT`, if the variable is set and not empty.
pub(crate) fn report_file() -> Option<PathBuf> {
    static FILE: OnceLock<Option<PathBuf>> = OnceLock::new();
    let read = || env::var_os(REPORT_VARIABLE).filter(|file| !file.is_empty()).map(PathBuf::from);
    FILE.get_or_init(read).clone()
}

#[cfg(test)]
mod tests {
    use super::{Level, parse};

    #[test]
    fn known_values_are_parsed_and_others_are_named() {
        assert_eq!(parse(""), Ok(None));
        assert_eq!(parse("0"), Ok(None));
        assert_eq!(parse("1"), Ok(Some(Level::Warning)));
        assert_eq!(parse("warn"), Ok(Some(Level::Warning)));
        assert_eq!(parse("error"), Ok(Some(Level::Error)));
        let text = parse("yes").unwrap_err().to_string();
        assert!(text.starts_with("GPU_STREAM_CHECK=yes: ") && text.contains("unset"), "{text}");
    }
}
