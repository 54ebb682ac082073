//! The backend that is chosen at run time: [`Any`].
//!
//! A library that is written against [`Stream`](crate::Stream) takes an [`AnyStream`] like any
//! vendor's stream. The program chooses the backend:
//!
//! ```
//! use gpu_stream::prelude::*;
//! use gpu_stream::{Any, AnyStream};
//!
//! /// Orders a library's own stream, which it keeps, between the work of its caller's stream.
//! fn a_library<S: Stream>(caller: &S, mine: &StreamOf<S>) -> Result<(), ErrorOf<S>> {
//!     mine.wait_stream(caller)?;
//!     // … launch on `mine` …
//!     caller.wait_stream(mine)
//! }
//!
//! let device = Any::devices()?[0]; // a device of a backend that is ready: `cuda:0` or `host:0`
//! let stream: AnyStream = Any::new_stream(device, StreamOptions::new())?;
//! let kept = stream.new_stream(StreamOptions::new())?; // of the same backend and context
//! a_library(&stream, &kept)?;
//! stream.synchronize()?;
//! # Ok::<(), gpu_stream::AnyError>(())
//! ```
//!
//! # A check of the order
//! With the feature `checked`, the environment variable `GPU_STREAM_CHECK` gives all streams of a program a check of the
//! order of accesses (the crate `gpu-stream-checked`). The program is not changed. The variable is read once.
//!
//! | `GPU_STREAM_CHECK` | |
//! |---|---|
//! | unset, empty or `0` | no check |
//! | `1` or `warn` | what the check finds is printed to standard error, each finding once |
//! | `error` | only errors are printed, no warnings |
//! | another value | each constructor returns [`InvalidOptions`](crate::ErrorKind::InvalidOptions) |
//!
//! `GPU_STREAM_CHECK_REPORT=FILE` writes the findings to a file: as JSON or SVG if its name ends so, otherwise as text. The
//! file is written when the program takes a report, and when the process exits. The kinds that are decided late, such as a
//! wait for an event that is never recorded, are then printed, too.
//!
//! A stream or event of a backend itself gets its check when an [`AnyStream`] or [`AnyEvent`] is made of it. One of an
//! unknown backend gets none. A program that asks for a check in a build without the feature gets a line on standard error.
//!
//! Cost: an indirect call for each method, and an allocation for each stream, event and error.

mod event;
mod handle;
mod stream;

pub use event::AnyEvent;
pub use handle::{AnyRawEvent, AnyRawStream};
pub use stream::AnyStream;

use gpu_stream_core::{
    Access, AnyError, Backend, BackendInfo, BackendKind, ContractError, Device, EventOptions,
    KeepAlive, PerThread, PriorityRange, Region, StreamOptions,
};

use crate::DefaultBackend;
use crate::backends::{SOME_EVENTS_KEEP_OWNER, compiled, in_build};
use crate::check::{self, placed};

/// All backends of this build as one: each call goes to the backend of the [`Device`] or handle
/// that it is given.
///
/// A device or handle of a backend that this build does not have gives
/// [`NotCompiled`](crate::ErrorKind::NotCompiled). Objects of two vendors in one call give
/// [`BackendMismatch`](crate::ErrorKind::BackendMismatch). Every other error is the backend's own,
/// with its kind, code and text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Any;

// SAFETY: every call forwards to the backend that the device or handle names, which upholds the
// contract. The owner is forwarded with it.
//
// `clippy::missing_trait_methods` is not denied here, as it is for `AnyStream` and `AnyEvent`: six defaults of `Backend`
// call the functions below, and are right for `Any`. Forward each new optional function of `Backend`.
unsafe impl Backend for Any {
    /// The name of the run-time choice. Streams, events and devices name the backend that executes
    /// them, and never this.
    const KIND: BackendKind = BackendKind::Other("any");

    /// `true` if it is `true` for **one** of the backends of this build: an event of `Any` *may*
    /// keep its stream's owner alive. For one backend, call
    /// [`DynBackend::events_keep_owner`](crate::dynamic::DynBackend::events_keep_owner) on the
    /// result of [`backend`](crate::backend).
    const EVENTS_KEEP_OWNER: bool = SOME_EVENTS_KEEP_OWNER;

    type RawStream = AnyRawStream;
    type RawEvent = AnyRawEvent;
    type Stream = AnyStream;
    type Event = AnyEvent;
    type Error = AnyError;

    /// Returns the combined information of the backends that are ready. `version` lists their
    /// versions, and `devices` are those of [`devices`](Self::devices), with their names. The first
    /// call may take long, because it starts the driver of every backend.
    ///
    /// # Errors
    /// If no backend is ready, the error of the [`DefaultBackend`].
    fn probe() -> Result<BackendInfo, AnyError> {
        let found = ready()?;
        let version = |info: &BackendInfo| format!("{} {}", info.backend, info.version);
        let versions: Vec<String> = found.iter().map(version).collect();
        let devices = found.into_iter().flat_map(|info| info.devices).collect();
        Ok(BackendInfo::new(Self::KIND, versions.join(", "), devices))
    }

