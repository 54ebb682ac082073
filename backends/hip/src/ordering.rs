//! Waits of one stream for another: `wait_stream`, `fork` and `join`.
//!
//! Fast path: both streams are explicit and not captured. A *scratch event* is recorded and waited for within one
//! call. All other waits use a [`HipEvent`], on the slow path.
//!
//! HIP's events point to the stream of their last record, and a wait follows that pointer. The call borrows the
//! source, which keeps it alive. Threads that share the record borrow the same source. After the call the pointer may
//! dangle, and the event is only recorded again or destroyed.
//!
//! Another thread can begin a capture of the source after the check. The capture then has a pointer to the scratch
//! event: HIP writes to it when the capture ends, or treats it as captured until then. So there is a second check
//! after the record, and such an event is never used or destroyed again.

use std::any::Any;
use std::cell::Cell;
use std::ops::ControlFlow;

use gpu_stream_core::{RawEvent, Stream};
use gpu_stream_driver_common::EventOps;

use crate::driver::capture;
use crate::driver::code::HipCode;
use crate::driver::symbols::Ptr;
use crate::driver::{DeviceState, Driver};
use crate::{Hip, HipError, HipEvent, HipStream};

/// Returns `other` as a stream of this crate's type. `None` for a type that wraps one.
#[inline]
pub(crate) fn downcast<O: Stream>(other: &O) -> Option<&HipStream> {
    (other as &dyn Any).downcast_ref()
}

/// Makes later work of `waiter` wait for the work of `source` so far.
#[inline]
pub(crate) fn wait_stream(waiter: &HipStream, source: &HipStream) -> Result<(), HipError> {
    const OPERATION: &str = "Stream::wait_stream";
    if waiter.is_same_stream(source) {
        return Ok(());
    }
    let Some(pair) = StreamPair::fast_driver(waiter, source) else {
        return wait_stream_slow(waiter, source, OPERATION);
    };
    match pair.entry.scratch_events.coalescer().wait_for(source.bits(), &pair) {
        Ok(()) => Ok(()),
        Err(error) => error.settle(&pair, OPERATION),
    }
}

/// Waits by a [`HipEvent`], or by the nodes of a common capture.
#[cold]
fn wait_stream_slow(
    waiter: &HipStream,
    source: &HipStream,
    operation: &'static str,
) -> Result<(), HipError> {
    if waiter.wait_in_capture(source, operation)? {
        return Ok(());
    }
    waiter.wait_event_slow(&source.record_event_slow(operation)?, operation)
}

/// What failed on the fast path.
#[derive(Clone, Copy)]
enum FastPathError {
    /// No scratch event is available.
    Event,
    /// The record failed.
    Record(HipCode),
    /// A capture began before the record, and has the scratch event.
    CapturedRecord,
    /// The wait failed.
    Wait(HipCode),
}

impl FastPathError {
    /// Falls back to the slow path where that can succeed, or returns the error.
    #[cold]
    fn settle(self, pair: &StreamPair, operation: &'static str) -> Result<(), HipError> {
        match self {
            // The slow path reports why, or makes the waiter part of the capture.
            FastPathError::Event | FastPathError::CapturedRecord => {
                wait_stream_slow(pair.waiter, pair.source, operation)
            }
            FastPathError::Record(code) => {
                Err(HipError::Driver { operation, function: "hipEventRecord", code })
            }
            FastPathError::Wait(code) => {
                Err(pair.waiter.wait_error(pair.driver, code, false, operation))
            }
        }
    }
}

/// Two explicit streams that are not captured, one of which waits for the other, and the state of the source's
/// device.
struct StreamPair<'a> {
    waiter: &'a HipStream,
    source: &'a HipStream,
    driver: &'static Driver,
    entry: &'static DeviceState,
    /// Set if a capture has the event that was recorded.
    lost: Cell<bool>,
}

impl<'a> StreamPair<'a> {
    fn new(
        waiter: &'a HipStream,
        source: &'a HipStream,
        driver: &'static Driver,
        entry: &'static DeviceState,
    ) -> Self {
        StreamPair { waiter, source, driver, entry, lost: Cell::new(false) }
    }

    /// Returns the pair if both streams qualify for the fast path.
    #[inline]
    fn fast_driver(waiter: &'a HipStream, source: &'a HipStream) -> Option<Self> {
        waiter.try_source_fast()?;
        let driver = source.try_source_fast()?;
        Some(StreamPair::new(waiter, source, driver, driver.device_state(source.ordinal())?))
    }

