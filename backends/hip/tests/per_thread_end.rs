//! Events of a thread's default stream, after the thread and its stream have ended.
//!
//! Each case is a process of its own, with freed memory filled.

mod support;

use std::cell::RefCell;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use gpu_stream_core::{
    Backend, ErrorKind, Event, EventOptions, EventStatus, PerThread, RawStream, Stream, StreamOwner,
};
use gpu_stream_hip::{Hip, HipEvent, HipStream};
use gpu_stream_test_support::{cases, churn};
use support::{device, expect_kind, own_event, own_stream};

const CASES: [support::Case; 12] = cases![
    events_are_complete_after_the_end,
    end_of_the_thread_waits_for_its_work,
    events_can_be_used_while_threads_end,
    event_of_an_ended_thread_can_be_recorded_again,
    pooled_events_of_ended_threads_are_reused,
    per_thread_streams_of_two_devices,
    destructor_after_the_stream_is_rejected,
    main_thread_ends_beside_queries,
    end_of_the_thread_beside_constant_queries,
    end_of_the_thread_in_a_capture,
    panic_of_a_deferred_owner_at_the_end,
    thread_ends_after_a_reset
];

fn main() -> ExitCode {
    support::main_in_children(&CASES)
}

fn per_thread() -> PerThread<HipStream> {
    Hip::per_thread_stream(device()).expect("per_thread_stream")
}

/// Makes every call that could pass the event to the runtime, and checks that the event is complete.
#[track_caller]
fn expect_complete(event: &HipEvent) {
    let other = own_stream();
    assert_eq!(event.status().unwrap(), EventStatus::Complete);
    assert!(event.query().unwrap());
    event.synchronize().unwrap();
    other.wait_event(event).unwrap();
    other.synchronize().unwrap();
    if event.options().is_timed() {
        assert_eq!(event.elapsed_since(event).unwrap(), 0.0);
    }
}

fn events_are_complete_after_the_end() {
    let events = [own_event(EventOptions::new()), own_event(EventOptions::timed())];
    let events = thread::spawn(move || {
        let stream = per_thread();
        for event in &events {
            stream.record(event).unwrap();
        }
        (events, stream.record_event().unwrap())
    });
    let (events, another) = events.join().unwrap();
    churn(2_000);
    events.iter().chain([&another]).for_each(expect_complete);
}

/// The stream's work is held back until the thread has reached its end.
fn end_of_the_thread_waits_for_its_work() {
    let (opened, ran) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let (send, receive) = mpsc::channel();
    let ending = {
        let (opened, ran) = (Arc::clone(&opened), Arc::clone(&ran));
        thread::spawn(move || {
            let stream = per_thread();
            let held_back = move || {
                while !opened.load(Ordering::SeqCst) {
                    thread::yield_now();
                }
                ran.store(1, Ordering::SeqCst);
            };
            stream.launch_host_func(Box::new(held_back)).unwrap();
            let (event, again) = (stream.record_event().unwrap(), own_event(EventOptions::timed()));
            stream.record(&again).unwrap();
            assert_eq!(event.status().unwrap(), EventStatus::Pending);
            send.send((event, again)).unwrap();
        })
    };
    let (event, again) = receive.recv().unwrap();
    // Before, during or after the end of the thread. The work is pending in each case.
    for _ in 0..1_000 {
        assert_eq!(event.status().unwrap(), EventStatus::Pending);
        assert!(!again.query().unwrap());
        thread::yield_now();
    }
    opened.store(true, Ordering::SeqCst);
    event.synchronize().unwrap();
    assert_eq!(ran.load(Ordering::SeqCst), 1, "complete before the work has run");
    ending.join().unwrap();
    churn(2_000);
    expect_complete(&event);
    expect_complete(&again);
}

/// Several threads use an event while the thread that recorded it ends.
fn events_can_be_used_while_threads_end() {
    let shared = [own_event(EventOptions::new()), own_event(EventOptions::timed())];
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let other = own_stream();
                while !done.load(Ordering::SeqCst) {
                    for event in &shared {
                        event.status().unwrap();
                        other.wait_event(event).unwrap();
                        event.synchronize().unwrap();
                        let _ = event.elapsed_since(event);
                    }
                }
                other.synchronize().unwrap();
            });
        }
        for _ in 0..60 {
            let recorder = scope.spawn(|| {
                let stream = per_thread();
                shared.iter().for_each(|event| stream.record(event).unwrap());
            });
            recorder.join().unwrap();
            churn(2_000);
        }
        done.store(true, Ordering::SeqCst);
    });
    shared.iter().for_each(expect_complete);
}

