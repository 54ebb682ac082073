//! Records of one event by several threads at once, where others have its handle, so that each is made
//! in place: the event keeps every stream that the runtime's event may point to, and threads that
//! synchronize wait for the record that was there when they began.
//!
//! The runtime is the one of `tests/fake`, which holds a call back until it is told, and knows which
//! streams are held back.

mod support;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;

use gpu_stream_core::{
    Backend, ErrorKind, Event, EventOptions, EventStatus, Stream, StreamOptions,
};
use gpu_stream_hip::{Hip, HipEvent, HipStream};
use support::{device, expect_kind, fake};

const CASES: [fake::Case; 5] = [
    ("records_that_overlap_keep_both_streams", records_that_overlap_keep_both_streams),
    ("a_blocked_record_keeps_no_stream_of_others", a_blocked_record_keeps_no_stream_of_others),
    ("a_thread_that_ends_after_records_overlapped", a_thread_that_ends_after_records_overlapped),
    ("a_mark_that_fails_is_made_by_the_next_record", a_mark_that_fails_is_made_by_the_next_record),
    ("a_second_record_makes_a_mark_as_well", a_second_record_makes_a_mark_as_well),
];

const VERSIONS: [&str; 3] = ["50731921", "60443484", "70253211"];

fn main() -> ExitCode {
    fake::main(&CASES, &VERSIONS)
}

/// Runs at the end of a scope, so that a test which fails ends the threads that it holds back.
struct AtEnd<F: Fn()>(F);

impl<F: Fn()> Drop for AtEnd<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn new() -> HipStream {
    Hip::new_stream(device(), StreamOptions::new()).expect("a stream")
}

/// An event whose handle others have, recorded on `stream`.
fn escaped(stream: &HipStream) -> HipEvent {
    let event = Hip::new_event(device(), EventOptions::new()).expect("an event");
    event.raw();
    stream.record(&event).expect("a record");
    event
}

/// The runtime makes the record on `one` first, and it is noted last.
fn records_that_overlap_keep_both_streams(fake: &fake::Fake) {
    let keep = new();
    // HIP 5.7 needs one of the pool to destroy a stream.
    drop(keep.record_event().expect("a record"));
    let event = escaped(&keep);
    let streams = fake.live_streams();
    let (one, other) = (new(), new());
    fake.hold_next(fake::MADE);
    thread::scope(|scope| {
        let blocked = scope.spawn(|| one.record(&event));
        fake.wait_until_held();
        let _released = AtEnd(|| fake.release());
        other.record(&event).expect("the other record");
        fake.release();
        blocked.join().expect("no panic").expect("the record");
    });
    drop((one, other));
    assert_eq!(event.status().expect("status"), EventStatus::Complete);
    event.synchronize().expect("synchronize");
    keep.wait_event(&event).expect("a wait");
    assert_eq!(fake.stale(), 0, "calls that reached a stream which was destroyed");
    assert_eq!(fake.live_streams(), streams + 2);
    // One that overlaps no other lets both go.
    keep.record(&event).expect("a record");
    keep.query().expect("query");
    assert_eq!(fake.live_streams(), streams);
}

fn a_blocked_record_keeps_no_stream_of_others(fake: &fake::Fake) {
    let (keep, blocked) = (new(), new());
    drop(keep.record_event().expect("a record"));
    let event = escaped(&keep);
    let streams = fake.live_streams();
    for place in ["hipEventRecord", fake::MADE] {
        fake.hold_next(place);
        thread::scope(|scope| {
            let record = scope.spawn(|| blocked.record(&event));
            fake.wait_until_held();
            let _released = AtEnd(|| fake.release());
            for _ in 0..20 {
                new().record(&event).expect("a record");
                keep.query().expect("query");
                assert!(fake.live_streams() <= streams + 2, "{place}");
                assert!(event.query().expect("query"));
            }
            fake.release();
            record.join().expect("no panic").expect("the record");
        });
        keep.record(&event).expect("a record");
        keep.query().expect("query");
        assert_eq!((fake.live_streams(), fake.stale()), (streams, 0), "{place}");
    }
}

