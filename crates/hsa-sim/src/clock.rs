//! The only clock of the simulated machine: the system's monotonic clock, in nanoseconds.

/// Ticks in a second, as `HSA_SYSTEM_INFO_TIMESTAMP_FREQUENCY` reports.
pub const FREQUENCY: u64 = 1_000_000_000;

/// Returns the nanoseconds of `CLOCK_MONOTONIC`, the clock with which HIP compares device times.
pub fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `&mut time` is a valid out-pointer.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * FREQUENCY + time.tv_nsec as u64
}
