//! Calls that are blocked inside the runtime, as a record is whose stream has a full queue. They block
//! no other call, because the backend holds no lock meanwhile. Calls that fail leave no stale stream,
//! and a panic adds no cost to other streams.
//!
//! The runtime is AMD's own, behind a layer that blocks a call until the test releases it.

mod support;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use gpu_stream_core::{Backend, ErrorKind, Event, EventOptions, EventStatus, Stream};
use gpu_stream_faults::At;
use gpu_stream_hip::{Hip, HipStream};
use gpu_stream_test_support::{Vendor, cases, ptr};
use support::layer::{Layer, await_event};
use support::{OnHip, VERSIONS, device, expect_kind, own_event, own_stream};

const CASES: [support::Case; 11] = cases![
    busy_streams_are_destroyed_in_steady_state,
    blocked_record_blocks_no_query,
    blocked_wait_blocks_no_record,
    failed_record_keeps_the_stream,
    synchronize_makes_no_calls_while_it_waits,
    exit_beside_a_blocked_record,
    exit_beside_a_blocked_query,
    exit_beside_a_blocked_synchronize,
    exit_beside_a_blocked_wait,
    exit_of_another_thread_beside_a_blocked_wait,
    panic_adds_no_calls_on_other_streams
];

fn main() -> ExitCode {
    support::main_behind_layer(&CASES, &VERSIONS[..3])
}

/// A stream that was busy when it was dropped is destroyed by any later call, not only by one that creates
/// or drops something. The calls of other threads also destroy what a thread without calls has dropped.
fn busy_streams_are_destroyed_in_steady_state() {
    let layer = Layer::get();
    let keep = own_stream();
    // HIP 5.7 needs an event of the pool to destroy a stream.
    drop(keep.record_event().expect("a record"));
    let (streams, events) = (layer.live_streams(), layer.live_events());
    let dropped: Vec<HipStream> = (0..20).map(|_| own_stream()).collect();
    let gates: Vec<_> = dropped.iter().map(|stream| OnHip::gate(ptr::<OnHip>(stream))).collect();
    drop(dropped);
    assert_eq!(layer.live_streams(), streams + 20, "busy streams were destroyed");
    drop(gates);
    let made = (0..20).map(|_| (own_stream(), own_event(EventOptions::timed())));
    let made: Vec<_> = made.collect();
    std::thread::spawn(move || drop(made)).join().expect("no panic");
    // The pool may have got an event for each check of two threads at once.
    let is_left = || layer.live_streams() > streams || layer.live_events() > events + 2;
    // The streams become idle at some time.
    for _ in 0..100_000 {
        keep.query().expect("query");
        if !is_left() {
            break;
        }
        std::thread::yield_now();
    }
    assert!(!is_left(), "{} streams, {} events", layer.live_streams(), layer.live_events());
}

/// If one of these calls waited for the record, this test would not end.
fn blocked_record_blocks_no_query() {
    let layer = Layer::get();
    let (stream, other, waiter) = (own_stream(), own_stream(), own_stream());
    for options in [EventOptions::new(), EventOptions::timed()] {
        let event = own_event(options);
        for was_recorded in [false, true] {
            layer.hold_next("hipEventRecord");
            std::thread::scope(|scope| {
                let blocked = scope.spawn(|| stream.record(&event));
                layer.wait_until_held();
                let _works = layer.work_at_drop();
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
                layer.work();
                blocked.join().expect("no panic").expect("the record");
            });
            await_event(&event);
            assert_eq!(event.status().expect("status"), EventStatus::Complete);
        }
    }
    assert_eq!(layer.stale(), 0);
}

fn blocked_wait_blocks_no_record() {
    let layer = Layer::get();
    let (stream, other, waiter) = (own_stream(), own_stream(), own_stream());
    let event = stream.record_event().expect("a record");
    layer.hold_next("hipStreamWaitEvent");
    std::thread::scope(|scope| {
        let blocked = scope.spawn(|| waiter.wait_event(&event));
        layer.wait_until_held();
        let _works = layer.work_at_drop();
        other.record(&event).expect("a record");
        await_event(&event);
        other.record(&event).expect("one more record");
        layer.work();
        blocked.join().expect("no panic").expect("the wait");
    });
    assert_eq!(layer.stale(), 0);
}

