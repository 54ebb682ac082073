//! A fake backend, for tests with two backends. It has one device and no work, and its probe fails
//! if a test asks for that.

use std::marker::PhantomData;

use gpu_stream::{
    Backend, BackendInfo, BackendKind, ContractError, Device, DeviceInfo, Error, ErrorKind, Event,
    EventOptions, EventStatus, KeepAlive, PerThread, RawEvent, RawStream, Stream, StreamOptions,
};

/// The result of a fake backend's `probe`.
pub trait Probe: Send + Sync + 'static {
    /// The kind and the text of the error, if the probe fails.
    const FAILS: Option<(ErrorKind, &'static str)>;

    /// `true` if a wait succeeds. Otherwise it is an error, which shows that the wait was called.
    const WAITS: bool = false;

    /// The answer to a query of a stream.
    const IS_IDLE: bool = true;

    /// Returns the number of resets. The events from before the last one return an error.
    fn resets() -> usize {
        0
    }

    /// Runs when an event is created.
    fn on_new_event() {}

    /// The ordinal of the device.
    const ORDINAL: u32 = 0;
}

/// A fake that is ready.
pub struct Ready;

impl Probe for Ready {
    const FAILS: Option<(ErrorKind, &'static str)> = None;
}

pub struct Fake<P = Ready>(PhantomData<P>);

impl<P> Fake<P> {
    pub const VALUE: Self = Fake(PhantomData);
}

pub struct FakeStream<P = Ready>(pub usize, PhantomData<fn() -> P>);
pub struct FakeEvent<P = Ready>(EventOptions, usize, PhantomData<fn() -> P>);

#[derive(Debug, thiserror::Error)]
pub enum FakeError {
    #[error(transparent)]
    Contract(#[from] ContractError),
    #[error("{1}")]
    Driver(ErrorKind, &'static str),
}

impl Error for FakeError {
    fn kind(&self) -> ErrorKind {
        match self {
            FakeError::Contract(error) => error.kind(),
            FakeError::Driver(kind, _) => *kind,
        }
    }

    fn code(&self) -> Option<i32> {
        matches!(self, FakeError::Driver(..)).then_some(7)
    }
}

const KIND: BackendKind = BackendKind::Other("fake");

impl<P: Probe> FakeStream<P> {
    pub fn new(handle: usize) -> Self {
        FakeStream(handle, PhantomData)
    }
}

// SAFETY: the streams never have work and no code dereferences a handle, so nothing outlives an
// owner.
unsafe impl<P: Probe> Backend for Fake<P> {
    const KIND: BackendKind = KIND;
    const EVENTS_KEEP_OWNER: bool = false;
    type RawStream = RawStream<Self>;
    type RawEvent = RawEvent<Self>;
    type Stream = FakeStream<P>;
    type Event = FakeEvent<P>;
    type Error = FakeError;

    fn probe() -> Result<BackendInfo, FakeError> {
        if let Some((kind, text)) = P::FAILS {
            return Err(FakeError::Driver(kind, text));
        }
        let devices = Self::devices()?.into_iter().map(|device| DeviceInfo::new(device, "fake"));
        let mut info = BackendInfo::new(KIND, "1.0", devices.collect());
        info.library = Some("libfake.so.1".into());
        Ok(info)
    }

    fn devices() -> Result<Vec<Device>, FakeError> {
        Ok((0..=P::ORDINAL).map(|ordinal| Device::new(KIND, ordinal)).collect())
    }

    fn default_stream(device: Device) -> Result<FakeStream<P>, FakeError> {
        Self::new_stream(device, StreamOptions::new())
    }

    fn per_thread_stream(device: Device) -> Result<PerThread<FakeStream<P>>, FakeError> {
        // SAFETY: a fake stream is a number and never has work, so it can be used on every thread.
        Ok(unsafe { PerThread::new_unchecked(Self::default_stream(device)?) })
    }

    fn new_stream(device: Device, _: StreamOptions) -> Result<FakeStream<P>, FakeError> {
        device.check_exists(KIND, P::ORDINAL + 1, "Backend::new_stream")?;
        Ok(FakeStream::new(0))
    }

    fn new_event(device: Device, options: EventOptions) -> Result<FakeEvent<P>, FakeError> {
        device.check_exists(KIND, P::ORDINAL + 1, "Backend::new_event")?;
        P::on_new_event();
        Ok(FakeEvent(options, P::resets(), PhantomData))
    }

    unsafe fn stream_from_raw_with_owner(
        raw: RawStream<Self>,
        _: Option<Device>,
        _: KeepAlive,
    ) -> Result<FakeStream<P>, FakeError> {
        Ok(FakeStream::new(raw.to_bits()))
    }

    unsafe fn stream_from_raw_with_owner_unchecked(
        raw: RawStream<Self>,
        _: Device,
        _: KeepAlive,
    ) -> Result<FakeStream<P>, FakeError> {
        Ok(FakeStream::new(raw.to_bits()))
    }
}

// SAFETY: there never is any work, so all of it has ended and every order holds.
unsafe impl<P: Probe> Stream for FakeStream<P> {
    type Backend = Fake<P>;

    fn raw(&self) -> RawStream<Fake<P>> {
        RawStream::from_bits(self.0)
    }

    fn device(&self) -> Device {
        Device::new(KIND, P::ORDINAL)
    }

    fn query(&self) -> Result<bool, FakeError> {
        Ok(P::IS_IDLE)
    }

    fn synchronize(&self) -> Result<(), FakeError> {
        Ok(())
    }

    fn record(&self, _: &FakeEvent<P>) -> Result<(), FakeError> {
        Ok(())
    }

    fn wait_event(&self, _: &FakeEvent<P>) -> Result<(), FakeError> {
        if P::WAITS {
            return Ok(());
        }
        Err(FakeError::Driver(ErrorKind::Driver, "the fake waits for nothing"))
    }
}

// SAFETY: there never is any work, so every event is complete.
unsafe impl<P: Probe> Event for FakeEvent<P> {
    type Backend = Fake<P>;

    fn raw(&self) -> RawEvent<Fake<P>> {
        RawEvent::from_bits(0)
    }

    fn device(&self) -> Device {
        Device::new(KIND, P::ORDINAL)
    }

    fn options(&self) -> EventOptions {
        self.0
    }

    fn status(&self) -> Result<EventStatus, FakeError> {
        if self.1 != P::resets() {
            return Err(FakeError::Driver(ErrorKind::ContextDestroyed, "the fake was reset"));
        }
        Ok(EventStatus::Complete)
    }

    fn synchronize(&self) -> Result<(), FakeError> {
        Ok(())
    }

    fn elapsed_unchecked(&self, _: &Self) -> Result<f32, FakeError> {
        Ok(0.0)
    }
}

// Implemented by hand: a derive would require the same trait of `P`.
impl<P> Clone for FakeStream<P> {
    fn clone(&self) -> Self {
        FakeStream(self.0, PhantomData)
    }
}

impl<P> PartialEq for FakeStream<P> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<P> Eq for FakeStream<P> {}

impl<P> std::hash::Hash for FakeStream<P> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl<P> std::fmt::Debug for FakeStream<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FakeStream({})", self.0)
    }
}

impl<P> std::fmt::Debug for FakeEvent<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FakeEvent")
    }
}
