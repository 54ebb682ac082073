//! Events whose stream was destroyed. An event of HIP points to the stream that it was recorded on, and
//! follows that pointer. Over HIP 5.7, a bare wait for such an event crashes. Safe code must not get
//! there.
//!
//! Each case is a process of its own, with freed memory filled.

mod support;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use gpu_stream_core::{Backend, Event, EventOptions, EventStatus, RawStream, Stream, StreamOwner};
use gpu_stream_hip::{Hip, HipEvent, HipStream};
use gpu_stream_test_support::{cases, churn};
use support::bare::{Ptr, bare, gate, new_event, new_stream, ok, record};
use support::{own_event, own_stream};

const CASES: [support::Case; 8] = cases![
    event_outlives_its_stream,
    event_keeps_the_owner_until_it_is_recorded_again,
    another_record_releases_the_owner,
    threads_record_and_query_one_event,
    pooled_event_of_a_destroyed_stream_is_reused,
    bare_event_is_destroyed_after_its_stream,
    synchronize_keeps_the_replaced_stream,
    process_ends_with_busy_streams
];

fn main() -> ExitCode {
    support::main_in_children(&CASES)
}

/// A foreign stream, destroyed with its owner.
struct ForeignStream {
    raw: Ptr,
    gone: Arc<AtomicUsize>,
}

// SAFETY: the runtime accepts its handles on any thread.
unsafe impl Send for ForeignStream {}
// SAFETY: the runtime accepts its handles on any thread.
unsafe impl Sync for ForeignStream {}

// SAFETY: the stream is only destroyed in `drop`.
unsafe impl StreamOwner<Hip> for ForeignStream {
    fn raw_stream(&self) -> RawStream<Hip> {
        RawStream::from_ptr(self.raw)
    }
}

impl ForeignStream {
    fn wrapped() -> (HipStream, Arc<AtomicUsize>) {
        let gone = Arc::new(AtomicUsize::new(0));
        let foreign = ForeignStream { raw: new_stream(0, 1, 0), gone: Arc::clone(&gone) };
        (Hip::stream_from_owner(Arc::new(foreign), None).expect("wrapping"), gone)
    }
}

impl Drop for ForeignStream {
    fn drop(&mut self) {
        // SAFETY: the stream is alive, and this is its last use.
        ok("stream_destroy", unsafe { (bare().stream_destroy)(self.raw) });
        self.gone.fetch_add(1, Ordering::SeqCst);
        churn(500);
    }
}

/// Makes every call that passes the event to the runtime.
fn use_event(event: &HipEvent) {
    let other = own_stream();
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
    [EventOptions::new(), EventOptions::timed()].map(|options| own_event(options))
}

/// The safe form of a program that calls `hipStreamDestroy` and then `hipStreamWaitEvent`.
fn event_outlives_its_stream() {
    for event in events() {
        let stream = own_stream();
        stream.record(&event).unwrap();
        drop(stream);
        churn(500);
        use_event(&event);
    }
}

fn event_keeps_the_owner_until_it_is_recorded_again() {
    for event in events() {
        let (stream, gone) = ForeignStream::wrapped();
        stream.record(&event).unwrap();
        drop(stream);
        assert_eq!(gone.load(Ordering::SeqCst), 0, "the event does not keep the owner");
        use_event(&event);
        assert_eq!(gone.load(Ordering::SeqCst), 1, "the owner is kept after another record");
    }
    // The drop of the event releases the owner, whether the event returns to the pool or is destroyed.
    for options in [EventOptions::new(), EventOptions::timed()] {
        let (stream, gone) = ForeignStream::wrapped();
        let event = own_event(options);
        stream.record(&event).unwrap();
        drop(stream);
        drop(event);
        assert_eq!(gone.load(Ordering::SeqCst), 1, "a dropped event keeps the owner");
    }
}

fn another_record_releases_the_owner() {
    let event = own_event(EventOptions::new());
    let mut before: Option<Arc<AtomicUsize>> = None;
    for _ in 0..50 {
        let (stream, gone) = ForeignStream::wrapped();
        stream.record(&event).unwrap();
        let last = before.replace(gone);
        assert!(last.is_none_or(|gone| gone.load(Ordering::SeqCst) == 1));
        drop(stream);
        event.synchronize().unwrap();
        assert_eq!(event.status().unwrap(), EventStatus::Complete);
    }
}

/// One thread records an event on one stream after another and drops each at once. Other threads use the
/// event meanwhile.
fn threads_record_and_query_one_event() {
    let events = events();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let other = own_stream();
                while !done.load(Ordering::SeqCst) {
                    for event in &events {
                        event.status().unwrap();
                        other.wait_event(event).unwrap();
                        event.synchronize().unwrap();
                        // May be pending, because the other thread records it again.
                        let _ = event.elapsed_since(event);
                    }
                }
                other.synchronize().unwrap();
            });
        }
        for _ in 0..100 {
            for event in &events {
                let (stream, _) = ForeignStream::wrapped();
                stream.record(event).unwrap();
            }
        }
        done.store(true, Ordering::SeqCst);
    });
}

/// `record_event` and `wait_stream` reuse events whose stream was destroyed.
fn pooled_event_of_a_destroyed_stream_is_reused() {
    let reader = own_stream();
    for _ in 0..100 {
        let (stream, _) = ForeignStream::wrapped();
        reader.wait_stream(&stream).unwrap();
        drop(stream.record_event().unwrap());
    }
    reader.synchronize().unwrap();
}

/// The runtime's own `hipEventDestroy` works on events whose stream was destroyed. The pool calls it for
/// events that it has no room for.
fn bare_event_is_destroyed_after_its_stream() {
    for pending in [false, true] {
        for flags in [0, 2] {
            let raw = new_stream(0, 1, 0);
            let gate = pending.then(|| gate(raw));
            let events = [(); 20].map(|()| new_event(flags));
            events.iter().for_each(|&event| record(event, raw));
            drop(gate);
            // SAFETY: the stream and the events are alive, and these are their last uses.
            unsafe {
                ok("stream_destroy", (bare().stream_destroy)(raw));
                churn(500);
                for event in events {
                    ok("event_destroy", (bare().event_destroy)(event));
                }
            }
        }
    }
}

/// While a thread synchronizes an event, another records it on a second and a third stream, and drops
/// all of them.
fn synchronize_keeps_the_replaced_stream() {
    let event = own_event(EventOptions::new());
    for _ in 0..20 {
        let first = own_stream();
        let shut = gate(first.raw().as_ptr());
        first.record(&event).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| event.synchronize());
            for _ in 0..3 {
                let (stream, _) = ForeignStream::wrapped();
                stream.record(&event).unwrap();
            }
            // The waiting thread may have found the first record, which is behind the gate.
            drop(shut);
            waiting.join().unwrap().unwrap();
        });
        drop(first);
        use_event(&event);
    }
}

/// Streams that were busy when they were dropped are still busy when the process ends.
fn process_ends_with_busy_streams() {
    let mut gates = Vec::new();
    for _ in 0..4 {
        let stream = own_stream();
        gates.push(gate(stream.raw().as_ptr()));
        let event = stream.record_event().unwrap();
        stream.launch_host_func(Box::new(|| ())).unwrap();
        drop(stream);
        assert_eq!(event.status().unwrap(), EventStatus::Pending);
    }
}
