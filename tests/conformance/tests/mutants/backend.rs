//! The mutant backend: a wrapper around the host backend.

use std::cell::{Cell, RefCell};
use std::sync::{Arc, OnceLock};

use gpu_stream_core::{
    Backend, BackendInfo, BackendKind, ContractError, Device, Error, ErrorKind, EventOptions,
    EventOwner, KeepAlive, PerThread, PriorityRange, RawEvent, RawStream, Stream, StreamOptions,
    StreamOwner,
};
use gpu_stream_host::{Gate, Host, HostError};

use crate::error::MutantError;
use crate::event::MutantEvent;
use crate::mutation::{Mutation, current, on};
use crate::stream::MutantStream;
use crate::{capture, vendor};

/// The host backend with the current [`Mutation`].
#[derive(Clone, Copy, Debug)]
pub struct Mutant;

thread_local! {
    /// The current device, for the mutants that depend on it.
    pub static CURRENT_DEVICE: Cell<u32> = const { Cell::new(0) };
    /// The last error that a mutant did not clear.
    pub static LAST_ERROR: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Returns a gate that never opens: a wait for it never ends.
pub fn never() -> Result<&'static Gate, HostError> {
    static NEVER: OnceLock<Gate> = OnceLock::new();
    let gate = Gate::new(Host::device(0)?)?;
    Ok(NEVER.get_or_init(|| gate))
}

/// Calls `make` with the given device, or with the first one where a mutant accepts any.
fn forgiving<T>(
    device: Device,
    make: impl Fn(Device) -> Result<T, HostError>,
) -> Result<T, MutantError> {
    let result = make(device).map_err(MutantError::from);
    let Err(error) = &result else { return result };
    match (current(), error.kind()) {
        (Some(Mutation::AbsentDeviceAccepted), ErrorKind::InvalidDevice)
        | (Some(Mutation::StrangeDeviceAccepted), ErrorKind::BackendMismatch) => {
            Ok(make(Host::device(0)?)?)
        }
        (Some(Mutation::ErrorsNameNothing), ErrorKind::InvalidDevice) => {
            let given = Device::new(BackendKind::Host, u32::MAX);
            let operation = "a call";
            Err(ContractError::InvalidDevice { operation, given, count: 1 }.into())
        }
        _ => result,
    }
}

// SAFETY: all calls go to the host backend, which validates handles and never dereferences them. So
// a broken promise of a mutation fails a case, and is no memory error.
unsafe impl Backend for Mutant {
    const KIND: BackendKind = BackendKind::Host;
    const EVENTS_KEEP_OWNER: bool = true;
    type RawStream = RawStream<Self>;
    type RawEvent = RawEvent<Self>;
    type Stream = MutantStream;
    type Event = MutantEvent;
    type Error = MutantError;

    fn probe() -> Result<BackendInfo, MutantError> {
        Ok(Host::probe()?)
    }

    fn devices() -> Result<Vec<Device>, MutantError> {
        Ok(Host::devices()?)
    }

    fn device(ordinal: u32) -> Result<Device, MutantError> {
        match current() {
            Some(Mutation::AnyOrdinalIsADevice) => Ok(Device::new(Self::KIND, ordinal)),
            _ => Ok(Host::device(ordinal)?),
        }
    }

    fn default_stream(device: Device) -> Result<MutantStream, MutantError> {
        forgiving(device, |device| Ok(MutantStream::wrapper(Host::default_stream(device)?)))
    }

    fn per_thread_stream(device: Device) -> Result<PerThread<MutantStream>, MutantError> {
        static SHARED: OnceLock<MutantStream> = OnceLock::new();
        let own = forgiving(device, Host::per_thread_stream)?;
        let stream = match current() {
            Some(Mutation::PerThreadStreamIsShared) => {
                let stream = MutantStream::owned(Host::new_stream(device, StreamOptions::new())?);
                SHARED.get_or_init(|| stream).clone()
            }
            Some(Mutation::PerThreadStreamIsFresh) => {
                MutantStream::owned(Host::new_stream(device, StreamOptions::new())?)
            }
            // SAFETY: the stream is moved into another `PerThread`, and stays on this thread.
            _ => MutantStream::wrapper(unsafe { own.into_inner_unchecked() }),
        };
        // SAFETY: the stream is this thread's own, or, as the mutant's fault, a stream that any
        // thread may use.
        Ok(unsafe { PerThread::new_unchecked(stream) })
    }

