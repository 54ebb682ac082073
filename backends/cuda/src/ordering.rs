//! What CUDA provides to order streams: the fast path of `wait_stream`, `fork` and `join`.
//!
//! `gpu_stream_driver_common::ordering` has the algorithm. On the fast path both streams are explicit and without a
//! fault, and the source's primary context is known or assumed. The driver makes one call beside the record and the wait:
//! it tells whether the waiter is being captured. An unknown context is assumed to be the device's primary one; the driver
//! rejects the record if it is not. A capture of the source does not matter to a scratch event: no caller can query it,
//! and it is recorded again before the next wait for it.

use std::ops::ControlFlow;

use gpu_stream_core::RawEvent;
use gpu_stream_driver_common::captures::check_streams;
use gpu_stream_driver_common::ordering::{self, ScratchEvents, StreamOrdering, StreamPair};
use gpu_stream_driver_common::{EventOps, RecordCoalescer};

use crate::driver::capture;
use crate::driver::check::check;
use crate::driver::code::CudaCode;
use crate::driver::loaded;
use crate::driver::primary::PrimaryContext;
use crate::driver::symbols::Ptr;
use crate::{Cuda, CudaError, CudaEvent, CudaStream};

/// Makes `waiter` wait for all work that was submitted to `source`.
// Not generic, so that the fast path is compiled once, in this crate.
pub(crate) fn wait_stream(waiter: &CudaStream, source: &CudaStream) -> Result<(), CudaError> {
    ordering::wait_stream::<CudaOrdering>(waiter, source)
}

/// What CUDA provides for `wait_stream`, `fork` and `join`.
pub(crate) enum CudaOrdering {}

impl StreamOrdering for CudaOrdering {
    type Stream = CudaStream;
    type Events = &'static PrimaryContext;
    type Pair<'a> = Pair<'a>;

    #[inline]
    fn is_same_stream(waiter: &CudaStream, source: &CudaStream) -> bool {
        waiter.is_same_stream(source)
    }

    /// Returns `true` if both streams are explicit and without a fault.
    ///
    /// # Errors
    /// `waiter` is being captured, and `source` is not part of that capture.
    #[inline]
    fn is_fast(
        waiter: &CudaStream,
        source: &CudaStream,
        operation: &'static str,
    ) -> Result<bool, CudaError> {
        // No driver is loaded in the child of a fork, although the context is known there.
        let (true, true, Some(driver)) = (source.is_plain(), waiter.is_plain(), loaded()) else {
            return Ok(false);
        };
        // SAFETY: `waiter` keeps its stream alive.
        if unsafe { capture::may_be_capturing(&driver.symbols, waiter.as_ptr()) } {
            check_streams(waiter, source, operation)?;
        }
        Ok(true)
    }

    /// Returns the source's primary context, which is known or assumed.
    #[inline]
    fn scratch_events(source: &CudaStream) -> Option<&'static PrimaryContext> {
        source.known_or_assumed_primary()
    }

    #[inline]
    fn pair<'a>(
        waiter: &'a CudaStream,
        source: &'a CudaStream,
        primary: &'static PrimaryContext,
    ) -> Pair<'a> {
        Pair { waiter, source, primary }
    }

    fn prepare_slow(
        waiter: &CudaStream,
        source: &CudaStream,
        operation: &'static str,
    ) -> Result<ControlFlow<()>, CudaError> {
        check_streams(waiter, source, operation).map(|_| ControlFlow::Continue(()))
    }

    fn record_event_slow(
        source: &CudaStream,
        operation: &'static str,
    ) -> Result<CudaEvent, CudaError> {
        source.record_event_slow(operation)
    }

    fn wait_event_slow(
        waiter: &CudaStream,
        event: &CudaEvent,
        operation: &'static str,
    ) -> Result<(), CudaError> {
        waiter.wait_event_slow(event, operation)
    }
}

/// Why the fast path did not order the streams.
#[derive(Clone, Copy)]
pub(crate) enum FastPathError {
    /// No scratch event is available.
    NoEvent,
    /// The driver rejected the record.
    Record(CudaCode),
    /// The driver rejected the wait.
    Wait(CudaCode),
}

/// Two explicit streams, of which one waits for the other, and the primary context of the source.
pub(crate) struct Pair<'a> {
    waiter: &'a CudaStream,
    source: &'a CudaStream,
    primary: &'static PrimaryContext,
}

fn pointer(event: usize) -> Ptr {
    RawEvent::<Cuda>::from_bits(event).as_ptr()
}

impl EventOps for Pair<'_> {
    type Error = FastPathError;

    fn acquire(&self) -> Result<usize, FastPathError> {
        let scratch = self.primary.acquire_scratch("acquiring an event");
        scratch.map(RawEvent::to_bits).map_err(|_| FastPathError::NoEvent)
    }

    fn release(&self, event: usize) {
        self.primary.release(event);
    }

    fn can_coalesce(&self) -> bool {
        let symbols = self.primary.symbols;
        // SAFETY: `self.source` keeps its stream alive.
        let checked = unsafe {
            capture::ensure_not_capturing(symbols, self.source.as_ptr(), "Stream::wait_stream")
        };
        checked.is_ok()
    }

    #[inline]
    fn record(&self, event: usize) -> Result<(), FastPathError> {
        let record = self.primary.symbols.event_record;
        // SAFETY:
        // - `self.source` keeps its stream alive.
        // - The scratch event is alive, and no other thread uses it now.
        // - If their contexts differ, the driver returns an error.
        let code = unsafe { record(pointer(event), self.source.as_ptr()) };
        if code == CudaCode::SUCCESS { Ok(()) } else { Err(FastPathError::Record(code)) }
    }

    #[inline]
    fn wait(&self, event: usize) -> Result<(), FastPathError> {
        let wait = self.primary.symbols.stream_wait_event;
        // SAFETY:
        // - `self.waiter` keeps its stream alive.
        // - The scratch event is alive and recorded. It may belong to any context.
        // - The flags must be 0.
        let code = unsafe { wait(self.waiter.as_ptr(), pointer(event), 0) };
        if code == CudaCode::SUCCESS { Ok(()) } else { Err(FastPathError::Wait(code)) }
    }
}

impl StreamPair for Pair<'_> {
    type Stream = CudaStream;
    type Events = &'static PrimaryContext;

    #[inline]
    fn events(&self) -> &'static PrimaryContext {
        self.primary
    }

    #[inline]
    fn coalescer(&self) -> &RecordCoalescer {
        &self.primary.coalescer
    }

    #[inline]
    fn source_bits(&self) -> usize {
        self.source.bits()
    }

    #[inline]
    fn record_accepted(&self) {
        self.source.learn_context(self.primary);
    }

    /// Returns `false`: the driver never keeps the event of a failed record.
    fn is_lost(_: FastPathError) -> bool {
        false
    }

    #[cold]
    fn explain(&self, error: FastPathError, operation: &'static str) -> Option<CudaError> {
        let (code, function) = match error {
            FastPathError::NoEvent => return None,
            FastPathError::Record(code) => (code, "cuEventRecord"),
            FastPathError::Wait(code) => (code, "cuStreamWaitEvent"),
        };
        if code.is_for_slow_path() { None } else { check(code, operation, function).err() }
    }
}

impl ScratchEvents for &'static PrimaryContext {
    #[inline]
    fn is_same(self, other: Self) -> bool {
        std::ptr::eq(self, other)
    }

    fn release(self, event: usize) {
        self.release_scratch(RawEvent::from_bits(event));
    }
}
