//! Waits of one stream for another: `wait_stream`, `fork` and `join`.
//!
//! All three record an event and wait for it at once, and nobody else sees the event: a *relay*. So
//! they ask the runtime for little but that: whether the source is captured, since an event that
//! was recorded in a capture is not to be used elsewhere.
//!
//! That is the quick way, which two explicit streams go whose source is not captured. All else goes
//! the careful one, by an event as everybody sees them.
//!
//! HIP's events point to the stream of their last record, and a wait follows that pointer. A relay is
//! recorded and waited for inside of one call, whose caller keeps the source alive; who shares the
//! record waits inside of a call of its own, for the same source, and keeps it likewise. After that
//! the pointer may be stale, and nothing but a new record is done with the event.
//!
//! A capture of the source that another thread begins after the look would have the relay, and HIP
//! writes to a capture's events when it ends, or takes them for captured until then. So there is a
//! look behind the record as well, and such a relay is never used or destroyed again.

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

/// `other` as a stream of this crate's own type, if it is one and not something laid over one.
#[inline]
pub(crate) fn downcast<O: Stream>(other: &O) -> Option<&HipStream> {
    (other as &dyn Any).downcast_ref()
}

/// Makes `waiter` wait for all that was submitted to `source` so far.
#[inline]
pub(crate) fn wait_stream(waiter: &HipStream, source: &HipStream) -> Result<(), HipError> {
    const OPERATION: &str = "Stream::wait_stream";
    if waiter.is_the_same(source) {
        return Ok(());
    }
    let Some(pair) = StreamPair::fast_driver(waiter, source) else {
        return wait_stream_slow(waiter, source, OPERATION);
    };
    match pair.entry.scratch_events.coalescer().wait_for(source.bits(), &pair) {
        Ok(()) => Ok(()),
        Err(refused) => refused.settle(&pair, OPERATION),
    }
}

/// By an event that is recorded as everybody's are.
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

/// What the runtime answered on the quick way.
#[derive(Clone, Copy)]
enum FastPathError {
    /// There is no event to be had.
    Event,
    Record(HipCode),
    /// A capture began a moment ago, and has the relay.
    CapturedRecord,
    Wait(HipCode),
}

impl FastPathError {
    /// What is wrong.
    #[cold]
    fn settle(self, pair: &StreamPair, operation: &'static str) -> Result<(), HipError> {
        match self {
            // It says itself why not, or draws the waiter in.
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

/// Two explicit streams that are not captured, of which one waits for the other, and what is known of the device of the
/// latter.
struct StreamPair<'a> {
    waiter: &'a HipStream,
    source: &'a HipStream,
    driver: &'static Driver,
    entry: &'static DeviceState,
    /// Whether a capture has the event that was recorded.
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

    /// If they can go the quick way.
    #[inline]
    fn fast_driver(waiter: &'a HipStream, source: &'a HipStream) -> Option<Self> {
        waiter.try_source_fast()?;
        let driver = source.try_source_fast()?;
        Some(StreamPair::new(waiter, source, driver, driver.device_state(source.ordinal())?))
    }

    fn source(&self) -> Ptr {
        self.source.raw().as_ptr()
    }

    /// The runtime's answer. It is taken out of the last error before another call is made.
    #[inline]
    fn said(
        &self,
        code: HipCode,
        refused: impl FnOnce(HipCode) -> FastPathError,
    ) -> Result<(), FastPathError> {
        if code == HipCode::SUCCESS {
            return Ok(());
        }
        self.driver.clear_last_error(code);
        Err(refused(code))
    }
}

fn pointer(event: usize) -> Ptr {
    RawEvent::<Hip>::from_bits(event).as_ptr()
}

impl EventOps for StreamPair<'_> {
    type Error = FastPathError;

    fn acquire(&self) -> Result<usize, FastPathError> {
        let ordinal = self.source.ordinal();
        let scratch = self.entry.scratch_events.take(self.driver, ordinal, "taking an event");
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
        // SAFETY: the stream is alive; the event is ours, and nobody else uses it now. If it is of
        // another device than the stream, the runtime says so.
        let code = unsafe { (self.driver.symbols.event_record)(pointer(event), self.source()) };
        self.said(code, FastPathError::Record)?;
        // SAFETY: the stream is alive.
        if unsafe { capture::capture_started(self.driver, self.source()) } {
            self.lost.set(true);
            return Err(FastPathError::CapturedRecord);
        }
        Ok(())
    }

    #[inline]
    fn wait(&self, event: usize) -> Result<(), FastPathError> {
        let waiter = self.waiter.raw().as_ptr();
        // SAFETY: the stream is alive, and so are the event, which was recorded a moment ago and may
        // be of any device, and its stream: `self` has it. Flags are 0.
        let code = unsafe { (self.driver.symbols.stream_wait_event)(waiter, pointer(event), 0) };
        self.said(code, FastPathError::Wait)
    }
}

/// A relay that serves several pairs, given back when this is dropped.
pub(crate) struct ScratchEvent(Option<Taken>);

struct Taken {
    driver: &'static Driver,
    entry: &'static DeviceState,
    event: usize,
}

impl ScratchEvent {
    pub(crate) fn new() -> Self {
        ScratchEvent(None)
    }

