//! The default stream of one thread: [`PerThread`].

use core::any::TypeId;
use core::fmt;
use core::marker::PhantomData;

use crate::{
    CaptureStatus, Device, ErrorOf, EventOf, EventOptions, HostFunc, KnownWork, Region, Stream,
    StreamOf, StreamOptions,
};

/// A thread's default stream, which does not leave its thread.
///
/// The handle (2 on CUDA and HIP) names another stream on every thread. A wrapper that is moved to
/// another thread would silently order the work of another stream. So this type is neither `Send`
/// nor `Sync`, and does not expose the wrapper inside. Events recorded through it are ordinary, and
/// any thread may use them.
///
/// ```
/// use gpu_stream_core::{ErrorOf, PerThread, Stream};
///
/// fn finish<S: Stream>(mine: PerThread<S>) -> Result<(), ErrorOf<S>> {
///     mine.synchronize()
/// }
/// ```
///
/// Using it on another thread does not compile:
///
/// ```compile_fail,E0277
/// use gpu_stream_core::{ErrorOf, PerThread, Stream};
///
/// fn finish<S: Stream + Send + Sync>(mine: PerThread<S>) {
///     std::thread::spawn(move || mine.synchronize().is_ok());
/// }
/// ```
///
/// An ordinary stream of the same backend can be used there:
///
/// ```
/// use gpu_stream_core::{ErrorOf, Stream};
///
/// fn finish<S: Stream + Send + Sync>(ordinary: S) {
///     std::thread::spawn(move || ordinary.synchronize().is_ok());
/// }
/// ```
///
/// Origin:
/// [`cudaStreamPerThread`](https://docs.nvidia.com/cuda/cuda-runtime-api/stream-sync-behavior.html).
#[doc(alias("cudaStreamPerThread", "hipStreamPerThread", "CU_STREAM_PER_THREAD"))]
pub struct PerThread<S> {
    stream: S,
    _not_send: PhantomData<*const ()>,
}

impl<S: Stream> PerThread<S> {
    /// Makes `stream` the calling thread's own. For backend authors.
    ///
    /// # Safety
    /// `stream` wraps the default stream of the calling thread. No other wrapper of that handle is,
    /// or will be, reachable by safe code on another thread.
    pub unsafe fn new_unchecked(stream: S) -> Self {
        PerThread { stream, _not_send: PhantomData }
    }

    /// Returns the wrapper inside, whose type can be sent to another thread. For backend authors.
    ///
    /// # Safety
    /// The wrapper is used on this thread only.
    pub unsafe fn into_inner_unchecked(self) -> S {
        self.stream
    }

    /// Returns a reference to the wrapper inside, whose clones can be sent to another thread. For
    /// backend authors.
    ///
    /// # Safety
    /// The wrapper and its clones are used on this thread only.
    pub unsafe fn as_inner_unchecked(&self) -> &S {
        &self.stream
    }
}

impl<S: fmt::Debug> fmt::Debug for PerThread<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PerThread").field(&self.stream).finish()
    }
}

// SAFETY: every method forwards to the stream inside, which upholds the contract. `PerThread` is
// not `Send`, so the call is made on the thread that the stream belongs to.
//
// The lint makes a method that is added to `Stream` an error here until it is forwarded: its default would hide
// what the stream inside overrides.
//
// `track_caller` passes the place of the call on to streams that report it, as those of `gpu_stream_checked`.
#[deny(clippy::missing_trait_methods)]
unsafe impl<S: Stream> Stream for PerThread<S> {
    type Backend = S::Backend;

    #[track_caller]
    fn raw(&self) -> <S::Backend as crate::Backend>::RawStream {
        self.stream.raw()
    }

    fn device(&self) -> Device {
        self.stream.device()
    }

    #[track_caller]
    fn query(&self) -> Result<bool, ErrorOf<S>> {
        self.stream.query()
    }

    #[inline]
    #[track_caller]
    fn query_into(&self, known: &mut KnownWork) -> Result<bool, ErrorOf<S>> {
        self.stream.query_into(known)
    }

    #[track_caller]
    fn synchronize(&self) -> Result<(), ErrorOf<S>> {
        self.stream.synchronize()
    }

    #[track_caller]
    fn record(&self, event: &EventOf<S>) -> Result<(), ErrorOf<S>> {
        self.stream.record(event)
    }

    #[track_caller]
    fn wait_event(&self, event: &EventOf<S>) -> Result<(), ErrorOf<S>> {
        self.stream.wait_event(event)
    }

    #[track_caller]
    fn new_event(&self, options: EventOptions) -> Result<EventOf<S>, ErrorOf<S>> {
        self.stream.new_event(options)
    }

    #[track_caller]
    fn new_stream(&self, options: StreamOptions) -> Result<StreamOf<S>, ErrorOf<S>> {
        self.stream.new_stream(options)
    }

    #[track_caller]
    fn record_event(&self) -> Result<EventOf<S>, ErrorOf<S>> {
        self.stream.record_event()
    }

    #[track_caller]
    fn wait_stream<O: Stream<Backend = S::Backend>>(&self, other: &O) -> Result<(), ErrorOf<S>> {
        self.stream.wait_stream(other)
    }

    #[track_caller]
    fn fork<'a, I, O>(&self, branches: I) -> Result<(), ErrorOf<S>>
    where
        I: IntoIterator<Item = &'a O>,
        O: Stream<Backend = S::Backend>,
    {
        self.stream.fork(branches)
    }

    #[track_caller]
    fn join<'a, I, O>(&self, branches: I) -> Result<(), ErrorOf<S>>
    where
        I: IntoIterator<Item = &'a O>,
        O: Stream<Backend = S::Backend>,
    {
        self.stream.join(branches)
    }

    fn is_same<O: Stream<Backend = S::Backend>>(&self, other: &O) -> bool {
        self.stream.is_same(other)
    }

    fn raw_to_compare(&self) -> <S::Backend as crate::Backend>::RawStream {
        self.stream.raw_to_compare()
    }

    fn backend_type(&self) -> TypeId {
        self.stream.backend_type()
    }

    fn priority(&self) -> Result<i32, ErrorOf<S>> {
        self.stream.priority()
    }

    fn is_blocking(&self) -> Result<bool, ErrorOf<S>> {
        self.stream.is_blocking()
    }

    fn id(&self) -> Result<u64, ErrorOf<S>> {
        self.stream.id()
    }

    fn capture_status(&self) -> Result<CaptureStatus, ErrorOf<S>> {
        self.stream.capture_status()
    }

    #[track_caller]
    fn launch_host_func(&self, func: HostFunc) -> Result<(), ErrorOf<S>> {
        self.stream.launch_host_func(func)
    }

    #[inline]
    #[track_caller]
    fn reads(&self, region: &Region) {
        self.stream.reads(region);
    }

    #[inline]
    #[track_caller]
    fn writes(&self, region: &Region) {
        self.stream.writes(region);
    }

    #[inline]
    #[track_caller]
    fn released(&self, region: &Region) {
        self.stream.released(region);
    }
}