    fn new_stream(device: Device, mut options: StreamOptions) -> Result<MutantStream, MutantError> {
        let mut asked = device;
        match current() {
            Some(Mutation::PriorityClamped) => {
                let range = Host::priority_range(device)?;
                options.priority = options.priority.clamp(range.greatest, range.least);
            }
            Some(Mutation::LeavesDeviceCurrent) => CURRENT_DEVICE.set(device.ordinal()),
            Some(Mutation::UsesCurrentDevice) if Host::device(device.ordinal()).is_ok() => {
                asked = Host::device(CURRENT_DEVICE.get())?;
            }
            _ => {}
        }
        if on(Mutation::NewStreamBreaksCapture) {
            capture::break_global();
        }
        let blocking = std::mem::take(&mut options.blocking);
        let made =
            forgiving(asked, |device| Ok(MutantStream::owned(Host::new_stream(device, options)?)))?;
        if blocking {
            vendor::make_blocking(made.bits(), made.host.device());
        }
        Ok(made)
    }

    fn new_event(device: Device, mut options: EventOptions) -> Result<MutantEvent, MutantError> {
        match current() {
            Some(Mutation::InterprocessIgnored) => {
                options = EventOptions::builder().timing(options.is_timed()).build()?;
            }
            Some(Mutation::TimedByDefault) if options == EventOptions::new() => {
                options = EventOptions::timed();
            }
            Some(Mutation::BlockingForgotten) => {
                options = EventOptions::builder()
                    .timing(options.is_timed())
                    .interprocess(options.is_interprocess())
                    .build()?;
            }
            _ => {}
        }
        let event =
            forgiving(device, |device| Ok(MutantEvent::new(Host::new_event(device, options)?)))?;
        event.notes().context = Some(0);
        Ok(event)
    }

    fn priority_range(device: Device) -> Result<PriorityRange, MutantError> {
        let range = forgiving(device, Host::priority_range)?;
        match current() {
            Some(Mutation::PriorityRangeReversed) => {
                Ok(PriorityRange { least: range.greatest, greatest: range.least })
            }
            _ => Ok(range),
        }
    }

    fn stream_from_owner<T: StreamOwner<Self>>(
        owner: Arc<T>,
        device: Option<Device>,
    ) -> Result<MutantStream, MutantError> {
        let (raw, known) = (owner.raw_stream(), owner.device());
        let device = match (current(), device, known) {
            (Some(Mutation::OwnersWordIgnored), Some(_), Some(known)) => Some(known),
            (_, Some(given), Some(known)) => {
                given.check_is(known, "Backend::stream_from_owner")?;
                Some(given)
            }
            (_, given, known) => given.or(known),
        };
        // SAFETY: the handle is live while the owner is. If a mutant drops the owner, the host
        // backend reports the stale handle.
        unsafe { Self::stream_from_raw_with_owner(raw, device, KeepAlive::owner(owner)) }
    }

    unsafe fn stream_from_raw_with_owner(
        raw: RawStream<Self>,
        device: Option<Device>,
        owner: KeepAlive,
    ) -> Result<MutantStream, MutantError> {
        // SAFETY: the caller contract is that of the host backend.
        let wrapped = unsafe { wrap(raw.to_bits(), device, owner.clone()) };
        if wrapped.is_err() && on(Mutation::OwnerKeptByFailure) {
            std::mem::forget(owner);
        }
        wrapped
    }

    unsafe fn stream_from_raw_with_owner_unchecked(
        raw: RawStream<Self>,
        device: Device,
        owner: KeepAlive,
    ) -> Result<MutantStream, MutantError> {
        // SAFETY: the caller contract implies that of the checked function, and the host backend
        // validates every handle.
        unsafe { Self::stream_from_raw_with_owner(raw, Some(device), owner) }
    }

    fn event_from_owner<T: EventOwner<Self>>(
        owner: Arc<T>,
        device: Option<Device>,
    ) -> Result<MutantEvent, MutantError> {
        let (raw, known, options) = (owner.raw_event(), owner.device(), owner.options());
        if let (Some(given), Some(known), false) = (device, known, on(Mutation::OwnersWordIgnored))
        {
            given.check_is(known, "Backend::event_from_owner")?;
        }
        // SAFETY: the event is live while the owner is. If a mutant drops the owner, the host
        // backend reports the stale handle.
        unsafe {
            Self::event_from_raw_with_owner(raw, known.or(device), options, KeepAlive::owner(owner))
        }
    }

