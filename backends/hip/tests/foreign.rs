//! What others made or recorded, and what the stream decides: foreign events, given-out handles, events
//! and streams of a stream's device, blocking streams.

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
use support::bare::{Ptr, bare, gate, new_stream, ok};
use support::{device, expect_kind, wrap};

const RESET: &str = "in a child: a reset";

fn main() -> ExitCode {
    if support::run_as_child(&[(RESET, a_reset)]) {
        return ExitCode::SUCCESS;
    }
    support::main(&[
        ("a_device_that_another_library_resets", || support::run_child(RESET)),
        ("a_foreign_event_is_waited_for_and_recorded", a_foreign_event_is_waited_for_and_recorded),
        ("a_foreign_event_is_never_destroyed", a_foreign_event_is_never_destroyed),
        ("an_event_owner_is_kept", an_event_owner_is_kept),
        ("what_is_no_event_is_refused", what_is_no_event_is_refused),
        ("an_owner_of_what_is_refused", an_owner_of_what_is_refused),
        ("a_record_by_another_library", a_record_by_another_library),
        ("blocking_streams", blocking_streams),
        ("kin_of_a_stream", kin_of_a_stream),
    ])
}

/// An event of another library: 2 is without timing.
fn theirs(flags: u32) -> Ptr {
    let mut event = std::ptr::null_mut();
    // SAFETY: a place for one event.
    ok("event_create", unsafe { (bare().event_create)(&mut event, flags) });
    event
}

fn event_from_raw_with_owner(event: Ptr) -> HipEvent {
    // SAFETY: the tests' events are never destroyed, nor are the streams that record them.
    unsafe { Hip::event_from_raw(RawEvent::from_ptr(event), None) }.expect("a foreign event")
}

fn record(event: Ptr, stream: Ptr) {
    // SAFETY: both are alive, and of one device.
    ok("event_record", unsafe { (bare().event_record)(event, stream) });
}

