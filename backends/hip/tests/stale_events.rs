//! Events whose stream is gone. HIP's events point to the stream that they were recorded on, and
//! follow that pointer: over HIP 5.7, a bare wait for such an event is a crash. Safe code must not
//! get there.
//!
//! Each case is a process of its own, in which freed memory is filled.

mod support;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use gpu_stream_core::{
    Backend, Event, EventOptions, EventStatus, RawStream, Stream, StreamOptions, StreamOwner,
};
use gpu_stream_hip::{Hip, HipEvent, HipStream};
use support::bare::{Ptr, bare, gate, new_stream, ok};
use support::device;

const CASES: [support::Case; 8] = [
    ("the_stream_is_dropped", the_stream_is_dropped),
    ("the_owner_is_dropped", the_owner_is_dropped),
    ("another_record_lets_go", another_record_lets_go),
    ("threads_record_and_ask", threads_record_and_ask),
    ("a_pooled_event_is_stale", a_pooled_event_is_stale),
    ("destroyed_after_its_stream", destroyed_after_its_stream),
    ("a_call_holds_what_a_record_replaces", a_call_holds_what_a_record_replaces),
    ("the_process_ends_with_work", the_process_ends_with_work),
];

fn main() -> ExitCode {
    if support::run_as_child(&CASES) {
        return ExitCode::SUCCESS;
    }
    macro_rules! children {
        ($($name:ident)*) => { [$((stringify!($name), || support::run_child(stringify!($name)))),*] };
    }
    let children: [support::Case; 8] = children! {
        the_stream_is_dropped the_owner_is_dropped another_record_lets_go threads_record_and_ask
        a_pooled_event_is_stale destroyed_after_its_stream a_call_holds_what_a_record_replaces
        the_process_ends_with_work
    };
    support::main(&children)
}

/// A foreign stream, destroyed with its owner.
struct Theirs {
    raw: Ptr,
    gone: Arc<AtomicUsize>,
}

// SAFETY: handles may be used from any thread.
unsafe impl Send for Theirs {}
// SAFETY: as above.
unsafe impl Sync for Theirs {}

// SAFETY: the stream is destroyed in `drop` and nowhere else.
unsafe impl StreamOwner<Hip> for Theirs {
    fn raw_stream(&self) -> RawStream<Hip> {
        RawStream::from_ptr(self.raw)
    }
}

impl Theirs {
    fn wrapped() -> (HipStream, Arc<AtomicUsize>) {
        let gone = Arc::new(AtomicUsize::new(0));
        let theirs = Theirs { raw: new_stream(0, 1, 0), gone: Arc::clone(&gone) };
        (Hip::stream_from_owner(Arc::new(theirs), None).expect("wrapping"), gone)
    }
}

impl Drop for Theirs {
    fn drop(&mut self) {
        // SAFETY: its last use.
        ok("stream_destroy", unsafe { (bare().stream_destroy)(self.raw) });
        self.gone.fetch_add(1, Ordering::SeqCst);
        churn();
    }
}

/// Uses the heap, so that what is freed does not look alive by chance.
fn churn() {
    let blocks: Vec<Vec<u8>> = (0..500).map(|index| vec![0xEE; 64 + index * 5 % 2_048]).collect();
    std::hint::black_box(&blocks);
}

/// Every call that gives the event to the runtime.
fn ask(event: &HipEvent) {
    let other = Hip::new_stream(device(), StreamOptions::new()).unwrap();
    event.synchronize().unwrap();
    assert!(event.query().unwrap());
    assert_eq!(event.status().unwrap(), EventStatus::Complete);
    other.wait_event(event).unwrap();
    if event.options().is_timed() {
        assert_eq!(event.elapsed_since(event).unwrap(), 0.0);
    }
    other.synchronize().unwrap();
    other.record(event).unwrap();
    event.synchronize().unwrap();
    assert_eq!(event.status().unwrap(), EventStatus::Complete);
}

fn events() -> [HipEvent; 2] {
    [EventOptions::new(), EventOptions::timed()]
        .map(|options| Hip::new_event(device(), options).unwrap())
}

/// What the program behind `hipStreamDestroy` and then `hipStreamWaitEvent` comes to here.
fn the_stream_is_dropped() {
    for event in events() {
        let stream = Hip::new_stream(device(), StreamOptions::new()).unwrap();
        stream.record(&event).unwrap();
        drop(stream);
        churn();
        ask(&event);
    }
}

