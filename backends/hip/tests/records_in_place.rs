//! Overlapping records of one event by several threads. The event's handle has escaped, so each record
//! is made in place. The event keeps every stream that the runtime's event may point to. Threads that
//! synchronize wait for the record that was current when they began.
//!
//! The runtime is AMD's own, behind a layer that blocks a call until the test releases it.

mod support;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use gpu_stream_core::{Backend, ErrorKind, Event, EventOptions, EventStatus, Stream};
use gpu_stream_hip::{Hip, HipEvent, HipStream};
use gpu_stream_test_support::{Vendor, cases, ptr};
use support::bare::{new_stream, version};
use support::capture::Capture;
use support::layer::{Layer, await_event, real_version};
use support::{OnHip, VERSIONS, device, expect_kind, own_event, own_stream, skip, wrap};

const CASES: [support::Case; 11] = cases![
    overlapping_records_keep_both_streams,
    three_overlapping_records_keep_all_streams,
    blocked_record_keeps_no_stream_of_other_records,
    thread_ends_after_overlapping_records,
    synchronize_reports_the_failure_of_its_marker,
    later_record_does_not_prolong_synchronize,
    synchronize_keeps_no_later_stream,
    record_that_escapes_during_synchronize_is_waited_for,
    escape_of_a_later_record_does_not_prolong_synchronize,
    elapsed_time_of_a_first_record_needs_no_call,
    handle_that_escapes_during_a_captured_record_is_not_reused
];

fn main() -> ExitCode {
    support::main_behind_layer(&CASES, &VERSIONS[..3])
}

/// Runs a closure when it is dropped, so that a failing test releases the threads that it blocks.
struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Creates an event whose handle has escaped, and records it on `stream`.
fn escaped(stream: &HipStream) -> HipEvent {
    let event = own_event(EventOptions::new());
    event.raw();
    stream.record(&event).expect("a record");
    event
}

/// Blocks the next record after the runtime has made it.
fn hold_after_record(layer: &Layer) {
    layer.hold_next_after("hipEventRecord");
}

fn overlapping_records_keep_both_streams() {
    check_overlap(1);
}

/// The last bookkeeping must keep the owners that an earlier one kept.
fn three_overlapping_records_keep_all_streams() {
    check_overlap(2);
}

/// Makes `count` records whose bookkeeping comes after that of a later record.
fn check_overlap(count: u64) {
    let layer = Layer::get();
    let keep = own_stream();
    // HIP 5.7 needs an event of the pool to destroy a stream.
    drop(keep.record_event().expect("a record"));
    let event = escaped(&keep);
    let live = layer.live_streams();
    let streams: Vec<HipStream> = (0..count).map(|_| own_stream()).collect();
    let other = own_stream();
    thread::scope(|scope| {
        let _works = layer.work_at_drop();
        let mut blocked = Vec::new();
        for (held, stream) in (1..).zip(&streams) {
            hold_after_record(&layer);
            blocked.push(scope.spawn(|| stream.record(&event)));
            layer.wait_until_all_held(held);
        }
        other.record(&event).expect("the other record");
        layer.work();
        for record in blocked {
            record.join().expect("no panic").expect("the record");
        }
    });
    drop((streams, other));
    await_event(&event);
    assert_eq!(event.status().expect("status"), EventStatus::Complete);
    event.synchronize().expect("synchronize");
    keep.wait_event(&event).expect("a wait");
    assert_eq!(layer.stale(), 0, "calls that used a destroyed stream");
    assert_eq!(layer.live_streams(), live + count + 1);
    // A record that overlaps no other releases these streams. Later calls destroy those that are still busy.
    keep.record(&event).expect("a record");
    for _ in 0..10_000 {
        keep.query().expect("query");
        if layer.live_streams() == live {
            break;
        }
        thread::yield_now();
    }
    assert_eq!(layer.live_streams(), live);
}

fn blocked_record_keeps_no_stream_of_other_records() {
    let layer = Layer::get();
    let (keep, blocked) = (own_stream(), own_stream());
    drop(keep.record_event().expect("a record"));
    let event = escaped(&keep);
    let streams = layer.live_streams();
    for is_made in [false, true] {
        if is_made {
            hold_after_record(&layer);
        } else {
            layer.hold_next("hipEventRecord");
        }
        thread::scope(|scope| {
            let record = scope.spawn(|| blocked.record(&event));
            layer.wait_until_held();
            let _works = layer.work_at_drop();
            for _ in 0..20 {
                own_stream().record(&event).expect("a record");
                keep.query().expect("query");
                assert!(layer.live_streams() <= streams + 2, "{is_made}");
                await_event(&event);
            }
            layer.work();
            record.join().expect("no panic").expect("the record");
        });
        keep.record(&event).expect("a record");
        keep.query().expect("query");
        assert_eq!((layer.live_streams(), layer.stale()), (streams, 0), "{is_made}");
    }
}