/// Waits of streams, and of events with the option `blocking`, are inside the runtime. A poll would make calls.
fn synchronize_makes_no_calls_while_it_waits() {
    let layer = Layer::get();
    let stream = own_stream();
    let event = own_event(EventOptions::builder().blocking(true).build().expect("options"));
    let waits: [&(dyn Fn() + Sync); 2] = [&|| stream.synchronize().expect("synchronize"), &|| {
        event.synchronize().expect("synchronize")
    }];
    // The event has another handle in the second round, and that of the first round in the third.
    for wait in waits.into_iter().cycle().take(6) {
        let gate = OnHip::gate(ptr::<OnHip>(&stream));
        stream.record(&event).expect("a record");
        layer.calls("");
        std::thread::scope(|scope| {
            scope.spawn(wait);
            while layer.calls_so_far("hipEventSynchronize") == 0 {
                std::thread::yield_now();
            }
            let before = layer.calls_so_far("");
            (0..10_000).for_each(|_| std::thread::yield_now());
            let calls = layer.calls_so_far("") - before;
            OnHip::open(&gate);
            assert_eq!(calls, 0, "calls of a thread that waits");
        });
    }
}

/// Exits while a record in place is blocked and another thread synchronizes the event. The event's
/// handle has escaped, so the record is made in place.
fn exit_beside_a_blocked_record() {
    let layer = Layer::get();
    let (stream, event) = (own_stream(), own_event(EventOptions::new()));
    let (stream, event): (&'static _, &'static _) =
        (Box::leak(stream.into()), Box::leak(event.into()));
    event.raw();
    std::mem::forget(OnHip::gate(ptr::<OnHip>(stream)));
    stream.record(event).expect("a record");
    static WAITS: AtomicBool = AtomicBool::new(false);
    std::thread::spawn(|| {
        WAITS.store(true, Ordering::SeqCst);
        let _ = event.synchronize();
    });
    while !WAITS.load(Ordering::SeqCst) {
        std::thread::yield_now();
    }
    layer.hold_next("hipEventRecord");
    std::thread::spawn(|| _ = stream.record(event));
    layer.wait_until_held();
    std::process::exit(0);
}

/// Exits while a query of a waiting thread is blocked, as a wait inside the runtime is.
fn exit_beside_a_blocked_query() {
    let layer = Layer::get();
    let stream: &'static _ = Box::leak(own_stream().into());
    std::mem::forget(OnHip::gate(ptr::<OnHip>(stream)));
    let event: &'static _ = Box::leak(stream.record_event().expect("a record").into());
    layer.hold("hipEventQuery", At::Always);
    std::thread::spawn(|| _ = Event::synchronize(event));
    layer.wait_until_held();
    std::process::exit(0);
}

/// Exits while a thread waits inside the runtime.
fn exit_beside_a_blocked_synchronize() {
    let layer = Layer::get();
    let stream: &'static _ = Box::leak(own_stream().into());
    std::mem::forget(OnHip::gate(ptr::<OnHip>(stream)));
    layer.calls("");
    std::thread::spawn(|| _ = Stream::synchronize(stream));
    while layer.calls_so_far("hipEventSynchronize") == 0 {
        std::thread::yield_now();
    }
    std::process::exit(0);
}

/// Exits while another thread's wait for an event of this thread's own stream is blocked.
fn exit_beside_a_blocked_wait() {
    let layer = Layer::get();
    let (own, waiter) = (Hip::per_thread_stream(device()).expect("its own stream"), own_stream());
    let event: &'static _ = Box::leak(own.record_event().expect("a record").into());
    layer.hold_next("hipStreamWaitEvent");
    std::thread::spawn(move || _ = waiter.wait_event(event));
    layer.wait_until_held();
    std::process::exit(0);
}

