//! What differs between versions of the runtime, in one place: [`Quirks`].
//!
//! Versions are numbers such as 70253211 for 7.2.53211. HIP's NVIDIA platform reports CUDA's version, 12090 for instance,
//! and behaves as CUDA does. `docs/internals/hip-quirks.md` is the table of these exceptions, with the code that each
//! changes.

use std::ffi::{c_int, c_uint};

use crate::error::is_on_cuda;

/// The oldest runtime that this crate was tried with: 5.2.
pub(super) const OLDEST: c_int = 50_200_000;

/// The lowest version number of a runtime of AMD's with these functions. CUDA's numbers are lower still.
pub(super) const OLDEST_OF_AMD: c_int = 30_000_000;

/// `hipEventReleaseToSystem`: the work before the record is visible to the host when the event is done, also in memory
/// that is not coherent. HIP's documents promise less of an event without it.
pub(crate) const RELEASE_TO_SYSTEM: c_uint = 0x8000_0000;

/// How a version of the runtime differs from others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Quirks {
    /// Flags for each event: [`RELEASE_TO_SYSTEM`]. 0 on HIP's NVIDIA platform, which has no such flag and always
    /// behaves so.
    pub(crate) event_flags: c_uint,
    /// The functions that need the capture mode *relaxed*.
    pub(crate) unsafe_calls: UnsafeCalls,
    /// A query of an event breaks a capture of the stream that recorded it, also if the record was made before the
    /// capture began. 6.4; not 5.7, and not 7.2.
    pub(crate) query_breaks_captures: bool,
    /// A capture keeps a pointer to an event that was recorded in it and destroyed since. It writes to the event when it
    /// ends. Up to 5.4.
    pub(crate) captures_keep_destroyed: bool,
    /// A wait for an event that was recorded in a capture, and outside since, draws the waiting stream into that capture
    /// while it goes on. Up to 5.6.
    pub(crate) captures_keep_recorded: bool,
    /// `hipStreamDestroy` waits for the hardware queue, also if the stream is idle and another stream that shares the
    /// queue is held back. 5.7 always, 5.2 at times.
    pub(crate) destroy_waits: bool,
    /// `hipStreamIsCapturing` and `hipStreamQuery` follow the handle of a destroyed stream. From 7.0 on;
    /// `hipStreamGetDevice` validates the handle in every version.
    pub(crate) follows_stale: bool,
    /// A wait inside of one capture adds nodes to the waiting stream's, instead of giving the runtime an event: some
    /// shapes of such waits end the process. From 5.7 on.
    pub(crate) adds_dependencies: bool,
    /// The runtime itself refuses a wait that a capture cannot hold. HIP's NVIDIA platform alone.
    pub(crate) refuses_isolated_waits: bool,
}

/// The functions that are unsafe beside a capture, so that they need [`CaptureModeGuard`](super::CaptureModeGuard).
///
/// AMD's runtime checks few functions, and more with each version. HIP's NVIDIA platform checks all that CUDA does. The
/// table of the test `capture_probe` lists them one by one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct UnsafeCalls {
    /// `hipStreamQuery`. Up to 5.7 the mode makes no difference to it: beside a capture 5.2 answers, and 5.7 refuses and
    /// breaks nothing.
    pub(crate) stream_query: bool,
    /// `hipEventQuery`: from 7.0 on.
    pub(crate) event_query: bool,
    /// All others that were found to be unsafe on any version.
    pub(crate) others: bool,
}

impl Quirks {
    pub(super) const fn of(version: c_int) -> Self {
        let is_amd = !is_on_cuda(version);
        // In a version that was not tried, all calls are unsafe.
        let is_tried = version >= 50_000_000 && version < 70_300_000;
        Quirks {
            event_flags: if is_amd { RELEASE_TO_SYSTEM } else { 0 },
            unsafe_calls: UnsafeCalls {
                stream_query: !is_tried || version >= 60_000_000,
                event_query: !is_tried || version >= 70_000_000,
                others: !is_tried,
            },
            query_breaks_captures: version >= 60_000_000 && version < 70_200_000,
            captures_keep_destroyed: is_amd && version < 50_500_000,
            captures_keep_recorded: is_amd && version < 50_700_000,
            destroy_waits: is_amd && version < 60_000_000,
            follows_stale: version >= 70_000_000,
            adds_dependencies: is_amd && version >= 50_700_000,
            refuses_isolated_waits: !is_amd,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_calls_are_all_functions_for_an_untried_version() {
        for (version, expected) in [
            (50_221_153, [false, false, false]),
            (50_731_921, [false, false, false]),
            (60_443_484, [true, false, false]),
            (70_253_211, [true, true, false]),
            (70_300_000, [true, true, true]),
            (80_000_000, [true, true, true]),
            (12_090, [true, true, true]),
        ] {
            let UnsafeCalls { stream_query, event_query, others } =
                Quirks::of(version).unsafe_calls;
            assert_eq!([stream_query, event_query, others], expected, "{version}");
        }
    }

    #[test]
    fn cuda_has_none_of_amds_quirks() {
        let quirks = Quirks::of(12_090);
        assert_eq!(quirks.event_flags, 0);
        assert!(!quirks.captures_keep_destroyed && !quirks.captures_keep_recorded);
        assert!(!quirks.destroy_waits && !quirks.follows_stale);
        assert!(!quirks.adds_dependencies);
    }
}