/// One of two overlapping records is of a thread's default stream, which ends with the thread.
fn thread_ends_after_overlapping_records() {
    let layer = Layer::get();
    let keep = own_stream();
    let event = escaped(&keep);
    for own_is_blocked in [false, true] {
        let other = own_stream();
        let (sender, receiver) = channel();
        hold_after_record(&layer);
        thread::scope(|scope| {
            let record_own = || {
                let own = Hip::per_thread_stream(device()).expect("the thread's own");
                own.record(&event).expect("a record");
                sender.send(()).expect("the receiver");
            };
            let record_other = || {
                other.record(&event).expect("a record");
                sender.send(()).expect("the receiver");
            };
            let (own, others) = if own_is_blocked {
                let own = scope.spawn(record_own);
                layer.wait_until_held();
                (own, scope.spawn(record_other))
            } else {
                let others = scope.spawn(record_other);
                layer.wait_until_held();
                (scope.spawn(record_own), others)
            };
            let _works = layer.work_at_drop();
            receiver.recv().expect("the record that is not blocked");
            layer.work();
            // A joined thread has ended completely, and not only its closure.
            own.join().expect("no panic");
            others.join().expect("no panic");
        });
        drop(other);
        event.synchronize().expect("synchronize");
        assert_eq!(event.status().expect("status"), EventStatus::Complete);
        keep.wait_event(&event).expect("a wait");
        keep.record(&event).expect("a record");
        await_event(&event);
        assert_eq!(layer.stale(), 0, "calls that used a destroyed stream");
    }
}

/// Records an escaped event on `first`, whose work is blocked, and runs `meanwhile` while another thread
/// synchronizes the event. The thread must not return before `first` is released.
fn during_synchronize(
    layer: &Layer,
    first: &HipStream,
    meanwhile: impl FnOnce(&HipEvent, &dyn Fn()),
) -> HipEvent {
    during_synchronize_of(layer, first, escaped, meanwhile)
}

/// Waits until another thread's `synchronize` waits: it has made several queries since this call, or it has begun to
/// wait inside the runtime. The count of calls began before that thread.
fn wait_for_calls(layer: &Layer, is_over: &dyn Fn() -> bool) {
    let before = layer.calls_so_far("hipEventQuery");
    // The first query may have begun before this call. The later ones have not.
    while layer.calls_so_far("hipEventQuery") < before + 3
        && layer.calls_so_far("hipEventSynchronize") == 0
        && !is_over()
    {
        thread::yield_now();
    }
}

/// Does what [`during_synchronize`] does, with the event that `record` returns.
fn during_synchronize_of(
    layer: &Layer,
    first: &HipStream,
    record: impl FnOnce(&HipStream) -> HipEvent,
    meanwhile: impl FnOnce(&HipEvent, &dyn Fn()),
) -> HipEvent {
    let gate = OnHip::gate(ptr::<OnHip>(first));
    let event = record(first);
    let released = AtomicBool::new(false);
    layer.calls("");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            event.synchronize().expect("synchronize");
            assert!(released.load(Ordering::SeqCst), "it waited for another record");
        });
        let release = OnDrop(|| {
            released.store(true, Ordering::SeqCst);
            OnHip::open(&gate);
        });
        let wait_for_calls = || wait_for_calls(layer, &|| waiting.is_finished());
        wait_for_calls();
        meanwhile(&event, &wait_for_calls);
        wait_for_calls();
        drop(release);
        waiting.join().expect("the thread waited for its record");
    });
    event
}

fn synchronize_reports_the_failure_of_its_marker() {
    let layer = Layer::get();
    let stream = own_stream();
    for function in ["hipStreamCreateWithPriority", "hipStreamWaitEvent"] {
        let gate = OnHip::gate(ptr::<OnHip>(&stream));
        let event = escaped(&stream);
        layer.fail(function, 2);
        expect_kind("synchronize", event.synchronize(), ErrorKind::OutOfMemory);
        layer.work();
        OnHip::open(&gate);
        event.synchronize().expect("synchronize");
    }
}