fn exit_of_another_thread_beside_a_blocked_wait() {
    std::thread::scope(|scope| {
        scope.spawn(exit_beside_a_blocked_wait);
    });
    unreachable!("the thread ends the process");
}

fn panic_adds_no_calls_on_other_streams() {
    let layer = Layer::get();
    let (one, other) = (own_stream(), own_stream());
    let event = one.record_event().expect("a record");
    let once = || {
        layer.calls("");
        one.wait_stream(&other).expect("wait_stream");
        other.record(&event).expect("a record");
        one.wait_event(&event).expect("a wait");
        one.fork([&other]).expect("a fork");
        OnHip::synchronize(ptr::<OnHip>(&one));
        OnHip::synchronize(ptr::<OnHip>(&other));
        one.query().expect("query");
        layer.calls("")
    };
    // Without the calls that destroy dropped streams.
    let all = || (0..20).map(|_| once()).min();
    let before = all();
    let bad: Vec<HipStream> = (0..50).map(|_| own_stream()).collect();
    for bad in &bad {
        bad.launch_host_func(Box::new(|| std::panic::resume_unwind(Box::new("meant to fail"))))
            .expect("a launch");
        bad.synchronize().expect_err("a fault");
    }
    assert_eq!(all(), before, "calls of the runtime, beside 50 streams with a fault");
    for bad in &bad {
        expect_kind("a stream with a fault", bad.query(), ErrorKind::StreamFault);
    }
    drop(bad);
    assert_eq!(all(), before, "calls of the runtime, after those streams were dropped");
}

/// Calls the backend until no more than `streams` streams are left, or many times. A stream that was still busy when it
/// was dropped is destroyed by a later call.
fn await_streams(layer: &Layer, stream: &HipStream, streams: u64) {
    for _ in 0..10_000 {
        if layer.live_streams() <= streams {
            break;
        }
        stream.query().expect("query");
        std::thread::yield_now();
    }
}

/// HIP 5.7 points an event to a stream even if the record there fails.
fn failed_record_keeps_the_stream() {
    let layer = Layer::get();
    let reader = own_stream();
    let event = own_event(EventOptions::new());
    reader.record(&event).unwrap();
    let streams = layer.live_streams();
    let stream = own_stream();
    layer.fail_after("hipEventRecord", 2);
    expect_kind("record", stream.record(&event), ErrorKind::OutOfMemory);
    layer.work();
    stream.synchronize().unwrap();
    drop(stream);
    // The failed record was to use another handle than the event's own.
    await_streams(&layer, &reader, streams);
    assert_eq!(layer.live_streams(), streams, "the event keeps a stream that did not record it");
    event.synchronize().unwrap();
    // After `raw`, the event keeps its handle.
    event.raw();
    let stream = own_stream();
    layer.fail_after("hipEventRecord", 2);
    expect_kind("record", stream.record(&event), ErrorKind::OutOfMemory);
    layer.work();
    stream.synchronize().unwrap();
    drop(stream);
    assert_eq!(layer.live_streams(), streams + 1, "the event does not keep the stream");
    event.synchronize().unwrap();
    reader.wait_event(&event).unwrap();
    // A thread's own stream, which ends with the thread.
    layer.fail_after("hipEventRecord", 2);
    let event = std::thread::spawn(move || {
        let own = Hip::per_thread_stream(device()).unwrap();
        expect_kind("record", own.record(&event), ErrorKind::OutOfMemory);
        event
    });
    let event = event.join().unwrap();
    layer.work();
    let _ = (event.synchronize(), event.status(), reader.wait_event(&event));
    reader.record(&event).unwrap();
    await_event(&event);
    await_streams(&layer, &reader, streams);
    assert_eq!(layer.live_streams(), streams, "recorded elsewhere, the event keeps a stream");
    assert_eq!(layer.stale(), 0, "calls that reached a stream which was destroyed");
}
