//! Waits of one stream for another: `wait_stream`, `fork` and `join`.
//!
//! All three record an event and wait for it at once, and nobody else sees the event: a *relay*. So
//! they ask the driver for nothing but that. Whether the stream is captured does not matter to an
//! event that nobody can ask, and that is recorded anew before it is waited for again.
//!
//! That is the quick way, which two explicit streams go whose source is of its device's primary
//! context, or of one that is not known: then the driver refuses a record that is not of it. All
//! else, and whatever the driver says no to for want of a current context, goes the careful one, by
//! an event as everybody sees them.

use std::any::Any;
use std::ops::ControlFlow;

use gpu_stream_core::{RawEvent, Stream};
use gpu_stream_driver_common::EventOps;

use crate::driver::capture;
use crate::driver::code::CudaCode;
use crate::driver::symbols::Ptr;
use crate::driver::{PrimaryContext, check, loaded};
use crate::isolation::check_streams;
use crate::{Cuda, CudaError, CudaEvent, CudaStream};

/// `other` as a stream of this crate's own type, if it is one and not something laid over one.
#[inline]
pub(crate) fn downcast<O: Stream>(other: &O) -> Option<&CudaStream> {
    (other as &dyn Any).downcast_ref()
}

/// Makes `waiter` wait for all that was submitted to `source` so far.
pub(crate) fn wait_stream(waiter: &CudaStream, source: &CudaStream) -> Result<(), CudaError> {
    const OPERATION: &str = "Stream::wait_stream";
    if waiter.is_the_same(source) {
        return Ok(());
    }
    let Some(primary) = fast_driver(waiter, source, OPERATION)? else {
        return wait_stream_slow(waiter, source, OPERATION);
    };
    let pair = StreamPair { waiter, source, primary };
    match primary.coalescer.wait_for(source.bits(), &pair) {
        Ok(()) => {
            source.learn_context(primary);
            Ok(())
        }
        Err(refused) => refused.settle(waiter, source, OPERATION),
    }
}

/// Returns the primary context of `source`, or what is taken for it, if both streams can go the quick
/// way.
///
/// # Errors
/// `waiter` is captured, and `source` is not part of that capture.
#[inline]
fn fast_driver(
    waiter: &CudaStream,
    source: &CudaStream,
    operation: &'static str,
) -> Result<Option<&'static PrimaryContext>, CudaError> {
    if !source.is_plain() || !check_waiter(waiter, source, operation)? {
        return Ok(None);
    }
    Ok(source.known_or_assumed_primary())
}

/// Returns `true` if the waiter can go the quick way: it is explicit and has no fault. Asks the driver
/// once, whether the waiter is captured.
///
/// # Errors
/// `waiter` is captured, and `source` is not part of that capture.
#[inline]
fn check_waiter(
    waiter: &CudaStream,
    source: &CudaStream,
    operation: &'static str,
) -> Result<bool, CudaError> {
    // Not in the child of a fork, though the context is known.
    let (true, Some(driver)) = (waiter.is_plain(), loaded()) else { return Ok(false) };
    // SAFETY: the stream is alive.
    if unsafe { capture::may_be_capturing(driver, waiter.raw().as_ptr()) } {
        check_streams(waiter, source, operation)?;
    }
    Ok(true)
}

/// By an event that is recorded as everybody's are.
#[cold]
fn wait_stream_slow(
    waiter: &CudaStream,
    source: &CudaStream,
    operation: &'static str,
) -> Result<(), CudaError> {
    check_streams(waiter, source, operation)?;
    waiter.wait_event_slow(&source.record_event_slow(operation)?, operation)
}

/// What the driver answered on the quick way.
#[derive(Clone, Copy)]
enum FastPathError {
    /// There is no event to be had.
    Event,
    Record(CudaCode),
    Wait(CudaCode),
}

impl FastPathError {
    /// Returns `true` if the slow path may do better, or say better what is wrong.
    fn is_for_slow_path(self) -> bool {
        match self {
            FastPathError::Event => true,
            FastPathError::Record(code) | FastPathError::Wait(code) => code.is_for_slow_path(),
        }
    }

