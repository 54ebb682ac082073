//! Calls that are blocked inside the runtime, as a record is whose stream has a full queue. They block
//! no other call, because the backend holds no lock meanwhile. Calls that fail leave no stale stream,
//! and a panic adds no cost to other streams.
//!
//! The runtime is the one of `tests/fake`, which blocks a call until the test releases it.

mod support;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use gpu_stream_core::{Backend, ErrorKind, Event, EventOptions, EventStatus, Stream};
use gpu_stream_hip::{Hip, HipStream};
use gpu_stream_test_support::cases;
use support::{device, expect_kind, fake, own_event, own_stream};

const CASES: [fake::Case; 9] = cases![
    busy_streams_are_destroyed_in_steady_state,
    blocked_record_blocks_no_query,
    blocked_wait_blocks_no_record,
    failed_record_keeps_the_stream,
    exit_beside_a_blocked_record,
    exit_beside_a_blocked_query,
    exit_beside_a_blocked_wait,
    exit_of_another_thread_beside_a_blocked_wait,
    panic_adds_no_calls_on_other_streams
];

const VERSIONS: [&str; 3] = ["50731921", "60443484", "70253211"];

fn main() -> ExitCode {
    fake::main(&CASES, &VERSIONS)
}

/// A stream that was busy when it was dropped is destroyed by any later call, not only by one that creates
/// or drops something. The calls of other threads also destroy what a thread without calls has dropped.
fn busy_streams_are_destroyed_in_steady_state(fake: &fake::Fake) {
    let keep = own_stream();
    // HIP 5.7 needs an event of the pool to destroy a stream.
    drop(keep.record_event().expect("a record"));
    let (streams, events) = (fake.live_streams(), fake.live_events());
    fake.set_busy(true);
    let dropped: Vec<HipStream> = (0..20).map(|_| own_stream()).collect();
    drop(dropped);
    assert_eq!(fake.live_streams(), streams + 20, "busy streams were destroyed");
    fake.set_busy(false);
    let made = (0..20).map(|_| (own_stream(), own_event(EventOptions::timed())));
    let made: Vec<_> = made.collect();
    std::thread::spawn(move || drop(made)).join().expect("no panic");
    for _ in 0..200 {
        keep.query().expect("query");
    }
    assert_eq!((fake.live_streams(), fake.live_events()), (streams, events), "left");
}

/// If one of these calls waited for the record, this test would not end.
fn blocked_record_blocks_no_query(fake: &fake::Fake) {
    let (stream, other, waiter) = (own_stream(), own_stream(), own_stream());
    for options in [EventOptions::new(), EventOptions::timed()] {
        let event = own_event(options);
        for was_recorded in [false, true] {
            fake.hold_next("hipEventRecord");
            std::thread::scope(|scope| {
                let blocked = scope.spawn(|| stream.record(&event));
                fake.wait_until_held();
                let expected =
                    if was_recorded { EventStatus::Complete } else { EventStatus::Unrecorded };
                assert_eq!(event.status().expect("status"), expected);
                assert!(event.query().expect("query"));
                event.synchronize().expect("synchronize");
                waiter.wait_event(&event).expect("wait_event");
                waiter.wait_stream(&stream).expect("wait_stream");
                waiter.query().expect("query");
                other.record(&event).expect("another record");
                let _ = format!("{event:?}");
                fake.release();
                blocked.join().expect("no panic").expect("the record");
            });
            assert_eq!(event.status().expect("status"), EventStatus::Complete);
        }
    }
    assert_eq!(fake.stale(), 0);
}

fn blocked_wait_blocks_no_record(fake: &fake::Fake) {
    let (stream, other, waiter) = (own_stream(), own_stream(), own_stream());
    let event = stream.record_event().expect("a record");
    fake.hold_next("hipStreamWaitEvent");
    std::thread::scope(|scope| {
        let blocked = scope.spawn(|| waiter.wait_event(&event));
        fake.wait_until_held();
        other.record(&event).expect("a record");
        assert!(event.query().expect("query"));
        other.record(&event).expect("one more record");
        fake.release();
        blocked.join().expect("no panic").expect("the wait");
    });
    assert_eq!(fake.stale(), 0);
}

/// Exits while a record in place is blocked and another thread synchronizes the event. The event's
/// handle has escaped, so the record is made in place.
fn exit_beside_a_blocked_record(fake: &fake::Fake) {
    let (stream, event) = (own_stream(), own_event(EventOptions::new()));
    let (stream, event): (&'static _, &'static _) =
        (Box::leak(stream.into()), Box::leak(event.into()));
    event.raw();
    stream.record(event).expect("a record");
    fake.set_busy(true);
    static WAITS: AtomicBool = AtomicBool::new(false);
    std::thread::spawn(|| {
        WAITS.store(true, Ordering::SeqCst);
        let _ = event.synchronize();
    });
    while !WAITS.load(Ordering::SeqCst) {
        std::thread::yield_now();
    }
    fake.hold_next("hipEventRecord");
    std::thread::spawn(|| _ = stream.record(event));
    fake.wait_until_held();
    std::process::exit(0);
}

