//! Foreign events, handles that have escaped to another library, siblings of a stream on its device, and
//! blocking streams.

mod support;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::ThreadId;

use gpu_stream_core::{
    Backend, BackendKind, Device, ErrorKind, Event, EventOptions, EventOwner, KeepAlive, RawEvent,
    RawStream, Stream, StreamOptions, StreamOwner,
};
use gpu_stream_hip::Hip;
use gpu_stream_test_support::shared_cases;
use support::bare::{bare, new_stream, ok};
use support::{OnHip, device, devices, expect_kind, own_stream, wrap};

/// The child process of `device_reset_by_another_library`.
const RESET: &str = "in a child: a reset";

fn main() -> ExitCode {
    if support::run_as_child(&[(RESET, device_reset)]) {
        return ExitCode::SUCCESS;
    }
    let shared = shared_cases![OnHip, foreign:
        foreign_event_can_be_waited_for_and_recorded,
        event_owner_is_kept,
        invalid_event_handle_is_rejected,
        another_library_records_our_event,
        streams_report_whether_they_block
    ];
    let more: [support::Case; 3] = [
        ("device_reset_by_another_library", || support::run_child(RESET)),
        ("owner_of_a_rejected_handle_is_dropped", owner_of_a_rejected_handle_is_dropped),
        ("siblings_of_a_stream_use_its_device", siblings_of_a_stream_use_its_device),
    ];
    support::main(&[&shared[..], &more].concat())
}

/// Returns a device that does not exist.
fn absent() -> Device {
    Device::new(BackendKind::Hip, 9_999)
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
    let elsewhere = (devices() > 1).then(|| wrap(new_stream(1, 1, 0)));
    // SAFETY: the function takes no arguments.
    ok("device_reset", unsafe { (bare().device_reset)() });
    for _ in 0..2 {
        let text = expect_kind("query", own.query(), ErrorKind::ContextDestroyed);
        assert!(text.contains("hipDeviceReset") && text.contains("make new"), "{text}");
        expect_kind("synchronize", own.synchronize(), ErrorKind::ContextDestroyed);
        expect_kind("capture_status", own.capture_status(), ErrorKind::ContextDestroyed);
        expect_kind("priority", own.priority(), ErrorKind::ContextDestroyed);
        expect_kind("is_blocking", own.is_blocking(), ErrorKind::ContextDestroyed);
        let launched = own.launch_host_func(Box::new(|| ()));
        expect_kind("a host function", launched, ErrorKind::ContextDestroyed);
        if support::bare::version() >= 70_200_000 {
            expect_kind("id", own.id(), ErrorKind::ContextDestroyed);
        }
    }
    if support::bare::version() < 70_000_000 {
        // HIP 7 would follow the stale handle.
        let text = expect_kind("query", foreign.query(), ErrorKind::InvalidHandle);
        assert!(text.contains("destroyed") && text.contains("reset"), "{text}");
        expect_kind("a record", own.record(&event), ErrorKind::ContextDestroyed);
        expect_kind("a wait", own.wait_event(&event), ErrorKind::ContextDestroyed);
        expect_kind("wait_stream", busy.wait_stream(&own), ErrorKind::ContextDestroyed);
        if let Some(elsewhere) = elsewhere {
            for wait in [busy.wait_stream(&elsewhere), busy.join([&elsewhere])] {
                expect_kind("a wait for a live stream", wait, ErrorKind::ContextDestroyed);
            }
            // The error is that of a stream which this crate does not own.
            expect_kind("fork", elsewhere.fork([&busy]), ErrorKind::InvalidHandle);
        }
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
