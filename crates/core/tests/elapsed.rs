//! The errors of `Event::elapsed_since`, and their order; the errors of what a backend leaves out.

use gpu_stream_core::{
    Backend, BackendInfo, BackendKind, ContractError, Device, Error, ErrorKind, Event,
    EventOptions, EventStatus, KeepAlive, RawEvent, RawStream, Stream, StreamOptions,
};

const KIND: BackendKind = BackendKind::Other("events_only");

/// A backend that has only events.
struct EventsOnly;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct NoStream;

/// An event with given properties.
#[derive(Clone, Copy, Debug)]
struct TestEvent {
    /// The version of the backend: two versions have one name and are two backends.
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
unsafe impl Backend for EventsOnly {
    const KIND: BackendKind = KIND;
    const EVENTS_KEEP_OWNER: bool = false;
    type RawStream = RawStream<Self>;
    type RawEvent = RawEvent<Self>;
    type Stream = NoStream;
    type Event = TestEvent;
    type Error = ContractError;

    fn probe() -> Result<BackendInfo, ContractError> {
        unsupported()
    }

    fn devices() -> Result<Vec<Device>, ContractError> {
        unsupported()
    }

    fn new_stream(_: Device, _: StreamOptions) -> Result<NoStream, ContractError> {
        unsupported()
    }

    fn new_event(_: Device, _: EventOptions) -> Result<TestEvent, ContractError> {
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

// SAFETY: no value of this type is ever created.
unsafe impl Stream for NoStream {
    type Backend = EventsOnly;

    fn raw(&self) -> RawStream<EventsOnly> {
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

    fn record(&self, _: &TestEvent) -> Result<(), ContractError> {
        unsupported()
    }

    fn wait_event(&self, _: &TestEvent) -> Result<(), ContractError> {
        unsupported()
    }
}

// SAFETY: there is no work, so no answer about it can be wrong.
unsafe impl Event for TestEvent {
    type Backend = EventsOnly;

    fn raw(&self) -> RawEvent<EventsOnly> {
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
        let can_be_timed =
            |event: &Self| event.options.is_timed() && event.status == EventStatus::Complete;
        if can_be_timed(self) && can_be_timed(start) { Ok(1.5) } else { unsupported() }
    }
}

#[test]
fn elapsed_since_returns_errors_in_the_documented_order() {
    let good = TestEvent {
        version: 0,
        ordinal: 0,
        options: EventOptions::timed(),
        status: EventStatus::Complete,
    };
    assert_eq!(good.elapsed_since(&good).unwrap(), 1.5);
    // Each event has one more fault than the one before, and the error is that of the new fault.
    let pending = TestEvent { status: EventStatus::Pending, ..good };
    let unrecorded = TestEvent { status: EventStatus::Unrecorded, ..good };
    let untimed = TestEvent { options: EventOptions::new(), ..unrecorded };
    let namesake = TestEvent { version: 1, ..untimed };
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
    let elsewhere = TestEvent { ordinal: 1, ..untimed };
    let error = elsewhere.elapsed_since(&good).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeviceMismatch);
    let (start, end) = (good.device(), elsewhere.device());
    assert_eq!(error, ContractError::ElapsedAcrossDevices { start, end });
}

#[test]
fn default_streams_that_a_backend_leaves_out_are_unsupported() {
    let device = Device::new(KIND, 0);
    let errors = [
        ("Backend::default_stream", EventsOnly::default_stream(device).err()),
        ("Backend::per_thread_stream", EventsOnly::per_thread_stream(device).err()),
    ];
    for (call, error) in errors {
        let error = error.expect("there is none");
        let text = error.to_string();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{text}");
        assert!(text.contains(call) && text.contains("events_only"), "{text}");
        assert!(text.contains("Backend::new_stream"), "{text}");
    }
}
