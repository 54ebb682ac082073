//! Foreign events, handles that have escaped to another library, siblings of a stream on its device, and
//! blocking streams.

mod support;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::ThreadId;

use gpu_stream_core::{
    Backend, BackendKind, Device, ErrorKind, Event, EventOptions, EventOwner, EventStatus,
    KeepAlive, RawEvent, RawStream, Stream, StreamOptions, StreamOwner,
};
use gpu_stream_hip::{Hip, HipEvent};
use support::bare::{Ptr, bare, gate, new_event, new_stream, ok, record};
use support::{device, expect_kind, own_event, own_stream, wrap};

/// The child process of `device_reset_by_another_library`.
const RESET: &str = "in a child: a reset";

fn main() -> ExitCode {
    if support::run_as_child(&[(RESET, device_reset)]) {
        return ExitCode::SUCCESS;
    }
    support::main(&[
        ("device_reset_by_another_library", || support::run_child(RESET)),
        (
            "foreign_event_can_be_waited_for_and_recorded",
            foreign_event_can_be_waited_for_and_recorded,
        ),
        ("foreign_event_is_never_destroyed", foreign_event_is_never_destroyed),
        ("event_owner_is_kept", event_owner_is_kept),
        ("invalid_event_handle_is_rejected", invalid_event_handle_is_rejected),
        ("owner_of_a_rejected_handle_is_dropped", owner_of_a_rejected_handle_is_dropped),
        ("another_library_records_our_event", another_library_records_our_event),
        ("streams_report_whether_they_block", streams_report_whether_they_block),
        ("siblings_of_a_stream_use_its_device", siblings_of_a_stream_use_its_device),
    ])
}

/// Wraps an event that is never destroyed.
fn wrap_event(event: Ptr) -> HipEvent {
    // SAFETY: the tests' events are never destroyed, nor are the streams that record them.
    unsafe { Hip::event_from_raw(RawEvent::from_ptr(event), None) }.expect("a foreign event")
}

fn foreign_event_can_be_waited_for_and_recorded() {
    let (raw, raw_waiter, made) = (new_stream(0, 1, 0), new_stream(0, 1, 0), new_event(2));
    let (stream, waiter, event) = (wrap(raw), wrap(raw_waiter), wrap_event(made));
    assert!(event.is_foreign() && event.raw().as_ptr() == made);
    assert_eq!((event.device(), event.options()), (device(), EventOptions::new()));
    assert!(event.query().expect("query"));
    for by_the_crate in [false, true] {
        let gate = gate(raw);
        if by_the_crate {
            stream.record(&event).expect("a record")
        } else {
            record(made, raw)
        }
        assert_eq!(event.status().expect("status"), EventStatus::Pending);
        waiter.wait_event(&event).expect("a wait");
        assert!(!waiter.query().expect("query"), "the waiter did not wait");
        gate.open();
        event.synchronize().expect("synchronize");
        waiter.synchronize().expect("synchronize");
        assert_eq!(event.status().expect("status"), EventStatus::Complete);
    }
    assert_eq!(event.raw().as_ptr(), made, "another handle was recorded");
}

fn foreign_event_is_never_destroyed() {
    let (made, raw) = (new_event(2), new_stream(0, 1, 0));
    let stream = wrap(raw);
    for _ in 0..20 {
        let event = wrap_event(made);
        stream.record(&event).expect("a record");
        drop(event);
        // Neither destroyed nor pooled. A pooled event would show another library's records.
        let other = stream.record_event().expect("a record");
        assert_ne!(other.raw().as_ptr(), made);
        record(made, raw);
        // SAFETY: the event is alive.
        let code = unsafe { (bare().event_query)(made) };
        assert!(matches!(code, 0 | 600), "{code}");
    }
}

