//! The backend itself: [`Host`].

use std::sync::Arc;

use gpu_stream_core::{
    Backend, BackendInfo, BackendKind, ContractError, Device, EventOptions, KeepAlive, PerThread,
    PriorityRange, RawEvent, RawStream, StreamOptions,
};

use crate::event::ensure_outside_task;
use crate::executor::pool::Level;
use crate::executor::settle;
use crate::{HostError, HostEvent, HostStream, device, raw_event, stream};

/// The host backend: streams that run closures on CPU threads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Host;

// SAFETY: a wrapper stores its owner, and an event that of the stream of its last record. A handle is looked up and never
// followed, and a thread's own stream comes out as a `PerThread` alone.
unsafe impl Backend for Host {
    const KIND: BackendKind = BackendKind::Host;

    /// No host event needs its stream. It is held all the same, so that a program which depends on
    /// the shorter life of an owner is found out here and not on the vendor where the longer one is
    /// needed.
    const EVENTS_KEEP_OWNER: bool = true;

    type RawStream = RawStream<Host>;
    type RawEvent = RawEvent<Host>;
    type Stream = HostStream;
    type Event = HostEvent;
    type Error = HostError;

    fn probe() -> Result<BackendInfo, HostError> {
        device::probe()
    }

    fn devices() -> Result<Vec<Device>, HostError> {
        device::devices()
    }

    fn default_stream(device: Device) -> Result<HostStream, HostError> {
        stream::default_stream(device, "Backend::default_stream", KeepAlive::none())
    }

    fn per_thread_stream(device: Device) -> Result<PerThread<HostStream>, HostError> {
        stream::per_thread_stream(device)
    }

    fn new_stream(device: Device, options: StreamOptions) -> Result<HostStream, HostError> {
        stream::new_stream(device, options)
    }

    fn new_event(device: Device, options: EventOptions) -> Result<HostEvent, HostError> {
        const OPERATION: &str = "Backend::new_event";
        check_event(device, options, OPERATION)?;
        Ok(HostEvent::new(device, options))
    }

    fn priority_range(device: Device) -> Result<PriorityRange, HostError> {
        device::ordinal(device, "Backend::priority_range")?;
        Ok(Level::PRIORITIES)
    }

    unsafe fn stream_from_raw_with_owner(
        raw: RawStream<Host>,
        device: Option<Device>,
        owner: KeepAlive,
    ) -> Result<HostStream, HostError> {
        stream::wrap(raw, device, owner, "Backend::wrap_stream")
    }

    /// The handle is looked up all the same: there is no other way to its stream.
    unsafe fn stream_from_raw_with_owner_unchecked(
        raw: RawStream<Host>,
        device: Device,
        owner: KeepAlive,
    ) -> Result<HostStream, HostError> {
        stream::wrap(raw, Some(device), owner, "Backend::wrap_stream_unchecked")
    }

    /// The handle is looked up, and so are device and options, which it knows.
    unsafe fn event_from_raw_with_owner(
        raw: RawEvent<Host>,
        device: Option<Device>,
        _options: Option<EventOptions>,
        owner: KeepAlive,
    ) -> Result<HostEvent, HostError> {
        raw_event::wrap(raw, device, owner, "Backend::wrap_event")
    }
}

/// `Ok` if the backend has such events.
pub(crate) fn check_event(
    device: Device,
    options: EventOptions,
    operation: &'static str,
) -> Result<(), HostError> {
    device::ordinal(device, operation)?;
    if options.is_interprocess() {
        let reason = "its streams live in one process; use an event without `interprocess`";
        return Err(ContractError::Unsupported { operation, backend: Host::KIND, reason }.into());
    }
    Ok(())
}

/// `Ok` if the backend has such streams.
pub(crate) fn check_stream(
    options: StreamOptions,
    operation: &'static str,
) -> Result<(), HostError> {
    Level::PRIORITIES.check(options.priority, operation)?;
    if options.blocking {
        let reason = "its default stream is a stream like any other, which none synchronises with; use a stream without \
                      `blocking`, and a wait";
        return Err(ContractError::Unsupported { operation, backend: Host::KIND, reason }.into());
    }
    Ok(())
}

/// Blocks until none of `streams` can go further by itself: each is idle, has a fault, or waits
/// behind a [`Gate`] that is shut, through however many other streams.
///
/// For tests, which can then look at what did *not* happen, without a sleep. It is exact: what no
/// gate holds back has been done. It does not return while another thread keeps submitting to one
/// of the streams, or while a task of one does not end.
///
/// # Errors
/// [`NotPermitted`](gpu_stream_core::ErrorKind::NotPermitted) from inside a task.
///
/// [`Gate`]: crate::Gate
pub fn wait_quiescent(streams: &[&HostStream]) -> Result<(), HostError> {
    ensure_outside_task("settle")?;
    settle::wait_quiescent(
        || streams.iter().map(|stream| Arc::clone(stream.queue())).collect(),
        || false,
    );
    Ok(())
}