    fn source(&self) -> Ptr {
        self.source.raw().as_ptr()
    }

    /// Converts the runtime's code, and clears the thread's last error before another call.
    #[inline]
    fn check(
        &self,
        code: HipCode,
        to_error: impl FnOnce(HipCode) -> FastPathError,
    ) -> Result<(), FastPathError> {
        if code == HipCode::SUCCESS {
            return Ok(());
        }
        self.driver.clear_last_error(code);
        Err(to_error(code))
    }
}

fn pointer(event: usize) -> Ptr {
    RawEvent::<Hip>::from_bits(event).as_ptr()
}

impl EventOps for StreamPair<'_> {
    type Error = FastPathError;

    fn acquire(&self) -> Result<usize, FastPathError> {
        let ordinal = self.source.ordinal();
        let scratch = self.entry.scratch_events.take(self.driver, ordinal, "Stream::wait_stream");
        scratch.map(RawEvent::to_bits).map_err(|_| FastPathError::Event)
    }

    fn release(&self, event: usize) {
        if self.lost.replace(false) {
            return;
        }
        self.entry.scratch_events.give(self.driver, RawEvent::from_bits(event));
    }

    fn can_coalesce(&self) -> bool {
        self.source.try_source_fast().is_some()
    }

    #[inline]
    fn record(&self, event: usize) -> Result<(), FastPathError> {
        // SAFETY: the source is live: `self` borrows it. The event is live, and no other thread uses it: it was taken
        // from the pool. The runtime refuses an event of another device.
        let code = unsafe { (self.driver.symbols.event_record)(pointer(event), self.source()) };
        self.check(code, FastPathError::Record)?;
        // SAFETY: the source is live: `self` borrows it.
        if unsafe { capture::capture_started(self.driver, self.source()) } {
            self.lost.set(true);
            return Err(FastPathError::CapturedRecord);
        }
        Ok(())
    }

    #[inline]
    fn wait(&self, event: usize) -> Result<(), FastPathError> {
        let waiter = self.waiter.raw().as_ptr();
        // SAFETY:
        // - Both streams are live: `self` borrows them.
        // - The event is live, and points to the source, which recorded it in this call. It may belong to any device.
        // - Flags must be 0.
        let code = unsafe { (self.driver.symbols.stream_wait_event)(waiter, pointer(event), 0) };
        self.check(code, FastPathError::Wait)
    }
}

/// A scratch event for several pairs. Dropping it returns the event to the pool.
pub(crate) struct ScratchEvent(Option<TakenEvent>);

struct TakenEvent {
    driver: &'static Driver,
    entry: &'static DeviceState,
    event: usize,
}

impl ScratchEvent {
    pub(crate) fn new() -> Self {
        ScratchEvent(None)
    }

    /// Returns the event if it belongs to the source's device. Replaces it otherwise.
    #[inline]
    fn of(&mut self, pair: &StreamPair) -> Result<usize, FastPathError> {
        match &self.0 {
            Some(taken) if std::ptr::eq(taken.entry, pair.entry) => Ok(taken.event),
            _ => self.replace(pair),
        }
    }

    /// Records the event on the source.
    #[inline]
    fn record(&mut self, pair: &StreamPair) -> Result<usize, FastPathError> {
        let event = self.of(pair)?;
        let recorded = pair.record(event);
        if let Err(FastPathError::CapturedRecord) = recorded {
            self.0 = None;
        }
        recorded.map(|()| event)
    }

    fn replace(&mut self, pair: &StreamPair) -> Result<usize, FastPathError> {
        let (driver, entry, event) = (pair.driver, pair.entry, pair.acquire()?);
        drop(std::mem::replace(self, ScratchEvent(Some(TakenEvent { driver, entry, event }))));
        Ok(event)
    }

    /// Makes `waiter` wait for one branch of several. A wait binds to the record before it, so one event serves
    /// branch after branch.
    #[inline]
    pub(crate) fn join(&mut self, waiter: &HipStream, branch: &HipStream) -> Result<(), HipError> {
        const OPERATION: &str = "Stream::join";
        if waiter.is_same_stream(branch) {
            return Ok(());
        }
        let Some(pair) = StreamPair::fast_driver(waiter, branch) else {
            return wait_stream_slow(waiter, branch, OPERATION);
        };
        let made = self.record(&pair).and_then(|event| pair.wait(event));
        match made {
            Ok(()) => Ok(()),
            Err(error) => error.settle(&pair, OPERATION),
        }
    }
}

