//! The contract's [`Backend`] for [`Cuda`].

use gpu_stream_core::{
    Backend, BackendInfo, BackendKind, Device, EventOptions, KeepAlive, PerThread, PriorityRange,
    RawEvent, RawStream, StreamOptions,
};

use crate::error::Result;
use crate::event::create::NewEvent;
use crate::host_func::{self, USER_CODE};
use crate::stream::{create, wrap};
use crate::{Cuda, CudaError, CudaEvent, CudaStream, device};

// SAFETY:
// - A wrapper stores its owner, and an event does not need its stream.
// - Handles 0 to 2 are wrapped as what they mean.
// - A new stream is destroyed when its last reference is dropped.
// - A thread's own stream is returned only as a `PerThread`.
unsafe impl Backend for Cuda {
    const KIND: BackendKind = BackendKind::Cuda;

    /// `false`: CUDA's events stay valid after their stream is destroyed. An event of a context that is not
    /// the primary one keeps the owner anyway, because the context may end with it.
    const EVENTS_KEEP_OWNER: bool = false;

    type RawStream = RawStream<Cuda>;
    type RawEvent = RawEvent<Cuda>;
    type Stream = CudaStream;
    type Event = CudaEvent;
    type Error = CudaError;

    fn probe() -> Result<BackendInfo, CudaError> {
        Ok(device::probe()?)
    }

    fn devices() -> Result<Vec<Device>, CudaError> {
        Ok(device::devices()?)
    }

    fn device(ordinal: u32) -> Result<Device, CudaError> {
        Ok(device::device(ordinal)?)
    }

    fn default_stream(device: Device) -> Result<CudaStream, CudaError> {
        let operation = "Backend::default_stream";
        call(|| Ok(wrap::named(RawStream::LEGACY, device, operation)?.with(KeepAlive::none())))
    }

    fn per_thread_stream(device: Device) -> Result<PerThread<CudaStream>, CudaError> {
        call(|| wrap::per_thread_stream(device))
    }

    fn new_stream(device: Device, options: StreamOptions) -> Result<CudaStream, CudaError> {
        call(|| create::new_stream(device, options))
    }

    #[inline]
    fn new_event(device: Device, options: EventOptions) -> Result<CudaEvent, CudaError> {
        Ok(call(|| NewEvent::create(device, options))?.with(options))
    }

    fn priority_range(device: Device) -> Result<PriorityRange, CudaError> {
        call(|| device::priority_range(device))
    }

    // The first two equal their default implementations, except that they store no owner, which keeps the
    // wrapper in registers.
    #[inline(always)]
    unsafe fn stream_from_raw(
        raw: RawStream<Cuda>,
        device: Option<Device>,
    ) -> Result<CudaStream, CudaError> {
        // SAFETY: the stream is live (caller contract).
        let parts = unsafe { wrap::wrap(raw, device, "Backend::stream_from_raw") }?;
        Ok(parts.with(KeepAlive::none()))
    }

    #[inline(always)]
    unsafe fn stream_from_raw_unchecked(
        raw: RawStream<Cuda>,
        device: Device,
    ) -> Result<CudaStream, CudaError> {
        let operation = "Backend::stream_from_raw_unchecked";
        // SAFETY: the stream is live (caller contract).
        let parts = unsafe { wrap::wrap_unchecked(raw, device, operation) }?;
        Ok(parts.with(KeepAlive::none()))
    }

    #[inline(always)]
    unsafe fn stream_from_raw_with_owner(
        raw: RawStream<Cuda>,
        device: Option<Device>,
        owner: KeepAlive,
    ) -> Result<CudaStream, CudaError> {
        // SAFETY: the stream is live (caller contract).
        match unsafe { wrap::wrap(raw, device, owner.stream_operation()) } {
            Ok(parts) => Ok(parts.with(owner)),
            Err(error) => Err(refuse(owner, error)),
        }
    }

    #[inline(always)]
    unsafe fn stream_from_raw_with_owner_unchecked(
        raw: RawStream<Cuda>,
        device: Device,
        owner: KeepAlive,
    ) -> Result<CudaStream, CudaError> {
        let operation = owner.unchecked_stream_operation();
        // SAFETY: the stream is live (caller contract).
        match unsafe { wrap::wrap_unchecked(raw, device, operation) } {
            Ok(parts) => Ok(parts.with(owner)),
            Err(error) => Err(refuse(owner, error)),
        }
    }

    unsafe fn event_from_raw_with_owner(
        raw: RawEvent<Cuda>,
        device: Option<Device>,
        options: Option<EventOptions>,
        mut owner: KeepAlive,
    ) -> Result<CudaEvent, CudaError> {
        call(|| {
            let event = CudaEvent::foreign(raw, device, options, &mut owner);
            // Left here only if the event could not be wrapped.
            USER_CODE.drop_owner(owner);
            event
        })
    }
}

/// Drops the owner of a stream that could not be wrapped, with no lock held. Returns the error.
#[cold]
fn refuse(owner: KeepAlive, error: CudaError) -> CudaError {
    USER_CODE.drop_owner(owner);
    error
}

/// Runs the body of a public call, then the deferred work.
#[inline]
fn call<T>(body: impl FnOnce() -> Result<T>) -> Result<T, CudaError> {
    host_func::call(body, || None)
}
