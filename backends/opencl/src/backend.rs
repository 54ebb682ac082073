//! The contract's [`Backend`] for [`OpenCl`].

use gpu_stream_core::{
    Backend, BackendInfo, BackendKind, Device, EventOptions, KeepAlive, RawEvent, RawStream,
    StreamOptions,
};

use crate::driver::driver;
use crate::event::check_options;
use crate::host_func::call;
use crate::{OpenCl, OpenClError, OpenClEvent, OpenClStream, device, stream};

// SAFETY:
// - A wrapper stores its owner, and has a reference to its queue. An event needs no queue.
// - A new queue is released with its last wrapper.
// - There is no stream of a thread.
unsafe impl Backend for OpenCl {
    const KIND: BackendKind = BackendKind::OpenCl;

    /// `false`: an event has what it needs of its queue.
    const EVENTS_KEEP_OWNER: bool = false;

    type RawStream = RawStream<OpenCl>;
    type RawEvent = RawEvent<OpenCl>;
    type Stream = OpenClStream;
    type Event = OpenClEvent;
    type Error = OpenClError;

    fn probe() -> Result<BackendInfo, OpenClError> {
        device::probe()
    }

    fn devices() -> Result<Vec<Device>, OpenClError> {
        device::devices()
    }

    /// Creates a queue with timing, in this crate's context of the device. Does not block.
    ///
    /// # Errors
    /// [`NotPermitted`](gpu_stream_core::ErrorKind::NotPermitted) inside a host function, where OpenCL allows no new queue.
    /// Otherwise as [`Backend::new_stream`].
    fn new_stream(device: Device, options: StreamOptions) -> Result<OpenClStream, OpenClError> {
        call(|| stream::new_stream(device, None, options, "Backend::new_stream"))
    }

    fn new_event(device: Device, options: EventOptions) -> Result<OpenClEvent, OpenClError> {
        const OPERATION: &str = "Backend::new_event";
        driver()?.device(device, OPERATION)?;
        check_options(options, OPERATION)?;
        Ok(OpenClEvent::new(device, options))
    }

    unsafe fn stream_from_raw_with_owner(
        raw: RawStream<OpenCl>,
        device: Option<Device>,
        owner: KeepAlive,
    ) -> Result<OpenClStream, OpenClError> {
        let operation = owner.stream_operation();
        // SAFETY: the queue is live (caller contract).
        call(|| unsafe { stream::wrap(raw, device, owner, operation) })
    }

    /// Checks as much as [`stream_from_raw_with_owner`](Self::stream_from_raw_with_owner) does: the context and the order
    /// of the queue must be known in any case.
    unsafe fn stream_from_raw_with_owner_unchecked(
        raw: RawStream<OpenCl>,
        device: Device,
        owner: KeepAlive,
    ) -> Result<OpenClStream, OpenClError> {
        let operation = owner.unchecked_stream_operation();
        // SAFETY: the queue is live (caller contract).
        call(|| unsafe { stream::wrap(raw, Some(device), owner, operation) })
    }

    unsafe fn event_from_raw_with_owner(
        raw: RawEvent<OpenCl>,
        device: Option<Device>,
        options: Option<EventOptions>,
        owner: KeepAlive,
    ) -> Result<OpenClEvent, OpenClError> {
        let operation = owner.event_operation();
        // SAFETY: the event is live (caller contract).
        call(|| unsafe { OpenClEvent::foreign(raw, device, options, owner, operation) })
    }
}