/// Recorded on a live stream, the event of an ended thread is an ordinary one again.
fn event_of_an_ended_thread_can_be_recorded_again() {
    let other = own_stream();
    let timed = own_event(EventOptions::timed());
    let timed = thread::spawn(move || {
        per_thread().record(&timed).unwrap();
        timed
    });
    let timed = timed.join().unwrap();
    churn(2_000);
    let gate = support::bare::gate(other.raw().as_ptr());
    other.record(&timed).unwrap();
    assert_eq!(timed.status().unwrap(), EventStatus::Pending);
    gate.open();
    timed.synchronize().unwrap();
    assert_eq!(timed.elapsed_since(&timed).unwrap(), 0.0);
    // Recorded on the stream of another thread, and used on that thread.
    let timed = thread::spawn(move || {
        per_thread().record(&timed).unwrap();
        timed.synchronize().unwrap();
        assert_eq!(timed.elapsed_since(&timed).unwrap(), 0.0);
        timed
    });
    expect_complete(&timed.join().unwrap());
}

/// Events of ended threads return to the pool, and are reused.
fn pooled_events_of_ended_threads_are_reused() {
    let reader = own_stream();
    for _ in 0..30 {
        let events = thread::spawn(|| {
            let stream = per_thread();
            let events: Vec<_> = (0..5).map(|_| stream.record_event().unwrap()).collect();
            events
        });
        drop(events.join().unwrap());
        churn(2_000);
        let other = own_stream();
        reader.wait_stream(&other).unwrap();
        let again: Vec<_> = (0..8).map(|_| other.record_event().unwrap()).collect();
        again.iter().for_each(|event| event.synchronize().unwrap());
    }
    reader.synchronize().unwrap();
}

/// A thread has a default stream on each device.
fn per_thread_streams_of_two_devices() {
    support::need_two_devices();
    let events = thread::spawn(|| {
        [0, 1].map(|ordinal| {
            let device = Hip::device(ordinal).unwrap();
            let stream = Hip::per_thread_stream(device).unwrap();
            assert_eq!(stream.device(), device);
            stream.launch_host_func(Box::new(|| ())).unwrap();
            stream.record_event().unwrap()
        })
    });
    let events = events.join().unwrap();
    churn(2_000);
    events.iter().for_each(expect_complete);
}

/// A thread-local variable that is older than HIP's own is destroyed after them. Its destructor uses the
/// stream, and each call is rejected.
fn destructor_after_the_stream_is_rejected() {
    struct Late(RefCell<Option<PerThread<HipStream>>>, RefCell<Option<mpsc::Sender<[bool; 5]>>>);
    impl Drop for Late {
        fn drop(&mut self) {
            let stream = self.0.take().expect("a stream");
            let rejected = |result: Result<(), gpu_stream_hip::HipError>| {
                use gpu_stream_core::Error;
                result.is_err_and(|error| error.kind() == ErrorKind::NotPermitted)
            };
            let answers = [
                rejected(stream.query().map(drop)),
                rejected(stream.synchronize()),
                rejected(stream.record_event().map(drop)),
                rejected(stream.launch_host_func(Box::new(|| ()))),
                rejected(Hip::per_thread_stream(stream.device()).map(drop)),
            ];
            self.1.take().expect("a sender").send(answers).expect("a receiver");
        }
    }
    thread_local! {
        static LATE: Late = const { Late(RefCell::new(None), RefCell::new(None)) };
    }
    let (send, receive) = mpsc::channel();
    let ending = thread::spawn(move || {
        // Initialized before the first HIP call of this thread.
        LATE.with(|late| late.1.replace(Some(send)));
        let stream = per_thread();
        let event = stream.record_event().unwrap();
        LATE.with(|late| late.0.replace(Some(stream)));
        event
    });
    let event = ending.join().unwrap();
    assert_eq!(receive.recv().unwrap(), [true; 5], "query, synchronize, record, function, new one");
    churn(2_000);
    expect_complete(&event);
}

/// The exit hooks of the main thread run when the process ends.
fn main_thread_ends_beside_queries() {
    let stream = per_thread();
    let event = stream.record_event().unwrap();
    let event = Arc::new(event);
    let other = Arc::clone(&event);
    let (send, receive) = mpsc::channel();
    // This thread still queries while the process ends.
    thread::spawn(move || {
        loop {
            let _ = other.query();
            let _ = send.send(());
            thread::yield_now();
        }
    });
    receive.recv().unwrap();
}

