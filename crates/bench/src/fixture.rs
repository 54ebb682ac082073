//! What a measurement needs from a backend beyond the contract: [`BenchFixture`] and [`Bare`].

use std::convert::Infallible;
use std::fmt;
use std::marker::PhantomData;

use gpu_stream_core::dynamic::DynBackend;
use gpu_stream_core::{Backend, Device, PlainHandles, Stream, StreamOwner};

use crate::{BenchStreams, Contender, Job};

/// The stream type of the backend of fixture `F`.
pub type StreamOf<F> = <<F as BenchFixture>::Backend as Backend>::Stream;

/// The event type of the backend of fixture `F`.
pub type EventOf<F> = <<F as BenchFixture>::Backend as Backend>::Event;

/// The error type of the backend of fixture `F`.
pub type ErrorOf<F> = <<F as BenchFixture>::Backend as Backend>::Error;

/// What a backend provides to be measured: foreign streams, and the bare driver's calls that do the
/// same jobs as the backend's operations.
///
/// The counterpart of the conformance suite's `Fixture`. Measures one device of the backend.
pub trait BenchFixture: Sized + Send + Sync + 'static {
    /// The measured backend.
    type Backend: PlainHandles;

    /// A stream created by the bare driver. It does not synchronize with the default stream.
    /// Dropping the value destroys the stream.
    type Foreign: StreamOwner<Self::Backend>;

    /// The bare driver's calls.
    type Bare: Bare<Stream = Self::Foreign>;

    /// Returns the measured device.
    fn device(&self) -> Device;

    /// Returns the backend as an object-safe trait object.
    fn dynamic(&self) -> &dyn DynBackend;

    /// Creates a stream with the bare driver.
    ///
    /// # Errors
    /// The driver's error code.
    fn foreign(&self) -> Result<Self::Foreign, Failed>;

    /// Returns the bare driver's calls. `None` if there is no driver below the backend.
    fn bare(&self) -> Option<&Self::Bare>;

    /// Prepares the calling thread as a program of this vendor would. For example, makes the
    /// device's context current.
    ///
    /// Every measuring thread calls this first.
    ///
    /// # Errors
    /// The driver's error code.
    fn enter_thread(&self) -> Result<(), Failed>;

    /// Returns other libraries in this process that do the same jobs.
    fn libraries(&self) -> Vec<&dyn Library<Self>> {
        Vec::new()
    }

    /// Returns the libraries of this build that cannot be measured here, as names and reasons.
    fn missing_libraries(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Returns the reason to skip a job: this version of the driver lacks a function for it. `None`
    /// if the job can be measured.
    ///
    /// A skipped job is no failure. Reports list the reason.
    fn skip_reason(&self, _: Job) -> Option<String> {
        None
    }

    /// Returns further facts for the report, as names and values. For example, the loaded library.
    fn facts(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

/// A call that invalidates captures of other streams unless the thread's capture mode is *relaxed*. Some
/// drivers and versions do not need the mode for some of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnsafeCall {
    /// The query of a stream.
    StreamQuery,
    /// The synchronization of a stream.
    StreamSynchronize,
    /// The query of an event.
    EventQuery,
    /// The synchronization of an event.
    EventSynchronize,
}

/// The calls of a bare driver.
///
/// A method makes one call of the driver, and checks its result. The contenders combine them: the *bare
/// call* is the fewest calls that do a job, and the *careful calls* add what it takes to give the same
/// guarantees as gpu-stream.
///
/// All methods that return a [`Result`] fail with the driver's error code.
pub trait Bare: Send + Sync {
    /// The stream type of the driver, as in [`BenchFixture::Foreign`].
    type Stream: Send + Sync;

    /// The event type of the driver. Dropping the value destroys the event.
    type Event: Send + Sync;

    /// Returns the names of the driver functions that do `job`, as text for a table.
    fn calls(&self, job: Job) -> &'static str;

    /// Returns the careful calls for `job`, as text for a table. `None` if they are the bare calls.
    fn careful_calls(&self, job: Job) -> Option<String>;

    /// Creates an event, with or without timing.
    fn new_event(&self, timed: bool) -> Result<Self::Event, Failed>;

    /// Creates a stream.
    fn new_stream(&self) -> Result<Self::Stream, Failed>;

    /// Checks that the stream belongs to the measured device.
    fn check_device(&self, stream: &Self::Stream) -> Result<(), Failed>;

    /// Returns `true` if the stream is capturing.
    fn capture_status(&self, stream: &Self::Stream) -> Result<bool, Failed>;

    /// Returns `true` if all work of the stream is done.
    fn query(&self, stream: &Self::Stream) -> Result<bool, Failed>;

    /// Returns `true` if all work of the stream is done, where one [`query`](Self::query) of an idle stream may say that it is
    /// not.
    #[inline]
    fn query_repeatedly(&self, stream: &Self::Stream) -> Result<bool, Failed> {
        self.query(stream)
    }

    /// Blocks until all work of the stream is done.
    fn synchronize(&self, stream: &Self::Stream) -> Result<(), Failed>;

    /// Blocks until all work of the stream is done. Fails also if the work failed, where [`synchronize`](Self::synchronize)
    /// does not tell.
    #[inline]
    fn synchronize_with_status(&self, stream: &Self::Stream) -> Result<(), Failed> {
        self.synchronize(stream)
    }

    /// Records the event on the stream.
    fn record(&self, event: &Self::Event, stream: &Self::Stream) -> Result<(), Failed>;

    /// Gives a record to the device, where [`record`](Self::record) alone may keep it back for ever.
    #[inline]
    fn flush(&self, _: &Self::Stream) -> Result<(), Failed> {
        Ok(())
    }

    /// Makes the stream wait for the event's current record.
    fn wait_event(&self, stream: &Self::Stream, event: &Self::Event) -> Result<(), Failed>;

    /// Returns `true` if the event is complete.
    fn event_query(&self, event: &Self::Event) -> Result<bool, Failed>;

    /// Blocks until the event is complete.
    fn event_synchronize(&self, event: &Self::Event) -> Result<(), Failed>;

    /// Returns the stream's priority.
    fn priority(&self, stream: &Self::Stream) -> Result<i32, Failed>;

    /// Returns the stream's id.
    fn id(&self, stream: &Self::Stream) -> Result<u64, Failed>;

    /// Returns the time between two events in milliseconds.
    fn elapsed(&self, start: &Self::Event, end: &Self::Event) -> Result<f32, Failed>;

    /// Submits a host function that does nothing.
    fn host_func(&self, stream: &Self::Stream) -> Result<(), Failed>;

    /// Makes `call` in the capture mode *relaxed*, and restores the thread's mode. Makes only `call` if this
    /// driver does not need the mode for it.
    fn relaxed<T>(
        &self,
        unsafe_call: UnsafeCall,
        call: impl FnOnce() -> Result<T, Failed>,
    ) -> Result<T, Failed>;

    /// Makes `call` with the measured device or context current. Checks what is current, and changes and
    /// restores that only if it is another one.
    fn with_current<T>(&self, call: impl FnOnce() -> Result<T, Failed>) -> Result<T, Failed>;

    /// Returns `true` if the query of an event breaks a capture of the stream that recorded the event.
    fn event_query_breaks_its_stream(&self) -> bool {
        false
    }

    /// Begins a capture of the stream in the mode *global*.
    fn begin_capture(&self, stream: &Self::Stream) -> Result<(), Failed>;

    /// Ends the capture of the stream, and destroys its graph. Fails if the capture was broken.
    fn end_capture(&self, stream: &Self::Stream) -> Result<(), Failed>;

    /// Returns an error if the stream is capturing.
    #[inline]
    fn refuse_captured(&self, stream: &Self::Stream) -> Result<(), Failed> {
        match self.capture_status(stream)? {
            false => Ok(()),
            true => Err(Failed { function: "the capture check", code: 0 }),
        }
    }
}

/// Another library in this process that does the same jobs as gpu-stream.
pub trait Library<F: BenchFixture> {
    /// Returns the library's name for reports.
    fn name(&self) -> &'static str;

    /// Returns the library's version.
    fn version(&self) -> String;

    /// Creates a contender that does `job` with the library, on `streams`. `None` if the library has
    /// no function for the job.
    ///
    /// # Errors
    /// The library's error text if its setup fails.
    fn contender<'a>(
        &'a self,
        job: Job,
        streams: BenchStreams<'a, F>,
    ) -> Result<Option<Contender<'a>>, String>;
}

