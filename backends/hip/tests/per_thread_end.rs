//! Events of a thread's default stream, after the thread and with it the stream has ended.
//!
//! Each case is a process of its own, in which freed memory is filled.

mod support;

use std::cell::RefCell;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use gpu_stream_core::{
    Backend, ErrorKind, Event, EventOptions, EventStatus, PerThread, RawStream, Stream,
    StreamOptions, StreamOwner,
};
use gpu_stream_hip::{Hip, HipEvent, HipStream};
use support::{device, expect_kind};

const CASES: [support::Case; 11] = [
    ("complete_after_the_end", complete_after_the_end),
    ("the_end_waits_for_the_work", the_end_waits_for_the_work),
    ("asked_while_threads_end", asked_while_threads_end),
    ("recorded_anew", recorded_anew),
    ("pooled_events", pooled_events),
    ("two_devices", two_devices),
    ("used_by_a_destructor_at_the_end", used_by_a_destructor_at_the_end),
    ("the_main_thread_ends", the_main_thread_ends),
    ("asked_without_a_pause", asked_without_a_pause),
    ("the_thread_ends_in_a_capture", the_thread_ends_in_a_capture),
    ("a_panic_at_the_end", a_panic_at_the_end),
];

fn main() -> ExitCode {
    if support::run_as_child(&CASES) {
        return ExitCode::SUCCESS;
    }
    macro_rules! children {
        ($($name:ident)*) => { [$((stringify!($name), || support::run_child(stringify!($name)))),*] };
    }
    let children: [support::Case; 11] = children! {
        complete_after_the_end the_end_waits_for_the_work asked_while_threads_end recorded_anew
        pooled_events two_devices used_by_a_destructor_at_the_end the_main_thread_ends
        asked_without_a_pause the_thread_ends_in_a_capture a_panic_at_the_end
    };
    support::main(&children)
}

fn mine() -> PerThread<HipStream> {
    Hip::per_thread_stream(device()).expect("per_thread_stream")
}

fn event(options: EventOptions) -> HipEvent {
    Hip::new_event(device(), options).expect("new_event")
}

/// Uses the heap, so that what is freed does not look alive by chance.
fn churn() {
    let blocks: Vec<Vec<u8>> = (0..2_000).map(|index| vec![0xEE; 64 + index % 2_048]).collect();
    std::hint::black_box(&blocks);
}

/// Every call that could give the event to the runtime.
#[track_caller]
fn ask(event: &HipEvent) {
    let other = Hip::new_stream(device(), StreamOptions::new()).unwrap();
    assert_eq!(event.status().unwrap(), EventStatus::Complete);
    assert!(event.query().unwrap());
    event.synchronize().unwrap();
    other.wait_event(event).unwrap();
    other.synchronize().unwrap();
    if event.options().is_timed() {
        expect_kind("elapsed_since", event.elapsed_since(event), ErrorKind::InvalidEvent);
    }
}

fn complete_after_the_end() {
    let events = [event(EventOptions::new()), event(EventOptions::timed())];
    let events = thread::spawn(move || {
        let stream = mine();
        for event in &events {
            stream.record(event).unwrap();
        }
        (events, stream.record_event().unwrap())
    });
    let (events, another) = events.join().unwrap();
    churn();
    events.iter().chain([&another]).for_each(ask);
}

/// The stream's work is held back until the thread has come to its end.
fn the_end_waits_for_the_work() {
    let (opened, ran) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let (send, receive) = mpsc::channel();
    let ending = {
        let (opened, ran) = (Arc::clone(&opened), Arc::clone(&ran));
        thread::spawn(move || {
            let stream = mine();
            let held_back = move || {
                while !opened.load(Ordering::SeqCst) {
                    thread::yield_now();
                }
                ran.store(1, Ordering::SeqCst);
            };
            stream.launch_host_func(Box::new(held_back)).unwrap();
            let (event, again) = (stream.record_event().unwrap(), event(EventOptions::timed()));
            stream.record(&again).unwrap();
            assert_eq!(event.status().unwrap(), EventStatus::Pending);
            send.send((event, again)).unwrap();
        })
    };
    let (event, again) = receive.recv().unwrap();
    // Before, in or behind the thread's end; in any case not done.
    for _ in 0..1_000 {
        assert_eq!(event.status().unwrap(), EventStatus::Pending);
        assert!(!again.query().unwrap());
        thread::yield_now();
    }
    opened.store(true, Ordering::SeqCst);
    event.synchronize().unwrap();
    assert_eq!(ran.load(Ordering::SeqCst), 1, "complete, and the work has not run");
    ending.join().unwrap();
    churn();
    ask(&event);
    ask(&again);
}

