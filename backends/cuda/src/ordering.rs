//! Orders streams after each other: `wait_stream`, `fork` and `join`.
//!
//! Fast path: both streams are explicit and without a fault, and the source's primary context is known or assumed. The
//! source records a *scratch event*, which is private to the call, and the waiter waits for it. The driver makes no
//! other calls but one, which tells whether the waiter is being captured. An unknown context is assumed to be the
//! device's primary one; the driver rejects the record if it is not. A capture of the source does not matter to a
//! scratch event: no caller can query it, and it is recorded again before the next wait for it.
//!
//! Slow path: all other pairs of streams, and what the driver rejects on the fast path. The source records an ordinary
//! event.

use std::any::Any;
use std::ops::ControlFlow;

use gpu_stream_core::{RawEvent, Stream};
use gpu_stream_driver_common::EventOps;

use crate::driver::capture;
use crate::driver::check::check;
use crate::driver::code::CudaCode;
use crate::driver::loaded;
use crate::driver::primary::PrimaryContext;
use crate::driver::symbols::Ptr;
use crate::isolation::check_streams;
use crate::{Cuda, CudaError, CudaEvent, CudaStream};

/// Returns `other` as a stream of this crate. Returns `None` if it is a type around one.
#[inline]
pub(crate) fn downcast<O: Stream>(other: &O) -> Option<&CudaStream> {
    (other as &dyn Any).downcast_ref()
}

/// Makes `waiter` wait for all work that was submitted to `source`.
pub(crate) fn wait_stream(waiter: &CudaStream, source: &CudaStream) -> Result<(), CudaError> {
    const OPERATION: &str = "Stream::wait_stream";
    if waiter.is_same_stream(source) {
        return Ok(());
    }
    // Fast path: both streams are explicit and without a fault, and the source's primary context is known or assumed.
    let error = match fast_pair(waiter, source, OPERATION)? {
        None => FastPathError::NotPossible,
        Some(pair) => match pair.primary.coalescer.wait_for(source.bits(), &pair) {
            Ok(()) => {
                source.learn_context(pair.primary);
                return Ok(());
            }
            Err(error) => error,
        },
    };
    error.settle(waiter, source, OPERATION)
}

/// Returns the pair if the fast path is possible.
///
/// # Errors
/// `waiter` is being captured, and `source` is not part of that capture.
#[inline]
fn fast_pair<'a>(
    waiter: &'a CudaStream,
    source: &'a CudaStream,
    operation: &'static str,
) -> Result<Option<StreamPair<'a>>, CudaError> {
    if !source.is_plain() || !check_waiter(waiter, source, operation)? {
        return Ok(None);
    }
    let primary = source.known_or_assumed_primary();
    Ok(primary.map(|primary| StreamPair { waiter, source, primary }))
}

/// Returns `true` if the waiter allows the fast path: it is explicit and without a fault.
///
/// # Errors
/// `waiter` is being captured, and `source` is not part of that capture.
#[inline]
fn check_waiter(
    waiter: &CudaStream,
    source: &CudaStream,
    operation: &'static str,
) -> Result<bool, CudaError> {
    // No driver is loaded in the child of a fork, although the context is known there.
    let (true, Some(driver)) = (waiter.is_plain(), loaded()) else { return Ok(false) };
    // SAFETY: `waiter` keeps its stream alive.
    if unsafe { capture::may_be_capturing(&driver.symbols, waiter.as_ptr()) } {
        check_streams(waiter, source, operation)?;
    }
    Ok(true)
}

/// Makes `waiter` wait through an ordinary event.
#[cold]
fn wait_stream_slow(
    waiter: &CudaStream,
    source: &CudaStream,
    operation: &'static str,
) -> Result<(), CudaError> {
    check_streams(waiter, source, operation)?;
    waiter.wait_event_slow(&source.record_event_slow(operation)?, operation)
}

/// Why the fast path did not order the streams.
#[derive(Clone, Copy)]
enum FastPathError {
    /// The streams need the slow path, or no scratch event is available.
    NotPossible,
    /// The driver rejected the record.
    Record(CudaCode),
    /// The driver rejected the wait.
    Wait(CudaCode),
}

impl FastPathError {
    /// Returns `true` if the slow path may succeed, or has the better error.
    fn is_for_slow_path(self) -> bool {
        match self {
            FastPathError::NotPossible => true,
            FastPathError::Record(code) | FastPathError::Wait(code) => code.is_for_slow_path(),
        }
    }

    /// Returns the driver's error.
    fn check(self, operation: &'static str) -> Result<(), CudaError> {
        match self {
            FastPathError::NotPossible => Ok(()),
            FastPathError::Record(code) => check(code, operation, "cuEventRecord"),
            FastPathError::Wait(code) => check(code, operation, "cuStreamWaitEvent"),
        }
    }

    /// Takes the slow path if it may help. Returns the driver's error otherwise.
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

/// Two explicit streams, of which one waits for the other, and the primary context of the source.
struct StreamPair<'a> {
    waiter: &'a CudaStream,
    source: &'a CudaStream,
    primary: &'static PrimaryContext,
}

fn pointer(event: usize) -> Ptr {
    RawEvent::<Cuda>::from_bits(event).as_ptr()
}

