//! The backend itself: [`Hip`].

use gpu_stream_core::{
    Backend, BackendInfo, BackendKind, Device, EventOptions, KeepAlive, PerThread, PriorityRange,
    RawEvent, RawStream, StreamOptions,
};

use crate::call::public_call;
use crate::driver::driver;
use crate::host_func::drop_owner;
use crate::{HipError, HipEvent, HipStream, device, stream};

/// The HIP backend: streams of ROCm's runtime.
///
/// The first call that succeeds starts the runtime: the one that the process has loaded, under any
/// name (PyTorch for ROCm brings its own), else `libamdhip64.so.8`, `.7`, `.6`, `.5`, or unversioned
/// (`amdhip64_7.dll`, `amdhip64_6.dll`, `amdhip64.dll` on Windows), or what `GPU_STREAM_HIP_LIBRARY`
/// names, and then no other. Two loaded runtimes are an
/// [error](gpu_stream_core::ErrorKind::AmbiguousLibrary); the [crate](crate) says how they are found.
/// The library is never closed.
///
/// Where HIP differs from what others do:
///
/// | | |
/// |---|---|
/// | a handle that is no live stream | not told reliably: up to HIP 6 an error, [`InvalidHandle`](gpu_stream_core::ErrorKind::InvalidHandle), if nothing else is there; in HIP 7 the process crashes |
/// | `hipDeviceReset` | a stream that has an owner says [`ContextDestroyed`](gpu_stream_core::ErrorKind::ContextDestroyed), another one [`InvalidHandle`](gpu_stream_core::ErrorKind::InvalidHandle); from HIP 7 on the runtime follows the handle of a stream that the reset has freed, and the process may crash |
/// | failed work | AMD's runtime ends the process |
/// | handle 1 | becomes 0: some functions crash with it |
/// | handle 0 or 1 without a device | the default stream of the thread's current device |
/// | handle 0, 1 or 2 while the process has another runtime | refused: [`AmbiguousLibrary`](gpu_stream_core::ErrorKind::AmbiguousLibrary) |
/// | an event | shares the owner of the stream that it was recorded on |
/// | a thread's default stream | ends with the thread, which waits for it if an event was recorded on it; [`Unsupported`](gpu_stream_core::ErrorKind::Unsupported) but on Linux with glibc |
/// | interprocess events | [`Unsupported`](gpu_stream_core::ErrorKind::Unsupported) on AMD's runtime: see [`ipc`](crate::ipc) |
/// | a captured stream that waits for work outside of its capture | [`Capturing`](gpu_stream_core::ErrorKind::Capturing), and the capture lives; HIP itself says success, and the order is in no graph |
/// | the default stream waits for a captured stream or event | [`Capturing`](gpu_stream_core::ErrorKind::Capturing), and the capture lives: that stream cannot be captured; on HIP 7.2 the runtime itself says success, and crashes when the capture ends |
/// | a stream of many host functions | an event is recorded after one closure of 64: without one, the runtime keeps all of a stream and releases them recursively, which overflows its thread's stack after some ten thousands. On HIP 6.4 it does the same with a stream of nothing but records and waits, until a host function or `hipStreamSynchronize` |
/// | a full queue | a record, a wait or a host function blocks until the queue has room; questions and waits for an event do not wait for a record of it that blocks, until [`raw`](gpu_stream_core::Event::raw) was called |
/// | a stream that is destroyed | is waited for; one of ours that is busy is destroyed later, so that a drop does not block |
/// | what is dropped on a thread that has made no call of this crate | is destroyed at the end of the next call of another thread: the thread may be the runtime's, where destroying hangs |
/// | `synchronize` | waits in a way that does not hold up other threads' calls, as HIP's own would |
/// | the first call on a thread other than the main one | with HIP 6.4, the process crashes at its end if the main thread has used HIP too: an error of its, which can be had without this crate |
/// | the end of the process | nothing is waited for, but for 5 ms, and at most 100 ms for threads that ask, or that are in a call with an event of the default stream of the thread that calls `exit`; HIP itself waits for the work of that stream; from the functions of `atexit` that were registered before the first call on, every call is [`NotPermitted`](gpu_stream_core::ErrorKind::NotPermitted), since the runtime has taken itself down by then |
/// | the child of a fork | every call is [`NotPermitted`](gpu_stream_core::ErrorKind::NotPermitted), if the parent had made one; end it by `_exit`, HIP's own functions can hang in `exit` there |
/// | `hipGetLastError` | has nothing of ours after a call; up to HIP 6, where every call of anybody replaces it, fetch yours before; from HIP 7 on yours stays, but is lost with a call of ours that fails |
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hip;

// SAFETY: a wrapper stores its owner (`StreamKeepAlive`), and an event that of the stream of its last record. Handles 0 to 2 are wrapped as
// what they are, a new stream is destroyed with its last share, and a thread's own stream comes out as a `PerThread` alone.
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

    /// As [`Backend::event_from_raw_with_owner`]. With no device, the event is taken to be of the thread's current one.
    ///
    /// # Safety
    /// As there. And HIP's events point to the stream that recorded them last: whichever library that
    /// was, that stream is alive as long as the wrapper.
    unsafe fn event_from_raw_with_owner(
        raw: RawEvent<Hip>,
        device: Option<Device>,
        options: Option<EventOptions>,
        owner: KeepAlive,
    ) -> Result<HipEvent, HipError> {
        match public_call(|| HipEvent::check_foreign(raw, device, "Backend::wrap_event")) {
            Ok(device) => Ok(HipEvent::foreign(raw, device, options, owner)),
            Err(error) => Err(refuse(owner, error)),
        }
    }

    fn priority_range(device: Device) -> Result<PriorityRange, HipError> {
        device::priority_range(device, "Backend::priority_range")
    }

    // The first two are as they are by default, with the owner that there is not put in at the end.
    #[inline(always)]
    unsafe fn stream_from_raw(
        raw: RawStream<Hip>,
        device: Option<Device>,
    ) -> Result<HipStream, HipError> {
        // SAFETY: the caller promises the same.
        let parts = unsafe { stream::wrap(raw, device, "Backend::stream_from_raw") }?;
        Ok(parts.with(KeepAlive::none()))
    }

    #[inline(always)]
    unsafe fn stream_from_raw_unchecked(
        raw: RawStream<Hip>,
        device: Device,
    ) -> Result<HipStream, HipError> {
        let operation = "Backend::stream_from_raw_unchecked";
        // SAFETY: the caller promises the same.
        let parts = unsafe { stream::wrap_unchecked(raw, device, operation) }?;
        Ok(parts.with(KeepAlive::none()))
    }

    #[inline(always)]
    unsafe fn stream_from_raw_with_owner(
        raw: RawStream<Hip>,
        device: Option<Device>,
        owner: KeepAlive,
    ) -> Result<HipStream, HipError> {
        // SAFETY: the caller promises the same.
        match unsafe { stream::wrap(raw, device, "Backend::wrap_stream") } {
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
        let operation = "Backend::wrap_stream_unchecked";
        // SAFETY: the caller promises the same.
        match unsafe { stream::wrap_unchecked(raw, device, operation) } {
            Ok(parts) => Ok(parts.with(owner)),
            Err(error) => Err(refuse(owner, error)),
        }
    }
}

/// Drops the owner of what is not wrapped, with nothing held. Returns the error.
#[cold]
fn refuse(owner: KeepAlive, error: HipError) -> HipError {
    drop_owner(owner);
    error
}