/// Calls for an event go on in some threads while the thread that recorded it ends.
fn asked_while_threads_end() {
    let shared = [event(EventOptions::new()), event(EventOptions::timed())];
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let other = Hip::new_stream(device(), StreamOptions::new()).unwrap();
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
                let stream = mine();
                shared.iter().for_each(|event| stream.record(event).unwrap());
            });
            recorder.join().unwrap();
            churn();
        }
        done.store(true, Ordering::SeqCst);
    });
    shared.iter().for_each(ask);
}

/// Recorded on a stream that lives, an event of the dead is an ordinary one again.
fn recorded_anew() {
    let other = Hip::new_stream(device(), StreamOptions::new()).unwrap();
    let timed = event(EventOptions::timed());
    let timed = thread::spawn(move || {
        mine().record(&timed).unwrap();
        timed
    });
    let timed = timed.join().unwrap();
    churn();
    let gate = support::bare::gate(other.raw().as_ptr());
    other.record(&timed).unwrap();
    assert_eq!(timed.status().unwrap(), EventStatus::Pending);
    gate.open();
    timed.synchronize().unwrap();
    assert_eq!(timed.elapsed_since(&timed).unwrap(), 0.0);
    // And on another thread's, and this one's.
    let timed = thread::spawn(move || {
        mine().record(&timed).unwrap();
        timed.synchronize().unwrap();
        assert_eq!(timed.elapsed_since(&timed).unwrap(), 0.0);
        timed
    });
    ask(&timed.join().unwrap());
}

/// Events of threads that have ended go to the pool, and come back.
fn pooled_events() {
    let reader = Hip::new_stream(device(), StreamOptions::new()).unwrap();
    for _ in 0..30 {
        let events = thread::spawn(|| {
            let stream = mine();
            let events: Vec<_> = (0..5).map(|_| stream.record_event().unwrap()).collect();
            events
        });
        drop(events.join().unwrap());
        churn();
        let other = Hip::new_stream(device(), StreamOptions::new()).unwrap();
        reader.wait_stream(&other).unwrap();
        let again: Vec<_> = (0..8).map(|_| other.record_event().unwrap()).collect();
        again.iter().for_each(|event| event.synchronize().unwrap());
    }
    reader.synchronize().unwrap();
}

/// A thread has a default stream on each device.
fn two_devices() {
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
    churn();
    events.iter().for_each(ask);
}

/// A thread-local variable that was there before HIP's own goes after them, and asks the stream.
fn used_by_a_destructor_at_the_end() {
    struct Late(RefCell<Option<PerThread<HipStream>>>, RefCell<Option<mpsc::Sender<[bool; 5]>>>);
    impl Drop for Late {
        fn drop(&mut self) {
            let stream = self.0.take().expect("a stream");
            let refused = |result: Result<(), gpu_stream_hip::HipError>| {
                use gpu_stream_core::Error;
                result.is_err_and(|error| error.kind() == ErrorKind::NotPermitted)
            };
            let answers = [
                refused(stream.query().map(drop)),
                refused(stream.synchronize()),
                refused(stream.record_event().map(drop)),
                refused(stream.launch_host_func(Box::new(|| ()))),
                refused(Hip::per_thread_stream(stream.device()).map(drop)),
            ];
            self.1.take().expect("a sender").send(answers).expect("a receiver");
        }
    }
    thread_local! {
        static LATE: Late = const { Late(RefCell::new(None), RefCell::new(None)) };
    }
    let (send, receive) = mpsc::channel();
    let ending = thread::spawn(move || {
        // Before the first call of this thread.
        LATE.with(|late| late.1.replace(Some(send)));
        let stream = mine();
        let event = stream.record_event().unwrap();
        LATE.with(|late| late.0.replace(Some(stream)));
        event
    });
    let event = ending.join().unwrap();
    assert_eq!(receive.recv().unwrap(), [true; 5], "query, synchronize, record, function, new one");
    churn();
    ask(&event);
}

