//! While one thread synchronizes, the calls of others go on: with HIP's own calls they would not.

mod support;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use gpu_stream_core::{Backend, Event, EventOptions, EventStatus, Stream, StreamOptions};
use gpu_stream_hip::{Hip, HipEvent, HipStream};
use support::bare::{self, bare, gate, new_stream, ok};
use support::capture::Capture;
use support::{device, wrap};

fn main() -> ExitCode {
    support::main(&[
        ("beside_an_event_s_synchronize", || beside(|_, event| event.synchronize().unwrap())),
        ("beside_a_stream_s_synchronize", || beside(|stream, _| stream.synchronize().unwrap())),
        ("a_synchronize_waits_for_its_record", a_synchronize_waits_for_its_record),
        ("a_synchronize_waits_for_a_record_of_others", a_synchronize_waits_for_a_record_of_others),
        ("records_while_others_synchronize", records_while_others_synchronize),
        ("a_drop_does_not_wait", a_drop_does_not_wait),
        ("no_drop_waits_for_work", no_drop_waits_for_work),
        ("a_drop_beside_a_capture_does_not_wait", a_drop_beside_a_capture_does_not_wait),
    ])
}

/// All that does not block, on a stream and an event for which another thread waits behind a gate
/// that is opened only after it: were it to block, this would not end.
fn beside(wait: fn(&HipStream, &HipEvent)) {
    for options in [EventOptions::new(), EventOptions::timed()] {
        let raw = new_stream(0, 1, 0);
        let (stream, other) = (wrap(raw), Hip::new_stream(device(), StreamOptions::new()).unwrap());
        let gate = gate(raw);
        let event = Hip::new_event(device(), options).unwrap();
        stream.record(&event).unwrap();
        let (begin, begun) = mpsc::channel();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                begin.send(()).unwrap();
                wait(&stream, &event);
            });
            begun.recv().unwrap();
            // It is waiting now, or will be in one of these rounds.
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

/// The record that counts is the one that was there when the call began: not one that another
/// thread makes meanwhile, and that is behind a gate which opens only after the call has returned.
fn a_synchronize_waits_for_its_record() {
    for options in [EventOptions::new(), EventOptions::timed()] {
        for escaped in [false, true] {
            // Nobody can see that a call has begun. If the thread was held up until the second
            // record was there, it rightly waits for that one, and the attempt says nothing.
            let seen = (0..100).any(|_| synchronize_returns_before_the_second(options, escaped));
            assert!(seen, "in 100 attempts, it always waited for a record made after the call");
        }
    }
}

/// Whether a synchronize that began before a second record, as far as one can tell, returned before
/// that record was complete.
fn synchronize_returns_before_the_second(options: EventOptions, escaped: bool) -> bool {
    let (raw_first, raw_second) = (new_stream(0, 1, 0), new_stream(0, 1, 0));
    let (first, second) = (wrap(raw_first), wrap(raw_second));
    let event = Hip::new_event(device(), options).unwrap();
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
        // It has all the turns that it needs, if it waits for the first record only.
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
        assert_eq!(event.raw(), handle, "a handle that others have is exchanged");
    }
    returned
}

/// Likewise, if the first record is another library's, which has the handle, and we make the second.
fn a_synchronize_waits_for_a_record_of_others() {
    let waits = || {
        let (theirs, ours) = (new_stream(0, 1, 0), wrap(new_stream(0, 1, 0)));
        let event = Hip::new_event(device(), EventOptions::new()).unwrap();
        let gate = gate(theirs);
        // SAFETY: both are alive, and of one device.
        let code = unsafe { (bare().event_record)(event.raw().as_ptr(), theirs) };
        ok("event_record", code);
        let (begin, begun) = mpsc::channel();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                begin.send(()).unwrap();
                event.synchronize().unwrap();
            });
            begun.recv().unwrap();
            (0..2_000).for_each(|_| std::thread::yield_now());
            ours.record(&event).unwrap();
            ours.synchronize().unwrap();
            // If it began only now, it waits for our record, which is complete: no answer.
            let stays = (0..20_000).all(|_| {
                std::thread::yield_now();
                !waiting.is_finished()
            });
            gate.open();
            stays
        })
    };
    assert!((0..100).any(|_| waits()), "in 100 attempts, it never waited for the others' record");
}