fn later_record_does_not_prolong_synchronize() {
    let layer = Layer::get();
    let (first, second) = (own_stream(), own_stream());
    let gate = OnHip::gate(ptr::<OnHip>(&second));
    let event = during_synchronize(&layer, &first, |event, _| {
        second.record(event).expect("a record");
    });
    assert_eq!(event.status().expect("status"), EventStatus::Pending);
    OnHip::open(&gate);
    event.synchronize().expect("synchronize");
}

fn synchronize_keeps_no_later_stream() {
    let layer = Layer::get();
    let (first, last) = (own_stream(), own_stream());
    drop(last.record_event().expect("a record"));
    during_synchronize(&layer, &first, |event, _| {
        let live = layer.live_streams();
        for _ in 0..20 {
            own_stream().record(event).expect("a record");
            await_event(event);
        }
        last.record(event).expect("a record");
        let is_released = || {
            last.query().expect("query");
            layer.live_streams() == live
        };
        assert!((0..10_000).any(|_| is_released()), "{} streams more", layer.live_streams() - live);
    });
}

/// The handle escapes while a thread waits for its record, and is then recorded in place.
fn record_that_escapes_during_synchronize_is_waited_for() {
    let layer = Layer::get();
    let (first, second) = (own_stream(), own_stream());
    let record = |stream: &HipStream| {
        let event = own_event(EventOptions::new());
        stream.record(&event).expect("a record");
        event
    };
    during_synchronize_of(&layer, &first, record, |event, _| {
        event.raw();
        second.record(event).expect("a record");
    });
}

/// A later record has another handle, and that one escapes. The wait does not cover what the first stream gets meanwhile.
fn escape_of_a_later_record_does_not_prolong_synchronize() {
    let layer = Layer::get();
    let (first, second) = (own_stream(), own_stream());
    let event = own_event(EventOptions::new());
    let gate = OnHip::gate(ptr::<OnHip>(&first));
    first.record(&event).expect("a record");
    layer.calls("");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| event.synchronize());
        let wait_for_calls = || wait_for_calls(&layer, &|| waiting.is_finished());
        wait_for_calls();
        let later = OnHip::gate(ptr::<OnHip>(&first));
        second.record(&event).expect("a record");
        event.raw();
        wait_for_calls();
        OnHip::open(&gate);
        let limit = Instant::now() + Duration::from_secs(30);
        while !waiting.is_finished() && Instant::now() < limit {
            thread::yield_now();
        }
        let is_over = waiting.is_finished();
        OnHip::open(&later);
        waiting.join().expect("no panic").expect("synchronize");
        assert!(is_over, "it waited for later work of the stream");
    });
}

/// The runtime would block the call if the record blocks, and follow a pointer to a stream that nothing keeps.
fn elapsed_time_of_a_first_record_needs_no_call() {
    let layer = Layer::get();
    let stream = own_stream();
    let event = own_event(EventOptions::timed());
    hold_after_record(&layer);
    thread::scope(|scope| {
        let record = scope.spawn(|| stream.record(&event));
        layer.wait_until_held();
        let _works = layer.work_at_drop();
        layer.calls("");
        expect_kind("elapsed_since", event.elapsed_since(&event), ErrorKind::EventNotRecorded);
        assert_eq!(layer.calls("hipEventElapsedTime"), 0);
        layer.work();
        record.join().expect("no panic").expect("the record");
    });
    event.synchronize().expect("synchronize");
    assert_eq!(event.elapsed_since(&event).expect("recorded"), 0.0);
}

/// The record has used another handle than the one that has escaped, and the capture has both.
fn handle_that_escapes_during_a_captured_record_is_not_reused() {
    let layer = Layer::get();
    if real_version().is_some_and(|real| real != version()) {
        skip("the real library treats the events of a capture otherwise");
    }
    let raw = new_stream(0, 1, 0);
    let (stream, other) = (wrap(raw), own_stream());
    let event = own_event(EventOptions::new());
    let capture = Capture::begin(raw, 2);
    hold_after_record(&layer);
    thread::scope(|scope| {
        let record = scope.spawn(|| stream.record(&event));
        layer.wait_until_held();
        let _works = layer.work_at_drop();
        event.raw();
        layer.work();
        record.join().expect("no panic").expect("the record");
    });
    let later: Vec<_> = (0..4).map(|_| other.record_event().expect("a record")).collect();
    assert_eq!(layer.lost(), 0, "an event of the capture was recorded elsewhere");
    drop((later, event));
    capture.end().map(drop).expect("the end of the capture");
}
