//! While one thread synchronizes, the calls of other threads go on. With HIP's own blocking calls they
//! would not.

mod support;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use gpu_stream_core::{Backend, Event, EventOptions, EventStatus, Stream};
use gpu_stream_hip::{Hip, HipEvent, HipStream};
use support::bare::{self, gate, new_stream};
use support::capture::Capture;
use support::{device, own_event, own_stream, wrap};

fn main() -> ExitCode {
    support::main(&[
        ("calls_beside_event_synchronize", || beside(|_, event| event.synchronize().unwrap())),
        ("calls_beside_stream_synchronize", || beside(|stream, _| stream.synchronize().unwrap())),
        (
            "synchronize_waits_for_the_record_at_its_start",
            synchronize_waits_for_the_record_at_its_start,
        ),
        ("synchronize_waits_for_a_foreign_record", synchronize_waits_for_a_foreign_record),
        ("records_beside_synchronizing_threads", records_beside_synchronizing_threads),
        ("drop_of_a_busy_stream_does_not_wait", drop_of_a_busy_stream_does_not_wait),
        ("drop_of_any_object_does_not_wait", drop_of_any_object_does_not_wait),
        ("drop_beside_a_capture_does_not_wait", drop_beside_a_capture_does_not_wait),
    ])
}

/// Makes all calls that do not block while another thread runs `wait`. The stream's gate opens only
/// after them, so a call that blocks would never return.
fn beside(wait: fn(&HipStream, &HipEvent)) {
    for options in [EventOptions::new(), EventOptions::timed()] {
        let raw = new_stream(0, 1, 0);
        let (stream, other) = (wrap(raw), own_stream());
        let gate = gate(raw);
        let event = own_event(options);
        stream.record(&event).unwrap();
        let (begin, begun) = mpsc::channel();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                begin.send(()).unwrap();
                wait(&stream, &event);
            });
            begun.recv().unwrap();
            // The thread is waiting now, or will be in one of these rounds.
            for _ in 0..2_000 {
                assert!(!stream.query().unwrap());
                assert_eq!(event.status().unwrap(), EventStatus::Pending);
                std::thread::yield_now();
            }
            other.wait_event(&event).unwrap();
            other.wait_stream(&stream).unwrap();
            assert_eq!(stream.record_event().unwrap().status().unwrap(), EventStatus::Pending);
            stream.record(&event).unwrap();
            stream.launch_host_func(Box::new(|| ())).unwrap();
            assert!(!waiting.is_finished());
            gate.open();
            waiting.join().unwrap();
        });
        other.synchronize().unwrap();
    }
}

/// `synchronize` waits for the record that was current when the call began, and not for one that another
/// thread makes meanwhile. The later record waits at a gate that opens only after the call has returned.
fn synchronize_waits_for_the_record_at_its_start() {
    let blocking = EventOptions::builder().blocking(true).build().unwrap();
    for options in [EventOptions::new(), EventOptions::timed(), blocking] {
        for escaped in [false, true] {
            // The start of a call cannot be observed. If the second record came before it, the call
            // rightly waits for that one, and the attempt shows nothing.
            let returned =
                (0..100).any(|_| synchronize_returns_before_the_second(options, escaped));
            assert!(returned, "in 100 attempts, it always waited for a record made after the call");
        }
    }
}

/// Returns `true` if a `synchronize` that probably began before a second record returned before that
/// record was complete.
fn synchronize_returns_before_the_second(options: EventOptions, escaped: bool) -> bool {
    let (raw_first, raw_second) = (new_stream(0, 1, 0), new_stream(0, 1, 0));
    let (first, second) = (wrap(raw_first), wrap(raw_second));
    let event = own_event(options);
    let handle = escaped.then(|| event.raw());
    let (first_gate, second_gate) = (gate(raw_first), gate(raw_second));
    first.record(&event).unwrap();
    let (begin, begun) = mpsc::channel();
    let returned = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            begin.send(()).unwrap();
            event.synchronize().unwrap();
        });
        begun.recv().unwrap();
        for _ in 0..2_000 {
            assert!(!waiting.is_finished());
            std::thread::yield_now();
        }
        second.record(&event).unwrap();
        assert_eq!(event.status().unwrap(), EventStatus::Pending);
        first_gate.open();
        first.synchronize().unwrap();
        // Enough turns for the thread to return, if it waits for the first record only.
        let returned = (0..20_000).any(|_| {
            std::thread::yield_now();
            waiting.is_finished()
        });
        assert_eq!(event.status().unwrap(), EventStatus::Pending, "the second record");
        second_gate.open();
        returned
    });
    event.synchronize().unwrap();
    assert_eq!(event.status().unwrap(), EventStatus::Complete);
    if let Some(handle) = handle {
        assert_eq!(event.raw(), handle, "an escaped handle was replaced");
    }
    returned
}

