//! The end of everything that a stream is given. Closures run once or are dropped once. Objects that are
//! dropped inside a closure are destroyed soon, with no lock held.

mod support;

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};

use gpu_stream_core::{Backend, ErrorKind, Event, EventOptions, RawStream, Stream, StreamOwner};
use gpu_stream_hip::{Hip, HipStream};
use gpu_stream_test_support::cases;
use support::bare::{Ptr, bare, gate, new_stream, synchronize};
use support::{expect_kind, own_event, own_stream, wrap};

fn main() -> ExitCode {
    support::main(&cases![
        owners_dropped_in_host_functions_are_released_soon,
        drop_of_an_owner_may_call_and_block,
        panic_of_an_owner_loses_no_other_owner,
        panic_of_an_owner_during_unwinding_does_not_abort,
        closure_after_a_panic_is_dropped_unrun,
        new_stream_with_a_reused_handle_has_no_fault,
        objects_dropped_in_a_foreign_callback_are_destroyed,
        failed_wrapping_during_unwinding_does_not_abort
    ])
}

/// An owner of a stream that is never destroyed. It runs code when it is dropped.
struct Owner {
    raw: usize,
    at_drop: Mutex<Box<dyn FnMut() + Send>>,
}

// SAFETY: the tests' streams are never destroyed.
unsafe impl StreamOwner<Hip> for Owner {
    fn raw_stream(&self) -> RawStream<Hip> {
        RawStream::from_bits(self.raw)
    }
}

// SAFETY: the null handle is no event, and the backend rejects it without using it.
unsafe impl gpu_stream_core::EventOwner<Hip> for Owner {
    fn raw_event(&self) -> gpu_stream_core::RawEvent<Hip> {
        gpu_stream_core::RawEvent::from_bits(0)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.at_drop.get_mut().expect("no panic before")();
    }
}

/// Wraps a stream with an owner that runs `at_drop` when it is dropped.
fn owned(raw: Ptr, at_drop: impl FnMut() + Send + 'static) -> HipStream {
    let raw = RawStream::<Hip>::from_ptr(raw).to_bits();
    let owner = Owner { raw, at_drop: Mutex::new(Box::new(at_drop)) };
    Hip::stream_from_owner(Arc::new(owner), None).expect("a stream with an owner")
}

/// A steady loop that creates nothing: it reuses streams and pooled events.
fn owners_dropped_in_host_functions_are_released_soon() {
    let (own, raw, alive) = (own_stream(), new_stream(0, 1, 0), Arc::new(AtomicUsize::new(0)));
    for round in 0..300 {
        alive.fetch_add(1, Ordering::SeqCst);
        let count = Arc::clone(&alive);
        let foreign = owned(raw, move || _ = count.fetch_sub(1, Ordering::SeqCst));
        own.wait_stream(&foreign).expect("wait_stream");
        let event = foreign.record_event().expect("a record");
        own.launch_host_func(Box::new(move || drop((foreign, event)))).expect("a launch");
        own.synchronize().expect("synchronize");
        let left = alive.load(Ordering::SeqCst);
        assert!(left <= 2, "{left} owners are alive after round {round}");
    }
}

/// The backend holds no lock while it drops an owner: the drop waits for another thread that uses the
/// same streams.
fn drop_of_an_owner_may_call_and_block() {
    let (own, source) = (own_stream(), own_stream());
    let (raw, gone) = (new_stream(0, 1, 0), Arc::new(AtomicUsize::new(0)));
    let (go, other_thread) = mpsc::channel::<()>();
    let (done, owner_waits) = mpsc::channel::<()>();
    let (count, streams) = (Arc::clone(&gone), (own.clone(), source.clone()));
    let owner_waits = Mutex::new(owner_waits);
    let foreign = owned(raw, move || {
        streams.0.wait_stream(&streams.1).expect("a call in the owner's drop");
        go.send(()).expect("the other thread");
        owner_waits.lock().expect("once").recv().expect("the other thread is done");
        count.fetch_add(1, Ordering::SeqCst);
    });
    std::thread::scope(|scope| {
        let (own, source) = (&own, &source);
        scope.spawn(move || {
            other_thread.recv().expect("the owner's drop");
            own.wait_stream(source).expect("wait_stream");
            source.fork([own]).expect("fork");
            own.join([source]).expect("join");
            own.record_event().expect("a record").query().expect("query");
            done.send(()).expect("the owner");
        });
        own.launch_host_func(Box::new(move || drop(foreign))).expect("a launch");
        while gone.load(Ordering::SeqCst) == 0 {
            own.wait_stream(source).expect("wait_stream");
        }
    });
}

