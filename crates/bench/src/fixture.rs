//! What the measurement needs of a backend beyond the contract: the trait [`BenchFixture`].

use std::convert::Infallible;
use std::fmt;
use std::marker::PhantomData;

use gpu_stream_core::dynamic::DynBackend;
use gpu_stream_core::{Backend, Device, PlainHandles, Stream, StreamOwner};

use crate::{BenchStreams, Contender, Job};

/// The stream type of ground `G`'s backend.
pub type StreamOf<G> = <<G as BenchFixture>::Backend as Backend>::Stream;

/// The event type of ground `G`'s backend.
pub type EventOf<G> = <<G as BenchFixture>::Backend as Backend>::Event;

/// The error type of ground `G`'s backend.
pub type ErrorOf<G> = <<G as BenchFixture>::Backend as Backend>::Error;

/// What a backend brings to be measured: streams that somebody else made, and the bare driver's
/// calls that do what its own operations do.
///
/// The counterpart of the conformance suite's `Fixture`. One device of the backend is measured.
pub trait BenchFixture: Sized + Send + Sync + 'static {
    /// The backend that is measured.
    type Backend: PlainHandles;

    /// A stream made by the bare driver, that does not synchronise with the default stream.
    /// Dropping it destroys it.
    type Foreign: StreamOwner<Self::Backend>;

    /// The driver's calls.
    type Bare: Bare<Stream = Self::Foreign>;

    /// The device.
    fn device(&self) -> Device;

    /// The backend's marker, for its object-safe form.
    fn dynamic(&self) -> &dyn DynBackend;

    /// Makes a stream with the bare driver.
    ///
    /// # Errors
    /// What the driver says.
    fn foreign(&self) -> Result<Self::Foreign, Failed>;

    /// The driver's calls; `None` where there is no driver beneath the backend.
    fn bare(&self) -> Option<&Self::Bare>;

    /// Readies the calling thread as a program of this vendor would: the device's context current,
    /// for instance. Called at the start of every thread that measures.
    ///
    /// # Errors
    /// What the driver says.
    fn enter_thread(&self) -> Result<(), Failed>;

    /// Other libraries in this process that do the same jobs.
    fn libraries(&self) -> Vec<&dyn Library<Self>> {
        Vec::new()
    }

    /// Why a job is left out, on this version of the driver: it lacks the call that the job is. Not
    /// a failure; reports say it. `None` for a job that is measured.
    fn skip_reason(&self, _: Job) -> Option<String> {
        None
    }

    /// What else should stand beside the figures: the library that was loaded, for instance.
    fn facts(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

/// The calls of a bare driver, each as a careful program makes it: the answer is looked at.
///
/// Where a call would break a capture that goes on, the job has a look at the capture before it, in
/// [`query`](Self::query) and its like. The ones without are named `_only`.
pub trait Bare: Send + Sync {
    /// As [`BenchFixture::Foreign`].
    type Stream: Send + Sync;

    /// An event. Dropping it destroys it.
    type Event: Send + Sync;

    /// The functions that are called for a job, in words for a table.
    fn calls(&self, job: Job) -> &'static str;

    /// Makes an event, with or without timing.
    ///
    /// # Errors
    /// What the driver says, here and in all that follow.
    fn new_event(&self, timed: bool) -> Result<Self::Event, Failed>;

    /// Makes a stream.
    fn new_stream(&self) -> Result<Self::Stream, Failed>;

    /// Finds the stream's device and compares it with the one that is measured.
    fn check_device(&self, stream: &Self::Stream) -> Result<(), Failed>;

    /// Whether the stream is captured.
    fn capture_status(&self, stream: &Self::Stream) -> Result<bool, Failed>;

    /// Whether the stream is done, unless it is captured.
    fn query(&self, stream: &Self::Stream) -> Result<bool, Failed> {
        self.refuse_captured(stream)?;
        self.query_only(stream)
    }

    /// Whether the stream is done.
    fn query_only(&self, stream: &Self::Stream) -> Result<bool, Failed>;

    /// Waits for the stream, unless it is captured.
    fn synchronize(&self, stream: &Self::Stream) -> Result<(), Failed> {
        self.refuse_captured(stream)?;
        self.synchronize_only(stream)
    }

    /// Waits for the stream.
    fn synchronize_only(&self, stream: &Self::Stream) -> Result<(), Failed>;

    /// Records the event.
    fn record(&self, event: &Self::Event, stream: &Self::Stream) -> Result<(), Failed>;

    /// Lets the stream wait for the event.
    fn wait_event(&self, stream: &Self::Stream, event: &Self::Event) -> Result<(), Failed>;

    /// Whether the event is complete.
    fn event_query(&self, event: &Self::Event) -> Result<bool, Failed>;

    /// Waits for the event.
    fn event_synchronize(&self, event: &Self::Event) -> Result<(), Failed>;

    /// The stream's priority.
    fn priority(&self, stream: &Self::Stream) -> Result<i32, Failed>;

    /// The stream's number, unless it is captured.
    fn id(&self, stream: &Self::Stream) -> Result<u64, Failed>;

    /// The milliseconds between two events.
    fn elapsed(&self, start: &Self::Event, end: &Self::Event) -> Result<f32, Failed>;

    /// Submits a function that does nothing.
    fn host_func(&self, stream: &Self::Stream) -> Result<(), Failed>;

    /// An error if the stream is captured.
    #[inline]
    fn refuse_captured(&self, stream: &Self::Stream) -> Result<(), Failed> {
        match self.capture_status(stream)? {
            false => Ok(()),
            true => Err(Failed { function: "the look at the capture", code: 0 }),
        }
    }
}

/// A library in this process that does the same jobs as ours.
pub trait Library<G: BenchFixture> {
    /// How reports name it.
    fn name(&self) -> &'static str;

    /// Its version.
    fn version(&self) -> String;

    /// The library at this job, on the streams of `stage`; `None` if it has nothing for it.
    ///
    /// # Errors
    /// What the library says while it gets ready.
    fn contender<'a>(
        &'a self,
        job: Job,
        stage: BenchStreams<'a, G>,
    ) -> Result<Option<Contender<'a>>, String>;
}