    /// Returns the devices of all backends that are ready, those of the [`DefaultBackend`] first.
    ///
    /// The first call may take long, as with [`probe`](Self::probe). [`device`](Self::device)
    /// counts in this list; to name a vendor's device by its own ordinal, use [`Device::new`].
    ///
    /// # Errors
    /// If no backend is ready, the error of the [`DefaultBackend`].
    fn devices() -> Result<Vec<Device>, AnyError> {
        let named = ready()?.into_iter().flat_map(|info| info.devices);
        Ok(named.map(|named| named.device).collect())
    }

    #[cfg_attr(feature = "checked", track_caller)]
    fn default_stream(device: Device) -> Result<AnyStream, AnyError> {
        let backend = compiled(device.backend())?;
        placed(|| backend.default_stream(device)).map(AnyStream::from)
    }

    #[cfg_attr(feature = "checked", track_caller)]
    fn per_thread_stream(device: Device) -> Result<PerThread<AnyStream>, AnyError> {
        let backend = compiled(device.backend())?;
        // SAFETY: the stream is moved into a `PerThread` at once, which stays on this thread and
        // does not expose it.
        let stream = placed(|| unsafe { backend.per_thread_stream(device) })?;
        // SAFETY: `stream` wraps this thread's default stream (contract of the backend), and no
        // other reference to it exists.
        Ok(unsafe { PerThread::new_unchecked(AnyStream::from(stream)) })
    }

    #[cfg_attr(feature = "checked", track_caller)]
    fn new_stream(device: Device, options: StreamOptions) -> Result<AnyStream, AnyError> {
        let backend = compiled(device.backend())?;
        placed(|| backend.new_stream(device, options)).map(AnyStream::from)
    }

    fn new_event(device: Device, options: EventOptions) -> Result<AnyEvent, AnyError> {
        compiled(device.backend())?.new_event(device, options).map(AnyEvent::from)
    }

    fn priority_range(device: Device) -> Result<PriorityRange, AnyError> {
        compiled(device.backend())?.priority_range(device)
    }

    #[cfg_attr(feature = "checked", track_caller)]
    unsafe fn stream_from_raw_with_owner(
        raw: AnyRawStream,
        device: Option<Device>,
        owner: KeepAlive,
    ) -> Result<AnyStream, AnyError> {
        let backend = compiled(raw.backend())?;
        let operation = owner.stream_operation();
        device.map_or(Ok(()), |device| same_vendor(raw.backend(), device, operation))?;
        // SAFETY: the handle belongs to `backend`: it names that backend, and the caller upholds
        // the contract of `stream_from_raw_with_owner`. The backend's stream holds `owner`.
        placed(|| unsafe { backend.stream_from_raw_with_owner(raw.bits(), device, owner) })
            .map(AnyStream::from)
    }

    #[cfg_attr(feature = "checked", track_caller)]
    unsafe fn stream_from_raw_with_owner_unchecked(
        raw: AnyRawStream,
        device: Device,
        owner: KeepAlive,
    ) -> Result<AnyStream, AnyError> {
        let backend = compiled(raw.backend())?;
        same_vendor(raw.backend(), device, owner.unchecked_stream_operation())?;
        // SAFETY: the handle belongs to `backend`, and is a stream of `device` (caller contract).
        // The backend's stream holds `owner`.
        placed(|| unsafe {
            backend.stream_from_raw_with_owner_unchecked(raw.bits(), device, owner)
        })
        .map(AnyStream::from)
    }

    unsafe fn event_from_raw_with_owner(
        raw: AnyRawEvent,
        device: Option<Device>,
        options: Option<EventOptions>,
        owner: KeepAlive,
    ) -> Result<AnyEvent, AnyError> {
        let backend = compiled(raw.backend())?;
        let operation = owner.event_operation();
        device.map_or(Ok(()), |device| same_vendor(raw.backend(), device, operation))?;
        // SAFETY: the handle belongs to `backend`: it names that backend, and the caller upholds
        // the contract of `event_from_raw_with_owner`. The backend's event holds `owner`.
        unsafe { backend.event_from_raw_with_owner(raw.bits(), device, options, owner) }
            .map(AnyEvent::from)
    }

    #[cfg_attr(feature = "checked", track_caller)]
    fn host_access(access: Access, region: &Region) {
        check::host_access(access, region);
    }
}

/// Returns the backends that are ready, the default one first. If none is ready, returns the
/// default one's error.
fn ready() -> Result<Vec<BackendInfo>, AnyError> {
    let (mut first, mut others, mut why_not) = (Vec::new(), Vec::new(), None);
    for backend in in_build()? {
        let is_default = backend.kind() == DefaultBackend::KIND;
        match backend.probe() {
            Ok(info) if is_default => first.push(info),
            Ok(info) => others.push(info),
            Err(error) if is_default => why_not = Some(error),
            Err(_) => {}
        }
    }
    first.append(&mut others);
    match why_not {
        Some(error) if first.is_empty() => Err(error),
        _ => Ok(first),
    }
}

fn same_vendor(
    expected: BackendKind,
    device: Device,
    operation: &'static str,
) -> Result<(), ContractError> {
    let given = device.backend();
    if expected == given {
        return Ok(());
    }
    Err(ContractError::BackendMismatch { operation, expected, given })
}