/// Threads synchronize and ask all the time while another records on stream after stream.
fn records_while_others_synchronize() {
    let done = AtomicBool::new(false);
    for escaped in [false, true] {
        done.store(false, Ordering::SeqCst);
        let event = Hip::new_event(device(), EventOptions::new()).unwrap();
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
                let stream = Hip::new_stream(device(), StreamOptions::new()).unwrap();
                let ran = Arc::new(AtomicBool::new(false));
                let runs = Arc::clone(&ran);
                let func = move || runs.store(true, Ordering::SeqCst);
                stream.launch_host_func(Box::new(func)).unwrap();
                stream.record(&event).unwrap();
                event.synchronize().unwrap();
                assert!(ran.load(Ordering::SeqCst), "complete, and the work has not run");
            }
            done.store(true, Ordering::SeqCst);
        });
    }
}

/// HIP 5.7 does not say whether a stream is busy while another is captured.
fn a_drop_beside_a_capture_does_not_wait() {
    for mode in [0, 1, 2] {
        let stream = Hip::new_stream(device(), StreamOptions::new()).unwrap();
        let gate = gate(stream.raw().as_ptr());
        let capture = Capture::begin(new_stream(0, 1, 0), mode);
        let event = stream.record_event().unwrap();
        drop(stream);
        assert_eq!(event.status().unwrap(), EventStatus::Pending);
        // The last share in the stream.
        drop(event);
        capture.alive("dropping a busy stream");
        capture.end().map(drop).expect("the end of the capture");
        gate.open();
    }
}

/// Streams of ours are dropped with work behind a shut gate; all of it runs.
fn a_drop_does_not_wait() {
    let (send, receive) = mpsc::channel();
    let mut gates = Vec::new();
    for index in 0..20 {
        let stream = Hip::new_stream(device(), StreamOptions::new()).unwrap();
        gates.push(gate(stream.raw().as_ptr()));
        let send = send.clone();
        stream.launch_host_func(Box::new(move || send.send(index).unwrap())).unwrap();
    }
    drop(send);
    assert!(receive.try_recv().is_err(), "it ran in front of the gate");
    gates.iter().for_each(support::bare::Gate::open);
    let mut ran: Vec<i32> = receive.iter().collect();
    ran.sort_unstable();
    assert!(ran.into_iter().eq(0..20));
}

/// Every object in every state, dropped by the thread that lets its work go on, and all work of the
/// device: were a drop to wait, this would not end.
fn no_drop_waits_for_work() {
    let (raw, raw_other) = (new_stream(0, 1, 0), new_stream(0, 1, 0));
    let (stream, other) = (wrap(raw), wrap(raw_other));
    let builder = || EventOptions::builder();
    let options = [
        EventOptions::new(),
        EventOptions::timed(),
        builder().blocking(true).build().unwrap(),
        builder().interprocess(true).build().unwrap(),
    ];
    for is_free in [true, false] {
        let mut objects: Vec<Box<dyn std::any::Any + Send>> = Vec::new();
        let complete = options.map(|options| Hip::new_event(device(), options));
        for event in complete.iter().flatten() {
            stream.record(event).unwrap();
        }
        stream.synchronize().unwrap();
        // All work of the device, as far as it is ours.
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
            objects.push(Box::new(Hip::new_event(device(), EventOptions::new()).unwrap()));
        }
        let busy = Hip::new_stream(device(), StreamOptions::new()).unwrap();
        busy.wait_stream(&stream).unwrap();
        let last = busy.record_event().unwrap();
        objects.extend([Box::new(busy) as Box<dyn std::any::Any + Send>, Box::new(last)]);
        objects.push(Box::new(Hip::new_stream(device(), StreamOptions::new()).unwrap()));
        if is_free {
            drop(objects);
        } else {
            // A thread that makes no call of the crate.
            std::thread::spawn(move || drop(objects)).join().unwrap();
        }
        gates.iter().for_each(bare::Gate::open);
        stream.synchronize().unwrap();
        other.synchronize().unwrap();
    }
}
