//! How a stream or an event is to be made: options that are checked when they are built.

use crate::ContractError;

/// How to make a stream: [`Backend::new_stream`](crate::Backend::new_stream).
///
/// A new stream does not synchronise with the device's default stream, as
/// [`CU_STREAM_NON_BLOCKING`](https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__STREAM.html)
/// has it and as torch makes its own. [`blocking`](Self::blocking) makes one that does.
#[doc(alias("cuStreamCreateWithPriority", "hipStreamCreateWithPriority"))]
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct StreamOptions {
    /// How urgent: lower is more urgent, 0 is normal. See [`PriorityRange`].
    pub priority: i32,
    /// Whether the stream and the default stream of its context wait for each other's work.
    pub blocking: bool,
}

impl StreamOptions {
    /// Normal priority, not blocking.
    pub const fn new() -> Self {
        StreamOptions { priority: 0, blocking: false }
    }

    /// The same with this priority. Whether the device has it is checked when the stream is made.
    #[must_use]
    pub const fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// The same, *blocking* or not.
    ///
    /// Work of a blocking stream runs after all earlier work of the default stream, and work of the
    /// default stream after all earlier work of every blocking stream. Two blocking streams have no
    /// order between them. The host backend has no such streams:
    /// [`Unsupported`](crate::ErrorKind::Unsupported).
    ///
    /// Origin: [`CU_STREAM_DEFAULT`](https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__STREAM.html),
    /// [`hipStreamDefault`](https://rocm.docs.amd.com/projects/HIP/en/latest/doxygen/html/group___stream.html).
    #[doc(alias("CU_STREAM_DEFAULT", "cudaStreamDefault", "hipStreamDefault"))]
    #[must_use]
    pub const fn blocking(mut self, on: bool) -> Self {
        self.blocking = on;
        self
    }
}

/// The priorities that a device has: from `least` urgent to `greatest`, and `greatest` is the lower
/// number.
///
/// Priority is a hint about which ready work runs first. It never changes order inside a stream or
/// across a wait.
///
/// Origin:
/// [`cuCtxGetStreamPriorityRange`](https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__CTX.html).
#[doc(alias("cuCtxGetStreamPriorityRange", "hipDeviceGetStreamPriorityRange"))]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PriorityRange {
    /// The number of the least urgent priority; 0 on CUDA, 1 on HIP.
    pub least: i32,
    /// The number of the most urgent priority; −5 on an H100, −1 on HIP.
    pub greatest: i32,
}

impl PriorityRange {
    /// For backend authors: `Ok` if `priority` lies in the range.
    ///
    /// The vendors clamp a number outside it without a word; here it is an error, which names the
    /// range.
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

/// How to make an event: [`Backend::new_event`](crate::Backend::new_event).
///
/// [`EventOptions::new`] is an event for order alone, which is the cheapest;
/// [`EventOptions::timed`] one that also keeps the time. Anything else is built, and what
/// contradicts itself is refused there and not at the first use:
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
#[doc(alias("CU_EVENT_DISABLE_TIMING", "hipEventDisableTiming", "enable_timing"))]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct EventOptions {
    timing: bool,
    blocking: bool,
    interprocess: bool,
}

impl EventOptions {
    /// An event for order alone: no timing, a synchronize that may spin, for this process.
    pub const fn new() -> Self {
        EventOptions { timing: false, blocking: false, interprocess: false }
    }

    /// An event that keeps the time at which its stream reached it.
    pub const fn timed() -> Self {
        EventOptions { timing: true, blocking: false, interprocess: false }
    }

    /// Starts from [`EventOptions::new`].
    pub const fn builder() -> EventOptionsBuilder {
        EventOptionsBuilder(EventOptions::new())
    }

    /// Whether the event keeps the time, which [`elapsed_since`](crate::Event::elapsed_since) needs
    /// of both.
    pub const fn is_timed(self) -> bool {
        self.timing
    }

    /// Whether [`Event::synchronize`](crate::Event::synchronize) puts the thread to sleep at once
    /// instead of spinning.
    pub const fn is_blocking(self) -> bool {
        self.blocking
    }

    /// Whether the event may be shared with another process.
    pub const fn is_interprocess(self) -> bool {
        self.interprocess
    }
}

/// Collects [`EventOptions`]; [`build`](Self::build) checks them.
#[derive(Clone, Copy, Default, Debug)]
#[must_use = "nothing is checked before `build`"]
pub struct EventOptionsBuilder(EventOptions);

impl EventOptionsBuilder {
    /// Keep the time; off by default.
    #[doc(alias = "enable_timing")]
    pub const fn timing(mut self, on: bool) -> Self {
        self.0.timing = on;
        self
    }

    /// Sleep in [`Event::synchronize`](crate::Event::synchronize) instead of spinning; off by
    /// default. It changes nothing else.
    #[doc(alias("CU_EVENT_BLOCKING_SYNC", "hipEventBlockingSync"))]
    pub const fn blocking(mut self, on: bool) -> Self {
        self.0.blocking = on;
        self
    }

    /// Allow the event to be shared with another process; off by default, and not together with
    /// timing.
    #[doc(alias("CU_EVENT_INTERPROCESS", "hipEventInterprocess"))]
    pub const fn interprocess(mut self, on: bool) -> Self {
        self.0.interprocess = on;
        self
    }

    /// The options, if they go together.
    ///
    /// # Errors
    /// [`InvalidOptions`](crate::ErrorKind::InvalidOptions): interprocess needs timing off, on
    /// every vendor. torch finds that out at the first record.
    pub const fn build(self) -> Result<EventOptions, ContractError> {
        if self.0.interprocess && self.0.timing {
            return Err(ContractError::InterprocessTiming);
        }
        Ok(self.0)
    }
}