    /// The event, if it is of that device; else a new one in its place.
    #[inline]
    fn of(&mut self, pair: &StreamPair) -> Result<usize, FastPathError> {
        match &self.0 {
            Some(taken) if std::ptr::eq(taken.entry, pair.entry) => Ok(taken.event),
            _ => self.renew(pair),
        }
    }

    /// Records it for the pair.
    #[inline]
    fn record(&mut self, pair: &StreamPair) -> Result<usize, FastPathError> {
        let event = self.of(pair)?;
        let recorded = pair.record(event);
        if let Err(FastPathError::CapturedRecord) = recorded {
            self.0 = None;
        }
        recorded.map(|()| event)
    }

    fn renew(&mut self, pair: &StreamPair) -> Result<usize, FastPathError> {
        let (driver, entry, event) = (pair.driver, pair.entry, pair.acquire()?);
        drop(std::mem::replace(self, ScratchEvent(Some(Taken { driver, entry, event }))));
        Ok(event)
    }

    /// Makes `waiter` wait for one branch of several. A wait binds to the record made before it, so
    /// that one event can be recorded on branch after branch.
    #[inline]
    pub(crate) fn join(&mut self, waiter: &HipStream, branch: &HipStream) -> Result<(), HipError> {
        const OPERATION: &str = "Stream::join";
        if waiter.is_the_same(branch) {
            return Ok(());
        }
        let Some(pair) = StreamPair::fast_driver(waiter, branch) else {
            return wait_stream_slow(waiter, branch, OPERATION);
        };
        let made = self.record(&pair).and_then(|event| pair.wait(event));
        match made {
            Ok(()) => Ok(()),
            Err(refused) => refused.settle(&pair, OPERATION),
        }
    }
}

impl Drop for ScratchEvent {
    #[inline]
    fn drop(&mut self) {
        if let Some(Taken { driver, entry, event }) = self.0.take() {
            entry.scratch_events.give(driver, RawEvent::from_bits(event));
        }
    }
}

/// The record that all branches of a fork wait for, made when the first of them comes.
pub(crate) struct Fork<'a> {
    source: &'a HipStream,
    scratch: ScratchEvent,
    /// What the relay was recorded by, once it was.
    recorded: Option<(&'static Driver, &'static DeviceState, usize)>,
    /// For branches that cannot wait for a relay.
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

    /// Makes one branch wait. Breaks off if the record fails: no branch is to wait then.
    #[inline]
    pub(crate) fn wait_own_type(&mut self, branch: &HipStream) -> ControlFlow<()> {
        if branch.is_the_same(self.source) {
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
                    Err(refused) => {
                        keep_first(&mut self.outcome, refused.settle(&pair, Self::OPERATION));
                        return ControlFlow::Break(());
                    }
                }
            }
        };
        if let Err(refused) = pair.wait(event) {
            keep_first(&mut self.outcome, refused.settle(&pair, Self::OPERATION));
        }
        ControlFlow::Continue(())
    }

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

    /// As [`native`](Self::native), for something that is laid over a stream.
    pub(crate) fn wait_wrapped_type<O: Stream<Backend = Hip>>(
        &mut self,
        branch: &O,
    ) -> ControlFlow<()> {
        if branch.is_same(self.source) {
            return ControlFlow::Continue(());
        }
        self.by_event(|event| branch.wait_event(event))
    }

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

/// All branches are tried, and the first error counts.
#[inline]
pub(crate) fn keep_first(outcome: &mut Result<(), HipError>, next: Result<(), HipError>) {
    if next.is_err() && outcome.is_ok() {
        *outcome = next;
    }
}