/// Another library makes the first record with the escaped handle, and the crate makes the second.
fn synchronize_waits_for_a_foreign_record() {
    let waits = || {
        let (raw, stream) = (new_stream(0, 1, 0), wrap(new_stream(0, 1, 0)));
        let event = own_event(EventOptions::new());
        let gate = gate(raw);
        bare::record(event.raw().as_ptr(), raw);
        let (begin, begun) = mpsc::channel();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                begin.send(()).unwrap();
                event.synchronize().unwrap();
            });
            begun.recv().unwrap();
            (0..2_000).for_each(|_| std::thread::yield_now());
            stream.record(&event).unwrap();
            stream.synchronize().unwrap();
            // If the thread began only now, it waits for the second record, which is complete. The
            // attempt then shows nothing.
            let is_waiting = (0..20_000).all(|_| {
                std::thread::yield_now();
                !waiting.is_finished()
            });
            gate.open();
            is_waiting
        })
    };
    assert!((0..100).any(|_| waits()), "in 100 attempts, it never waited for the foreign record");
}

/// Threads synchronize and query an event all the time while another records it on one new stream after
/// another.
fn records_beside_synchronizing_threads() {
    let done = AtomicBool::new(false);
    for escaped in [false, true] {
        done.store(false, Ordering::SeqCst);
        let event = own_event(EventOptions::new());
        if escaped {
            event.raw();
        }
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !done.load(Ordering::SeqCst) {
                        event.synchronize().unwrap();
                        event.status().unwrap();
                    }
                });
            }
            for _ in 0..100 {
                let stream = own_stream();
                let ran = Arc::new(AtomicBool::new(false));
                let runs = Arc::clone(&ran);
                let func = move || runs.store(true, Ordering::SeqCst);
                stream.launch_host_func(Box::new(func)).unwrap();
                stream.record(&event).unwrap();
                event.synchronize().unwrap();
                assert!(ran.load(Ordering::SeqCst), "complete before the work has run");
            }
            done.store(true, Ordering::SeqCst);
        });
    }
}

/// HIP 5.7 cannot tell whether a stream is busy while another is captured.
fn drop_beside_a_capture_does_not_wait() {
    for mode in [0, 1, 2] {
        let stream = own_stream();
        let gate = gate(stream.raw().as_ptr());
        let capture = Capture::begin(new_stream(0, 1, 0), mode);
        let event = stream.record_event().unwrap();
        drop(stream);
        assert_eq!(event.status().unwrap(), EventStatus::Pending);
        // The last reference to the stream.
        drop(event);
        capture.alive("dropping a busy stream");
        capture.end().map(drop).expect("the end of the capture");
        gate.open();
    }
}

/// Streams of the crate are dropped with work behind a shut gate; all of it runs.
fn drop_of_a_busy_stream_does_not_wait() {
    let (send, receive) = mpsc::channel();
    let mut gates = Vec::new();
    for index in 0..20 {
        let stream = own_stream();
        gates.push(gate(stream.raw().as_ptr()));
        let send = send.clone();
        stream.launch_host_func(Box::new(move || send.send(index).unwrap())).unwrap();
    }
    drop(send);
    assert!(receive.try_recv().is_err(), "the work ran before the gate opened");
    gates.iter().for_each(support::bare::Gate::open);
    let mut ran: Vec<i32> = receive.iter().collect();
    ran.sort_unstable();
    assert!(ran.into_iter().eq(0..20));
}

/// Drops every object in every state, while all work of the device waits for this thread. If a drop
/// waited for work, this test would not end.
fn drop_of_any_object_does_not_wait() {
    let (raw, raw_other) = (new_stream(0, 1, 0), new_stream(0, 1, 0));
    let (stream, other) = (wrap(raw), wrap(raw_other));
    let builder = || EventOptions::builder();
    let options = [
        EventOptions::new(),
        EventOptions::timed(),
        builder().blocking(true).build().unwrap(),
        builder().interprocess(true).build().unwrap(),
    ];
    for on_this_thread in [true, false] {
        let mut objects: Vec<Box<dyn std::any::Any + Send>> = Vec::new();
        let complete = options.map(|options| Hip::new_event(device(), options));
        for event in complete.iter().flatten() {
            stream.record(event).unwrap();
        }
        stream.synchronize().unwrap();
        // Blocks all work of the device that this test submits.
        let gates = [gate(raw), gate(raw_other)];
        objects.extend(complete.into_iter().flatten().map(|event| Box::new(event) as _));
        for escaped in [false, true] {
            for event in
                options.map(|options| Hip::new_event(device(), options)).into_iter().flatten()
            {
                if escaped {
                    event.raw();
                }
                stream.record(&event).unwrap();
                other.wait_event(&event).unwrap();
                objects.push(Box::new(event));
            }
            objects.push(Box::new(stream.record_event().unwrap()));
            objects.push(Box::new(own_event(EventOptions::new())));
        }
        let busy = own_stream();
        busy.wait_stream(&stream).unwrap();
        let last = busy.record_event().unwrap();
        objects.extend([Box::new(busy) as Box<dyn std::any::Any + Send>, Box::new(last)]);
        objects.push(Box::new(own_stream()));
        if on_this_thread {
            drop(objects);
        } else {
            // A thread that makes no other call of the crate.
            std::thread::spawn(move || drop(objects)).join().unwrap();
        }
        gates.iter().for_each(bare::Gate::open);
        stream.synchronize().unwrap();
        other.synchronize().unwrap();
    }
}
