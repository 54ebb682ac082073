//! What HIP provides to order streams: the fast path of `wait_stream`, `fork` and `join`.
//!
//! `gpu_stream_driver_common::ordering` has the algorithm. On the fast path both streams are explicit, are not captured,
//! and have no fault. AMD's `hipStreamWaitEvent` does not look at the waiting stream: a captured one would lose the order.
//! And it keeps the event of a captured source. So both are checked, unless a stream [cannot be
//! captured](gpu_stream_driver_common::captures::Capturable). HIP's NVIDIA platform keeps no events, as CUDA does not:
//! there the source is not checked, and may make the waiting stream part of its capture.
//!
//! HIP's events point to the stream of their last record, and a wait follows that pointer. The call borrows the
//! source, which keeps it alive. Threads that share the record borrow the same source. After the call the pointer may
//! dangle, and the event is only recorded again or destroyed.

use std::ops::ControlFlow;

use gpu_stream_core::RawEvent;
use gpu_stream_driver_common::ordering::{self, ScratchEvents, StreamOrdering, StreamPair};
use gpu_stream_driver_common::{EventOps, RecordCoalescer};

use super::wait::wait_error;
use crate::code::HipCode;
use crate::driver::symbols::Ptr;
use crate::driver::{DeviceState, Driver, loaded};
use crate::pool::{self, PooledEvent};
use crate::{Hip, HipError, HipEvent, HipStream};

/// Makes `waiter` wait for all work that was submitted to `source`.
// Not generic, so that the fast path is compiled once, in this crate.
pub(crate) fn wait_stream(waiter: &HipStream, source: &HipStream) -> Result<(), HipError> {
    ordering::wait_stream::<HipOrdering>(waiter, source)
}

/// What HIP provides for `wait_stream`, `fork` and `join`.
pub(crate) enum HipOrdering {}

impl StreamOrdering for HipOrdering {
    type Stream = HipStream;
    type Events = DeviceEvents;
    type Pair<'a> = HipPair<'a>;

    #[inline]
    fn is_same_stream(waiter: &HipStream, source: &HipStream) -> bool {
        waiter.is_same_stream(source)
    }

    #[inline]
    fn is_fast(waiter: &HipStream, source: &HipStream, _: &'static str) -> Result<bool, HipError> {
        let Some(driver) = waiter.try_waiter_fast() else { return Ok(false) };
        Ok(if driver.quirks.refuses_isolated_waits {
            waiter.follow_unchecked(source);
            source.fast_driver().is_some()
        } else {
            source.try_source_fast().is_some()
        })
    }

    #[inline]
    fn is_fast_branch(
        branch: &HipStream,
        source: &HipStream,
        _: &'static str,
    ) -> Result<bool, HipError> {
        let Some(driver) = branch.try_waiter_fast() else { return Ok(false) };
        if driver.quirks.refuses_isolated_waits {
            branch.follow_unchecked(source);
        }
        Ok(source.fast_driver().is_some())
    }

    #[inline]
    fn is_fast_source(
        waiter: &HipStream,
        source: &HipStream,
        operation: &'static str,
    ) -> Result<bool, HipError> {
        match waiter.fast_driver() {
            // A source that is not checked may have made the waiter part of its capture.
            Some(driver) if driver.quirks.refuses_isolated_waits => {
                Self::is_fast(waiter, source, operation)
            }
            Some(_) => Ok(source.try_source_fast().is_some()),
            None => Ok(false),
        }
    }

    #[inline]
    fn scratch_events(source: &HipStream) -> Option<DeviceEvents> {
        let (driver, ordinal) = (loaded()?, source.ordinal());
        Some(DeviceEvents { driver, ordinal, device: driver.device_state(ordinal)? })
    }

    #[inline]
    fn pair<'a>(waiter: &'a HipStream, source: &'a HipStream, events: DeviceEvents) -> HipPair<'a> {
        HipPair { waiter, source, events }
    }

    /// Returns `Break` if both streams are in one capture, and its nodes order them by now.
    fn prepare_slow(
        waiter: &HipStream,
        source: &HipStream,
        operation: &'static str,
    ) -> Result<ControlFlow<()>, HipError> {
        Ok(match waiter.wait_in_capture(source, operation)? {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        })
    }

    fn record_event_slow(
        source: &HipStream,
        operation: &'static str,
    ) -> Result<HipEvent, HipError> {
        source.record_event_slow(operation)
    }

