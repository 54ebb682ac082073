//! A stream with a check: [`CheckedStream`].

use std::any::{Any, TypeId};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::thread;

use gpu_stream_core::{
    Access, Backend, CaptureStatus, Device, Error as _, ErrorKind, EventOptions, HandleKind,
    HostFunc, KnownWork, PlainHandles, RawHandle, RawStream, Region, Stream, StreamOptions,
};

use crate::engine::{Engine, EventState, Line, Mark, Origin, StreamKey};
use crate::place::{Place, called_from, caller};
use crate::sink::engine_of;
use crate::{Checked, CheckedEvent};

/// A stream of [`Checked<B>`](Checked): a stream of `B`, and its place in the order.
///
/// Two are equal if the streams inside are. A clone is the same stream.
pub struct CheckedStream<B: Backend> {
    /// Dropped before the stream, whose handle is used again as soon as it is destroyed.
    line: Line,
    inner: B::Stream,
}

impl<B: Backend> CheckedStream<B> {
    /// Wraps a stream of any kind.
    pub(crate) fn open(inner: B::Stream, origin: Origin, place: Place) -> Self {
        let is_blocking = match inner.is_blocking() {
            Ok(is_blocking) => is_blocking,
            // If the backend cannot tell now, an order that may exist is not reported as missing.
            Err(error) => error.kind() != ErrorKind::Unsupported,
        };
        Self::of(inner, origin, is_blocking, place)
    }

    /// Wraps a stream that was just created with `options`.
    pub(crate) fn created(inner: B::Stream, options: StreamOptions, place: Place) -> Self {
        Self::of(inner, Origin::Created, options.blocking, place)
    }

    fn of(inner: B::Stream, origin: Origin, is_blocking: bool, place: Place) -> Self {
        let (device, handle) = (inner.device(), RawHandle::to_bits(inner.raw()));
        let (origin, thread) = match HandleKind::of(handle) {
            HandleKind::Default => (Origin::Default, None),
            HandleKind::PerThread => (Origin::PerThread, Some(thread::current().id())),
            HandleKind::Explicit => (origin, None),
        };
        let key = StreamKey { device, handle, thread };
        CheckedStream { line: engine_of::<B>().open(key, origin, is_blocking, place), inner }
    }

    /// Returns the stream inside, for the calls that only the backend has, such as a launch or a conversion. Does not
    /// block.
    ///
    /// The call counts as work that may follow, as [`raw`](Stream::raw) does. Records and waits that are made with the
    /// result are not seen, and the order that they make counts as missing. Keep the wrapper as long as a clone of the
    /// stream: the order of a stream whose wrappers are gone can be forgotten.
    ///
    /// Asks the driver whether the stream is being captured. So do not call it inside a host function, where CUDA and HIP allow
    /// no call of the driver.
    #[track_caller]
    pub fn inner(&self) -> &B::Stream {
        if !self.line.is_destroyed() {
            // The work that follows may be captured.
            self.engine().captured(&self.line, is_captured(&self.inner));
        }
        self.engine().submit(&self.line, caller());
        &self.inner
    }

    fn engine(&self) -> &'static Engine {
        self.line.engine()
    }

    /// Tells the engine that a call uses the stream, and whether a capture includes it. For the beginning of the call,
    /// which can crash if the stream was destroyed.
    fn begin(&self, place: Place) {
        self.engine().used(&self.line, place);
        self.engine().captured(&self.line, is_captured(&self.inner));
    }

    /// Tells the engine whether a capture that included the stream at its last call is over. For calls that do not ask
    /// otherwise.
    fn end_of_capture(&self) {
        if self.line.is_captured() {
            self.engine().captured(&self.line, is_captured(&self.inner));
        }
    }

    /// Tells the engine that the caller was told of a fault of this stream, if `result` is one.
    fn note_fault<T>(&self, result: &Result<T, B::Error>, place: Place) {
        if let Err(error) = result
            && error.kind() == ErrorKind::StreamFault
        {
            self.engine().faulted(&self.line, place);
        }
    }

    /// Calls `ask`, which waits for the stream or asks whether it is done. Also returns what its success stands for.
    fn ask<T>(
        &self,
        place: Place,
        ask: impl FnOnce(&B::Stream) -> Result<T, B::Error>,
    ) -> (Result<T, B::Error>, Mark) {
        self.engine().used(&self.line, place);
        self.end_of_capture();
        let mark = self.engine().mark(&self.line);
        let answer = ask(&self.inner);
        self.note_fault(&answer, place);
        (answer, mark)
    }

    /// Makes branches of a type around a `CheckedStream` wait for one record of this stream.
    fn fork_wrapped<'a, O>(
        &self,
        branches: impl IntoIterator<Item = &'a O>,
        place: Place,
    ) -> Result<(), B::Error>
    where
        B: PlainHandles,
        O: Stream<Backend = Checked<B>>,
    {
        let (mut event, mut outcome) = (None, Ok(()));
        for branch in branches {
            if branch.is_same(self) {
                continue;
            }
            let event = match &event {
                Some(event) => event,
                None => match called_from(place, || self.record_event()) {
                    Ok(recorded) => event.insert(recorded),
                    // The first error is returned.
                    Err(error) => return outcome.and(Err(error)),
                },
            };
            outcome = outcome.and(called_from(place, || branch.wait_event(event)));
        }
        outcome
    }

    fn note_access(&self, access: Access, region: &Region, place: Place) {
        self.begin(place);
        self.engine().access(&self.line, access, region, place);
    }
}

