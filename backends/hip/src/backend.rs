//! The backend itself: [`Hip`].

use gpu_stream_core::{
    Backend, BackendInfo, BackendKind, Device, EventOptions, KeepAlive, PerThread, PriorityRange,
    RawEvent, RawStream, StreamOptions,
};

use crate::call::public_call;
use crate::driver::driver;
use crate::host_func::USER_CODE;
use crate::{HipError, HipEvent, HipStream, device, stream};

/// The HIP backend: streams of ROCm's runtime.
///
/// The first successful call starts the runtime. That is the one that the process has loaded, under any file name:
/// PyTorch for ROCm brings its own. Without one, it is `libamdhip64.so.8`, `.7`, `.6`, `.5`, or unversioned; on
/// Windows `amdhip64_7.dll`, `amdhip64_6.dll` or `amdhip64.dll`. If `GPU_STREAM_HIP_LIBRARY` names a file, no other
/// is used. Two loaded runtimes are an [error](gpu_stream_core::ErrorKind::AmbiguousLibrary). The [crate](crate)
/// documents the search. The library is never closed.
///
/// Where HIP differs from other backends:
///
/// | case | behavior |
/// |---|---|
/// | a handle that is no live stream | not detected reliably. Up to HIP 6 an error, [`InvalidHandle`](gpu_stream_core::ErrorKind::InvalidHandle), unless other memory is there; in HIP 7 the process crashes |
/// | `hipDeviceReset` | a stream with an owner reports [`ContextDestroyed`](gpu_stream_core::ErrorKind::ContextDestroyed), another one [`InvalidHandle`](gpu_stream_core::ErrorKind::InvalidHandle). From HIP 7 on the runtime follows the handle of a stream that the reset has freed, and the process may crash |
/// | failed work | AMD's runtime ends the process |
/// | handle 1 | becomes 0: some functions crash with it |
/// | handle 0 or 1 without a device | the default stream of the thread's current device |
/// | handle 0, 1 or 2 while the process has another runtime | refused: [`AmbiguousLibrary`](gpu_stream_core::ErrorKind::AmbiguousLibrary) |
/// | an event | keeps the owner of the stream that it was recorded on |
/// | a thread's default stream | ends with the thread, which may wait for its work. Its events are recorded on another stream, which waits for it. [`Unsupported`](gpu_stream_core::ErrorKind::Unsupported) except on Linux with glibc |
/// | interprocess events | [`Unsupported`](gpu_stream_core::ErrorKind::Unsupported) on AMD's runtime: see [`ipc`](crate::ipc) |
/// | a captured stream waits for work outside of its capture | [`Capturing`](gpu_stream_core::ErrorKind::Capturing), and the capture goes on. HIP itself reports success, and no graph has the order |
/// | the default stream waits for a captured stream or event | [`Capturing`](gpu_stream_core::ErrorKind::Capturing), and the capture goes on: the default stream cannot be captured. On HIP 7.2 the runtime itself reports success, and crashes when the capture ends. If another library made the record, only the runtime knows, and it behaves so. A thread's default stream can be captured |
/// | many host functions on one stream | an event is recorded after one of 64. Without it the runtime links all of them, and releases the chain recursively, which overflows its thread's stack after some ten thousand. On HIP 6.4 it also links the records of a stream that has nothing but records and waits, until a host function or `hipStreamSynchronize` |
/// | a full queue | a record, a wait or a host function blocks until the queue has room. Queries and waits for an event do not wait for a blocked record of it, until [`raw`](gpu_stream_core::Event::raw) was called |
/// | destroying a stream | the runtime waits for its work. A busy stream of this crate is destroyed later, so that a drop does not block |
/// | a drop on a thread that has made no call of this crate | the value is destroyed at the end of the next call of another thread: the thread may be the runtime's, where destroying hangs |
/// | `synchronize` | polls, so that it does not block other threads' calls, as HIP's own function would |
/// | the first call on a thread other than the main one | with HIP 6.4, the process crashes at its end if the main thread has used HIP too. This is an error of the runtime, and happens without this crate, too |
/// | the end of the process | waits for no work. It sleeps for 5 ms, and waits at most 100 ms for threads that poll. HIP itself waits for the work of that stream. The runtime shuts down before the `atexit` functions that were registered before the first call: in those, each call is [`NotPermitted`](gpu_stream_core::ErrorKind::NotPermitted) |
/// | the child of a fork | each call is [`NotPermitted`](gpu_stream_core::ErrorKind::NotPermitted), if the parent had made one. End it by `_exit`: HIP's own functions can hang in `exit` there |
/// | `hipGetLastError` | has no error of this crate after a call. Up to HIP 6 each call of any library replaces it, so fetch yours before. From HIP 7 on yours stays, but is lost with a call of this crate that fails |
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hip;

