//! The settings, which come from the environment and are read once.

use std::env;
use std::num::NonZero;
use std::thread;

use crate::HostError;

/// The most logical devices, and the most threads, that one may ask for.
const MOST: u32 = 1024;

pub(crate) struct Config {
    pub(crate) devices: u32,
    pub(crate) threads: u32,
    /// Whether a thread that synchronizes runs the stream itself.
    pub(crate) help: bool,
}

impl Config {
    pub(crate) fn from_environment() -> Result<Self, HostError> {
        // Two threads at least, so that one task that blocks does not stop everything.
        let cores = thread::available_parallelism().map_or(2, NonZero::get);
        let cores = u32::try_from(cores).unwrap_or(MOST).clamp(2, MOST);
        Ok(Config {
            devices: number("GPU_STREAM_HOST_DEVICES", 1..=MOST)?.unwrap_or(2),
            threads: number("GPU_STREAM_HOST_THREADS", 1..=MOST)?.unwrap_or(cores),
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
