//! The backend: [`Host`].
//!
//! This module, `stream`, `event` and `shared_event` import each other. The traits require that:
//! `Backend` names its stream and event types, and these name their backend.

use std::sync::Arc;

use gpu_stream_core::{
    Backend, BackendInfo, BackendKind, Device, EventOptions, KeepAlive, PerThread, PriorityRange,
    RawEvent, RawStream, StreamOptions,
};

use crate::executor::level::Level;
use crate::executor::{settle, task};
use crate::options::check_event;
use crate::owner::Owner;
use crate::{HostError, HostEvent, HostStream, device, event, stream};

/// The host backend: streams that run closures on CPU threads.
///
/// If a task drops the last wrapper of an owner, the owner is dropped inside that task. A panic of its
/// `Drop` gives the stream that runs the task a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Host;

// SAFETY:
// - A wrapper stores the owner that it is given. An event stores the owner of its last record's
//   stream.
// - A handle is looked up in a table and never dereferenced.
// - A per-thread stream is returned only as a `PerThread`.
unsafe impl Backend for Host {
    const KIND: BackendKind = BackendKind::Host;

    /// Always `true`, although no host event needs its stream.
    ///
    /// A program that depends on an early drop of an owner thus fails here, and not only on a
    /// vendor whose events keep the owner.
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
        stream::default_stream(device, "Backend::default_stream", Owner::default())
    }

    fn per_thread_stream(device: Device) -> Result<PerThread<HostStream>, HostError> {
        stream::per_thread_stream(device)
    }

    fn new_stream(device: Device, options: StreamOptions) -> Result<HostStream, HostError> {
        stream::new_stream(device, options)
    }

    fn new_event(device: Device, options: EventOptions) -> Result<HostEvent, HostError> {
        const OPERATION: &str = "Backend::new_event";
        device::ordinal(device, OPERATION)?;
        check_event(options, OPERATION)?;
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
        let operation = owner.stream_operation();
        stream::wrap(raw, device, owner.into(), operation)
    }

    /// Wraps the stream after the same checks as `stream_from_raw_with_owner`: only the lookup by
    /// handle leads to a stream.
    unsafe fn stream_from_raw_with_owner_unchecked(
        raw: RawStream<Host>,
        device: Device,
        owner: KeepAlive,
    ) -> Result<HostStream, HostError> {
        let operation = owner.unchecked_stream_operation();
        stream::wrap(raw, Some(device), owner.into(), operation)
    }

    /// Wraps an event. The given options are ignored, because the event knows its own.
    unsafe fn event_from_raw_with_owner(
        raw: RawEvent<Host>,
        device: Option<Device>,
        _options: Option<EventOptions>,
        owner: KeepAlive,
    ) -> Result<HostEvent, HostError> {
        let operation = owner.event_operation();
        event::wrap(raw, device, owner.into(), operation)
    }
}

/// Blocks until none of `streams` can continue by itself.
///
/// Each stream is then idle, has a fault, or waits for a closed [`Gate`], possibly through other
/// streams.
///
/// Tests use this to check what did *not* happen, without a sleep. It is exact: all work that no
/// gate holds back is done. It does not return while another thread keeps submitting to one of the
/// streams, or while a task of one does not end.
///
/// # Errors
/// [`NotPermitted`](gpu_stream_core::ErrorKind::NotPermitted) inside a task.
///
/// [`Gate`]: crate::Gate
pub fn wait_quiescent(streams: &[&HostStream]) -> Result<(), HostError> {
    task::ensure_outside_task("wait_quiescent")?;
    settle::wait_quiescent(
        || streams.iter().map(|stream| Arc::clone(stream.queue())).collect(),
        || false,
    );
    Ok(())
}