    fn check(self, operation: &'static str) -> Result<(), CudaError> {
        match self {
            FastPathError::Event => Ok(()),
            FastPathError::Record(code) => check(code, operation, "cuEventRecord"),
            FastPathError::Wait(code) => check(code, operation, "cuStreamWaitEvent"),
        }
    }

    /// Goes the other way, if that may help; else says what is wrong.
    #[cold]
    fn settle(
        self,
        waiter: &CudaStream,
        source: &CudaStream,
        operation: &'static str,
    ) -> Result<(), CudaError> {
        if self.is_for_slow_path() {
            return wait_stream_slow(waiter, source, operation);
        }
        self.check(operation)
    }
}

/// Two explicit streams, of which one waits for the other, and the primary context of the latter.
struct StreamPair<'a> {
    waiter: &'a CudaStream,
    source: &'a CudaStream,
    primary: &'static PrimaryContext,
}

impl StreamPair<'_> {
    fn source(&self) -> Ptr {
        self.source.raw().as_ptr()
    }
}

fn pointer(event: usize) -> Ptr {
    RawEvent::<Cuda>::from_bits(event).as_ptr()
}

impl EventOps for StreamPair<'_> {
    type Error = FastPathError;

    fn acquire(&self) -> Result<usize, FastPathError> {
        let scratch = self.primary.acquire_scratch("taking an event");
        scratch.map(RawEvent::to_bits).map_err(|_| FastPathError::Event)
    }

    fn release(&self, event: usize) {
        self.primary.release_scratch(RawEvent::from_bits(event));
    }

    fn can_coalesce(&self) -> bool {
        // SAFETY: the stream is alive.
        let looked = unsafe {
            capture::ensure_not_capturing(self.primary.driver, self.source(), "Stream::wait_stream")
        };
        looked.is_ok()
    }

    #[inline]
    fn record(&self, event: usize) -> Result<(), FastPathError> {
        // SAFETY: the stream is alive; the event is ours, and nobody else uses it now. If it is of
        // another context than the stream, the driver says so.
        let code =
            unsafe { (self.primary.driver.symbols.event_record)(pointer(event), self.source()) };
        if code == CudaCode::SUCCESS { Ok(()) } else { Err(FastPathError::Record(code)) }
    }

    #[inline]
    fn wait(&self, event: usize) -> Result<(), FastPathError> {
        let waiter = self.waiter.raw().as_ptr();
        // SAFETY: the stream is alive, and so is the event, which was recorded a moment ago and may
        // be of any context. Flags are 0.
        let code =
            unsafe { (self.primary.driver.symbols.stream_wait_event)(waiter, pointer(event), 0) };
        if code == CudaCode::SUCCESS { Ok(()) } else { Err(FastPathError::Wait(code)) }
    }
}