/// A call of a bare driver that failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Failed {
    /// The function's name.
    pub function: &'static str,
    /// The returned error code.
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

/// The [`Bare`] of a backend without a driver below it. The type has no values.
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
        careful_calls(job: Job) -> Option<String>;
        new_event(timed: bool) -> Result<(), Failed>;
        new_stream() -> Result<S, Failed>;
        check_device(stream: &S) -> Result<(), Failed>;
        capture_status(stream: &S) -> Result<bool, Failed>;
        query(stream: &S) -> Result<bool, Failed>;
        synchronize(stream: &S) -> Result<(), Failed>;
        record(event: &(), stream: &S) -> Result<(), Failed>;
        wait_event(stream: &S, event: &()) -> Result<(), Failed>;
        event_query(event: &()) -> Result<bool, Failed>;
        event_synchronize(event: &()) -> Result<(), Failed>;
        priority(stream: &S) -> Result<i32, Failed>;
        id(stream: &S) -> Result<u64, Failed>;
        elapsed(start: &(), end: &()) -> Result<f32, Failed>;
        host_func(stream: &S) -> Result<(), Failed>;
        begin_capture(stream: &S) -> Result<(), Failed>;
        end_capture(stream: &S) -> Result<(), Failed>;
    }

    fn relaxed<T>(
        &self,
        _: UnsafeCall,
        _: impl FnOnce() -> Result<T, Failed>,
    ) -> Result<T, Failed> {
        match self.0 {}
    }

    fn with_current<T>(&self, _: impl FnOnce() -> Result<T, Failed>) -> Result<T, Failed> {
        match self.0 {}
    }
}

