//! The settings of the executor: [`Config`].

use std::env;
use std::num::NonZero;
use std::thread;

use crate::HostError;

/// The maximum number of logical devices, and of threads.
const MAX: u32 = 1024;

/// The settings, read once from environment variables.
pub(crate) struct Config {
    /// The number of logical devices.
    pub(crate) devices: u32,
    /// The number of worker threads.
    pub(crate) threads: u32,
    /// `true` if a thread in `synchronize` runs the stream itself.
    pub(crate) help: bool,
}

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    /// [`HostError::InvalidSetting`] if a variable is not a number in its range.
    pub(crate) fn from_environment() -> Result<Self, HostError> {
        // At least two threads, so that one task that blocks does not stop all streams.
        let cores = thread::available_parallelism().map_or(2, NonZero::get);
        let cores = u32::try_from(cores).unwrap_or(MAX).clamp(2, MAX);
        Ok(Config {
            devices: number("GPU_STREAM_HOST_DEVICES", 1..=MAX)?.unwrap_or(2),
            threads: number("GPU_STREAM_HOST_THREADS", 1..=MAX)?.unwrap_or(cores),
            help: number("GPU_STREAM_HOST_HELP", 0..=1)?.unwrap_or(1) == 1,
        })
    }
}

fn number(
    variable: &'static str,
    range: std::ops::RangeInclusive<u32>,
) -> Result<Option<u32>, HostError> {
    let Some(value) = env::var_os(variable) else { return Ok(None) };
    let parsed = value.to_str().and_then(|text| text.trim().parse().ok());
    match parsed {
        Some(number) if range.contains(&number) => Ok(Some(number)),
        _ => Err(HostError::InvalidSetting {
            variable,
            value: value.to_string_lossy().into_owned(),
            least: *range.start(),
            most: *range.end(),
        }),
    }
}