/// Its functions for the end of a thread run when the process ends.
fn the_main_thread_ends() {
    let stream = mine();
    let event = stream.record_event().unwrap();
    let asking = Arc::new(event);
    let other = Arc::clone(&asking);
    let (send, receive) = mpsc::channel();
    // Still asks while the process ends.
    thread::spawn(move || {
        loop {
            let _ = other.query();
            let _ = send.send(());
            thread::yield_now();
        }
    });
    receive.recv().unwrap();
}

/// So many threads ask that at each moment some call goes on; the end of the thread comes in between
/// all the same.
fn asked_without_a_pause() {
    let stop = AtomicBool::new(false);
    let shared = event(EventOptions::new());
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    shared.query().unwrap();
                }
            });
        }
        for _ in 0..5 {
            scope.spawn(|| mine().record(&shared).unwrap()).join().unwrap();
        }
        stop.store(true, Ordering::SeqCst);
    });
    ask(&shared);
}

/// What is recorded in a capture stands for no work: an event from before it is not complete when
/// such a record is.
fn the_thread_ends_in_a_capture() {
    let (opened, ran) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let (send, receive) = mpsc::channel();
    let ending = {
        let (opened, ran) = (Arc::clone(&opened), Arc::clone(&ran));
        thread::spawn(move || {
            let stream = mine();
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
        // HIP 6 cannot be asked beside the capture, and says so.
        let done = event.query().unwrap_or(false);
        assert!(!done || ran.load(Ordering::SeqCst) == 1, "complete, and the work has not run");
        thread::yield_now();
    }
    opened.store(true, Ordering::SeqCst);
    ending.join().unwrap();
    churn();
    assert_eq!(ran.load(Ordering::SeqCst), 1);
    match event.query() {
        Ok(_) => ask(&event),
        Err(error) if !matches!(support::bare::version() / 100_000, 502 | 600..700) => {
            panic!("it can be told in this version: {error}")
        }
        // HIP 5.2 does not let the capture be ended there, nor 6.4 if a question has broken it.
        refusal => drop(expect_kind("of before the capture", refusal, ErrorKind::InvalidEvent)),
    }
    expect_kind("of the capture", inside.query(), ErrorKind::InvalidEvent);
}

/// What a host function put off is a user's, whose destructor panics. It is run at the end of a call,
/// and the panic ends there.
fn a_panic_at_the_end() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Bomb(Option<HipStream>);
    impl Drop for Bomb {
        fn drop(&mut self) {
            drop(self.0.take());
            DROPPED.fetch_add(1, Ordering::SeqCst);
            std::panic::resume_unwind(Box::new("meant to fail"));
        }
    }
    // SAFETY: the stream inside is there until the value is dropped.
    unsafe impl StreamOwner<Hip> for Bomb {
        fn raw_stream(&self) -> RawStream<Hip> {
            self.0.as_ref().expect("a stream").raw()
        }
    }
    let keep = Hip::new_stream(device(), StreamOptions::new()).unwrap();
    let carrier = keep.clone();
    let bomb = Bomb(Some(Hip::new_stream(device(), StreamOptions::new()).unwrap()));
    let theirs = Hip::stream_from_owner(Arc::new(bomb), None).unwrap();
    let event = event(EventOptions::timed());
    theirs.record(&event).unwrap();
    drop(theirs);
    let ended = thread::spawn(move || {
        let stream = mine();
        let own = stream.record_event().unwrap();
        // The last share in the owner goes in a host function, and is put off.
        carrier.launch_host_func(Box::new(move || drop(event))).unwrap();
        while !carrier.query().unwrap() {
            thread::yield_now();
        }
        own
    });
    let own = ended.join().unwrap();
    assert_eq!(own.status().unwrap(), EventStatus::Complete);
    Hip::new_stream(device(), StreamOptions::new()).unwrap();
    assert_eq!(DROPPED.load(Ordering::SeqCst), 1, "it was not run");
}