/// Exits while a query of a waiting thread is blocked, as a wait inside the runtime is.
fn exit_beside_a_blocked_query(fake: &fake::Fake) {
    let stream: &'static _ = Box::leak(own_stream().into());
    fake.set_busy(true);
    fake.hold_queries(true);
    std::thread::spawn(|| _ = Stream::synchronize(stream));
    while !fake.hold_queries(true) {
        std::thread::yield_now();
    }
    std::process::exit(0);
}

/// Exits while another thread's wait for an event of this thread's own stream is blocked.
fn exit_beside_a_blocked_wait(fake: &fake::Fake) {
    let (own, waiter) = (Hip::per_thread_stream(device()).expect("its own stream"), own_stream());
    let event: &'static _ = Box::leak(own.record_event().expect("a record").into());
    fake.hold_next("hipStreamWaitEvent");
    std::thread::spawn(move || _ = waiter.wait_event(event));
    fake.wait_until_held();
    std::process::exit(0);
}

fn exit_of_another_thread_beside_a_blocked_wait(fake: &fake::Fake) {
    std::thread::scope(|scope| {
        scope.spawn(|| exit_beside_a_blocked_wait(fake));
    });
    unreachable!("the thread ends the process");
}

fn panic_adds_no_calls_on_other_streams(fake: &fake::Fake) {
    let (one, other) = (own_stream(), own_stream());
    let event = one.record_event().expect("a record");
    let all = || {
        fake.calls("");
        one.wait_stream(&other).expect("wait_stream");
        other.record(&event).expect("a record");
        one.wait_event(&event).expect("a wait");
        one.fork([&other]).expect("a fork");
        one.query().expect("query");
        fake.calls("")
    };
    all();
    let before = all();
    let bad: Vec<HipStream> = (0..50).map(|_| own_stream()).collect();
    for bad in &bad {
        bad.launch_host_func(Box::new(|| std::panic::resume_unwind(Box::new("meant to fail"))))
            .expect("a launch");
        bad.synchronize().expect_err("a fault");
    }
    // The first call of each kind after a panic may check for faults.
    all();
    assert_eq!(all(), before, "calls of the runtime, beside 50 streams with a fault");
    for bad in &bad {
        expect_kind("a stream with a fault", bad.query(), ErrorKind::StreamFault);
    }
    drop(bad);
    all();
    assert_eq!(all(), before, "calls of the runtime, after those streams were dropped");
}

/// HIP 5.7 points an event to a stream even if the record there fails.
fn failed_record_keeps_the_stream(fake: &fake::Fake) {
    let reader = own_stream();
    let event = own_event(EventOptions::new());
    reader.record(&event).unwrap();
    let streams = fake.live_streams();
    let stream = own_stream();
    fake.fail("hipEventRecord", 2);
    expect_kind("record", stream.record(&event), ErrorKind::OutOfMemory);
    fake.work();
    drop(stream);
    // The failed record was to use another handle than the event's own.
    assert_eq!(fake.live_streams(), streams, "the event keeps a stream that did not record it");
    event.synchronize().unwrap();
    // After `raw`, the event keeps its handle.
    event.raw();
    let stream = own_stream();
    fake.fail("hipEventRecord", 2);
    expect_kind("record", stream.record(&event), ErrorKind::OutOfMemory);
    fake.work();
    drop(stream);
    assert_eq!(fake.live_streams(), streams + 1, "the event does not keep the stream");
    event.synchronize().unwrap();
    reader.wait_event(&event).unwrap();
    // A thread's own stream, which ends with the thread.
    fake.fail("hipEventRecord", 2);
    let event = std::thread::spawn(move || {
        let own = Hip::per_thread_stream(device()).unwrap();
        expect_kind("record", own.record(&event), ErrorKind::OutOfMemory);
        event
    });
    let event = event.join().unwrap();
    fake.work();
    let _ = (event.synchronize(), event.status(), reader.wait_event(&event));
    reader.record(&event).unwrap();
    assert_eq!(event.status().unwrap(), EventStatus::Complete);
    assert_eq!(fake.live_streams(), streams, "recorded elsewhere, the event keeps a stream");
    assert_eq!(fake.stale(), 0, "calls that reached a stream which was destroyed");
}