fn event_owner_is_kept() {
    struct Owner(usize);
    // SAFETY: the tests' events are never destroyed.
    unsafe impl EventOwner<Hip> for Owner {
        fn raw_event(&self) -> RawEvent<Hip> {
            RawEvent::from_bits(self.0)
        }
        fn device(&self) -> Option<Device> {
            Some(support::device())
        }
        fn options(&self) -> Option<EventOptions> {
            Some(EventOptions::timed())
        }
    }
    let owner = Arc::new(Owner(RawEvent::<Hip>::from_ptr(new_event(0)).to_bits()));
    let event = Hip::event_from_owner(Arc::clone(&owner), None).expect("a foreign event");
    assert_eq!((Arc::strong_count(&owner), event.options()), (2, EventOptions::timed()));
    let stream = wrap(new_stream(0, 1, 0));
    assert_eq!(
        event.status().expect("status"),
        EventStatus::Unrecorded,
        "a timed event shows whether it was recorded"
    );
    stream.record(&event).expect("a record");
    event.synchronize().expect("synchronize");
    assert_eq!(event.elapsed_since(&event).expect("elapsed_since"), 0.0);
    drop(event);
    assert_eq!(Arc::strong_count(&owner), 1);
}

/// Returns a device that does not exist.
fn absent() -> Device {
    Device::new(BackendKind::Hip, 9_999)
}

fn invalid_event_handle_is_rejected() {
    // SAFETY: handle 0 is rejected.
    let null = unsafe { Hip::event_from_raw(RawEvent::from_bits(0), None) };
    expect_kind("handle 0", null, ErrorKind::InvalidHandle);
    // SAFETY: the event is never destroyed.
    let absent = unsafe { Hip::event_from_raw(RawEvent::from_ptr(new_event(2)), Some(absent())) };
    expect_kind("no such device", absent, ErrorKind::InvalidDevice);
}

/// The owner of a rejected handle is dropped by the rejecting call. Inside a host function, the next
/// call on another thread drops it.
fn owner_of_a_rejected_handle_is_dropped() {
    /// Sends the thread on which it is dropped.
    struct Owner(Sender<ThreadId>);
    impl Drop for Owner {
        fn drop(&mut self) {
            self.0.send(std::thread::current().id()).expect("the receiver");
        }
    }
    // SAFETY: handle 0 is no event, so nothing uses it.
    unsafe impl EventOwner<Hip> for Owner {
        fn raw_event(&self) -> RawEvent<Hip> {
            RawEvent::from_bits(0)
        }
    }
    // SAFETY: the per-thread stream always exists.
    unsafe impl StreamOwner<Hip> for Owner {
        fn raw_stream(&self) -> RawStream<Hip> {
            RawStream::from_bits(2)
        }
    }
    let (sender, dropped_on) = channel();
    let this_thread = std::thread::current().id();
    let rejected: [fn(Owner) -> bool; 4] = [
        |owner| Hip::event_from_owner(Arc::new(owner), Some(device())).is_err(),
        |owner| Hip::event_from_owner(Arc::new(owner), Some(absent())).is_err(),
        |owner| Hip::stream_from_owner(Arc::new(owner), None).is_err(),
        // SAFETY: handle 2 is rejected.
        |owner| unsafe {
            let (raw, owner) = (RawStream::from_bits(2), KeepAlive::owner(Arc::new(owner)));
            Hip::stream_from_raw_with_owner_unchecked(raw, device(), owner).is_err()
        },
    ];
    for (index, rejected) in rejected.into_iter().enumerate() {
        let owner = || Owner(sender.clone());
        assert!(rejected(owner()), "call {index} is not rejected");
        assert_eq!(dropped_on.try_recv(), Ok(this_thread), "call {index}");
        let (stream, inside) = (wrap(new_stream(0, 1, 0)), owner());
        let func = move || assert!(rejected(inside), "call {index} is not rejected");
        stream.launch_host_func(Box::new(func)).expect("a launch");
        stream.synchronize().expect("the host function");
        // The end of the call above has dropped the owner, or the end of this one does.
        stream.query().expect("query");
        let thread = dropped_on.try_recv();
        assert_eq!(thread, Ok(this_thread), "call {index}: dropped in the host function");
    }
}