/// Returns `true` if a capture includes the stream.
fn is_captured(stream: &impl Stream) -> bool {
    // If the backend cannot tell, it has no captures, or none that includes the stream.
    !matches!(stream.capture_status(), Ok(CaptureStatus::None) | Err(_))
}

/// Returns the streams inside of the branches of a fork or join, and adds each branch to `all` when it is asked for.
///
/// The engine is told of a branch before its first wait only: that wait can add the stream to a capture. It was told of
/// `own`, whose fork or join it is. A branch is asked for when the backend asks, since the iterator may submit work.
fn insides<'a, B, O>(
    own: &CheckedStream<B>,
    branches: impl IntoIterator<Item = &'a O>,
    place: Place,
    all: &mut Vec<&'a CheckedStream<B>>,
) -> impl Iterator<Item = &'a B::Stream>
where
    B: PlainHandles,
    O: Stream<Backend = Checked<B>>,
{
    branches.into_iter().filter_map(downcast::<CheckedStream<B>, O>).map(move |branch| {
        let is_of = |earlier: &CheckedStream<B>| earlier.inner == branch.inner;
        if !is_of(own) && !all.iter().any(|earlier| is_of(earlier)) {
            branch.begin(place);
        }
        all.push(branch);
        &branch.inner
    })
}

/// Returns `stream` as a `T`, if that is its type.
fn downcast<T: 'static, O: 'static>(stream: &O) -> Option<&T> {
    (stream as &dyn Any).downcast_ref()
}

// SAFETY:
// - Every method calls its namesake of the stream inside, once, with the streams and events inside of its arguments, and
//   returns its result. The stream inside upholds the contract.
// - `wait_stream`, `fork` and `join` with a type around a `CheckedStream` are a record of the one stream and a wait of the
//   other. The type upholds the contract of both.
//
// The lint makes a method that is added to `Stream` an error here until it is forwarded.
#[deny(clippy::missing_trait_methods)]
unsafe impl<B: PlainHandles> Stream for CheckedStream<B> {
    type Backend = Checked<B>;

    #[track_caller]
    fn raw(&self) -> RawStream<Checked<B>> {
        RawStream::from_bits(self.inner().raw().to_bits())
    }

    fn raw_to_compare(&self) -> RawStream<Checked<B>> {
        RawStream::from_bits(self.inner.raw_to_compare().to_bits())
    }

    fn device(&self) -> Device {
        self.inner.device()
    }

    #[track_caller]
    fn query(&self) -> Result<bool, B::Error> {
        let place = caller();
        let (is_done, mark) = self.ask(place, B::Stream::query);
        if let Ok(true) = is_done {
            self.engine().host_waited(mark, place);
        }
        is_done
    }

    #[track_caller]
    fn query_into(&self, known: &mut KnownWork) -> Result<bool, B::Error> {
        let (is_done, mark) = self.ask(caller(), |inner| inner.query_into(known));
        if let Ok(true) = is_done {
            self.engine().answered(mark, known);
        }
        is_done
    }

    #[track_caller]
    fn synchronize(&self) -> Result<(), B::Error> {
        let place = caller();
        let (waited, mark) = self.ask(place, B::Stream::synchronize);
        if waited.is_ok() {
            self.engine().host_waited(mark, place);
        }
        waited
    }

    #[track_caller]
    fn record(&self, event: &CheckedEvent<B>) -> Result<(), B::Error> {
        let place = caller();
        self.begin(place);
        let recording = self.engine().begin_record(&self.line, event.state(), place);
        let recorded = self.inner.record(event.known());
        self.engine().end_record(event.state(), recording, recorded.is_ok(), place);
        self.note_fault(&recorded, place);
        recorded
    }

    #[track_caller]
    fn record_event(&self) -> Result<CheckedEvent<B>, B::Error> {
        let place = caller();
        self.begin(place);
        let recorded = self.inner.record_event();
        self.note_fault(&recorded, place);
        let event = CheckedEvent::created(self.engine(), recorded?);
        self.engine().record(&self.line, event.state(), place);
        Ok(event)
    }

    /// Waits for the event, as [`Stream::wait_event`].
    ///
    /// An error may be the fault of the work before the record. So it is not taken for a fault of this stream.
    #[track_caller]
    fn wait_event(&self, event: &CheckedEvent<B>) -> Result<(), B::Error> {
        let place = caller();
        self.begin(place);
        self.inner.wait_event(event.known())?;
        self.engine().wait(&self.line, event.state(), place);
        Ok(())
    }