// SAFETY:
// - A wrapper keeps its owner and an event keeps that of its last record's stream.
// - Handles 0 to 2 are wrapped as the streams that they name.
// - A new stream is destroyed after its last reference.
// - A thread's default stream is only returned as a `PerThread`.
unsafe impl Backend for Hip {
    const KIND: BackendKind = BackendKind::Hip;

    /// HIP's events point to the stream that they were recorded on.
    const EVENTS_KEEP_OWNER: bool = true;

    type RawStream = RawStream<Hip>;
    type RawEvent = RawEvent<Hip>;
    type Stream = HipStream;
    type Event = HipEvent;
    type Error = HipError;

    fn probe() -> Result<BackendInfo, HipError> {
        public_call(device::probe)
    }

    fn devices() -> Result<Vec<Device>, HipError> {
        device::devices()
    }

    fn device(ordinal: u32) -> Result<Device, HipError> {
        device::device(ordinal)
    }

    fn default_stream(device: Device) -> Result<HipStream, HipError> {
        stream::default_stream(device, KeepAlive::none(), "Backend::default_stream")
    }

    fn per_thread_stream(device: Device) -> Result<PerThread<HipStream>, HipError> {
        stream::per_thread_stream(device)
    }

    fn new_stream(device: Device, options: StreamOptions) -> Result<HipStream, HipError> {
        public_call(|| stream::new_stream(device, options, "Backend::new_stream"))
    }

    fn new_event(device: Device, options: EventOptions) -> Result<HipEvent, HipError> {
        const OPERATION: &str = "Backend::new_event";
        public_call(|| {
            let ordinal = device::ordinal(device, OPERATION)?;
            HipEvent::new(driver()?, ordinal, options, OPERATION)
        })
    }

    /// Wraps an event of another library, as [`Backend::event_from_raw_with_owner`] says. Without a device, the event
    /// counts as one of the thread's current device.
    ///
    /// # Safety
    /// - The event is alive as long as the wrapper, as [`Backend::event_from_raw_with_owner`] requires.
    /// - The stream that recorded it last, through any library, is alive as long as the wrapper: HIP's events point
    ///   to it.
    unsafe fn event_from_raw_with_owner(
        raw: RawEvent<Hip>,
        device: Option<Device>,
        options: Option<EventOptions>,
        owner: KeepAlive,
    ) -> Result<HipEvent, HipError> {
        match public_call(|| HipEvent::check_foreign(raw, device, owner.event_operation())) {
            Ok(device) => Ok(HipEvent::foreign(raw, device, options, owner)),
            Err(error) => Err(refuse(owner, error)),
        }
    }

    fn priority_range(device: Device) -> Result<PriorityRange, HipError> {
        device::priority_range(device, "Backend::priority_range")
    }

    // The first two equal the provided methods, except that the empty owner is added last.
    #[inline(always)]
    unsafe fn stream_from_raw(
        raw: RawStream<Hip>,
        device: Option<Device>,
    ) -> Result<HipStream, HipError> {
        // SAFETY: the caller keeps this method's contract, which is that of the callee.
        let parts = unsafe { stream::wrap(raw, device, "Backend::stream_from_raw") }?;
        Ok(parts.with(KeepAlive::none()))
    }

    #[inline(always)]
    unsafe fn stream_from_raw_unchecked(
        raw: RawStream<Hip>,
        device: Device,
    ) -> Result<HipStream, HipError> {
        let operation = "Backend::stream_from_raw_unchecked";
        // SAFETY: the caller keeps this method's contract, which is that of the callee.
        let parts = unsafe { stream::wrap_unchecked(raw, device, operation) }?;
        Ok(parts.with(KeepAlive::none()))
    }

    #[inline(always)]
    unsafe fn stream_from_raw_with_owner(
        raw: RawStream<Hip>,
        device: Option<Device>,
        owner: KeepAlive,
    ) -> Result<HipStream, HipError> {
        // SAFETY: the caller keeps this method's contract, which is that of the callee.
        match unsafe { stream::wrap(raw, device, owner.stream_operation()) } {
            Ok(parts) => Ok(parts.with(owner)),
            Err(error) => Err(refuse(owner, error)),
        }
    }

    #[inline(always)]
    unsafe fn stream_from_raw_with_owner_unchecked(
        raw: RawStream<Hip>,
        device: Device,
        owner: KeepAlive,
    ) -> Result<HipStream, HipError> {
        let operation = owner.unchecked_stream_operation();
        // SAFETY: the caller keeps this method's contract, which is that of the callee.
        match unsafe { stream::wrap_unchecked(raw, device, operation) } {
            Ok(parts) => Ok(parts.with(owner)),
            Err(error) => Err(refuse(owner, error)),
        }
    }
}

/// Drops the owner of a handle that is not wrapped, with no lock held. Returns the error.
#[cold]
fn refuse(owner: KeepAlive, error: HipError) -> HipError {
    USER_CODE.drop_owner(owner);
    error
}