fn panic_of_an_owner_loses_no_other_owner() {
    let (own, raw, gone) = (own_stream(), new_stream(0, 1, 0), Arc::new(AtomicUsize::new(0)));
    let owners = [(); 6].map(|()| {
        let count = Arc::clone(&gone);
        owned(raw, move || {
            count.fetch_add(1, Ordering::SeqCst);
            std::panic::resume_unwind(Box::new("meant to fail"));
        })
    });
    let event = own_event(EventOptions::new());
    let source = own_stream();
    let barrier = &Barrier::new(4);
    std::thread::scope(|scope| {
        own.launch_host_func(Box::new(move || drop(owners))).expect("a launch");
        synchronize(own.raw().as_ptr());
        for _ in 0..4 {
            let (source, event) = (&source, &event);
            scope.spawn(move || {
                let waiter = own_stream();
                barrier.wait();
                for _ in 0..50 {
                    waiter.wait_stream(source).expect("no panic of an owner comes out");
                    source.record(event).expect("a record");
                }
            });
        }
    });
    assert_eq!(gone.load(Ordering::SeqCst), 6);
    // The panic of an owner that a record drops.
    let count = Arc::clone(&gone);
    let foreign = owned(raw, move || {
        count.fetch_add(1, Ordering::SeqCst);
        std::panic::resume_unwind(Box::new("meant to fail"));
    });
    foreign.record(&event).expect("a record");
    drop(foreign);
    source.record(&event).expect("the record is made, whatever the owner does");
    source.record(&event).expect("and once more");
    assert_eq!(gone.load(Ordering::SeqCst), 7);
}

fn panic_of_an_owner_during_unwinding_does_not_abort() {
    let raw = new_stream(0, 1, 0);
    let bomb = || owned(raw, || std::panic::resume_unwind(Box::new("the owner's")));
    let unwound = std::panic::catch_unwind(|| {
        let foreign = bomb();
        let _event = foreign.record_event().expect("a record");
        let (_first, _second) = (foreign, bomb());
        std::panic::resume_unwind(Box::new("the caller's"));
    });
    assert_eq!(unwound.unwrap_err().downcast_ref::<&str>(), Some(&"the caller's"));
    let alone = std::panic::catch_unwind(|| drop(bomb()));
    assert!(alone.is_err(), "a single panic of an owner unwinds its thread");
}

fn closure_after_a_panic_is_dropped_unrun() {
    let raw = new_stream(0, 1, 0);
    let (stream, other) = (wrap(raw), wrap(new_stream(0, 1, 0)));
    let gate = gate(raw);
    let (send, receive) = mpsc::channel::<&str>();
    let other_sender = send.clone();
    stream
        .launch_host_func(Box::new(|| std::panic::resume_unwind(Box::new("meant to fail"))))
        .expect("a launch");
    stream.clone().launch_host_func(Box::new(move || send.send("ran").expect("the test"))).unwrap();
    other
        .launch_host_func(Box::new(move || other_sender.send("other").expect("the test")))
        .unwrap();
    assert_eq!(receive.recv(), Ok("other"));
    gate.open();
    // The closure's sender is dropped with it.
    assert_eq!(receive.recv(), Err(mpsc::RecvError), "the closure after a panic ran");
    expect_kind("query", stream.query(), ErrorKind::StreamFault);
    other.synchronize().expect("another stream");
}

/// The runtime may reuse the handle of a destroyed stream. The new stream has no fault.
fn new_stream_with_a_reused_handle_has_no_fault() {
    for _ in 0..20 {
        let stream = own_stream();
        stream.synchronize().expect("a new stream has no fault");
        stream
            .launch_host_func(Box::new(|| std::panic::resume_unwind(Box::new("meant to fail"))))
            .expect("a launch");
        synchronize(stream.raw().as_ptr());
        expect_kind("query", stream.query(), ErrorKind::StreamFault);
    }
}

/// HIP's own destroy functions hang inside a callback, from 5.7 on. The thread belongs to the runtime,
/// and has never made a call of this crate.
fn objects_dropped_in_a_foreign_callback_are_destroyed() {
    static OBJECTS: Mutex<Vec<Box<dyn std::any::Any + Send>>> = Mutex::new(Vec::new());
    unsafe extern "C" fn drops(_: Ptr, _: std::ffi::c_int, _: Ptr) {
        OBJECTS.lock().expect("no panic").clear();
    }
    for _ in 0..10 {
        let stream = own_stream();
        let event = own_event(EventOptions::timed());
        stream.record(&event).expect("a record");
        stream.synchronize().expect("synchronize");
        OBJECTS.lock().expect("no panic").push(Box::new((stream, event)));
    }
    let raw = new_stream(0, 1, 0);
    // SAFETY: the stream is alive, and the function accepts any user data.
    let code = unsafe { (bare().add_callback)(raw, drops, std::ptr::null_mut(), 0) };
    assert_eq!(code, 0);
    synchronize(raw);
    assert!(OBJECTS.lock().expect("no panic").is_empty());
    // The next calls destroy the dropped objects, and continue.
    let keep = own_stream();
    (0..100).for_each(|_| _ = keep.query().expect("query"));
}

/// A failing call drops its owner, whose `Drop` panics, while the thread is already unwinding.
fn failed_wrapping_during_unwinding_does_not_abort() {
    struct Wraps;
    impl Drop for Wraps {
        fn drop(&mut self) {
            let panics = || std::panic::resume_unwind(Box::new("the owner's"));
            // Handle 2 is the calling thread's own stream, which is never wrapped.
            let owner = || Arc::new(Owner { raw: 2, at_drop: Mutex::new(Box::new(panics)) });
            let kind = ErrorKind::InvalidHandle;
            expect_kind("stream_from_owner", Hip::stream_from_owner(owner(), None), kind);
            expect_kind("event_from_owner", Hip::event_from_owner(owner(), None), kind);
        }
    }
    let unwound = std::panic::catch_unwind(|| {
        let _wraps = Wraps;
        std::panic::resume_unwind(Box::new("the caller's"));
    });
    assert_eq!(unwound.unwrap_err().downcast_ref::<&str>(), Some(&"the caller's"));
}