fn the_owner_is_dropped() {
    for event in events() {
        let (stream, gone) = Theirs::wrapped();
        stream.record(&event).unwrap();
        drop(stream);
        assert_eq!(gone.load(Ordering::SeqCst), 0, "the event does not keep the owner");
        ask(&event);
        assert_eq!(gone.load(Ordering::SeqCst), 1, "recorded elsewhere, it still keeps the owner");
    }
    // And with the event itself, whether it goes to the pool or is destroyed.
    for options in [EventOptions::new(), EventOptions::timed()] {
        let (stream, gone) = Theirs::wrapped();
        let event = Hip::new_event(device(), options).unwrap();
        stream.record(&event).unwrap();
        drop(stream);
        drop(event);
        assert_eq!(gone.load(Ordering::SeqCst), 1, "dropped, it still keeps the owner");
    }
}

fn another_record_lets_go() {
    let event = Hip::new_event(device(), EventOptions::new()).unwrap();
    let mut before: Option<Arc<AtomicUsize>> = None;
    for _ in 0..50 {
        let (stream, gone) = Theirs::wrapped();
        stream.record(&event).unwrap();
        let last = before.replace(gone);
        assert!(last.is_none_or(|gone| gone.load(Ordering::SeqCst) == 1));
        drop(stream);
        event.synchronize().unwrap();
        assert_eq!(event.status().unwrap(), EventStatus::Complete);
    }
}

/// One thread records an event on stream after stream, each of which goes at once, and others ask
/// it meanwhile.
fn threads_record_and_ask() {
    let events = events();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let other = Hip::new_stream(device(), StreamOptions::new()).unwrap();
                while !done.load(Ordering::SeqCst) {
                    for event in &events {
                        event.status().unwrap();
                        other.wait_event(event).unwrap();
                        event.synchronize().unwrap();
                        // Recorded again meanwhile, it may be pending.
                        let _ = event.elapsed_since(event);
                    }
                }
                other.synchronize().unwrap();
            });
        }
        for _ in 0..100 {
            for event in &events {
                let (stream, _) = Theirs::wrapped();
                stream.record(event).unwrap();
            }
        }
        done.store(true, Ordering::SeqCst);
    });
}

/// `record_event` and `wait_stream` get events back whose stream is gone.
fn a_pooled_event_is_stale() {
    let reader = Hip::new_stream(device(), StreamOptions::new()).unwrap();
    for _ in 0..100 {
        let (stream, _) = Theirs::wrapped();
        reader.wait_stream(&stream).unwrap();
        drop(stream.record_event().unwrap());
    }
    reader.synchronize().unwrap();
}

/// The runtime's own `hipEventDestroy`, of events whose stream is gone: this is what the pool does
/// with those that it has no room for.
fn destroyed_after_its_stream() {
    for pending in [false, true] {
        for flags in [0, 2] {
            let raw = new_stream(0, 1, 0);
            let mut events = [std::ptr::null_mut(); 20];
            let gate = pending.then(|| gate(raw));
            for event in &mut events {
                // SAFETY: a place for one event; the stream is alive.
                unsafe {
                    ok("event_create", (bare().event_create)(event, flags));
                    ok("event_record", (bare().event_record)(*event, raw));
                }
            }
            drop(gate);
            // SAFETY: the last uses: of the stream, and then of the events.
            unsafe {
                ok("stream_destroy", (bare().stream_destroy)(raw));
                churn();
                for event in events {
                    ok("event_destroy", (bare().event_destroy)(event));
                }
            }
        }
    }
}

/// While a thread synchronizes an event, another records it on a second stream and on a third, and
/// lets all of them go.
fn a_call_holds_what_a_record_replaces() {
    let event = Hip::new_event(device(), EventOptions::new()).unwrap();
    for _ in 0..20 {
        let first = Hip::new_stream(device(), StreamOptions::new()).unwrap();
        let shut = gate(first.raw().as_ptr());
        first.record(&event).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| event.synchronize());
            for _ in 0..3 {
                let (stream, _) = Theirs::wrapped();
                stream.record(&event).unwrap();
            }
            // The waiting thread may have seen the first record, which is behind the gate.
            drop(shut);
            waiting.join().unwrap().unwrap();
        });
        drop(first);
        ask(&event);
    }
}

/// Streams that are busy when they are dropped, at the end of the process.
fn the_process_ends_with_work() {
    let mut gates = Vec::new();
    for _ in 0..4 {
        let stream = Hip::new_stream(device(), StreamOptions::new()).unwrap();
        gates.push(gate(stream.raw().as_ptr()));
        let event = stream.record_event().unwrap();
        stream.launch_host_func(Box::new(|| ())).unwrap();
        drop(stream);
        assert_eq!(event.status().unwrap(), EventStatus::Pending);
    }
}