    fn new_event(&self, options: EventOptions) -> Result<CheckedEvent<B>, B::Error> {
        Ok(CheckedEvent::created(self.engine(), self.inner.new_event(options)?))
    }

    #[track_caller]
    fn new_stream(&self, options: StreamOptions) -> Result<CheckedStream<B>, B::Error> {
        let place = caller();
        Ok(CheckedStream::created(self.inner.new_stream(options)?, options, place))
    }

    #[track_caller]
    fn wait_stream<O>(&self, other: &O) -> Result<(), B::Error>
    where
        O: Stream<Backend = Checked<B>>,
    {
        let place = caller();
        if let Some(other) = downcast::<Self, O>(other) {
            self.begin(place);
            other.begin(place);
            self.inner.wait_stream(&other.inner)?;
            self.engine().wait_stream(&self.line, &other.line, place);
            Ok(())
        } else if self.is_same(other) {
            Ok(())
        } else {
            // A `PerThread`, or a wrapper type of another crate: the stream inside is not accessible, but a record of it is.
            called_from(place, || self.wait_event(&other.record_event()?))
        }
    }

    /// Makes the branches wait, as [`Stream::fork`].
    ///
    /// If it returns an error, the check takes all waits for made, because a backend does not tell which failed.
    #[track_caller]
    fn fork<'a, I, O>(&self, branches: I) -> Result<(), B::Error>
    where
        I: IntoIterator<Item = &'a O>,
        O: Stream<Backend = Checked<B>>,
    {
        let place = caller();
        if TypeId::of::<O>() != TypeId::of::<Self>() {
            return self.fork_wrapped(branches, place);
        }
        self.begin(place);
        let mut waiters: Vec<&Self> = Vec::new();
        let forked = self.inner.fork(insides(self, branches, place, &mut waiters));
        waiters.retain(|branch| branch.inner != self.inner);
        if !waiters.is_empty() {
            let event = EventState::new(self.engine(), false);
            self.engine().record(&self.line, &event, place);
            waiters.iter().for_each(|branch| self.engine().wait(&branch.line, &event, place));
        }
        forked
    }

    /// Waits for the branches, as [`Stream::join`].
    ///
    /// If it returns an error, the check takes all waits for made, because a backend does not tell which failed.
    #[track_caller]
    fn join<'a, I, O>(&self, branches: I) -> Result<(), B::Error>
    where
        I: IntoIterator<Item = &'a O>,
        O: Stream<Backend = Checked<B>>,
    {
        let place = caller();
        if TypeId::of::<O>() != TypeId::of::<Self>() {
            let wait = |branch| called_from(place, || self.wait_stream(branch));
            return branches.into_iter().map(wait).fold(Ok(()), Result::and);
        }
        self.begin(place);
        let mut awaited: Vec<&Self> = Vec::new();
        let joined = self.inner.join(insides(self, branches, place, &mut awaited));
        for branch in awaited {
            self.engine().wait_stream(&self.line, &branch.line, place);
        }
        joined
    }

    fn is_same<O: Stream<Backend = Checked<B>>>(&self, other: &O) -> bool {
        self.raw_to_compare() == other.raw_to_compare()
            && self.device() == other.device()
            && self.backend_type() == other.backend_type()
    }

    fn backend_type(&self) -> TypeId {
        TypeId::of::<Checked<B>>()
    }

    fn priority(&self) -> Result<i32, B::Error> {
        self.inner.priority()
    }

    fn is_blocking(&self) -> Result<bool, B::Error> {
        self.inner.is_blocking()
    }

    fn id(&self) -> Result<u64, B::Error> {
        self.inner.id()
    }

    fn capture_status(&self) -> Result<CaptureStatus, B::Error> {
        self.inner.capture_status()
    }

    #[track_caller]
    fn launch_host_func(&self, func: HostFunc) -> Result<(), B::Error> {
        let place = caller();
        self.engine().used(&self.line, place);
        self.end_of_capture();
        let launched = self.inner.launch_host_func(func);
        self.note_fault(&launched, place);
        if launched.is_ok() {
            self.engine().submit(&self.line, place);
        }
        launched
    }

    #[track_caller]
    fn reads(&self, region: &Region) {
        self.note_access(Access::Read, region, caller());
    }

    #[track_caller]
    fn writes(&self, region: &Region) {
        self.note_access(Access::Write, region, caller());
    }

    #[track_caller]
    fn released(&self, region: &Region) {
        self.note_access(Access::Release, region, caller());
    }
}

impl<B: Backend> Clone for CheckedStream<B> {
    fn clone(&self) -> Self {
        CheckedStream { line: self.line.clone(), inner: self.inner.clone() }
    }
}

impl<B: Backend> PartialEq for CheckedStream<B> {
    fn eq(&self, other: &Self) -> bool {
        self.inner == other.inner
    }
}

impl<B: Backend> Eq for CheckedStream<B> {}

impl<B: Backend> Hash for CheckedStream<B> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl<B: Backend> fmt::Debug for CheckedStream<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CheckedStream").field(&self.inner).finish()
    }
}
