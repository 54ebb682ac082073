//! Options of streams and events, checked when they are built.

use crate::ContractError;

/// Options of a new stream, for [`Backend::new_stream`](crate::Backend::new_stream).
///
/// By default a new stream does not synchronize with the device's default stream. torch's own
/// streams do not either: both have the flag
/// [`CU_STREAM_NON_BLOCKING`](https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__STREAM.html).
/// [`blocking`](Self::blocking) changes that.
#[doc(alias(
    "cuStreamCreateWithPriority",
    "cudaStreamCreateWithFlags",
    "cudaStreamCreateWithPriority",
    "hipStreamCreateWithFlags",
    "hipStreamCreateWithPriority",
    "CU_STREAM_NON_BLOCKING",
    "cudaStreamNonBlocking",
    "hipStreamNonBlocking"
))]
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct StreamOptions {
    /// The priority: lower is more urgent, 0 is normal. See [`PriorityRange`].
    pub priority: i32,
    /// `true` if the stream and the default stream of its context wait for each other's work.
    pub blocking: bool,
}

impl StreamOptions {
    /// Creates options with normal priority, not blocking.
    pub const fn new() -> Self {
        StreamOptions { priority: 0, blocking: false }
    }

    /// Sets the priority. [`Backend::new_stream`](crate::Backend::new_stream) checks that the
    /// device has this priority.
    #[doc(alias(
        "cuStreamCreateWithPriority",
        "cudaStreamCreateWithPriority",
        "hipStreamCreateWithPriority"
    ))]
    #[must_use]
    pub const fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// Sets whether the stream is *blocking*.
    ///
    /// Work of a blocking stream runs after all earlier work of the default stream. Work of the
    /// default stream runs after all earlier work of every blocking stream. Two blocking streams
    /// have no order between them. The host backend has no such streams:
    /// [`Unsupported`](crate::ErrorKind::Unsupported).
    ///
    /// Origin: [`CU_STREAM_DEFAULT`](https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__STREAM.html),
    /// [`hipStreamDefault`](https://rocm.docs.amd.com/projects/HIP/en/latest/doxygen/html/group___stream.html).
    #[doc(alias(
        "CU_STREAM_DEFAULT",
        "cudaStreamDefault",
        "hipStreamDefault",
        "CU_STREAM_NON_BLOCKING",
        "cudaStreamNonBlocking",
        "hipStreamNonBlocking"
    ))]
    #[must_use]
    pub const fn blocking(mut self, on: bool) -> Self {
        self.blocking = on;
        self
    }
}

/// The priorities that a device has: from `least` urgent to `greatest` urgency. `greatest` is the
/// lower number.
///
/// Priority is a hint about which ready work runs first. It never changes order inside a stream or
/// across a wait.
///
/// Origin:
/// [`cuCtxGetStreamPriorityRange`](https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__CTX.html).
#[doc(alias(
    "cuCtxGetStreamPriorityRange",
    "cudaDeviceGetStreamPriorityRange",
    "hipDeviceGetStreamPriorityRange",
    "priority_range"
))]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PriorityRange {
    /// The number of the least urgent priority; 0 on CUDA, 1 on HIP.
    pub least: i32,
    /// The number of the most urgent priority; −5 on an H100, −1 on HIP.
    pub greatest: i32,
}

impl PriorityRange {
    /// Returns `Ok` if `priority` lies in the range. For backend authors.
    ///
    /// The vendors silently clamp a number outside it. Here it is an error, which names the range.
    ///
    /// # Errors
    /// [`InvalidOptions`](crate::ErrorKind::InvalidOptions).
    pub fn check(self, priority: i32, operation: &'static str) -> Result<(), ContractError> {
        if priority <= self.least && priority >= self.greatest {
            return Ok(());
        }
        Err(ContractError::InvalidPriority {
            operation,
            given: priority,
            least: self.least,
            greatest: self.greatest,
        })
    }
}