    fn wait_event_slow(
        waiter: &HipStream,
        event: &HipEvent,
        operation: &'static str,
    ) -> Result<(), HipError> {
        waiter.wait_event_slow(event, operation)
    }
}

/// The scratch events of a device.
#[derive(Clone, Copy)]
pub(crate) struct DeviceEvents {
    driver: &'static Driver,
    ordinal: u32,
    device: &'static DeviceState,
}

impl ScratchEvents for DeviceEvents {
    #[inline]
    fn is_same(self, other: Self) -> bool {
        std::ptr::eq(self.device, other.device)
    }

    #[inline]
    fn release(self, event: usize) {
        pool::give(self.driver, self.ordinal, RawEvent::from_bits(event));
    }
}

/// The runtime's answer to a record or a wait on the fast path, and the function that gave it. There is no answer without
/// a scratch event.
#[derive(Clone, Copy)]
pub(crate) struct FastPathError(Option<HipCode>, &'static str);

/// Two streams on the fast path, of which one waits for the other, and the events of the source's device.
pub(crate) struct HipPair<'a> {
    waiter: &'a HipStream,
    source: &'a HipStream,
    events: DeviceEvents,
}

impl HipPair<'_> {
    /// Checks the runtime's code, and clears the thread's last error before another call.
    #[inline]
    fn check(&self, code: HipCode, function: &'static str) -> Result<(), FastPathError> {
        if code == HipCode::SUCCESS {
            return Ok(());
        }
        self.events.driver.clear_last_error(code);
        Err(FastPathError(Some(code), function))
    }
}

const WAIT: &str = "hipStreamWaitEvent";

fn pointer(event: usize) -> Ptr {
    RawEvent::<Hip>::from_bits(event).as_ptr()
}

impl EventOps for HipPair<'_> {
    type Error = FastPathError;

    fn acquire(&self) -> Result<usize, FastPathError> {
        let DeviceEvents { driver, ordinal, .. } = self.events;
        match PooledEvent::take(driver, ordinal, "Stream::wait_stream") {
            Ok(event) => Ok(event.into_raw().to_bits()),
            Err(_) => Err(FastPathError(None, "hipEventCreateWithFlags")),
        }
    }

    #[inline]
    fn release(&self, event: usize) {
        self.events.release(event);
    }

    fn can_coalesce(&self) -> bool {
        self.source.try_source_fast().is_some()
    }

    #[inline]
    fn record(&self, event: usize) -> Result<(), FastPathError> {
        let record = self.events.driver.symbols.event_record;
        // SAFETY: the source is live: `self` borrows it. The event is live, and no other thread uses it: it was taken
        // from the pool. The runtime refuses an event of another device.
        let code = unsafe { record(pointer(event), self.source.raw.as_ptr()) };
        self.check(code, "hipEventRecord")
    }

    #[inline]
    fn wait(&self, event: usize) -> Result<(), FastPathError> {
        let wait = self.events.driver.symbols.stream_wait_event;
        // SAFETY:
        // - Both streams are live: `self` borrows them.
        // - The event is live, and points to the source, which recorded it in this call. It may belong to any device.
        // - Flags must be 0.
        let code = unsafe { wait(self.waiter.raw.as_ptr(), pointer(event), 0) };
        self.check(code, WAIT)
    }
}

impl StreamPair for HipPair<'_> {
    type Stream = HipStream;
    type Events = DeviceEvents;

    #[inline]
    fn events(&self) -> DeviceEvents {
        self.events
    }

    #[inline]
    fn coalescer(&self) -> &RecordCoalescer {
        self.events.device.coalescer.get_or_init(RecordCoalescer::new)
    }

    #[inline]
    fn source_bits(&self) -> usize {
        self.source.bits()
    }

    #[inline]
    fn record_accepted(&self) {}

    /// Returns `false`: the runtime never follows the event of a failed record.
    fn is_lost(_: FastPathError) -> bool {
        false
    }

    #[cold]
    fn explain(&self, error: FastPathError, operation: &'static str) -> Option<HipError> {
        let FastPathError(code, function) = error;
        // Without a scratch event, the slow path reports why.
        let code = code?;
        if function != WAIT {
            return Some(HipError::Driver { operation, function, code });
        }
        let driver = self.events.driver;
        // A reset may have destroyed a waiter that was not checked.
        let gone = self.waiter.ensure_seen(driver, operation).err();
        Some(gone.unwrap_or_else(|| wait_error(driver, code, false, operation)))
    }
}