/// A relay that serves several pairs, given back when this is dropped.
pub(crate) struct ScratchEvent(Option<(&'static PrimaryContext, usize)>);

impl ScratchEvent {
    pub(crate) fn new() -> Self {
        ScratchEvent(None)
    }

    /// The event, if it is of that context; else a new one in its place.
    #[inline]
    fn of(&mut self, pair: &StreamPair) -> Result<usize, FastPathError> {
        match self.0 {
            Some((primary, event)) if std::ptr::eq(primary, pair.primary) => Ok(event),
            _ => self.renew(pair),
        }
    }

    #[cold]
    fn renew(&mut self, pair: &StreamPair) -> Result<usize, FastPathError> {
        let event = pair.acquire()?;
        drop(std::mem::replace(self, ScratchEvent(Some((pair.primary, event)))));
        Ok(event)
    }

    /// Makes `waiter` wait for one branch of several. A wait binds to the record made before it, so
    /// that one event can be recorded on branch after branch.
    pub(crate) fn join(
        &mut self,
        waiter: &CudaStream,
        branch: &CudaStream,
    ) -> Result<(), CudaError> {
        const OPERATION: &str = "Stream::join";
        if waiter.is_the_same(branch) {
            return Ok(());
        }
        let Some(primary) = fast_driver(waiter, branch, OPERATION)? else {
            return wait_stream_slow(waiter, branch, OPERATION);
        };
        let pair = StreamPair { waiter, source: branch, primary };
        let made = self.of(&pair).and_then(|event| {
            pair.record(event)?;
            branch.learn_context(primary);
            pair.wait(event)
        });
        match made {
            Ok(()) => Ok(()),
            Err(refused) => refused.settle(waiter, branch, OPERATION),
        }
    }
}

impl Drop for ScratchEvent {
    fn drop(&mut self) {
        if let Some((primary, event)) = self.0.take() {
            primary.release_scratch(RawEvent::from_bits(event));
        }
    }
}

/// The record that all branches of a fork wait for, made when the first of them comes.
pub(crate) struct Fork<'a> {
    source: &'a CudaStream,
    scratch: ScratchEvent,
    /// The relay's event, and its context, once it is recorded.
    recorded: Option<(&'static PrimaryContext, usize)>,
    /// For branches that cannot wait for a relay.
    event: Option<CudaEvent>,
    /// The first error.
    outcome: Result<(), CudaError>,
}

impl<'a> Fork<'a> {
    const OPERATION: &'static str = "Stream::fork";

    pub(crate) fn of(source: &'a CudaStream) -> Self {
        let (scratch, outcome) = (ScratchEvent::new(), Ok(()));
        Fork { source, scratch, recorded: None, event: None, outcome }
    }

    /// Gives back what the fork had, and returns the first error.
    pub(crate) fn finish(self) -> Result<(), CudaError> {
        self.outcome
    }

    /// Makes one branch wait. Breaks off if the record fails: no branch is to wait then.
    #[inline]
    pub(crate) fn wait_own_type(&mut self, branch: &CudaStream) -> ControlFlow<()> {
        if branch.is_the_same(self.source) {
            return ControlFlow::Continue(());
        }
        let can_be_quick = match check_waiter(branch, self.source, Self::OPERATION) {
            Ok(can_be_quick) => can_be_quick && self.source.is_plain(),
            Err(error) => {
                keep_first(&mut self.outcome, Err(error));
                return ControlFlow::Continue(());
            }
        };
        if !can_be_quick {
            return self.wait_stream_slow(branch);
        }
        let outcome = match self.recorded {
            Some((primary, event)) => {
                StreamPair { waiter: branch, source: self.source, primary }.wait(event)
            }
            None => match self.source.known_or_assumed_primary() {
                Some(primary) => self.first(branch, primary),
                None => return self.wait_stream_slow(branch),
            },
        };
        match outcome {
            Ok(()) => ControlFlow::Continue(()),
            Err(refused) => self.refused(branch, refused),
        }
    }

    /// The first branch to wait for the relay: records it.
    fn first(
        &mut self,
        branch: &CudaStream,
        primary: &'static PrimaryContext,
    ) -> Result<(), FastPathError> {
        let pair = StreamPair { waiter: branch, source: self.source, primary };
        let event = self.scratch.of(&pair)?;
        pair.record(event)?;
        self.source.learn_context(primary);
        self.recorded = Some((primary, event));
        pair.wait(event)
    }

    #[cold]
    fn refused(&mut self, branch: &CudaStream, refused: FastPathError) -> ControlFlow<()> {
        if refused.is_for_slow_path() {
            return self.wait_stream_slow(branch);
        }
        keep_first(&mut self.outcome, refused.check(Self::OPERATION));
        match refused {
            FastPathError::Wait(_) => ControlFlow::Continue(()),
            FastPathError::Event | FastPathError::Record(_) => ControlFlow::Break(()),
        }
    }

    #[cold]
    fn wait_stream_slow(&mut self, branch: &CudaStream) -> ControlFlow<()> {
        if let Err(error) = check_streams(branch, self.source, Self::OPERATION) {
            keep_first(&mut self.outcome, Err(error));
            return ControlFlow::Continue(());
        }
        self.by_event(|event| branch.wait_event_slow(event, Self::OPERATION))
    }

    /// As [`native`](Self::native), for something that is laid over a stream.
    pub(crate) fn wait_wrapped_type<O: Stream<Backend = Cuda>>(
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
        wait: impl FnOnce(&CudaEvent) -> Result<(), CudaError>,
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
pub(crate) fn keep_first(outcome: &mut Result<(), CudaError>, next: Result<(), CudaError>) {
    if next.is_err() && outcome.is_ok() {
        *outcome = next;
    }
}
