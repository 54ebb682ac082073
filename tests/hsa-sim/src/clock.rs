//! The one clock of the simulated machine: the system's monotonic clock, in nanoseconds.

/// Ticks in a second, as `HSA_SYSTEM_INFO_TIMESTAMP_FREQUENCY` tells.
pub const FREQUENCY: u64 = 1_000_000_000;

/// Nanoseconds of `CLOCK_MONOTONIC`, which is the clock that HIP compares device times with.
pub fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a timespec that may be written.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * FREQUENCY + time.tv_nsec as u64
}
