//! A backend with the name of another backend, and streams with any device and handle. With it, a
//! case simulates two versions of one crate in one program.

use std::marker::PhantomData;
use std::sync::Arc;

use gpu_stream_core::dynamic::SharedStream;
use gpu_stream_core::{
    Backend, BackendInfo, BackendKind, ContractError, Device, Event, EventOptions, EventStatus,
    KeepAlive, RawEvent, RawStream, Stream, StreamOptions,
};

/// A backend with the name of `B`, whose streams are always idle.
pub(crate) struct Namesake<B>(PhantomData<fn() -> B>);

pub(crate) struct NamesakeStream<B> {
    device: Device,
    raw: RawStream<Namesake<B>>,
}

pub(crate) struct NamesakeEvent<B> {
    device: Device,
    options: EventOptions,
    backend: PhantomData<fn() -> B>,
}

impl<B: Backend> Namesake<B> {
    /// Returns a stream with this device and handle.
    pub(crate) fn stream(device: Device, bits: usize) -> SharedStream {
        Arc::new(NamesakeStream::<B> { device, raw: RawStream::from_bits(bits) })
    }
}

fn unsupported<T>(operation: &'static str, backend: BackendKind) -> Result<T, ContractError> {
    let reason = "a namesake has only the streams that a case creates";
    Err(ContractError::Unsupported { operation, backend, reason })
}

// SAFETY: the streams never have work and no code dereferences the handle, so nothing outlives an
// owner.
unsafe impl<B: Backend> Backend for Namesake<B> {
    const KIND: BackendKind = B::KIND;
    const EVENTS_KEEP_OWNER: bool = false;
    type RawStream = RawStream<Self>;
    type RawEvent = RawEvent<Self>;
    type Stream = NamesakeStream<B>;
    type Event = NamesakeEvent<B>;
    type Error = ContractError;

    fn probe() -> Result<BackendInfo, ContractError> {
        unsupported("Backend::probe", B::KIND)
    }

    fn devices() -> Result<Vec<Device>, ContractError> {
        unsupported("Backend::devices", B::KIND)
    }

    fn new_stream(_: Device, _: StreamOptions) -> Result<NamesakeStream<B>, ContractError> {
        unsupported("Backend::new_stream", B::KIND)
    }

    fn new_event(device: Device, options: EventOptions) -> Result<NamesakeEvent<B>, ContractError> {
        Ok(NamesakeEvent { device, options, backend: PhantomData })
    }

    unsafe fn stream_from_raw_with_owner(
        _: RawStream<Self>,
        _: Option<Device>,
        owner: KeepAlive,
    ) -> Result<NamesakeStream<B>, ContractError> {
        unsupported(owner.stream_operation(), B::KIND)
    }

    unsafe fn stream_from_raw_with_owner_unchecked(
        _: RawStream<Self>,
        _: Device,
        owner: KeepAlive,
    ) -> Result<NamesakeStream<B>, ContractError> {
        unsupported(owner.unchecked_stream_operation(), B::KIND)
    }
}

// SAFETY: there never is any work, so all of it is always done.
unsafe impl<B: Backend> Stream for NamesakeStream<B> {
    type Backend = Namesake<B>;

    fn raw(&self) -> RawStream<Namesake<B>> {
        self.raw
    }

    fn device(&self) -> Device {
        self.device
    }

    fn query(&self) -> Result<bool, ContractError> {
        Ok(true)
    }

    fn synchronize(&self) -> Result<(), ContractError> {
        Ok(())
    }

    fn record(&self, _: &NamesakeEvent<B>) -> Result<(), ContractError> {
        Ok(())
    }

    fn wait_event(&self, _: &NamesakeEvent<B>) -> Result<(), ContractError> {
        Ok(())
    }
}

// SAFETY: there never is any work. The status is always `Unrecorded`, and such an event is done.
unsafe impl<B: Backend> Event for NamesakeEvent<B> {
    type Backend = Namesake<B>;

    fn raw(&self) -> RawEvent<Namesake<B>> {
        RawEvent::from_bits(0)
    }

    fn device(&self) -> Device {
        self.device
    }

    fn options(&self) -> EventOptions {
        self.options
    }

    fn status(&self) -> Result<EventStatus, ContractError> {
        Ok(EventStatus::Unrecorded)
    }

    fn synchronize(&self) -> Result<(), ContractError> {
        Ok(())
    }

    fn elapsed_unchecked(&self, _: &Self) -> Result<f32, ContractError> {
        Ok(0.0)
    }
}

// Implemented by hand: a derive would require the same trait of `B`.
impl<B> Clone for NamesakeStream<B> {
    fn clone(&self) -> Self {
        NamesakeStream { device: self.device, raw: self.raw }
    }
}

impl<B> PartialEq for NamesakeStream<B> {
    fn eq(&self, other: &Self) -> bool {
        self.device == other.device && self.raw == other.raw
    }
}

impl<B> Eq for NamesakeStream<B> {}

impl<B> std::hash::Hash for NamesakeStream<B> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.device, self.raw).hash(state);
    }
}

impl<B> std::fmt::Debug for NamesakeStream<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NamesakeStream")
    }
}

impl<B> std::fmt::Debug for NamesakeEvent<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NamesakeEvent")
    }
}