fn a_foreign_event_is_waited_for_and_recorded() {
    let (raw, raw_waiter, made) = (new_stream(0, 1, 0), new_stream(0, 1, 0), theirs(2));
    let (stream, waiter, event) = (wrap(raw), wrap(raw_waiter), event_from_raw_with_owner(made));
    assert!(event.is_foreign() && event.raw().as_ptr() == made);
    assert_eq!((event.device(), event.options()), (device(), EventOptions::new()));
    assert!(event.query().expect("query"));
    for ours in [false, true] {
        let gate = gate(raw);
        if ours {
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

fn a_foreign_event_is_never_destroyed() {
    let (made, raw) = (theirs(2), new_stream(0, 1, 0));
    let stream = wrap(raw);
    for _ in 0..20 {
        let event = event_from_raw_with_owner(made);
        stream.record(&event).expect("a record");
        drop(event);
        // Neither destroyed nor pooled: others' records would show.
        let other = stream.record_event().expect("a record");
        assert_ne!(other.raw().as_ptr(), made);
        record(made, raw);
        // SAFETY: the event is alive.
        let code = unsafe { (bare().event_query)(made) };
        assert!(matches!(code, 0 | 600), "{code}");
    }
}

fn an_event_owner_is_kept() {
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
    let owner = Arc::new(Owner(RawEvent::<Hip>::from_ptr(theirs(0)).to_bits()));
    let event = Hip::event_from_owner(Arc::clone(&owner), None).expect("a foreign event");
    assert_eq!((Arc::strong_count(&owner), event.options()), (2, EventOptions::timed()));
    let stream = wrap(new_stream(0, 1, 0));
    assert_eq!(
        event.status().expect("status"),
        EventStatus::Unrecorded,
        "it keeps time, so it tells"
    );
    stream.record(&event).expect("a record");
    event.synchronize().expect("synchronize");
    assert_eq!(event.elapsed_since(&event).expect("elapsed_since"), 0.0);
    drop(event);
    assert_eq!(Arc::strong_count(&owner), 1);
}

fn absent() -> Device {
    Device::new(BackendKind::Hip, 9_999)
}

fn what_is_no_event_is_refused() {
    // SAFETY: 0 is refused.
    let null = unsafe { Hip::event_from_raw(RawEvent::from_bits(0), None) };
    expect_kind("handle 0", null, ErrorKind::InvalidHandle);
    // SAFETY: the event is never destroyed.
    let absent = unsafe { Hip::event_from_raw(RawEvent::from_ptr(theirs(2)), Some(absent())) };
    expect_kind("no such device", absent, ErrorKind::InvalidDevice);
}

/// It is dropped by the call; inside a host function, by the next call on another thread.
fn an_owner_of_what_is_refused() {
    /// Tells on which thread it is dropped.
    struct Owner(Sender<ThreadId>);
    impl Drop for Owner {
        fn drop(&mut self) {
            self.0.send(std::thread::current().id()).expect("the test listens");
        }
    }
    // SAFETY: what names no event is never given out.
    unsafe impl EventOwner<Hip> for Owner {
        fn raw_event(&self) -> RawEvent<Hip> {
            RawEvent::from_bits(0)
        }
    }
    // SAFETY: handle 2 is always there.
    unsafe impl StreamOwner<Hip> for Owner {
        fn raw_stream(&self) -> RawStream<Hip> {
            RawStream::from_bits(2)
        }
    }
    let (say, hear) = channel();
    let this_thread = std::thread::current().id();
    let refused: [fn(Owner) -> bool; 4] = [
        |owner| Hip::event_from_owner(Arc::new(owner), Some(device())).is_err(),
        |owner| Hip::event_from_owner(Arc::new(owner), Some(absent())).is_err(),
        |owner| Hip::stream_from_owner(Arc::new(owner), None).is_err(),
        // SAFETY: it is refused.
        |owner| unsafe {
            let (raw, owner) = (RawStream::from_bits(2), KeepAlive::owner(Arc::new(owner)));
            Hip::stream_from_raw_with_owner_unchecked(raw, device(), owner).is_err()
        },
    ];
    for (index, refused) in refused.into_iter().enumerate() {
        let owner = || Owner(say.clone());
        assert!(refused(owner()), "{index} is not refused");
        assert_eq!(hear.try_recv(), Ok(this_thread), "{index}");
        let (stream, inside) = (wrap(new_stream(0, 1, 0)), owner());
        let func = move || assert!(refused(inside), "{index} is not refused");
        stream.launch_host_func(Box::new(func)).expect("a launch");
        stream.synchronize().expect("the host function");
        // The call above has ended, or another does.
        stream.query().expect("query");
        assert_eq!(hear.try_recv(), Ok(this_thread), "{index}: dropped in the host function");
    }
}

fn a_record_by_another_library() {
    let raw = new_stream(0, 1, 0);
    let [start, end] =
        [(); 2].map(|()| Hip::new_event(device(), EventOptions::timed()).expect("an event"));
    assert_eq!(start.status().expect("status"), EventStatus::Unrecorded);
    let handles = [start.raw().as_ptr(), end.raw().as_ptr()];
    assert_eq!(start.status().expect("status"), EventStatus::Unrecorded, "it keeps time");
    let untimed = Hip::new_event(device(), EventOptions::new()).expect("an event");
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

fn blocking_streams() {
    let default = Hip::default_stream(device()).expect("default_stream");
    assert!(default.is_blocking().expect("the default stream"));
    for blocking in [false, true] {
        let options = StreamOptions::new().blocking(blocking);
        let kin = Hip::new_stream(device(), options).expect("a stream");
        for stream in [kin.new_stream(options).expect("a sibling"), kin] {
            assert_eq!(stream.is_blocking().expect("is_blocking"), blocking);
            let theirs = wrap(stream.raw().as_ptr());
            assert_eq!(theirs.is_blocking().expect("is_blocking"), blocking);
        }
        let raw = new_stream(0, u32::from(!blocking), 0);
        assert_eq!(wrap(raw).is_blocking().expect("is_blocking"), blocking);
    }
}

fn kin_of_a_stream() {
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

/// All that the process has is gone with it, so it is a process of its own.
fn a_reset() {
    let ours = Hip::new_stream(device(), StreamOptions::new()).expect("a stream");
    let event = ours.record_event().expect("a record");
    let busy = Hip::new_stream(device(), StreamOptions::new()).expect("a stream");
    busy.wait_stream(&ours).expect("wait_stream");
    ours.synchronize().expect("synchronize");
    busy.synchronize().expect("synchronize");
    let theirs = wrap(new_stream(0, 1, 0));
    // SAFETY: takes nothing.
    ok("device_reset", unsafe { (bare().device_reset)() });
    for _ in 0..2 {
        let text = expect_kind("query", ours.query(), ErrorKind::ContextDestroyed);
        assert!(text.contains("hipDeviceReset") && text.contains("make new"), "{text}");
        expect_kind("synchronize", ours.synchronize(), ErrorKind::ContextDestroyed);
    }
    if support::bare::version() < 70_000_000 {
        // HIP 7 would follow the handle.
        let text = expect_kind("query", theirs.query(), ErrorKind::InvalidHandle);
        assert!(text.contains("destroyed") && text.contains("reset"), "{text}");
        expect_kind("a record", ours.record(&event), ErrorKind::ContextDestroyed);
    }
    drop((ours, busy));
    let [one, other] = [(); 2].map(|()| Hip::new_stream(device(), StreamOptions::new()).unwrap());
    for _ in 0..20 {
        one.wait_stream(&other).expect("wait_stream");
        other.fork([&one]).expect("fork");
        drop(one.record_event().expect("a record"));
        one.synchronize().expect("synchronize");
    }
    drop(event);
}
