//! The errors of `Event::elapsed_since`, and their order.

use gpu_stream_core::{
    Backend, BackendInfo, BackendKind, ContractError, Device, Error, ErrorKind, Event,
    EventOptions, EventStatus, KeepAlive, PerThread, RawEvent, RawStream, Stream, StreamOptions,
};

const KIND: BackendKind = BackendKind::Other("pretend");

/// A backend of which there are events only.
struct Pretend;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct NoStream;

/// An event that answers what it is told to.
#[derive(Clone, Copy, Debug)]
struct Told {
    /// Which of several backends of one name it is of.
    version: u8,
    ordinal: u32,
    options: EventOptions,
    status: EventStatus,
}

fn unsupported<T>() -> Result<T, ContractError> {
    let (operation, reason) = ("any", "there are events only");
    Err(ContractError::Unsupported { operation, backend: KIND, reason })
}

// SAFETY: there are no streams, so nothing outlives an owner.
unsafe impl Backend for Pretend {
    const KIND: BackendKind = KIND;
    const EVENTS_KEEP_OWNER: bool = false;
    type RawStream = RawStream<Self>;
    type RawEvent = RawEvent<Self>;
    type Stream = NoStream;
    type Event = Told;
    type Error = ContractError;

    fn probe() -> Result<BackendInfo, ContractError> {
        unsupported()
    }

    fn devices() -> Result<Vec<Device>, ContractError> {
        unsupported()
    }

    fn default_stream(_: Device) -> Result<NoStream, ContractError> {
        unsupported()
    }

    fn per_thread_stream(_: Device) -> Result<PerThread<NoStream>, ContractError> {
        unsupported()
    }

    fn new_stream(_: Device, _: StreamOptions) -> Result<NoStream, ContractError> {
        unsupported()
    }

    fn new_event(_: Device, _: EventOptions) -> Result<Told, ContractError> {
        unsupported()
    }

    unsafe fn stream_from_raw_with_owner(
        _: RawStream<Self>,
        _: Option<Device>,
        _: KeepAlive,
    ) -> Result<NoStream, ContractError> {
        unsupported()
    }

    unsafe fn stream_from_raw_with_owner_unchecked(
        _: RawStream<Self>,
        _: Device,
        _: KeepAlive,
    ) -> Result<NoStream, ContractError> {
        unsupported()
    }
}

// SAFETY: no value of this type is ever made.
unsafe impl Stream for NoStream {
    type Backend = Pretend;

    fn raw(&self) -> RawStream<Pretend> {
        RawStream::DEFAULT
    }

    fn device(&self) -> Device {
        Device::new(KIND, 0)
    }

    fn query(&self) -> Result<bool, ContractError> {
        unsupported()
    }

    fn synchronize(&self) -> Result<(), ContractError> {
        unsupported()
    }

    fn record(&self, _: &Told) -> Result<(), ContractError> {
        unsupported()
    }

    fn wait_event(&self, _: &Told) -> Result<(), ContractError> {
        unsupported()
    }
}

// SAFETY: there is no work that an answer could be about.
unsafe impl Event for Told {
    type Backend = Pretend;

    fn raw(&self) -> RawEvent<Pretend> {
        RawEvent::from_bits(0)
    }

    fn device(&self) -> Device {
        Device::new(KIND, self.ordinal)
    }

    fn options(&self) -> EventOptions {
        self.options
    }

    fn status(&self) -> Result<EventStatus, ContractError> {
        Ok(self.status)
    }

    fn synchronize(&self) -> Result<(), ContractError> {
        Ok(())
    }

    fn elapsed_unchecked(&self, start: &Self) -> Result<f32, ContractError> {
        if self.version != start.version {
            let operation = "Event::elapsed_since";
            return Err(ContractError::BackendMismatch { operation, expected: KIND, given: KIND });
        }
        let is_good =
            |event: &Self| event.options.is_timed() && event.status == EventStatus::Complete;
        if is_good(self) && is_good(start) { Ok(1.5) } else { unsupported() }
    }
}

#[test]
fn the_errors_come_in_the_order_that_is_documented() {
    let good = Told {
        version: 0,
        ordinal: 0,
        options: EventOptions::timed(),
        status: EventStatus::Complete,
    };
    assert_eq!(good.elapsed_since(&good).unwrap(), 1.5);
    // Each has one more fault than the one before, and that one counts.
    let pending = Told { status: EventStatus::Pending, ..good };
    let unrecorded = Told { status: EventStatus::Unrecorded, ..good };
    let untimed = Told { options: EventOptions::new(), ..unrecorded };
    let namesake = Told { version: 1, ..untimed };
    let faults = [
        (pending, ErrorKind::EventPending),
        (unrecorded, ErrorKind::EventNotRecorded),
        (untimed, ErrorKind::EventNotTimed),
        (namesake, ErrorKind::BackendMismatch),
    ];
    for (faulty, expected) in faults {
        for (start, end) in [(good, faulty), (faulty, good)] {
            assert_eq!(end.elapsed_since(&start).unwrap_err().kind(), expected);
        }
    }
    let both = untimed.elapsed_since(&namesake).unwrap_err();
    assert_eq!(both.kind(), ErrorKind::BackendMismatch);
    let elsewhere = Told { ordinal: 1, ..untimed };
    let error = elsewhere.elapsed_since(&good).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeviceMismatch);
    let (start, end) = (good.device(), elsewhere.device());
    assert_eq!(error, ContractError::ElapsedAcrossDevices { start, end });
}
