//! An ordered queue of work on a device: the trait [`Stream`]. This file is long because a trait
//! cannot be split, and most of it is documentation. The methods that are more than a line are in `defaults`.

mod defaults;

use alloc::boxed::Box;
use core::any::TypeId;

use self::defaults::unsupported;
use crate::{
    Backend, CaptureStatus, Device, ErrorOf, EventOf, EventOptions, KnownWork, Region, StreamOf,
    StreamOptions,
};

/// A closure that a stream runs on the host: [`Stream::launch_host_func`].
pub type HostFunc = Box<dyn FnOnce() + Send + 'static>;

/// An ordered queue of work on one device, usually allocated by another library.
///
/// It means what [`torch.cuda.ExternalStream`] means: a wrapper of a stream that another library
/// allocated, which it neither owns nor destroys. The trait is about order and completion only.
/// Work is launched by other code (cudarc, a C++ kernel, the host backend's `launch`) on the handle
/// that [`raw`](Self::raw) returns.
///
/// # Order
/// Work on one stream runs in the order in which it was submitted. Work on two streams has no order
/// until a call makes one:
///
/// | call | what it orders |
/// |---|---|
/// | [`record`](Self::record), [`record_event`](Self::record_event) | marks the place after all work submitted so far |
/// | [`wait_event`](Self::wait_event) | all *later* work of this stream runs after the event's current record |
/// | [`wait_stream`](Self::wait_stream) | all later work of this stream runs after all *earlier* work of the other |
/// | [`fork`](Self::fork) | all later work of many streams runs after all earlier work of this one |
/// | [`join`](Self::join) | all later work of this stream runs after all earlier work of many |
/// | [`synchronize`](Self::synchronize) | the calling thread continues after all earlier work |
///
/// "Earlier" and "later" are as seen by one thread; if several threads submit to one stream, they
/// need an order of their own among themselves. Order is visibility too: work that runs after other
/// work sees its effects on memory.
///
/// Only `synchronize` waits for work. A vendor's submission queue can be full: then a call that
/// submits work blocks until the device has made room.
///
/// # Threads
/// Every method takes `&self`, and the stream types that [`Backend`] names are `Send + Sync`: share
/// them freely. The one exception is a thread's default stream, which is another stream on each
/// thread and has a type that stays on its thread: [`PerThread`](crate::PerThread).
///
/// Calls leave the thread as it was: no current device, current context or last error is changed.
///
/// # Example
/// A portable library works on a stream of its own, after what its caller did before and before
/// what the caller does next. The stream is created once, in the context of the caller's stream:
/// creating a stream costs many times more than ordering it.
///
/// ```
/// use gpu_stream_core::{ErrorOf, Stream, StreamOf, StreamOptions};
///
/// struct Library<S: Stream> {
///     side: StreamOf<S>,
/// }
///
/// impl<S: Stream> Library<S> {
///     fn new(caller: &S) -> Result<Self, ErrorOf<S>> {
///         Ok(Library { side: caller.new_stream(StreamOptions::new())? })
///     }
///
///     fn run(&self, caller: &S) -> Result<(), ErrorOf<S>> {
///         self.side.wait_stream(caller)?; // after what the caller has submitted so far
///         // … launch on `self.side` …
///         caller.wait_stream(&self.side) // what the caller submits from here on comes after
///     }
/// }
/// ```
///
/// # For backend authors
/// Required: [`raw`](Self::raw), [`device`](Self::device), [`query`](Self::query),
/// [`synchronize`](Self::synchronize), [`record`](Self::record), [`wait_event`](Self::wait_event).
/// The rest is built on these and may be overridden where the vendor has something cheaper, with
/// the same meaning. Optional capabilities return [`Unsupported`](crate::ErrorKind::Unsupported)
/// until they are overridden.
///
/// # Safety
/// Safe code frees memory on the strength of a stream's answer. An implementation promises, for a
/// stream that is alive:
///
/// - `query` returns `Ok(true)`, and `synchronize` returns `Ok`, only when all work submitted
///   before the call has ended. Its effects are then visible to the calling thread. A failure of
///   the driver is an error and never `true`.
/// - After `record` or `record_event` returned `Ok`, the event stands for **all** work submitted to
///   this stream before the call.
/// - After `wait_event` returned `Ok`, later work of this stream begins only after the work before
///   the event's record has ended. The record is the one that was current at the call, whatever
///   happens to the event afterwards.
/// - After `wait_stream`, `fork` or `join` returned `Ok`, the later work of each waiting stream
///   begins after all work submitted to each awaited stream before the call. An override promises the
///   same as the method that is given here.
/// - `launch_host_func` runs its closure at most once, after all earlier work, and drops it before
///   later work of the stream begins. A closure that does not run is dropped anyway.
/// - `raw`, `device` and `backend_type` return the same for the life of the value. `is_same`
///   returns `true` only for two wrappers of one stream.
/// - `new_event` and `new_stream` return what [`Backend`]'s namesakes return, of this stream's
///   context. That context lives as long as they do.
///
/// [`torch.cuda.ExternalStream`]: https://docs.pytorch.org/docs/stable/generated/torch.cuda.ExternalStream.html
#[doc(alias("ExternalStream", "CUstream", "cudaStream_t", "hipStream_t", "stream_ref"))]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a stream of gpu-stream",
    label = "not a `Stream`",
    note = "`Backend::stream_from_owner` and `Backend::stream_from_raw` wrap a stream of another library",
    note = "generic code takes `S: Stream`; the docs of `gpu_stream::Stream` have an example"
)]
pub unsafe trait Stream: Sized + 'static {
    /// The backend that executes the stream.
    type Backend: Backend;

    /// Returns the handle, to launch work with. It is valid as long as the stream lives. Does not
    /// block.
    ///
    /// This library launches no kernels, and copies and allocates no memory. Pass the handle to what
    /// does: the driver, cudarc, hip-sys, a C++ library.
    #[doc(alias(
        "cuda_stream",
        "ptr",
        "stream_ptr",
        "__cuda_stream__",
        "launch",
        "cuLaunchKernel",
        "cudaLaunchKernel",
        "hipLaunchKernel",
        "hipModuleLaunchKernel",
        "malloc",
        "cuMemAllocAsync",
        "cudaMallocAsync",
        "hipMallocAsync",
        "cuMemFreeAsync",
        "cudaFreeAsync",
        "hipFreeAsync",
        "memcpy",
        "cuMemcpyAsync",
        "cudaMemcpyAsync",
        "hipMemcpyAsync",
        "record_stream"
    ))]
    fn raw(&self) -> <Self::Backend as Backend>::RawStream;

    /// Returns the device that the stream belongs to. Does not block.
    #[doc(alias(
        "cuStreamGetCtx",
        "cuStreamGetDevice",
        "cudaStreamGetDevice",
        "hipStreamGetDevice"
    ))]
    fn device(&self) -> Device;

    /// Returns `true` if all work submitted to the stream before this call is done. Does not block.
    ///
    /// Not ready is `Ok(false)`, never an error; a failure is an error, never `false`.
    ///
    /// `true` is never early. It may be late where the engine has to enqueue something to ask, as OpenCL: repeat it.
    ///
    /// Origin: torch: "a boolean indicating if all kernels in this stream are completed".
    ///
    /// ```
    /// # use gpu_stream_core::{ErrorOf, Stream};
    /// /// Frees what the stream no longer needs; keeps the rest for the next call.
    /// fn recycle<S: Stream, T>(stream: &S, in_use: &mut Vec<T>) -> Result<(), ErrorOf<S>> {
    ///     if stream.query()? {
    ///         in_use.clear();
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// - [`StreamFault`](crate::ErrorKind::StreamFault) if work on the stream failed.
    /// - [`Capturing`](crate::ErrorKind::Capturing) if the stream is being captured. The capture
    ///   goes on.
    /// - [`InvalidHandle`](crate::ErrorKind::InvalidHandle) where the backend can tell that the
    ///   stream was destroyed.
    #[doc(alias("cuStreamQuery", "cudaStreamQuery", "hipStreamQuery", "is_done"))]
    fn query(&self) -> Result<bool, ErrorOf<Self>>;

    /// Returns [`query`](Self::query). Under a check, `true` is no order for the caller, and is added to `known`. For layers
    /// that ask on their own: [`KnownWork`]. Does not block.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    #[doc(hidden)]
    #[inline]
    fn query_into(&self, known: &mut KnownWork) -> Result<bool, ErrorOf<Self>> {
        let _ = known;
        self.query()
    }

    /// Blocks the calling thread until all work submitted to the stream before this call is done.
    ///
    /// Origin: torch: "wait for all the kernels in this stream to complete".
    ///
    /// # Errors
    /// As [`query`](Self::query), and [`NotPermitted`](crate::ErrorKind::NotPermitted) from inside
    /// work that a stream is running.
    #[doc(alias("cuStreamSynchronize", "cudaStreamSynchronize", "hipStreamSynchronize", "sync"))]
    fn synchronize(&self) -> Result<(), ErrorOf<Self>>;

    /// Records `event` on this stream: from now on it stands for all work submitted to the stream
    /// so far. Does not block.
    ///
    /// A second record replaces the first. Waits that were made before keep the old one; queries
    /// and waits from now on use the new one. So one event serves a loop:
    ///
    /// ```
    /// # use gpu_stream_core::{ErrorOf, EventOptions, Stream};
    /// fn pipeline<S: Stream>(copy: &S, compute: &S, rounds: u32) -> Result<(), ErrorOf<S>> {
    ///     let copied = copy.new_event(EventOptions::new())?;
    ///     for _ in 0..rounds {
    ///         // … launch a copy on `copy` …
    ///         copy.record(&copied)?;
    ///         compute.wait_event(&copied)?;
    ///         // … launch the kernel that reads it on `compute` …
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// Origin:
    /// [`torch.cuda.Stream.record_event`](https://docs.pytorch.org/docs/stable/generated/torch.cuda.Stream.html)
    /// with an argument.
    ///
    /// # Errors
    /// The event is then as it was before.
    ///
    /// - [`DeviceMismatch`](crate::ErrorKind::DeviceMismatch) if the event was made for another
    ///   device.
    /// - [`InvalidHandle`](crate::ErrorKind::InvalidHandle) if it was made for another context of
    ///   the device. An event from [`new_event`](Self::new_event) of this stream never is.
    /// - [`StreamFault`](crate::ErrorKind::StreamFault),
    ///   [`InvalidHandle`](crate::ErrorKind::InvalidHandle) as [`query`](Self::query).
    #[doc(alias("cuEventRecord", "cudaEventRecord", "hipEventRecord"))]
    fn record(&self, event: &EventOf<Self>) -> Result<(), ErrorOf<Self>>;

    /// Makes all work submitted to this stream from now on wait for the event's current record.
    /// Does not block: only the stream waits.
    ///
    /// The wait binds to the record and not to the event: the event may be recorded again, or
    /// dropped, right after. A wait for an event that was **never recorded has no effect**, as in
    /// torch, CUDA and HIP; see [`Event::status`](crate::Event::status). The event may belong to
    /// another device of the same backend.
    ///
    /// Origin: torch: "makes all future work submitted to the stream wait for an event … returns
    /// without waiting for event: only future operations are affected".
    ///
    /// # Errors
    /// [`StreamFault`](crate::ErrorKind::StreamFault),
    /// [`InvalidHandle`](crate::ErrorKind::InvalidHandle) as [`query`](Self::query). If the work
    /// *before the record* failed, a backend may return that here, or fault this stream when it
    /// reaches the wait.
    #[doc(alias("cuStreamWaitEvent", "cudaStreamWaitEvent", "hipStreamWaitEvent"))]
    fn wait_event(&self, event: &EventOf<Self>) -> Result<(), ErrorOf<Self>>;

    /// Creates an event in this stream's own context. The event has no record yet. Does not block.
    ///
    /// [`Backend::new_event`] creates an event for a device. This method creates one that fits the
    /// stream, whatever its context is: that of another library, or a green context. The event may
    /// outlive the stream.
    ///
    /// # Errors
    /// As [`Backend::new_event`].
    ///
    /// Origin:
    /// [`torch.cuda.Event`](https://docs.pytorch.org/docs/stable/generated/torch.cuda.Event.html), which
    /// is made at its first record, for the stream that records it.
    #[doc(alias(
        "cuEventCreate",
        "cudaEventCreate",
        "cudaEventCreateWithFlags",
        "hipEventCreate",
        "hipEventCreateWithFlags"
    ))]
    fn new_event(&self, options: EventOptions) -> Result<EventOf<Self>, ErrorOf<Self>> {
        Self::Backend::new_event(self.device(), options)
    }

    /// Creates a stream in this stream's own context. Does not block.
    ///
    /// As with [`Backend::new_stream`], dropping the last wrapper destroys the stream, and work
    /// that was submitted to it still runs. Keep the stream, and do not create one for each call.
    ///
    /// # Errors
    /// As [`Backend::new_stream`].
    #[doc(alias(
        "cuStreamCreate",
        "cuStreamCreateWithPriority",
        "cudaStreamCreate",
        "cudaStreamCreateWithFlags",
        "cudaStreamCreateWithPriority",
        "hipStreamCreate",
        "hipStreamCreateWithFlags",
        "hipStreamCreateWithPriority",
        "cuGreenCtxStreamCreate"
    ))]
    fn new_stream(&self, options: StreamOptions) -> Result<StreamOf<Self>, ErrorOf<Self>> {
        Self::Backend::new_stream(self.device(), options)
    }

    /// Creates a new event, without timing, and records it on this stream. Does not block.
    ///
    /// Origin:
    /// [`torch.cuda.Stream.record_event`](https://docs.pytorch.org/docs/stable/generated/torch.cuda.Stream.html)
    /// without an argument: "if not given, a new one will be allocated".
    ///
    /// # Errors
    /// As [`new_event`](Self::new_event) and [`record`](Self::record).
    #[doc(alias("cuEventCreate", "cudaEventRecord", "hipEventRecord"))]
    fn record_event(&self) -> Result<EventOf<Self>, ErrorOf<Self>> {
        let event = self.new_event(EventOptions::new())?;
        self.record(&event)?;
        Ok(event)
    }

    /// Makes all work submitted to this stream from now on wait for all work submitted to `other`
    /// so far. Does not block: only the stream waits.
    ///
    /// The wait is a snapshot: work that is submitted to `other` later is not waited for. A stream
    /// may wait for itself; that changes nothing and makes no driver call.
    ///
    /// Origin: torch: "all future work submitted to this stream will wait until all kernels
    /// submitted to a given stream at the time of call complete … returns without waiting".
    ///
    /// # Errors
    /// As [`record_event`](Self::record_event) of `other` and [`wait_event`](Self::wait_event) of
    /// this stream.
    #[doc(alias("cuStreamWaitEvent", "cudaStreamWaitEvent", "hipStreamWaitEvent", "depends_on"))]
    fn wait_stream<O>(&self, other: &O) -> Result<(), ErrorOf<Self>>
    where
        O: Stream<Backend = Self::Backend>,
    {
        if self.is_same(other) {
            return Ok(());
        }
        self.wait_event(&other.record_event()?)
    }

    /// Makes all later work of each of `branches` wait for all work submitted to this stream so far
    /// (one to many). Does not block.
    ///
    /// ```
    /// # use gpu_stream_core::{ErrorOf, Stream};
    /// # fn launch<S: Stream>(_: &S) -> Result<(), ErrorOf<S>> { Ok(()) }
    /// # fn f<S: Stream>(main: &S, left: &S, right: &S) -> Result<(), ErrorOf<S>> {
    /// main.fork([left, right])?;
    /// let launched = launch(left).and_then(|()| launch(right));
    /// let joined = main.join([left, right]); // also if a launch failed
    /// launched.and(joined)
    /// # }
    /// ```
    ///
    /// [Join](Self::join) the branches also if the calls between fail. Otherwise this stream does not wait for
    /// branches that run.
    ///
    /// One record serves all branches; a `wait_stream` from each branch would make one each. If
    /// this stream is among its own branches, it is skipped. With no branch nothing happens.
    ///
    /// # Errors
    /// As [`wait_stream`](Self::wait_stream). All branches that can wait do, and the first error is
    /// returned. If the record fails, no branch waits.
    #[doc(alias("wait_stream", "broadcast"))]
    fn fork<'a, I, O>(&self, branches: I) -> Result<(), ErrorOf<Self>>
    where
        I: IntoIterator<Item = &'a O>,
        O: Stream<Backend = Self::Backend>,
    {
        defaults::fork(self, branches)
    }

    /// Makes all later work of this stream wait for all work submitted to each of `branches` so far
    /// (many to one). Does not block.
    ///
    /// After a [`fork`](Self::fork), call it also if the calls between fail, and return their error after it.
    ///
    /// If this stream is among its own branches, it is skipped. With no branch nothing happens.
    ///
    /// # Errors
    /// As [`wait_stream`](Self::wait_stream). This stream waits for all branches that it can wait
    /// for, and the first error is returned.
    #[doc(alias("wait_stream", "gather"))]
    fn join<'a, I, O>(&self, branches: I) -> Result<(), ErrorOf<Self>>
    where
        I: IntoIterator<Item = &'a O>,
        O: Stream<Backend = Self::Backend>,
    {
        defaults::join(self, branches)
    }

    /// Returns `true` if this and `other` wrap one stream: they have one backend type, device and
    /// handle. Does not block.
    ///
    /// The backend's type counts and not its name: two versions of one crate are two backends. In
    /// torch, a native and an external wrapper of one handle are unequal. Here they are the same.
    fn is_same<O>(&self, other: &O) -> bool
    where
        O: Stream<Backend = Self::Backend>,
    {
        self.raw_to_compare() == other.raw_to_compare()
            && self.device() == other.device()
            && self.backend_type() == other.backend_type()
    }

    /// Returns [`raw`](Self::raw), to compare it and not to submit work with it. For layers that take a call of `raw` for
    /// a submission. Does not block.
    #[doc(hidden)]
    fn raw_to_compare(&self) -> <Self::Backend as Backend>::RawStream {
        self.raw()
    }

    /// Returns the id of the backend type that executes the stream. It differs from `Self::Backend`
    /// only where that is chosen at run time. For wrapper types. Does not block.
    #[doc(hidden)]
    fn backend_type(&self) -> TypeId {
        TypeId::of::<Self::Backend>()
    }

    /// Returns the stream's priority: lower is more urgent, 0 is normal. Optional. Does not block.
    ///
    /// # Errors
    /// - [`Unsupported`](crate::ErrorKind::Unsupported) where the vendor cannot tell.
    /// - [`Capturing`](crate::ErrorKind::Capturing) on CUDA and HIP for the default stream, while a
    ///   stream that synchronizes with it is captured.
    #[doc(alias("cuStreamGetPriority", "cudaStreamGetPriority", "hipStreamGetPriority"))]
    fn priority(&self) -> Result<i32, ErrorOf<Self>> {
        Err(unsupported::<Self::Backend>("Stream::priority"))
    }

    /// Returns `true` if the stream and the default stream of its context wait for each other's
    /// work. Optional. Does not block.
    ///
    /// See [`StreamOptions::blocking`]. The default stream itself returns `true`.
    ///
    /// # Errors
    /// - [`Unsupported`](crate::ErrorKind::Unsupported) where the vendor has no such streams.
    /// - [`Capturing`](crate::ErrorKind::Capturing) on CUDA while the stream is captured.
    ///
    /// Origin:
    /// [`cuStreamGetFlags`](https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__STREAM.html),
    /// [`hipStreamGetFlags`](https://rocm.docs.amd.com/projects/HIP/en/latest/doxygen/html/group___stream.html).
    #[doc(alias("cuStreamGetFlags", "cudaStreamGetFlags", "hipStreamGetFlags"))]
    fn is_blocking(&self) -> Result<bool, ErrorOf<Self>> {
        Err(unsupported::<Self::Backend>("Stream::is_blocking"))
    }

    /// Returns a number that no other stream of the process has or will have. The handle, in
    /// contrast, is reused after the stream is destroyed. Optional. Does not block.
    ///
    /// # Errors
    /// - [`Unsupported`](crate::ErrorKind::Unsupported) where the vendor cannot tell.
    /// - [`Capturing`](crate::ErrorKind::Capturing) on CUDA and HIP while the stream is captured. The
    ///   default stream returns it while a stream that synchronizes with it is captured.
    #[doc(alias("cuStreamGetId", "cudaStreamGetId", "hipStreamGetId"))]
    fn id(&self) -> Result<u64, ErrorOf<Self>> {
        Err(unsupported::<Self::Backend>("Stream::id"))
    }

    /// Returns whether a capture into a graph includes the stream. Optional. Does not block, and
    /// does not affect the capture.
    ///
    /// This library begins no capture and launches no graph. The owner of the stream does that with
    /// the vendor's API or with torch, and the calls of this library are recorded like all others.
    ///
    /// # Errors
    /// - [`Unsupported`](crate::ErrorKind::Unsupported) where the vendor cannot tell.
    /// - [`Capturing`](crate::ErrorKind::Capturing) on CUDA and HIP for the default stream, while a
    ///   stream that synchronizes with it is captured.
    #[doc(alias(
        "cuStreamIsCapturing",
        "cuStreamGetCaptureInfo",
        "cudaStreamIsCapturing",
        "cudaStreamGetCaptureInfo",
        "hipStreamIsCapturing",
        "hipStreamGetCaptureInfo",
        "is_current_stream_capturing",
        "capture",
        "cuStreamBeginCapture",
        "cudaStreamBeginCapture",
        "hipStreamBeginCapture",
        "cuGraphLaunch",
        "cudaGraphLaunch",
        "hipGraphLaunch"
    ))]
    fn capture_status(&self) -> Result<CaptureStatus, ErrorOf<Self>> {
        Err(unsupported::<Self::Backend>("Stream::capture_status"))
    }

    /// Runs `func` on the host when the stream reaches it, after all earlier work. Later work waits
    /// until it has returned and was dropped. Optional. Does not block, and never runs `func`
    /// inside the call.
    ///
    /// The closure must not call back into the GPU's API, and should be short: on some backends all
    /// streams share the one thread that runs such functions.
    ///
    /// The closure runs once or is dropped once. It does not run if earlier work of the stream
    /// failed, or if an earlier host function of the stream panicked. It is then dropped: by the
    /// backend's own thread, or at the latest by the next call on the stream that reports the
    /// fault. If it holds the sender of a channel, the receiver sees the sender dropped. If this
    /// call returns an error, the closure was dropped, or the driver has run it.
    ///
    /// A panic of the closure is a fault of its stream. On CUDA, HIP and OpenCL it stays with that stream: an
    /// event recorded after it completes, and a stream that waits for that event continues. On the
    /// host, both get the fault.
    ///
    /// CUDA, HIP and OpenCL do not wait for pending work when the process exits, so a closure may be
    /// neither run nor dropped. Synchronize before that. The host first runs all work that no gate
    /// holds back, so a closure that never ends keeps the process running.
    /// `gpu_stream_host::abandon_at_exit` turns that off.
    ///
    /// # Errors
    /// - [`Unsupported`](crate::ErrorKind::Unsupported) where the vendor does not have it.
    /// - [`Capturing`](crate::ErrorKind::Capturing) on a stream that is captured, because a graph
    ///   may be launched many times.
    /// - [`StreamFault`](crate::ErrorKind::StreamFault),
    ///   [`InvalidHandle`](crate::ErrorKind::InvalidHandle) as [`query`](Self::query).
    #[doc(alias(
        "cuLaunchHostFunc",
        "cuStreamAddCallback",
        "cudaLaunchHostFunc",
        "cudaStreamAddCallback",
        "hipLaunchHostFunc",
        "hipStreamAddCallback"
    ))]
    fn launch_host_func(&self, func: HostFunc) -> Result<(), ErrorOf<Self>> {
        drop(func);
        Err(unsupported::<Self::Backend>("Stream::launch_host_func"))
    }

    /// Declares that the work that is submitted next to this stream reads a region of memory. Does not block.
    ///
    /// A backend that checks the order of accesses, `gpu_stream_checked::Checked`, reports a read that is not ordered
    /// after the last write. Other backends do nothing, and the call is compiled to nothing.
    ///
    /// Declare an access directly before the launch, with no record or wait between: a record stands for the accesses
    /// that were declared before it.
    #[inline]
    fn reads(&self, region: &Region) {
        let _ = region;
    }

    /// Declares that the work that is submitted next to this stream writes to a region of memory. Does not block.
    ///
    /// As [`reads`](Self::reads). Work that reads and writes a region needs only this declaration.
    #[inline]
    fn writes(&self, region: &Region) {
        let _ = region;
    }

    /// Declares that the memory of a region is freed on this stream, or that its allocator may use it for another
    /// allocation as soon as this stream's earlier work is done. Does not block.
    ///
    /// As [`reads`](Self::reads). An access of the region that is not ordered before the release is reported, and so is
    /// each later one.
    #[inline]
    fn released(&self, region: &Region) {
        let _ = region;
    }
}
