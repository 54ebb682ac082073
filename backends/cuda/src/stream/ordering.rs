//! What CUDA provides to order streams: the fast path of `wait_stream`, `fork` and `join`.
//!
//! `gpu_stream_driver_common::ordering` has the algorithm. On the fast path both streams are explicit and without a
//! fault, and the source's primary context is known or assumed. The driver makes one call beside the record and the wait:
//! it tells whether the waiter is being captured. An unknown context is assumed to be the device's primary one; the driver
//! rejects the record if it is not. A capture of the source does not matter to a scratch event: no caller can query it,
//! and it is recorded again before the next wait for it.

use std::ops::ControlFlow;

use gpu_stream_core::RawEvent;
use gpu_stream_driver_common::captures::{CaptureStream, Membership, check_streams};
use gpu_stream_driver_common::ordering::{ScratchEvents, StreamOrdering, StreamPair};
use gpu_stream_driver_common::{EventOps, RecordCoalescer};

use crate::driver::{PrimaryContext, Ptr, driver_error, loaded, may_be_capturing};
use crate::error::{BoxedError, Result};
use crate::{Cuda, CudaCode, CudaError, CudaEvent, CudaStream};

/// What CUDA provides for `wait_stream`, `fork` and `join`.
pub(crate) enum CudaOrdering {}

impl StreamOrdering for CudaOrdering {
    type Stream = CudaStream;
    type Events = &'static PrimaryContext;
    type Pair<'a> = CudaPair<'a>;

    #[inline]
    fn is_same_stream(waiter: &CudaStream, source: &CudaStream) -> bool {
        waiter.is_same_stream(source)
    }

    /// Returns `true` if both streams are explicit and without a fault.
    ///
    /// # Errors
    /// `waiter` is being captured, and `source` is not part of that capture.
    // Inlined, because its result is large otherwise, and returned in memory.
    #[inline(always)]
    fn is_fast(
        waiter: &CudaStream,
        source: &CudaStream,
        operation: &'static str,
    ) -> Result<bool, CudaError> {
        // No driver is loaded in the child of a fork, although the context is known there.
        let (true, Some(driver)) = (CudaStream::are_plain(waiter, source), loaded()) else {
            return Ok(false);
        };
        // SAFETY: `waiter` keeps its stream alive.
        if unsafe { may_be_capturing(&driver.symbols, waiter.as_ptr()) } {
            check_streams(&CaptureMember(waiter), &CaptureMember(source), operation)?;
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
    ) -> CudaPair<'a> {
        CudaPair { waiter, source, primary }
    }

    fn prepare_slow(
        waiter: &CudaStream,
        source: &CudaStream,
        operation: &'static str,
    ) -> Result<ControlFlow<()>, CudaError> {
        check_streams(&CaptureMember(waiter), &CaptureMember(source), operation)?;
        Ok(ControlFlow::Continue(()))
    }

    fn record_event_slow(
        source: &CudaStream,
        operation: &'static str,
    ) -> Result<CudaEvent, CudaError> {
        Ok(source.record_event_slow(operation)?)
    }

    fn wait_event_slow(
        waiter: &CudaStream,
        event: &CudaEvent,
        operation: &'static str,
    ) -> Result<(), CudaError> {
        Ok(waiter.wait_event_slow(event, operation)?)
    }
}

/// A stream and its capture, for the rules that all backends share.
struct CaptureMember<'s>(&'s CudaStream);

impl CaptureStream for CaptureMember<'_> {
    type Capture = u64;
    type Error = BoxedError;

    fn bits(&self) -> usize {
        self.0.bits()
    }

    fn is_default(&self) -> bool {
        self.0.is_default()
    }

    fn membership(&self, operation: &'static str) -> Result<Membership<u64>> {
        // SAFETY: the stream is borrowed, and `with_current` sets the context that a default one needs.
        self.0.with_current(operation, |call, raw| unsafe { call.membership(raw) })
    }

    fn is_same(capture: &u64, other: &u64) -> bool {
        capture == other
    }
}

/// The driver's answer to a record or a wait on the fast path, and the function that gave it.
#[derive(Clone, Copy)]
pub(crate) struct FastPathError(CudaCode, &'static str);

/// Two explicit streams, of which one waits for the other, and the primary context of the source.
pub(crate) struct CudaPair<'a> {
    waiter: &'a CudaStream,
    source: &'a CudaStream,
    primary: &'static PrimaryContext,
}

fn pointer(event: usize) -> Ptr {
    RawEvent::<Cuda>::from_bits(event).as_ptr()
}

impl EventOps for CudaPair<'_> {
    type Error = FastPathError;

    fn acquire(&self) -> Result<usize, FastPathError> {
        let scratch = self.primary.acquire_scratch();
        // The slow path has the better error.
        let error = FastPathError(CudaCode::INVALID_CONTEXT, "cuEventCreate");
        scratch.map(RawEvent::to_bits).map_err(|_| error)
    }

    fn release(&self, event: usize) {
        self.primary.release(event);
    }

    fn can_coalesce(&self) -> bool {
        let call = self.primary.call("Stream::wait_stream");
        // SAFETY: `self.source` keeps its stream alive.
        unsafe { call.ensure_not_capturing(self.source.as_ptr()) }.is_ok()
    }

    #[inline]
    fn record(&self, event: usize) -> Result<(), FastPathError> {
        let record = self.primary.symbols().event_record;
        // SAFETY:
        // - `self.source` keeps its stream alive.
        // - The scratch event is alive, and no other thread uses it now.
        // - If their contexts differ, the driver returns an error.
        let code = unsafe { record(pointer(event), self.source.as_ptr()) };
        if code == CudaCode::SUCCESS { Ok(()) } else { Err(FastPathError(code, "cuEventRecord")) }
    }

    #[inline]
    fn wait(&self, event: usize) -> Result<(), FastPathError> {
        let wait = self.primary.symbols().stream_wait_event;
        // SAFETY:
        // - `self.waiter` keeps its stream alive.
        // - The scratch event is alive and recorded. It may belong to any context.
        // - The flags must be 0.
        let code = unsafe { wait(self.waiter.as_ptr(), pointer(event), 0) };
        if code == CudaCode::SUCCESS {
            Ok(())
        } else {
            Err(FastPathError(code, "cuStreamWaitEvent"))
        }
    }
}

impl StreamPair for CudaPair<'_> {
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
        let FastPathError(code, function) = error;
        (!code.is_for_slow_path()).then(|| driver_error(code, operation, function).into())
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