impl EventOps for StreamPair<'_> {
    type Error = FastPathError;

    fn acquire(&self) -> Result<usize, FastPathError> {
        let scratch = self.primary.acquire_scratch("acquiring an event");
        scratch.map(RawEvent::to_bits).map_err(|_| FastPathError::NotPossible)
    }

    fn release(&self, event: usize) {
        self.primary.release_scratch(RawEvent::from_bits(event));
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
        // - The scratch event is alive and recorded. It may be of any context.
        // - The flags must be 0.
        let code = unsafe { wait(self.waiter.as_ptr(), pointer(event), 0) };
        if code == CudaCode::SUCCESS { Ok(()) } else { Err(FastPathError::Wait(code)) }
    }
}

/// A scratch event for several pairs of streams. Released on drop.
pub(crate) struct ScratchEvent(Option<(&'static PrimaryContext, usize)>);

impl ScratchEvent {
    pub(crate) fn new() -> Self {
        ScratchEvent(None)
    }

    /// Returns the event if it belongs to the pair's context. Replaces it otherwise.
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

    /// Records the event on the source of the pair.
    #[inline]
    fn record(&mut self, pair: &StreamPair) -> Result<usize, FastPathError> {
        let event = self.of(pair)?;
        pair.record(event)?;
        pair.source.learn_context(pair.primary);
        Ok(event)
    }

    /// Makes `waiter` wait for one branch. A wait binds to the record that was made before it, so one event can be
    /// recorded on all branches in turn.
    pub(crate) fn join(
        &mut self,
        waiter: &CudaStream,
        branch: &CudaStream,
    ) -> Result<(), CudaError> {
        const OPERATION: &str = "Stream::join";
        if waiter.is_same_stream(branch) {
            return Ok(());
        }
        let error = match fast_pair(waiter, branch, OPERATION)? {
            None => FastPathError::NotPossible,
            Some(pair) => match self.record(&pair).and_then(|event| pair.wait(event)) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            },
        };
        error.settle(waiter, branch, OPERATION)
    }
}

impl Drop for ScratchEvent {
    fn drop(&mut self) {
        if let Some((primary, event)) = self.0.take() {
            primary.release_scratch(RawEvent::from_bits(event));
        }
    }
}

/// One record of the source that all branches of a fork wait for. Made for the first branch.
pub(crate) struct Fork<'a> {
    source: &'a CudaStream,
    scratch: ScratchEvent,
    /// The scratch event and its context, once it is recorded.
    recorded: Option<(&'static PrimaryContext, usize)>,
    /// An ordinary event, for branches that need the slow path.
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

    /// Releases the events of the fork, and returns its first error.
    pub(crate) fn finish(self) -> Result<(), CudaError> {
        self.outcome
    }

    /// Makes one branch of this crate's type wait. Returns `Break` if the record fails: then no branch can wait.
    #[inline]
    pub(crate) fn wait_own_type(&mut self, branch: &CudaStream) -> ControlFlow<()> {
        if branch.is_same_stream(self.source) {
            return ControlFlow::Continue(());
        }
        let is_fast = match check_waiter(branch, self.source, Self::OPERATION) {
            Ok(is_plain) => is_plain && self.source.is_plain(),
            Err(error) => return self.continue_with(Err(error)),
        };
        if !is_fast {
            return self.wait_slow(branch);
        }
        match self.wait_fast(branch) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => self.settle(branch, error),
        }
    }

    /// Makes the branch wait for the scratch event, and records that for the first branch.
    #[inline]
    fn wait_fast(&mut self, branch: &CudaStream) -> Result<(), FastPathError> {
        let pair = |primary| StreamPair { waiter: branch, source: self.source, primary };
        if let Some((primary, event)) = self.recorded {
            return pair(primary).wait(event);
        }
        let primary = self.source.known_or_assumed_primary().ok_or(FastPathError::NotPossible)?;
        let pair = pair(primary);
        let event = self.scratch.record(&pair)?;
        self.recorded = Some((primary, event));
        pair.wait(event)
    }

    #[cold]
    fn settle(&mut self, branch: &CudaStream, error: FastPathError) -> ControlFlow<()> {
        if error.is_for_slow_path() {
            return self.wait_slow(branch);
        }
        keep_first(&mut self.outcome, error.check(Self::OPERATION));
        match error {
            FastPathError::Wait(_) => ControlFlow::Continue(()),
            FastPathError::NotPossible | FastPathError::Record(_) => ControlFlow::Break(()),
        }
    }

    #[cold]
    fn wait_slow(&mut self, branch: &CudaStream) -> ControlFlow<()> {
        match check_streams(branch, self.source, Self::OPERATION) {
            Ok(()) => self.by_event(|event| branch.wait_event_slow(event, Self::OPERATION)),
            Err(error) => self.continue_with(Err(error)),
        }
    }

    /// Makes one branch of a type around a stream wait. Returns `Break` if the record fails.
    pub(crate) fn wait_wrapped_type<O: Stream<Backend = Cuda>>(
        &mut self,
        branch: &O,
    ) -> ControlFlow<()> {
        if branch.is_same(self.source) {
            return ControlFlow::Continue(());
        }
        self.by_event(|event| branch.wait_event(event))
    }

    /// Makes a branch wait for an ordinary event, which is recorded once.
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
        let outcome = wait(event);
        self.continue_with(outcome)
    }

    fn continue_with(&mut self, outcome: Result<(), CudaError>) -> ControlFlow<()> {
        keep_first(&mut self.outcome, outcome);
        ControlFlow::Continue(())
    }
}

/// Keeps the first error: all branches are tried, and the first error is returned.
#[inline]
pub(crate) fn keep_first(outcome: &mut Result<(), CudaError>, next: Result<(), CudaError>) {
    if next.is_err() && outcome.is_ok() {
        *outcome = next;
    }
}