/// A foreign stream and the backend's wrapper of it.
pub struct BenchStream<F: BenchFixture> {
    // Declared before `foreign`, so that the wrapper is dropped before the stream.
    ours: StreamOf<F>,
    foreign: F::Foreign,
}

impl<F: BenchFixture> BenchStream<F> {
    /// Creates a stream, submits some work to it and blocks until the work is done.
    ///
    /// On some drivers a stream that never had work is cheaper to query, and no real program keeps
    /// such a stream.
    ///
    /// # Errors
    /// The error text of the driver or the backend.
    pub fn new(fixture: &F) -> Result<Self, String> {
        let foreign = fixture.foreign()?;
        // SAFETY: the stream outlives the wrapper, its clones and its events:
        // - `foreign` is dropped after the wrapper (field order).
        // - Only this crate can access the wrapper. It makes no clones, and keeps no event longer than
        //   the `BenchStream`.
        let ours =
            unsafe { F::Backend::stream_from_raw(foreign.raw_stream(), Some(fixture.device())) };
        let stream: Self = BenchStream { ours: ours.map_err(|error| error.to_string())?, foreign };
        stream.ours.record_event().map_err(|error| error.to_string())?;
        stream.settle()?;
        Ok(stream)
    }

    /// Returns the backend's wrapper.
    pub(crate) fn ours(&self) -> &StreamOf<F> {
        &self.ours
    }

    /// Returns the foreign stream.
    pub fn foreign(&self) -> &F::Foreign {
        &self.foreign
    }

    /// Blocks until the stream is idle.
    ///
    /// # Errors
    /// The backend's error text.
    pub fn settle(&self) -> Result<(), String> {
        self.ours.synchronize().map_err(|error| error.to_string())
    }
}
