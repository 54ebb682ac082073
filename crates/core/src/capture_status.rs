//! The capture state of a stream: [`CaptureStatus`].

/// The capture state of a stream: a captured stream's work goes into a graph.
///
/// Origin:
/// [`cuStreamIsCapturing`](https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__STREAM.html).
#[doc(alias("CUstreamCaptureStatus", "cudaStreamCaptureStatus", "hipStreamCaptureStatus"))]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CaptureStatus {
    /// Not captured: work runs.
    #[doc(alias(
        "CU_STREAM_CAPTURE_STATUS_NONE",
        "cudaStreamCaptureStatusNone",
        "hipStreamCaptureStatusNone"
    ))]
    None,
    /// Captured: work goes into a graph and does not run.
    #[doc(alias(
        "CU_STREAM_CAPTURE_STATUS_ACTIVE",
        "cudaStreamCaptureStatusActive",
        "hipStreamCaptureStatusActive"
    ))]
    Active,
    /// Captured, but the capture is broken and has not been ended yet.
    #[doc(alias(
        "CU_STREAM_CAPTURE_STATUS_INVALIDATED",
        "cudaStreamCaptureStatusInvalidated",
        "hipStreamCaptureStatusInvalidated"
    ))]
    Invalidated,
}
