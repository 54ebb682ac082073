//! What a vendor must provide: the trait [`Backend`]. This file is long because a trait cannot be
//! split, and most of it is documentation.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::hash::Hash;

use crate::{
    Access, BackendInfo, BackendKind, ContractError, Device, Error, Event, EventOptions,
    EventOwner, KeepAlive, PerThread, PriorityRange, RawEvent, RawHandle, RawStream, Region,
    Stream, StreamOptions, StreamOwner,
};

/// The error type of the stream `S`'s backend.
pub type ErrorOf<S> = <<S as Stream>::Backend as Backend>::Error;

/// The event type of the stream `S`'s backend.
pub type EventOf<S> = <<S as Stream>::Backend as Backend>::Event;

/// The stream type that the stream `S`'s backend names.
pub type StreamOf<S> = <<S as Stream>::Backend as Backend>::Stream;

/// A vendor: its types, and the functions that create and wrap streams and events.
///
/// An implementation is a unit type (`Host`, `Cuda`, `Hip`, `OpenCl`), and every function uses the one driver
/// of the process. The first call, whichever it is, loads the library and starts the threads that
/// the backend needs.
///
/// # For users
/// There are two ways to wrap a stream that another library allocated:
///
/// | | what keeps the stream alive | |
/// |---|---|---|
/// | [`stream_from_raw`](Self::stream_from_raw) | the caller's promise | `unsafe`: the only unsafe step |
/// | [`stream_from_owner`](Self::stream_from_owner) | the wrapper, through a shared owner | safe |
///
/// Three functions return a stream that no other library has:
/// [`default_stream`](Self::default_stream), [`per_thread_stream`](Self::per_thread_stream) and
/// [`new_stream`](Self::new_stream).
///
/// Dropping a wrapper never destroys a stream that it does not own.
///
/// A foreign event is wrapped in the same two ways: [`event_from_raw`](Self::event_from_raw) and
/// [`event_from_owner`](Self::event_from_owner).
///
/// # For backend authors
/// No function may panic or abort, whatever the arguments are and whatever the machine lacks. A
/// missing library, function, driver version or device is an error of its own
/// [kind](crate::ErrorKind). Check the device of a handle before the wrapper exists, and reject
/// [`HandleKind::PerThread`](crate::HandleKind::PerThread) in
/// [`stream_from_raw_with_owner`](Self::stream_from_raw_with_owner). The [conformance suite] tests
/// all of it.
///
/// # Safety
/// Safe code frees memory on the strength of what a backend returns. An implementation promises:
///
/// - [`stream_from_raw_with_owner`](Self::stream_from_raw_with_owner) and [`event_from_raw_with_owner`](Self::event_from_raw_with_owner) keep `owner` in the
///   wrapper and in all clones of it. Where the vendor's events follow a pointer to their stream,
///   an event also keeps the owner of the stream that recorded it, and
///   [`EVENTS_KEEP_OWNER`](Self::EVENTS_KEEP_OWNER) is true.
/// - [`default_stream`](Self::default_stream) and [`new_stream`](Self::new_stream) return a stream
///   that is alive as long as a wrapper of it is. The stream is the default stream of `device`, or
///   a new stream that nothing else owns.
/// - [`per_thread_stream`](Self::per_thread_stream) returns the calling thread's own stream, and no
///   safe call of the backend gives another wrapper of it to another thread.
/// - [`new_event`](Self::new_event) returns an event that nothing else records or destroys.
/// - A handle is given only to the driver that it belongs to.
/// - Every `Ok` of [`Stream`] and [`Event`] means what their own *Safety* sections say.
///
/// [conformance suite]: https://docs.rs/gpu-stream-conformance
#[doc(alias("ExternalStream", "get_stream_from_external"))]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a backend of gpu-stream",
    label = "not a `Backend`",
    note = "the backends are `Host`, `Cuda`, `Hip`, `OpenCl` and `Any`; a feature of `gpu-stream` adds `Cuda`, `Hip` or `OpenCl`",
    note = "the backend of a stream `S` is `S::Backend`; see the docs of `gpu_stream::Backend`"
)]
pub unsafe trait Backend: Sized + Send + Sync + 'static {
    /// The vendor, as reports and errors name it. A name in [`BackendKind::Other`] should be
    /// unique.
    const KIND: BackendKind;

    /// `true` if a recorded event may keep the owner of its stream alive until the event is
    /// recorded elsewhere or dropped.
    ///
    /// It is `true` where the vendor's events refer to their stream. HIP keeps a bare pointer to
    /// the stream, and a wait for the event after the stream's end may follow that pointer. Where
    /// it is `false`, events are valid after their stream is destroyed. Safe code is sound in both
    /// cases, and no portable program should depend on the value.
    const EVENTS_KEEP_OWNER: bool;

    /// The vendor's stream handle: [`RawStream<Self>`] unless there is a reason.
    type RawStream: RawHandle;

    /// The vendor's event handle: [`RawEvent<Self>`] unless there is a reason.
    type RawEvent: RawHandle;

    /// The stream: the handle, its device and a reference to its owner. Cloning it clones the
    /// reference and not the stream. Equal if device and handle are equal.
    type Stream: Stream<Backend = Self> + Clone + Eq + Hash + fmt::Debug + Send + Sync;

    /// The event. Dropping it destroys the vendor's event, at any time.
    type Event: Event<Backend = Self> + fmt::Debug + Send + Sync;

    /// The error, small enough to be returned by value.
    type Error: Error + From<ContractError>;

    /// Returns the version, the library and the devices of this backend. The first call may take
    /// long, because it starts the driver.
    ///
    /// Whatever is missing on the machine is an error.
    ///
    /// # Errors
    /// [`LibraryNotFound`](crate::ErrorKind::LibraryNotFound),
    /// [`AmbiguousLibrary`](crate::ErrorKind::AmbiguousLibrary),
    /// [`SymbolNotFound`](crate::ErrorKind::SymbolNotFound),
    /// [`DriverTooOld`](crate::ErrorKind::DriverTooOld), [`NoDevice`](crate::ErrorKind::NoDevice).
    /// A temporary failure is not kept: the next call tries again.
    #[doc(alias(
        "cuInit",
        "cuDriverGetVersion",
        "cudaDriverGetVersion",
        "cudaRuntimeGetVersion",
        "hipInit",
        "hipDriverGetVersion",
        "hipRuntimeGetVersion"
    ))]
    fn probe() -> Result<BackendInfo, Self::Error>;

    /// Returns the devices, by ordinal. Does not block once the driver has started.
    ///
    /// # Errors
    /// As [`probe`](Self::probe).
    #[doc(alias("device_count", "cuDeviceGetCount", "cudaGetDeviceCount", "hipGetDeviceCount"))]
    fn devices() -> Result<Vec<Device>, Self::Error>;

    /// Returns the device with this ordinal, if there is one.
    ///
    /// # Errors
    /// As [`probe`](Self::probe), and [`InvalidDevice`](crate::ErrorKind::InvalidDevice).
    #[doc(alias("cuDeviceGet", "hipDeviceGet"))]
    fn device(ordinal: u32) -> Result<Device, Self::Error> {
        let devices = Self::devices()?;
        let found = usize::try_from(ordinal).ok().and_then(|index| devices.get(index));
        found.copied().ok_or_else(|| {
            let count = u32::try_from(devices.len()).unwrap_or(u32::MAX);
            let given = Device::new(Self::KIND, ordinal);
            ContractError::InvalidDevice { operation: "Backend::device", given, count }.into()
        })
    }

    /// Returns the default stream of `device`, which always exists: handle 0, also called the null
    /// or legacy stream. Optional.
    ///
    /// On CUDA and HIP it synchronizes with every stream that was created *blocking*. On the host
    /// it is a stream like any other. torch 2.11 returns a stream of its pool for handle 0. Here
    /// handle 0 is the default stream. OpenCL has none: a command queue is created.
    ///
    /// # Errors
    /// As [`probe`](Self::probe), [`BackendMismatch`](crate::ErrorKind::BackendMismatch),
    /// [`InvalidDevice`](crate::ErrorKind::InvalidDevice). [`Unsupported`](crate::ErrorKind::Unsupported), for any
    /// device, where the engine has no default stream.
    ///
    /// Origin:
    /// [`torch.cuda.default_stream`](https://docs.pytorch.org/docs/stable/generated/torch.cuda.default_stream.html).
    #[doc(alias(
        "CU_STREAM_LEGACY",
        "cudaStreamLegacy",
        "hipStreamLegacy",
        "null stream",
        "getDefaultCUDAStream"
    ))]
    fn default_stream(device: Device) -> Result<Self::Stream, Self::Error> {
        let _ = device;
        let (operation, reason) = ("Backend::default_stream", NO_SUCH_STREAM);
        Err(ContractError::Unsupported { operation, backend: Self::KIND, reason }.into())
    }

    /// Returns the calling thread's default stream on `device`: handle 2. Its type does not leave
    /// the thread. Optional.
    ///
    /// # Errors
    /// As [`default_stream`](Self::default_stream).
    ///
    /// Origin:
    /// [`cudaStreamPerThread`](https://docs.nvidia.com/cuda/cuda-runtime-api/stream-sync-behavior.html).
    #[doc(alias("CU_STREAM_PER_THREAD", "cudaStreamPerThread", "hipStreamPerThread"))]
    fn per_thread_stream(device: Device) -> Result<PerThread<Self::Stream>, Self::Error> {
        let _ = device;
        let (operation, reason) = ("Backend::per_thread_stream", NO_SUCH_STREAM);
        Err(ContractError::Unsupported { operation, backend: Self::KIND, reason }.into())
    }

    /// Creates a new stream, which the wrapper and its clones own. Dropping the last of them
    /// destroys it; work that was submitted to it still runs to its end.
    ///
    /// CUDA, HIP and OpenCL do not wait for pending work when the process exits. The host first runs all
    /// work that no gate holds back, so a task that never ends keeps the process running.
    /// `gpu_stream_host::abandon_at_exit` turns that off.
    ///
    /// # Errors
    /// As [`probe`](Self::probe), [`BackendMismatch`](crate::ErrorKind::BackendMismatch),
    /// [`InvalidDevice`](crate::ErrorKind::InvalidDevice);
    /// [`InvalidOptions`](crate::ErrorKind::InvalidOptions) for a priority that the device does not
    /// have; [`Unsupported`](crate::ErrorKind::Unsupported) for an option that the engine lacks.
    ///
    /// Origin:
    /// [`torch.cuda.Stream`](https://docs.pytorch.org/docs/stable/generated/torch.cuda.Stream.html).
    #[doc(alias(
        "cuStreamCreate",
        "cuStreamCreateWithPriority",
        "cuStreamDestroy",
        "cudaStreamCreate",
        "cudaStreamCreateWithFlags",
        "cudaStreamCreateWithPriority",
        "cudaStreamDestroy",
        "hipStreamCreate",
        "hipStreamCreateWithFlags",
        "hipStreamCreateWithPriority",
        "hipStreamDestroy",
        "getStreamFromPool"
    ))]
    fn new_stream(device: Device, options: StreamOptions) -> Result<Self::Stream, Self::Error>;

    /// Creates a new event for streams of `device`, not recorded yet.
    ///
    /// # Errors
    /// As [`new_stream`](Self::new_stream), without those of priorities.
    ///
    /// Origin:
    /// [`torch.cuda.Event`](https://docs.pytorch.org/docs/stable/generated/torch.cuda.Event.html).
    #[doc(alias(
        "cuEventCreate",
        "cuEventDestroy",
        "cudaEventCreate",
        "cudaEventCreateWithFlags",
        "cudaEventDestroy",
        "hipEventCreate",
        "hipEventCreateWithFlags",
        "hipEventDestroy"
    ))]
    fn new_event(device: Device, options: EventOptions) -> Result<Self::Event, Self::Error>;

    /// Returns the priorities that streams of `device` can have. Optional.
    ///
    /// # Errors
    /// As [`new_event`](Self::new_event), and
    /// [`Unsupported`](crate::ErrorKind::Unsupported).
    #[doc(alias(
        "cuCtxGetStreamPriorityRange",
        "cudaDeviceGetStreamPriorityRange",
        "hipDeviceGetStreamPriorityRange"
    ))]
    fn priority_range(device: Device) -> Result<PriorityRange, Self::Error> {
        let _ = device;
        let (operation, reason) = ("Backend::priority_range", "it is an optional capability");
        Err(ContractError::Unsupported { operation, backend: Self::KIND, reason }.into())
    }

    /// Wraps a stream that another library allocated, without owning it.
    ///
    /// Handles 0 and 1 are both the default stream, and their wrappers are equal: a backend turns
    /// one into the other. Where the engine has no default stream, both are refused.
    ///
    /// If `device` is `None`, the device is that of the handle. Handle 0 does not determine it:
    /// there it is the current device of the calling thread (on the host: device 0).
    ///
    /// If `device` is `Some`, it is compared with the handle's device, so that a wrong device is
    /// found here. torch finds it when "subsequent launches using this stream may fail".
    ///
    /// # Errors
    /// [`DeviceMismatch`](crate::ErrorKind::DeviceMismatch), naming both;
    /// [`InvalidHandle`](crate::ErrorKind::InvalidHandle) for handle 2, which is
    /// [`per_thread_stream`](Self::per_thread_stream), for handles 0 and 1 where the engine has no default stream,
    /// and for a handle that is no stream, where the backend can tell; otherwise as [`new_event`](Self::new_event).
    ///
    /// # Safety
    /// The handle is 0, 1 or a stream of this backend, in this process. It stays alive until the
    /// wrapper, all its clones and every event recorded through one of them are dropped.
    ///
    /// Origin:
    /// [`torch.cuda.ExternalStream`](https://docs.pytorch.org/docs/stable/generated/torch.cuda.ExternalStream.html):
    /// "it is the user responsibility to keep the referenced stream alive while this class is being
    /// used".
    #[doc(alias(
        "ExternalStream",
        "wrap",
        "from_external",
        "getStreamFromExternal",
        "hipStreamGetDevice",
        "cuStreamGetCtx"
    ))]
    #[inline]
    unsafe fn stream_from_raw(
        raw: Self::RawStream,
        device: Option<Device>,
    ) -> Result<Self::Stream, Self::Error> {
        // SAFETY: the stream outlives the wrapper, its clones and its events (caller contract).
        unsafe { Self::stream_from_raw_with_owner(raw, device, KeepAlive::none()) }
    }

    /// Wraps a foreign stream without asking the driver: `device` is trusted. Otherwise does what
    /// [`stream_from_raw`](Self::stream_from_raw) does.
    ///
    /// # Errors
    /// As [`stream_from_raw`](Self::stream_from_raw), as far as they can be found without asking
    /// the driver.
    ///
    /// # Safety
    /// As [`stream_from_raw`](Self::stream_from_raw), and the handle is a stream of `device`.
    #[inline]
    unsafe fn stream_from_raw_unchecked(
        raw: Self::RawStream,
        device: Device,
    ) -> Result<Self::Stream, Self::Error> {
        // SAFETY: the stream outlives the wrapper, its clones and its events, and belongs to
        // `device` (caller contract).
        unsafe { Self::stream_from_raw_with_owner_unchecked(raw, device, KeepAlive::none()) }
    }

    /// Wraps a stream that belongs to `owner`, and keeps the owner alive until the wrapper and all
    /// its clones are dropped. If [`EVENTS_KEEP_OWNER`](Self::EVENTS_KEEP_OWNER) is set, events
    /// recorded through them keep it alive, too.
    ///
    /// `device` is as in [`stream_from_raw`](Self::stream_from_raw); with `None`, the owner is
    /// asked first. An owner and a caller that name different devices are an error.
    ///
    /// # Errors
    /// As [`stream_from_raw`](Self::stream_from_raw). The reference to the owner is then dropped.
    ///
    /// Origin: what users of torch's `ExternalStream` have to do by hand.
    #[doc(alias("ExternalStream", "wrap", "upgrade_device_stream"))]
    fn stream_from_owner<T: StreamOwner<Self>>(
        owner: Arc<T>,
        device: Option<Device>,
    ) -> Result<Self::Stream, Self::Error> {
        let raw = owner.raw_stream();
        let known = owner.device();
        if let (Some(given), Some(actual)) = (device, known) {
            given.check_is(actual, "Backend::stream_from_owner")?;
        }
        // SAFETY: the handle is live while the owner is (contract of `StreamOwner`). The wrapper
        // and all that need the stream hold the owner (contract of `stream_from_raw_with_owner`).
        unsafe { Self::stream_from_raw_with_owner(raw, device.or(known), KeepAlive::owner(owner)) }
    }

    /// Wraps and checks a stream for [`stream_from_raw`](Self::stream_from_raw) and
    /// [`stream_from_owner`](Self::stream_from_owner). For backend authors: store `owner` in the
    /// stream.
    ///
    /// # Errors
    /// As [`stream_from_raw`](Self::stream_from_raw).
    ///
    /// # Safety
    /// For the caller: the stream stays alive as long as `owner` is held. If `owner` is
    /// [`KeepAlive::none`], it stays alive as [`stream_from_raw`](Self::stream_from_raw) requires.
    /// The trait's own section says what the implementation promises.
    unsafe fn stream_from_raw_with_owner(
        raw: Self::RawStream,
        device: Option<Device>,
        owner: KeepAlive,
    ) -> Result<Self::Stream, Self::Error>;

    /// Wraps a stream without asking the driver: `device` is trusted. For backend authors:
    /// otherwise does what [`stream_from_raw_with_owner`](Self::stream_from_raw_with_owner) does.
    ///
    /// # Errors
    /// As [`stream_from_raw_unchecked`](Self::stream_from_raw_unchecked).
    ///
    /// # Safety
    /// As [`stream_from_raw_with_owner`](Self::stream_from_raw_with_owner), and the handle is a
    /// stream of `device`.
    unsafe fn stream_from_raw_with_owner_unchecked(
        raw: Self::RawStream,
        device: Device,
        owner: KeepAlive,
    ) -> Result<Self::Stream, Self::Error>;

    /// Wraps an event that another library made, without owning it. Does not block.
    ///
    /// The wrapper can be waited for, queried and synchronized, and recorded on streams of its
    /// device. Dropping it never destroys the event. What another library does with the event counts:
    /// a record by it replaces ours.
    ///
    /// `device` is the device that the event was made for. CUDA and HIP do not tell the device of an
    /// event. There `None` means the current device of the calling thread, and a wrong device is
    /// found at the first record.
    ///
    /// The wrapper does not know the event's options: [`options`](crate::Event::options) answers
    /// [`EventOptions::new`], and [`elapsed_since`](crate::Event::elapsed_since) asks the driver
    /// anyway.
    ///
    /// # Errors
    /// - [`Unsupported`](crate::ErrorKind::Unsupported) where the backend has no foreign events.
    /// - [`InvalidHandle`](crate::ErrorKind::InvalidHandle) for handle 0, and for one that the
    ///   backend can tell is not an event.
    /// - [`DeviceMismatch`](crate::ErrorKind::DeviceMismatch) where the backend can tell the
    ///   device.
    /// - Otherwise those of [`new_event`](Self::new_event).
    ///
    /// # Safety
    /// The handle is an event of this backend, in this process, that stays alive until the wrapper
    /// is dropped.
    ///
    /// Origin:
    /// [`cuda::event_ref`](https://nvidia.github.io/cccl/libcudacxx/) in CCCL, a non-owning wrapper
    /// of a `cudaEvent_t`.
    #[doc(alias("event_ref", "from_native_handle", "CUevent", "hipEvent_t"))]
    #[inline]
    unsafe fn event_from_raw(
        raw: Self::RawEvent,
        device: Option<Device>,
    ) -> Result<Self::Event, Self::Error> {
        // SAFETY: the event outlives the wrapper (caller contract), as `event_from_raw_with_owner`
        // requires where there is no owner.
        unsafe { Self::event_from_raw_with_owner(raw, device, None, KeepAlive::none()) }
    }

    /// Wraps an event that belongs to `owner`, and keeps the owner alive as long as the wrapper
    /// lives. Does not block.
    ///
    /// `device` is as in [`event_from_raw`](Self::event_from_raw); with `None`, the owner is asked
    /// first. An owner and a caller that name different devices are an error.
    ///
    /// # Errors
    /// As [`event_from_raw`](Self::event_from_raw). The reference to the owner is then dropped.
    #[doc(alias("event_ref", "from_native_handle"))]
    fn event_from_owner<T: EventOwner<Self>>(
        owner: Arc<T>,
        device: Option<Device>,
    ) -> Result<Self::Event, Self::Error> {
        let raw = owner.raw_event();
        let (known, options) = (owner.device(), owner.options());
        if let (Some(given), Some(actual)) = (device, known) {
            given.check_is(actual, "Backend::event_from_owner")?;
        }
        // SAFETY: the event is live while the owner is (contract of `EventOwner`). The wrapper
        // holds the owner (contract of this trait).
        unsafe {
            Self::event_from_raw_with_owner(raw, device.or(known), options, KeepAlive::owner(owner))
        }
    }

    /// Wraps an event for [`event_from_raw`](Self::event_from_raw) and
    /// [`event_from_owner`](Self::event_from_owner). For backend authors: store `owner` in the
    /// event.
    ///
    /// `options` are those that the event was made with, if the owner knows them.
    ///
    /// # Errors
    /// As [`event_from_raw`](Self::event_from_raw).
    ///
    /// # Safety
    /// For the caller: the event stays alive as long as `owner` is held. If `owner` is
    /// [`KeepAlive::none`], it stays alive as [`event_from_raw`](Self::event_from_raw) requires.
    unsafe fn event_from_raw_with_owner(
        raw: Self::RawEvent,
        device: Option<Device>,
        options: Option<EventOptions>,
        owner: KeepAlive,
    ) -> Result<Self::Event, Self::Error> {
        let _ = (raw, device, options);
        let (operation, reason) = (owner.event_operation(), "it is an optional capability");
        Err(ContractError::Unsupported { operation, backend: Self::KIND, reason }.into())
    }

    /// Declares that the calling thread accesses a region of memory now: reads it, writes to it, or frees it. Does not
    /// block.
    ///
    /// A backend that checks the order of accesses, `gpu_stream_checked::Checked`, reports an access that comes before
    /// the host has waited for the work of streams that uses the region, as by
    /// [`synchronize`](Stream::synchronize). Other backends do nothing, and the call is compiled to nothing.
    ///
    /// Work that is submitted later is ordered after the access. [`Stream::reads`] declares an access of a stream's
    /// work, and of what a [host function](Stream::launch_host_func) does.
    #[inline]
    fn host_access(access: Access, region: &Region) {
        let _ = (access, region);
    }
}

/// A backend whose handles are plain [`RawStream`] and [`RawEvent`], as every vendor's are.
///
/// Every such backend implements it. The [object-safe form](crate::dynamic) requires it.
pub trait PlainHandles: Backend<RawStream = RawStream<Self>, RawEvent = RawEvent<Self>> {}

impl<B: Backend<RawStream = RawStream<B>, RawEvent = RawEvent<B>>> PlainHandles for B {}

const NO_SUCH_STREAM: &str = "its engine has no such stream; create one with `Backend::new_stream`";