/// The runtime's event points to the thread's own stream, and the other one is noted last, or the
/// reverse. What the event stands for cannot be told then, and the runtime is not asked.
fn a_thread_that_ends_after_records_overlapped(fake: &fake::Fake) {
    let keep = new();
    let event = escaped(&keep);
    for own_is_blocked in [false, true] {
        let other = new();
        let (say, hear) = channel();
        fake.hold_next(fake::MADE);
        thread::scope(|scope| {
            let record_own = || {
                let own = Hip::per_thread_stream(device()).expect("the thread's own");
                own.record(&event).expect("a record");
                say.send(()).expect("the test listens");
            };
            let record_other = || {
                other.record(&event).expect("a record");
                say.send(()).expect("the test listens");
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
            let _released = AtEnd(|| fake.release());
            hear.recv().expect("the record that is not blocked");
            fake.release();
            // A thread that is joined has come to its end, and not only to that of the closure.
            own.join().expect("no panic");
            others.join().expect("no panic");
        });
        drop(other);
        if own_is_blocked {
            // Noted last, it is the record, and complete with its thread.
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
        assert_eq!(fake.stale(), 0, "calls that reached a stream which was destroyed");
    }
}

/// A thread that synchronizes `event`, whose record on `first` is held back, and what the test does
/// meanwhile. It must not come back before `first` goes on.
fn while_one_synchronizes(
    fake: &fake::Fake,
    first: &HipStream,
    event: &HipEvent,
    meanwhile: impl FnOnce(&dyn Fn()),
) {
    fake.hold_back(first.raw().as_ptr(), true);
    let goes_on = AtomicBool::new(false);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            event.synchronize().expect("synchronize");
            assert!(goes_on.load(Ordering::SeqCst), "it waited for another record");
        });
        let goes_on = || {
            goes_on.store(true, Ordering::SeqCst);
            fake.hold_back(first.raw().as_ptr(), false);
        };
        let _goes_on = AtEnd(goes_on);
        // Its first question may have been asked before; those after it have not.
        let asks_again = || {
            fake.calls("");
            let mut asked = 0;
            while asked < 3 && !waiting.is_finished() {
                asked += fake.calls("hipEventQuery");
                thread::yield_now();
            }
        };
        asks_again();
        meanwhile(&asks_again);
        asks_again();
        goes_on();
        waiting.join().expect("it waited for its record");
    });
}

fn a_mark_that_fails_is_made_by_the_next_record(fake: &fake::Fake) {
    let (first, second) = (new(), new());
    for function in ["hipStreamCreateWithPriority", "hipStreamWaitEvent"] {
        let event = escaped(&first);
        while_one_synchronizes(fake, &first, &event, |asks_again| {
            fake.fail(function, 2);
            expect_kind("a record", second.record(&event), ErrorKind::OutOfMemory);
            fake.work();
            asks_again();
            second.record(&event).expect("the next record");
        });
    }
}

fn a_second_record_makes_a_mark_as_well(fake: &fake::Fake) {
    let (first, second, third) = (new(), new(), new());
    // The first to record is held back with its mark before the runtime's wait, or before its record.
    for function in ["hipStreamWaitEvent", "hipEventRecord"] {
        let event = escaped(&first);
        while_one_synchronizes(fake, &first, &event, |asks_again| {
            fake.hold_next(function);
            thread::scope(|scope| {
                let blocked = scope.spawn(|| second.record(&event));
                fake.wait_until_held();
                let _released = AtEnd(|| fake.release());
                third.record(&event).expect("the second record");
                asks_again();
                fake.release();
                blocked.join().expect("no panic").expect("the record");
            });
        });
        assert_eq!(event.status().expect("status"), EventStatus::Complete);
    }
}
