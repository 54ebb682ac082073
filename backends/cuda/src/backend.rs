//! The backend itself: [`Cuda`].

use gpu_stream_core::{
    Backend, BackendInfo, BackendKind, Device, EventOptions, KeepAlive, PerThread, PriorityRange,
    RawEvent, RawStream, StreamOptions,
};

use crate::{CudaError, CudaEvent, CudaStream, device, event, host_func, stream};

/// The CUDA backend: streams of NVIDIA's driver.
///
/// The first call that succeeds starts the driver: the one that the process has loaded, under any
/// name, else `libcuda.so.1` or `libcuda.so` (`nvcuda.dll` on Windows), or what
/// `GPU_STREAM_CUDA_LIBRARY` names. Two loaded drivers are an
/// [error](gpu_stream_core::ErrorKind::AmbiguousLibrary); the [crate](crate) says how they are found.
/// The library is never closed, and the primary context of a device that was used stays retained
/// until the process ends.
///
/// Where the driver differs from what others do:
///
/// | | |
/// |---|---|
/// | a handle that is no live stream | not told: the driver follows it, and the process may crash |
/// | failed work | breaks the whole context: every call for its device says [`StreamFault`](gpu_stream_core::ErrorKind::StreamFault) |
/// | handle 0 | becomes 1, which means the default stream to every library, however it was compiled |
/// | handle 0 or 1 without a device | the default stream of the current context's device, or of device 0 if there is none |
/// | handle 0 or 1 while a context is current that is not its device's primary one | refused without a device: [`InvalidHandle`](gpu_stream_core::ErrorKind::InvalidHandle) |
/// | events and streams of a context that is not the primary one | made by the stream's own `new_event`, `new_stream`, `record_event` |
/// | a stream of a green context | its `new_stream` makes one of that green context, which is never blocking |
/// | events of others | wrapped as what they are; the driver does not tell their device, so the first record finds a wrong one |
/// | a primary context that another library reset | what was made before says [`ContextDestroyed`](gpu_stream_core::ErrorKind::ContextDestroyed); what is made after works |
/// | handle 0, 1 or 2 while the process has another driver | refused: [`AmbiguousLibrary`](gpu_stream_core::ErrorKind::AmbiguousLibrary) |
/// | a driver without `cuStreamGetCtx` | a handle is taken by `stream_from_raw_unchecked` only, in the primary context of the device that is given |
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cuda;

// SAFETY: a wrapper stores its owner, and events need no stream. Handles 0 to 2 are wrapped as what they are, a new stream is
// destroyed with its last share, and a thread's own stream comes out as a `PerThread` alone.
unsafe impl Backend for Cuda {
    const KIND: BackendKind = BackendKind::Cuda;

    /// CUDA's events are good after their stream is gone. (An event of a context that is not the
    /// primary one keeps the owner all the same, since the context may go with it.)
    const EVENTS_KEEP_OWNER: bool = false;

    type RawStream = RawStream<Cuda>;
    type RawEvent = RawEvent<Cuda>;
    type Stream = CudaStream;
    type Event = CudaEvent;
    type Error = CudaError;

    fn probe() -> Result<BackendInfo, CudaError> {
        device::probe()
    }

    fn devices() -> Result<Vec<Device>, CudaError> {
        device::devices()
    }

    fn device(ordinal: u32) -> Result<Device, CudaError> {
        device::device(ordinal)
    }

    fn default_stream(device: Device) -> Result<CudaStream, CudaError> {
        let operation = "Backend::default_stream";
        end(stream::named(RawStream::LEGACY, device, KeepAlive::none(), operation))
    }

    fn per_thread_stream(device: Device) -> Result<PerThread<CudaStream>, CudaError> {
        end(stream::per_thread_stream(device))
    }

    fn new_stream(device: Device, options: StreamOptions) -> Result<CudaStream, CudaError> {
        end(stream::new_stream(device, options))
    }

    fn new_event(device: Device, options: EventOptions) -> Result<CudaEvent, CudaError> {
        end(event::new_event(device, options))
    }

    fn priority_range(device: Device) -> Result<PriorityRange, CudaError> {
        end(device::priority_range(device, "Backend::priority_range"))
    }

    // The first two are as they are by default, with the owner that there is not put in at the end.
    #[inline(always)]
    unsafe fn stream_from_raw(
        raw: RawStream<Cuda>,
        device: Option<Device>,
    ) -> Result<CudaStream, CudaError> {
        // SAFETY: the caller promises the same.
        let parts = unsafe { stream::wrap(raw, device, "Backend::stream_from_raw") }?;
        Ok(parts.with(KeepAlive::none()))
    }

    #[inline(always)]
    unsafe fn stream_from_raw_unchecked(
        raw: RawStream<Cuda>,
        device: Device,
    ) -> Result<CudaStream, CudaError> {
        let operation = "Backend::stream_from_raw_unchecked";
        // SAFETY: the caller promises the same.
        let parts = unsafe { stream::wrap_unchecked(raw, device, operation) }?;
        Ok(parts.with(KeepAlive::none()))
    }

    #[inline(always)]
    unsafe fn stream_from_raw_with_owner(
        raw: RawStream<Cuda>,
        device: Option<Device>,
        owner: KeepAlive,
    ) -> Result<CudaStream, CudaError> {
        // SAFETY: the caller promises the same.
        Ok(unsafe { stream::wrap(raw, device, "Backend::stream_from_raw") }?.with(owner))
    }

    #[inline(always)]
    unsafe fn stream_from_raw_with_owner_unchecked(
        raw: RawStream<Cuda>,
        device: Device,
        owner: KeepAlive,
    ) -> Result<CudaStream, CudaError> {
        let operation = "Backend::stream_from_raw_unchecked";
        // SAFETY: the caller promises the same.
        Ok(unsafe { stream::wrap_unchecked(raw, device, operation) }?.with(owner))
    }

    unsafe fn event_from_raw_with_owner(
        raw: RawEvent<Cuda>,
        device: Option<Device>,
        options: Option<EventOptions>,
        owner: KeepAlive,
    ) -> Result<CudaEvent, CudaError> {
        end(CudaEvent::foreign(raw, device, options, owner))
    }
}

/// The end of a public call: runs what was put off.
fn end<T>(outcome: Result<T, CudaError>) -> Result<T, CudaError> {
    host_func::end(outcome, || None)
}
