//! The contract's trait, implemented for [`Hip`].

use gpu_stream_core::{
    Backend, BackendInfo, BackendKind, Device, EventOptions, KeepAlive, PerThread, PriorityRange,
    RawEvent, RawStream, StreamOptions,
};

use crate::call::public_call;
use crate::driver::driver;
use crate::host_func::USER_CODE;
use crate::{Hip, HipError, HipEvent, HipStream, device, stream};

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
