//! The time limit of a test: [`limit`].

use std::time::Duration;

/// The environment variable with the limit in seconds.
pub const VARIABLE: &str = "GPU_STREAM_TESTKIT_LIMIT";

/// The limit if the variable is not set: far more than a test needs.
const DEFAULT: Duration = Duration::from_secs(60);

/// Returns the time limit of a test.
///
/// # Errors
/// A text that names the value, if it is not a number of seconds above 0.
pub fn limit() -> Result<Duration, String> {
    match std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
        None => Ok(DEFAULT),
        Some(value) => parse(&value.to_string_lossy()),
    }
}

fn parse(text: &str) -> Result<Duration, String> {
    let seconds = text.trim().parse().ok().filter(|&seconds: &f64| seconds > 0.0);
    seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).ok_or_else(|| {
        format!("{VARIABLE}={text}: give the time limit of a test in seconds, as in {VARIABLE}=60")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_is_a_number_of_seconds() {
        assert_eq!(parse("2"), Ok(Duration::from_secs(2)));
        assert_eq!(parse(" 0.5 "), Ok(Duration::from_millis(500)));
        for wrong in ["0", "-1", "1m", "inf", "NaN", "1e300"] {
            let text = parse(wrong).unwrap_err();
            assert!(text.starts_with(&format!("GPU_STREAM_TESTKIT_LIMIT={wrong}: ")), "{text}");
        }
    }
}