impl Drop for ScratchEvent {
    #[inline]
    fn drop(&mut self) {
        if let Some(TakenEvent { driver, entry, event }) = self.0.take() {
            entry.scratch_events.give(driver, RawEvent::from_bits(event));
        }
    }
}

/// The record that all branches of a fork wait for. It is made for the first branch.
pub(crate) struct Fork<'a> {
    source: &'a HipStream,
    scratch: ScratchEvent,
    /// The scratch event and its device, once it was recorded.
    recorded: Option<(&'static Driver, &'static DeviceState, usize)>,
    /// The event of branches on the slow path.
    event: Option<HipEvent>,
    /// The first error.
    pub(crate) outcome: Result<(), HipError>,
}

impl<'a> Fork<'a> {
    const OPERATION: &'static str = "Stream::fork";

    #[inline]
    pub(crate) fn of(source: &'a HipStream) -> Self {
        let (scratch, outcome) = (ScratchEvent::new(), Ok(()));
        Fork { source, scratch, recorded: None, event: None, outcome }
    }

    /// Makes one branch wait. Breaks if the record fails: then no branch waits.
    #[inline]
    pub(crate) fn wait_own_type(&mut self, branch: &HipStream) -> ControlFlow<()> {
        if branch.is_same_stream(self.source) {
            return ControlFlow::Continue(());
        }
        let (pair, event) = match self.recorded {
            Some(_) if branch.try_source_fast().is_none() => return self.wait_stream_slow(branch),
            Some((driver, entry, event)) => {
                (StreamPair::new(branch, self.source, driver, entry), event)
            }
            None => {
                let Some(pair) = StreamPair::fast_driver(branch, self.source) else {
                    return self.wait_stream_slow(branch);
                };
                match self.scratch.record(&pair) {
                    Ok(event) => {
                        self.recorded = Some((pair.driver, pair.entry, event));
                        (pair, event)
                    }
                    Err(FastPathError::Event | FastPathError::CapturedRecord) => {
                        return self.wait_stream_slow(branch);
                    }
                    Err(error) => {
                        keep_first(&mut self.outcome, error.settle(&pair, Self::OPERATION));
                        return ControlFlow::Break(());
                    }
                }
            }
        };
        if let Err(error) = pair.wait(event) {
            keep_first(&mut self.outcome, error.settle(&pair, Self::OPERATION));
        }
        ControlFlow::Continue(())
    }

    /// Makes one branch wait on the slow path.
    #[cold]
    fn wait_stream_slow(&mut self, branch: &HipStream) -> ControlFlow<()> {
        match branch.wait_in_capture(self.source, Self::OPERATION) {
            Ok(true) => ControlFlow::Continue(()),
            Ok(false) => self.by_event(|event| branch.wait_event_slow(event, Self::OPERATION)),
            Err(error) => {
                keep_first(&mut self.outcome, Err(error));
                ControlFlow::Continue(())
            }
        }
    }

    /// Makes a branch wait whose type wraps a stream. Breaks if the record fails.
    pub(crate) fn wait_wrapped_type<O: Stream<Backend = Hip>>(
        &mut self,
        branch: &O,
    ) -> ControlFlow<()> {
        if branch.is_same(self.source) {
            return ControlFlow::Continue(());
        }
        self.by_event(|event| branch.wait_event(event))
    }

    /// Calls `wait` with an event that stands for the source's work. Records it the first time.
    fn by_event(
        &mut self,
        wait: impl FnOnce(&HipEvent) -> Result<(), HipError>,
    ) -> ControlFlow<()> {
        let event = match &mut self.event {
            Some(event) => event,
            none => match self.source.record_event_slow(Self::OPERATION) {
                Ok(event) => none.insert(event),
                Err(error) => {
                    keep_first(&mut self.outcome, Err(error));
                    return ControlFlow::Break(());
                }
            },
        };
        keep_first(&mut self.outcome, wait(event));
        ControlFlow::Continue(())
    }
}

/// Keeps the first error. All branches are tried.
#[inline]
pub(crate) fn keep_first(outcome: &mut Result<(), HipError>, next: Result<(), HipError>) {
    if next.is_err() && outcome.is_ok() {
        *outcome = next;
    }
}