fn another_library_records_our_event() {
    let raw = new_stream(0, 1, 0);
    let [start, end] = [(); 2].map(|()| own_event(EventOptions::timed()));
    assert_eq!(start.status().expect("status"), EventStatus::Unrecorded);
    let handles = [start.raw().as_ptr(), end.raw().as_ptr()];
    assert_eq!(start.status().expect("status"), EventStatus::Unrecorded, "a timed event");
    let untimed = own_event(EventOptions::new());
    let handle = untimed.raw().as_ptr();
    let gate = gate(raw);
    handles.into_iter().chain([handle]).for_each(|event| record(event, raw));
    for event in [&start, &end, &untimed] {
        assert_eq!(event.status().expect("status"), EventStatus::Pending);
    }
    expect_kind("elapsed_since", end.elapsed_since(&start), ErrorKind::EventPending);
    gate.open();
    for event in [&start, &end, &untimed] {
        event.synchronize().expect("synchronize");
        assert_eq!(event.status().expect("status"), EventStatus::Complete);
    }
    assert!(end.elapsed_since(&start).expect("elapsed_since") >= 0.0);
}

fn streams_report_whether_they_block() {
    let default = Hip::default_stream(device()).expect("default_stream");
    assert!(default.is_blocking().expect("the default stream"));
    for blocking in [false, true] {
        let options = StreamOptions::new().blocking(blocking);
        let stream = Hip::new_stream(device(), options).expect("a stream");
        for stream in [stream.new_stream(options).expect("a sibling"), stream] {
            assert_eq!(stream.is_blocking().expect("is_blocking"), blocking);
            let wrapper = wrap(stream.raw().as_ptr());
            assert_eq!(wrapper.is_blocking().expect("is_blocking"), blocking);
        }
        let raw = new_stream(0, u32::from(!blocking), 0);
        assert_eq!(wrap(raw).is_blocking().expect("is_blocking"), blocking);
    }
}

fn siblings_of_a_stream_use_its_device() {
    let last = support::devices() as u32 - 1;
    let of = Hip::device(last).expect("a device");
    let stream = Hip::new_stream(of, StreamOptions::new()).expect("a stream");
    let event = Stream::new_event(&stream, EventOptions::timed()).expect("an event");
    let sibling = Stream::new_stream(&stream, StreamOptions::new()).expect("a stream");
    assert_eq!((event.device(), sibling.device()), (of, of));
    sibling.record(&event).expect("a record");
    stream.wait_event(&event).expect("a wait");
    stream.synchronize().expect("synchronize");
}

/// A device reset destroys everything that the process has on the device, so this is a child process.
fn device_reset() {
    let own = own_stream();
    let event = own.record_event().expect("a record");
    let busy = own_stream();
    busy.wait_stream(&own).expect("wait_stream");
    own.synchronize().expect("synchronize");
    busy.synchronize().expect("synchronize");
    let foreign = wrap(new_stream(0, 1, 0));
    // SAFETY: the function takes no arguments.
    ok("device_reset", unsafe { (bare().device_reset)() });
    for _ in 0..2 {
        let text = expect_kind("query", own.query(), ErrorKind::ContextDestroyed);
        assert!(text.contains("hipDeviceReset") && text.contains("make new"), "{text}");
        expect_kind("synchronize", own.synchronize(), ErrorKind::ContextDestroyed);
    }
    if support::bare::version() < 70_000_000 {
        // HIP 7 would follow the stale handle.
        let text = expect_kind("query", foreign.query(), ErrorKind::InvalidHandle);
        assert!(text.contains("destroyed") && text.contains("reset"), "{text}");
        expect_kind("a record", own.record(&event), ErrorKind::ContextDestroyed);
    }
    drop((own, busy));
    let [one, other] = [(); 2].map(|()| own_stream());
    for _ in 0..20 {
        one.wait_stream(&other).expect("wait_stream");
        other.fork([&one]).expect("fork");
        drop(one.record_event().expect("a record"));
        one.synchronize().expect("synchronize");
    }
    drop(event);
}