/// A call of a bare driver that did not answer with success.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Failed {
    /// Which.
    pub function: &'static str,
    /// What it answered.
    pub code: i32,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} answered {}", self.function, self.code)
    }
}

impl std::error::Error for Failed {}

impl From<Failed> for String {
    fn from(failed: Failed) -> Self {
        failed.to_string()
    }
}

/// For a backend without a driver beneath it: there is no value of this type, and no call.
#[derive(Debug)]
pub struct NoBare<S>(Infallible, PhantomData<fn() -> S>);

macro_rules! never {
    ($($name:ident ($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        $(fn $name(&self, $($argument: $type),*) -> $answer {
            $(let _ = $argument;)*
            match self.0 {}
        })*
    };
}

impl<S: Send + Sync> Bare for NoBare<S> {
    type Stream = S;
    type Event = ();

    never! {
        calls(job: Job) -> &'static str;
        new_event(timed: bool) -> Result<(), Failed>;
        new_stream() -> Result<S, Failed>;
        check_device(stream: &S) -> Result<(), Failed>;
        capture_status(stream: &S) -> Result<bool, Failed>;
        query_only(stream: &S) -> Result<bool, Failed>;
        synchronize_only(stream: &S) -> Result<(), Failed>;
        record(event: &(), stream: &S) -> Result<(), Failed>;
        wait_event(stream: &S, event: &()) -> Result<(), Failed>;
        event_query(event: &()) -> Result<bool, Failed>;
        event_synchronize(event: &()) -> Result<(), Failed>;
        priority(stream: &S) -> Result<i32, Failed>;
        id(stream: &S) -> Result<u64, Failed>;
        elapsed(start: &(), end: &()) -> Result<f32, Failed>;
        host_func(stream: &S) -> Result<(), Failed>;
    }
}

/// A stream that somebody else made, and our wrapper of it.
pub struct BenchStream<G: BenchFixture> {
    // Before the stream that it is a wrapper of, so that it goes first.
    ours: StreamOf<G>,
    foreign: G::Foreign,
}

impl<G: BenchFixture> BenchStream<G> {
    /// Makes a stream, and gives it some work, that is done before this returns: a stream that
    /// never had any is cheaper to ask on some drivers, and no program's stream stays so.
    ///
    /// # Errors
    /// What the driver or the backend says.
    pub fn new(fixture: &G) -> Result<Self, String> {
        let foreign = fixture.foreign()?;
        // SAFETY: the stream lives until `foreign` is dropped, which comes after the wrapper. Only
        // this crate reaches the wrapper, and it clones none, nor keeps an event beyond the lane.
        let ours =
            unsafe { G::Backend::stream_from_raw(foreign.raw_stream(), Some(fixture.device())) };
        let lane: Self = BenchStream { ours: ours.map_err(|error| error.to_string())?, foreign };
        lane.ours.record_event().map_err(|error| error.to_string())?;
        lane.settle()?;
        Ok(lane)
    }

    /// The wrapper.
    pub(crate) fn ours(&self) -> &StreamOf<G> {
        &self.ours
    }

    /// What is wrapped.
    pub fn foreign(&self) -> &G::Foreign {
        &self.foreign
    }

    /// Waits until the stream is idle.
    ///
    /// # Errors
    /// What the backend says.
    pub fn settle(&self) -> Result<(), String> {
        self.ours.synchronize().map_err(|error| error.to_string())
    }
}
