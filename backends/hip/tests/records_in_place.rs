//! Overlapping records of one event by several threads. The event's handle has escaped, so each record
//! is made in place. The event keeps every stream that the runtime's event may point to. Threads that
//! synchronize wait for the record that was current when they began.
//!
//! The runtime is the one of `tests/fake`, which blocks a call until the test releases it, and blocks
//! streams.

mod support;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;

use gpu_stream_core::{Backend, ErrorKind, Event, EventOptions, EventStatus, Stream};
use gpu_stream_hip::{Hip, HipEvent, HipStream};
use gpu_stream_test_support::cases;
use support::{device, expect_kind, fake, own_event, own_stream};

const CASES: [fake::Case; 5] = cases![
    overlapping_records_keep_both_streams,
    blocked_record_keeps_no_stream_of_other_records,
    thread_ends_after_overlapping_records,
    failed_marker_is_repeated_by_the_next_record,
    second_record_makes_its_own_marker
];

const VERSIONS: [&str; 3] = ["50731921", "60443484", "70253211"];

fn main() -> ExitCode {
    fake::main(&CASES, &VERSIONS)
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

/// The runtime makes the record on `one` first, but its bookkeeping comes last.
fn overlapping_records_keep_both_streams(fake: &fake::Fake) {
    let keep = own_stream();
    // HIP 5.7 needs an event of the pool to destroy a stream.
    drop(keep.record_event().expect("a record"));
    let event = escaped(&keep);
    let streams = fake.live_streams();
    let (one, other) = (own_stream(), own_stream());
    fake.hold_next(fake::RECORD_END);
    thread::scope(|scope| {
        let blocked = scope.spawn(|| one.record(&event));
        fake.wait_until_held();
        let _released = OnDrop(|| fake.release());
        other.record(&event).expect("the other record");
        fake.release();
        blocked.join().expect("no panic").expect("the record");
    });
    drop((one, other));
    assert_eq!(event.status().expect("status"), EventStatus::Complete);
    event.synchronize().expect("synchronize");
    keep.wait_event(&event).expect("a wait");
    assert_eq!(fake.stale(), 0, "calls that used a destroyed stream");
    assert_eq!(fake.live_streams(), streams + 2);
    // A record that overlaps no other releases both streams.
    keep.record(&event).expect("a record");
    keep.query().expect("query");
    assert_eq!(fake.live_streams(), streams);
}

fn blocked_record_keeps_no_stream_of_other_records(fake: &fake::Fake) {
    let (keep, blocked) = (own_stream(), own_stream());
    drop(keep.record_event().expect("a record"));
    let event = escaped(&keep);
    let streams = fake.live_streams();
    for point in ["hipEventRecord", fake::RECORD_END] {
        fake.hold_next(point);
        thread::scope(|scope| {
            let record = scope.spawn(|| blocked.record(&event));
            fake.wait_until_held();
            let _released = OnDrop(|| fake.release());
            for _ in 0..20 {
                own_stream().record(&event).expect("a record");
                keep.query().expect("query");
                assert!(fake.live_streams() <= streams + 2, "{point}");
                assert!(event.query().expect("query"));
            }
            fake.release();
            record.join().expect("no panic").expect("the record");
        });
        keep.record(&event).expect("a record");
        keep.query().expect("query");
        assert_eq!((fake.live_streams(), fake.stale()), (streams, 0), "{point}");
    }
}

/// The runtime's event points to the thread's own stream, and the bookkeeping of the other record comes
/// last, or the reverse. The record of the event is then unknown, and the runtime is not called.
fn thread_ends_after_overlapping_records(fake: &fake::Fake) {
    let keep = own_stream();
    let event = escaped(&keep);
    for own_is_blocked in [false, true] {
        let other = own_stream();
        let (sender, receiver) = channel();
        fake.hold_next(fake::RECORD_END);
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
                fake.wait_until_held();
                (own, scope.spawn(record_other))
            } else {
                let others = scope.spawn(record_other);
                fake.wait_until_held();
                (scope.spawn(record_own), others)
            };
            let _released = OnDrop(|| fake.release());
            receiver.recv().expect("the record that is not blocked");
            fake.release();
            // A joined thread has ended completely, and not only its closure.
            own.join().expect("no panic");
            others.join().expect("no panic");
        });
        drop(other);
        if own_is_blocked {
            // The thread's own record is the current one, because its bookkeeping came last. It
            // completed with its thread.
            event.synchronize().expect("synchronize");
            assert_eq!(event.status().expect("status"), EventStatus::Complete);
            keep.wait_event(&event).expect("a wait");
        } else {
            expect_kind("synchronize", event.synchronize(), ErrorKind::InvalidEvent);
            expect_kind("status", event.status(), ErrorKind::InvalidEvent);
            expect_kind("wait_event", keep.wait_event(&event), ErrorKind::InvalidEvent);
        }
        keep.record(&event).expect("a record");
        assert_eq!(event.status().expect("status"), EventStatus::Complete);
        assert_eq!(fake.stale(), 0, "calls that used a destroyed stream");
    }
}

/// Runs `meanwhile` while another thread synchronizes `event`. The event's record on `first` is blocked,
/// and the thread must not return before `first` is released.
fn during_synchronize(
    fake: &fake::Fake,
    first: &HipStream,
    event: &HipEvent,
    meanwhile: impl FnOnce(&dyn Fn()),
) {
    fake.hold_back(first.raw().as_ptr(), true);
    let released = AtomicBool::new(false);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            event.synchronize().expect("synchronize");
            assert!(released.load(Ordering::SeqCst), "it waited for another record");
        });
        let release = || {
            released.store(true, Ordering::SeqCst);
            fake.hold_back(first.raw().as_ptr(), false);
        };
        let _release = OnDrop(release);
        // The first query may have begun before this call. The later ones have not.
        let wait_for_queries = || {
            fake.calls("");
            let mut queries = 0;
            while queries < 3 && !waiting.is_finished() {
                queries += fake.calls("hipEventQuery");
                thread::yield_now();
            }
        };
        wait_for_queries();
        meanwhile(&wait_for_queries);
        wait_for_queries();
        release();
        waiting.join().expect("the thread waited for its record");
    });
}

fn failed_marker_is_repeated_by_the_next_record(fake: &fake::Fake) {
    let (first, second) = (own_stream(), own_stream());
    for function in ["hipStreamCreateWithPriority", "hipStreamWaitEvent"] {
        let event = escaped(&first);
        during_synchronize(fake, &first, &event, |wait_for_queries| {
            fake.fail(function, 2);
            expect_kind("a record", second.record(&event), ErrorKind::OutOfMemory);
            fake.work();
            wait_for_queries();
            second.record(&event).expect("the next record");
        });
    }
}

fn second_record_makes_its_own_marker(fake: &fake::Fake) {
    let (first, second, third) = (own_stream(), own_stream(), own_stream());
    // The first of the two records is blocked in the marker's wait, or in the marker's record.
    for function in ["hipStreamWaitEvent", "hipEventRecord"] {
        let event = escaped(&first);
        during_synchronize(fake, &first, &event, |wait_for_queries| {
            fake.hold_next(function);
            thread::scope(|scope| {
                let blocked = scope.spawn(|| second.record(&event));
                fake.wait_until_held();
                let _released = OnDrop(|| fake.release());
                third.record(&event).expect("the second record");
                wait_for_queries();
                fake.release();
                blocked.join().expect("no panic").expect("the record");
            });
        });
        assert_eq!(event.status().expect("status"), EventStatus::Complete);
    }
}