    unsafe fn event_from_raw_with_owner(
        raw: RawEvent<Self>,
        device: Option<Device>,
        options: Option<EventOptions>,
        owner: KeepAlive,
    ) -> Result<MutantEvent, MutantError> {
        let owner = match current() {
            Some(Mutation::ForeignEventOwnerDropped) => KeepAlive::none(),
            Some(Mutation::ForeignEventZeroAccepted) if raw.to_bits() == 0 => {
                return Self::new_event(
                    device.map_or_else(|| Host::device(0), Ok)?,
                    options.unwrap_or_default(),
                );
            }
            _ => owner,
        };
        let raw = RawEvent::from_bits(raw.to_bits());
        // SAFETY: the host backend validates every handle.
        Ok(MutantEvent::new(unsafe {
            Host::event_from_raw_with_owner(raw, device, options, owner)
        }?))
    }
}

/// # Safety
/// Wraps as `Backend::stream_from_raw_with_owner`. The host backend validates every handle and
/// dereferences none, so the mutants that break an owner's promise get an error there.
unsafe fn wrap(
    bits: usize,
    device: Option<Device>,
    owner: KeepAlive,
) -> Result<MutantStream, MutantError> {
    let on_some_device = || Ok::<_, MutantError>(Host::device(0)?);
    match (current(), bits) {
        (Some(Mutation::HandleZeroIsPooled), 0) => {
            let device = device.map_or_else(on_some_device, Ok)?;
            return Ok(MutantStream::owned(Host::new_stream(device, StreamOptions::new())?));
        }
        (Some(Mutation::HandleOneIsAnother), 1) => {
            let device = device.map_or_else(on_some_device, Ok)?;
            return Ok(MutantStream::owned(Host::new_stream(device, StreamOptions::new())?));
        }
        (Some(Mutation::HandleTwoIsDefault), 2) => {
            let device = device.map_or_else(on_some_device, Ok)?;
            return Mutant::default_stream(device);
        }
        _ => {}
    }
    let (host_owner, mut own_owner) = (owner.clone(), KeepAlive::none());
    let host_owner = match current() {
        Some(Mutation::OwnerNotKeptByStream) => KeepAlive::none(),
        Some(Mutation::OwnerNotKeptByEvent) => {
            own_owner = host_owner;
            KeepAlive::none()
        }
        _ => host_owner,
    };
    let raw = RawStream::from_bits(bits);
    // SAFETY: the host backend dereferences no handle.
    let make =
        |device| unsafe { Host::stream_from_raw_with_owner(raw, device, host_owner.clone()) };
    let wrapped = make(device);
    let wrapped: Result<_, HostError> = match (current(), wrapped) {
        (Some(Mutation::DeviceNotChecked), Err(error))
            if error.kind() == ErrorKind::DeviceMismatch =>
        {
            make(None)
        }
        (Some(Mutation::StaleHandleAccepted), Err(error))
            if error.kind() == ErrorKind::InvalidHandle && bits != 2 =>
        {
            Host::default_stream(Host::device(0)?)
        }
        (Some(Mutation::ErrorsNameAnotherCall), Err(_)) if bits == 2 => {
            let reason = "is the calling thread's own stream; use `Backend::per_thread_stream`";
            let operation = "Backend::stream_from_raw_with_owner";
            Err(ContractError::InvalidHandle { operation, bits, reason }.into())
        }
        (Some(Mutation::ErrorsNameNothing), Err(error))
            if error.kind() == ErrorKind::DeviceMismatch =>
        {
            let (given, actual) = (Host::device(0)?, Host::device(0)?);
            let operation = "a call";
            Err(ContractError::DeviceMismatch { operation, given, actual }.into())
        }
        (_, wrapped) => wrapped,
    };
    let wrapped = wrapped?;
    if on(Mutation::OwnerKeptForEver) {
        std::mem::forget(owner);
    }
    let mut stream = MutantStream::foreign(wrapped, own_owner);
    match current() {
        Some(Mutation::DeviceIsZero) => stream.device = Host::device(0)?,
        Some(Mutation::WrapIsAnotherStream) => {
            stream.raw = RawStream::from_bits(bits);
            stream.host = Host::new_stream(stream.device(), StreamOptions::new())?;
        }
        _ => {}
    }
    Ok(stream)
}