/// So many threads query the event that some query is always running. The thread can end anyway.
fn end_of_the_thread_beside_constant_queries() {
    let stop = AtomicBool::new(false);
    let shared = own_event(EventOptions::new());
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    shared.query().unwrap();
                }
            });
        }
        for _ in 0..5 {
            scope.spawn(|| per_thread().record(&shared).unwrap()).join().unwrap();
        }
        stop.store(true, Ordering::SeqCst);
    });
    expect_complete(&shared);
}

/// A record in a capture has no work. An earlier event is not complete just because such a record is.
fn end_of_the_thread_in_a_capture() {
    let (opened, ran) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let (send, receive) = mpsc::channel();
    let ending = {
        let (opened, ran) = (Arc::clone(&opened), Arc::clone(&ran));
        thread::spawn(move || {
            let stream = per_thread();
            let held_back = move || {
                while !opened.load(Ordering::SeqCst) {
                    thread::yield_now();
                }
                ran.store(1, Ordering::SeqCst);
            };
            stream.launch_host_func(Box::new(held_back)).unwrap();
            let event = stream.record_event().unwrap();
            support::bare::begin_capture(stream.raw().as_ptr(), 0);
            let inside = stream.record_event().unwrap();
            send.send((event, inside)).unwrap();
        })
    };
    let (event, inside) = receive.recv().unwrap();
    for _ in 0..1_000 {
        // HIP 6 cannot query the event beside the capture, and returns an error.
        let done = event.query().unwrap_or(false);
        assert!(!done || ran.load(Ordering::SeqCst) == 1, "complete before the work has run");
        thread::yield_now();
    }
    opened.store(true, Ordering::SeqCst);
    ending.join().unwrap();
    churn(2_000);
    assert_eq!(ran.load(Ordering::SeqCst), 1);
    match event.query() {
        Ok(_) => expect_complete(&event),
        Err(error) if !matches!(support::bare::version() / 100_000, 502 | 600..700) => {
            panic!("this version can tell: {error}")
        }
        // HIP 5.2 cannot end the capture there, nor can 6.4 if a query has broken it.
        rejection => {
            drop(expect_kind("an event from before", rejection, ErrorKind::InvalidEvent));
        }
    }
    expect_kind("an event of the capture", inside.query(), ErrorKind::InvalidEvent);
}

/// A host function defers the drop of a user's owner, whose destructor panics. The drop runs at the end
/// of a later call, which catches the panic.
fn panic_of_a_deferred_owner_at_the_end() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Bomb(Option<HipStream>);
    impl Drop for Bomb {
        fn drop(&mut self) {
            drop(self.0.take());
            DROPPED.fetch_add(1, Ordering::SeqCst);
            std::panic::resume_unwind(Box::new("meant to fail"));
        }
    }
    // SAFETY: the inner stream lives until the owner is dropped.
    unsafe impl StreamOwner<Hip> for Bomb {
        fn raw_stream(&self) -> RawStream<Hip> {
            self.0.as_ref().expect("a stream").raw()
        }
    }
    let keep = own_stream();
    let carrier = keep.clone();
    let bomb = Bomb(Some(own_stream()));
    let foreign = Hip::stream_from_owner(Arc::new(bomb), None).unwrap();
    let event = own_event(EventOptions::timed());
    foreign.record(&event).unwrap();
    drop(foreign);
    let ended = thread::spawn(move || {
        let stream = per_thread();
        let own = stream.record_event().unwrap();
        // The host function drops the last reference to the owner, which defers the owner's drop.
        carrier.launch_host_func(Box::new(move || drop(event))).unwrap();
        while !carrier.query().unwrap() {
            thread::yield_now();
        }
        own
    });
    let own = ended.join().unwrap();
    assert_eq!(own.status().unwrap(), EventStatus::Complete);
    own_stream();
    assert_eq!(DROPPED.load(Ordering::SeqCst), 1, "the deferred drop did not run");
}

/// The reset destroys the stream that recorded the thread's events, and HIP crashes on its handle.
fn thread_ends_after_a_reset() {
    let ended = thread::spawn(|| {
        let stream = per_thread();
        stream.record_event().unwrap().synchronize().unwrap();
        // SAFETY: the function takes no arguments.
        support::bare::ok("device_reset", unsafe { (support::bare::bare().device_reset)() });
        // As no event is pending.
        assert!(stream.query().unwrap());
        stream.synchronize().unwrap();
    });
    ended.join().unwrap();
    let other = own_stream();
    // These calls destroy what the thread has left.
    (0..40).for_each(|_| _ = other.query().unwrap());
    let again = thread::spawn(|| per_thread().record_event().unwrap()).join().unwrap();
    expect_complete(&again);
}
