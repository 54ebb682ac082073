//! A backend of an unknown vendor, whose streams never have work. The cases about the object-safe
//! form need a second vendor beside the one under test.

use gpu_stream_core::{
    Backend, BackendInfo, BackendKind, ContractError, Device, DeviceInfo, Event, EventOptions,
    EventStatus, KeepAlive, RawEvent, RawStream, Stream, StreamOptions,
};

/// A backend with one device, whose streams are always idle.
pub(crate) struct NullBackend;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct NullStream;

#[derive(Debug)]
pub(crate) struct NullEvent(EventOptions);

const KIND: BackendKind = BackendKind::Other("null");
const DEVICE: Device = Device::new(KIND, 0);

// SAFETY: the streams never have work and no code dereferences the handle, so nothing outlives an
// owner.
unsafe impl Backend for NullBackend {
    const KIND: BackendKind = KIND;
    const EVENTS_KEEP_OWNER: bool = false;
    type RawStream = RawStream<Self>;
    type RawEvent = RawEvent<Self>;
    type Stream = NullStream;
    type Event = NullEvent;
    type Error = ContractError;

    fn probe() -> Result<BackendInfo, ContractError> {
        Ok(BackendInfo::new(KIND, "1", vec![DeviceInfo::new(DEVICE, "nowhere")]))
    }

    fn devices() -> Result<Vec<Device>, ContractError> {
        Ok(vec![DEVICE])
    }

    fn default_stream(device: Device) -> Result<NullStream, ContractError> {
        device.check_exists(KIND, 1, "Backend::default_stream")?;
        Ok(NullStream)
    }

    fn new_stream(device: Device, _options: StreamOptions) -> Result<NullStream, ContractError> {
        device.check_exists(KIND, 1, "Backend::new_stream")?;
        Ok(NullStream)
    }

    fn new_event(device: Device, options: EventOptions) -> Result<NullEvent, ContractError> {
        device.check_exists(KIND, 1, "Backend::new_event")?;
        Ok(NullEvent(options))
    }

    unsafe fn stream_from_raw_with_owner(
        raw: RawStream<Self>,
        device: Option<Device>,
        owner: KeepAlive,
    ) -> Result<NullStream, ContractError> {
        let operation = owner.stream_operation();
        device.unwrap_or(DEVICE).check_exists(KIND, 1, operation)?;
        match raw.to_bits() {
            0 => Ok(NullStream),
            bits => {
                let reason = "is no stream of this backend, which has only handle 0";
                Err(ContractError::InvalidHandle { operation, bits, reason })
            }
        }
    }

    unsafe fn stream_from_raw_with_owner_unchecked(
        raw: RawStream<Self>,
        device: Device,
        owner: KeepAlive,
    ) -> Result<NullStream, ContractError> {
        // SAFETY: the caller contract implies that of the checked function.
        unsafe { Self::stream_from_raw_with_owner(raw, Some(device), owner) }
    }
}

// SAFETY: there never is any work, so all of it is always done.
unsafe impl Stream for NullStream {
    type Backend = NullBackend;

    fn raw(&self) -> RawStream<NullBackend> {
        RawStream::DEFAULT
    }

    fn device(&self) -> Device {
        DEVICE
    }

    fn query(&self) -> Result<bool, ContractError> {
        Ok(true)
    }

    fn synchronize(&self) -> Result<(), ContractError> {
        Ok(())
    }

    fn record(&self, _event: &NullEvent) -> Result<(), ContractError> {
        Ok(())
    }

    fn wait_event(&self, _event: &NullEvent) -> Result<(), ContractError> {
        Ok(())
    }
}

// SAFETY: there never is any work. The status is always `Unrecorded`, and such an event is done.
unsafe impl Event for NullEvent {
    type Backend = NullBackend;

    fn raw(&self) -> RawEvent<NullBackend> {
        RawEvent::from_bits(0)
    }

    fn device(&self) -> Device {
        DEVICE
    }

    fn options(&self) -> EventOptions {
        self.0
    }

    fn status(&self) -> Result<EventStatus, ContractError> {
        Ok(EventStatus::Unrecorded)
    }

    fn synchronize(&self) -> Result<(), ContractError> {
        Ok(())
    }

    fn elapsed_unchecked(&self, _start: &Self) -> Result<f32, ContractError> {
        Ok(0.0)
    }
}