/// Options of a new event, for [`Backend::new_event`](crate::Backend::new_event).
///
/// [`EventOptions::new`] is for an event that only makes order, which is the cheapest.
/// [`EventOptions::timed`] is for one that also keeps the time. Other options come from the
/// [`builder`](Self::builder), which rejects contradictions before the first use:
///
/// ```
/// use gpu_stream_core::{Error as _, ErrorKind, EventOptions};
///
/// let for_order = EventOptions::new();
/// assert!(!for_order.is_timed());
///
/// let both = EventOptions::builder().timing(true).interprocess(true).build();
/// assert_eq!(both.unwrap_err().kind(), ErrorKind::InvalidOptions);
/// ```
///
/// Origin:
/// [`torch.cuda.Event`](https://docs.pytorch.org/docs/stable/generated/torch.cuda.Event.html),
/// whose defaults these are, and
/// [`cuEventCreate`](https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__EVENT.html).
#[doc(alias(
    "CU_EVENT_DEFAULT",
    "CU_EVENT_DISABLE_TIMING",
    "cudaEventCreateWithFlags",
    "cudaEventDefault",
    "cudaEventDisableTiming",
    "hipEventCreateWithFlags",
    "hipEventDefault",
    "hipEventDisableTiming",
    "enable_timing"
))]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct EventOptions {
    timing: bool,
    blocking: bool,
    interprocess: bool,
}

impl EventOptions {
    /// Creates options for an event that only makes order: no timing, a synchronize that may spin,
    /// for this process.
    pub const fn new() -> Self {
        EventOptions { timing: false, blocking: false, interprocess: false }
    }

    /// Creates options for an event that keeps the time at which its stream reached it.
    pub const fn timed() -> Self {
        EventOptions { timing: true, blocking: false, interprocess: false }
    }

    /// Starts from [`EventOptions::new`].
    pub const fn builder() -> EventOptionsBuilder {
        EventOptionsBuilder(EventOptions::new())
    }

    /// Returns `true` if the event keeps the time. [`elapsed_since`](crate::Event::elapsed_since)
    /// needs that of both events.
    pub const fn is_timed(self) -> bool {
        self.timing
    }

    /// Returns `true` if [`Event::synchronize`](crate::Event::synchronize) puts the thread to sleep
    /// at once instead of spinning.
    pub const fn is_blocking(self) -> bool {
        self.blocking
    }

    /// Returns `true` if the event may be shared with another process.
    pub const fn is_interprocess(self) -> bool {
        self.interprocess
    }
}

/// Collects [`EventOptions`]; [`build`](Self::build) checks them.
#[derive(Clone, Copy, Default, Debug)]
#[must_use = "nothing is checked before `build`"]
pub struct EventOptionsBuilder(EventOptions);

impl EventOptionsBuilder {
    /// Sets whether the event keeps the time. Off by default.
    #[doc(alias(
        "CU_EVENT_DISABLE_TIMING",
        "cudaEventDisableTiming",
        "hipEventDisableTiming",
        "enable_timing"
    ))]
    pub const fn timing(mut self, on: bool) -> Self {
        self.0.timing = on;
        self
    }

    /// Sets whether [`Event::synchronize`](crate::Event::synchronize) sleeps instead of spinning.
    /// Off by default. It changes nothing else.
    #[doc(alias("CU_EVENT_BLOCKING_SYNC", "cudaEventBlockingSync", "hipEventBlockingSync"))]
    pub const fn blocking(mut self, on: bool) -> Self {
        self.0.blocking = on;
        self
    }

    /// Sets whether the event can be shared with another process. Off by default, and not allowed
    /// together with timing.
    ///
    /// Only CUDA has such events, and HIP on an NVIDIA GPU. Creating one returns
    /// [`Unsupported`](crate::ErrorKind::Unsupported) on AMD's runtime, on OpenCL and on the host.
    #[doc(alias("CU_EVENT_INTERPROCESS", "cudaEventInterprocess", "hipEventInterprocess"))]
    pub const fn interprocess(mut self, on: bool) -> Self {
        self.0.interprocess = on;
        self
    }

    /// Returns the options, if they do not contradict each other.
    ///
    /// # Errors
    /// [`InvalidOptions`](crate::ErrorKind::InvalidOptions): interprocess needs timing off, on
    /// every vendor. torch reports that at the first record.
    pub const fn build(self) -> Result<EventOptions, ContractError> {
        if self.0.interprocess && self.0.timing {
            return Err(ContractError::InterprocessTiming);
        }
        Ok(self.0)
    }
}
