//! Whatever is handed to a stream ends: closures run once or are dropped once, and what is dropped inside
//! one is destroyed soon, with nothing held.

mod support;

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};

use gpu_stream_core::{
    Backend, ErrorKind, Event, EventOptions, RawStream, Stream, StreamOptions, StreamOwner,
};
use gpu_stream_hip::{Hip, HipStream};
use support::bare::{Ptr, bare, gate, new_stream, synchronize};
use support::{device, expect_kind, wrap};

fn main() -> ExitCode {
    support::main(&[
        ("owners_dropped_in_host_functions_go_soon", owners_dropped_in_host_functions_go_soon),
        ("an_owner_may_call_and_block", an_owner_may_call_and_block),
        ("owners_that_panic_lose_no_other", owners_that_panic_lose_no_other),
        ("two_panics_do_not_abort", two_panics_do_not_abort),
        ("a_closure_behind_a_panic_is_dropped_unrun", a_closure_behind_a_panic_is_dropped_unrun),
        ("a_stream_of_ours_forgets_its_panic", a_stream_of_ours_forgets_its_panic),
        ("objects_dropped_in_a_foreign_callback", objects_dropped_in_a_foreign_callback),
    ])
}

fn new() -> HipStream {
    Hip::new_stream(device(), StreamOptions::new()).expect("a stream")
}

/// An owner of a stream that is never destroyed, which runs code when it goes.
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

impl Drop for Owner {
    fn drop(&mut self) {
        self.at_drop.get_mut().expect("no panic before")();
    }
}

fn owned(raw: Ptr, at_drop: impl FnMut() + Send + 'static) -> HipStream {
    let raw = RawStream::<Hip>::from_ptr(raw).to_bits();
    let owner = Owner { raw, at_drop: Mutex::new(Box::new(at_drop)) };
    Hip::stream_from_owner(Arc::new(owner), None).expect("a stream with an owner")
}

/// In a steady loop that makes nothing: kept streams, pooled events.
fn owners_dropped_in_host_functions_go_soon() {
    let (mine, raw, alive) = (new(), new_stream(0, 1, 0), Arc::new(AtomicUsize::new(0)));
    for round in 0..300 {
        alive.fetch_add(1, Ordering::SeqCst);
        let count = Arc::clone(&alive);
        let theirs = owned(raw, move || _ = count.fetch_sub(1, Ordering::SeqCst));
        mine.wait_stream(&theirs).expect("wait_stream");
        let event = theirs.record_event().expect("a record");
        mine.launch_host_func(Box::new(move || drop((theirs, event)))).expect("a launch");
        mine.synchronize().expect("synchronize");
        let left = alive.load(Ordering::SeqCst);
        assert!(left <= 2, "{left} owners are alive after round {round}");
    }
}

/// Nothing of the backend is held: the owner's drop waits for another thread that uses the same streams.
fn an_owner_may_call_and_block() {
    let (mine, source) = (new(), new());
    let (raw, gone) = (new_stream(0, 1, 0), Arc::new(AtomicUsize::new(0)));
    let (go, other_thread) = mpsc::channel::<()>();
    let (done, owner_waits) = mpsc::channel::<()>();
    let (count, streams) = (Arc::clone(&gone), (mine.clone(), source.clone()));
    let owner_waits = Mutex::new(owner_waits);
    let theirs = owned(raw, move || {
        streams.0.wait_stream(&streams.1).expect("a call in the owner's drop");
        go.send(()).expect("the other thread");
        owner_waits.lock().expect("once").recv().expect("the other thread is done");
        count.fetch_add(1, Ordering::SeqCst);
    });
    std::thread::scope(|scope| {
        let (mine, source) = (&mine, &source);
        scope.spawn(move || {
            other_thread.recv().expect("the owner's drop");
            mine.wait_stream(source).expect("wait_stream");
            source.fork([mine]).expect("fork");
            mine.join([source]).expect("join");
            mine.record_event().expect("a record").query().expect("query");
            done.send(()).expect("the owner");
        });
        mine.launch_host_func(Box::new(move || drop(theirs))).expect("a launch");
        while gone.load(Ordering::SeqCst) == 0 {
            mine.wait_stream(source).expect("wait_stream");
        }
    });
}

fn owners_that_panic_lose_no_other() {
    let (mine, raw, gone) = (new(), new_stream(0, 1, 0), Arc::new(AtomicUsize::new(0)));
    let owners = [(); 6].map(|()| {
        let count = Arc::clone(&gone);
        owned(raw, move || {
            count.fetch_add(1, Ordering::SeqCst);
            std::panic::resume_unwind(Box::new("meant to fail"));
        })
    });
    let event = Hip::new_event(device(), EventOptions::new()).expect("an event");
    let source = new();
    let barrier = &Barrier::new(4);
    std::thread::scope(|scope| {
        mine.launch_host_func(Box::new(move || drop(owners))).expect("a launch");
        synchronize(mine.raw().as_ptr());
        for _ in 0..4 {
            let (source, event) = (&source, &event);
            scope.spawn(move || {
                let waiter = new();
                barrier.wait();
                for _ in 0..50 {
                    waiter.wait_stream(source).expect("no panic of an owner comes out");
                    source.record(event).expect("a record");
                }
            });
        }
    });
    assert_eq!(gone.load(Ordering::SeqCst), 6);
    // A record that lets an owner go, too.
    let count = Arc::clone(&gone);
    let theirs = owned(raw, move || {
        count.fetch_add(1, Ordering::SeqCst);
        std::panic::resume_unwind(Box::new("meant to fail"));
    });
    theirs.record(&event).expect("a record");
    drop(theirs);
    source.record(&event).expect("the record is made, whatever the owner does");
    source.record(&event).expect("and once more");
    assert_eq!(gone.load(Ordering::SeqCst), 7);
}

fn two_panics_do_not_abort() {
    let raw = new_stream(0, 1, 0);
    let bomb = || owned(raw, || std::panic::resume_unwind(Box::new("the owner's")));
    let unwound = std::panic::catch_unwind(|| {
        let theirs = bomb();
        let _event = theirs.record_event().expect("a record");
        let (_first, _second) = (theirs, bomb());
        std::panic::resume_unwind(Box::new("the caller's"));
    });
    assert_eq!(unwound.unwrap_err().downcast_ref::<&str>(), Some(&"the caller's"));
    let alone = std::panic::catch_unwind(|| drop(bomb()));
    assert!(alone.is_err(), "alone, the panic is its thread's");
}

fn a_closure_behind_a_panic_is_dropped_unrun() {
    let raw = new_stream(0, 1, 0);
    let (stream, other) = (wrap(raw), wrap(new_stream(0, 1, 0)));
    let gate = gate(raw);
    let (send, receive) = mpsc::channel::<&str>();
    let of_other = send.clone();
    stream
        .launch_host_func(Box::new(|| std::panic::resume_unwind(Box::new("meant to fail"))))
        .expect("a launch");
    stream.clone().launch_host_func(Box::new(move || send.send("ran").expect("the test"))).unwrap();
    other.launch_host_func(Box::new(move || of_other.send("other").expect("the test"))).unwrap();
    assert_eq!(receive.recv(), Ok("other"));
    gate.open();
    // Its sender goes when it is dropped.
    assert_eq!(receive.recv(), Err(mpsc::RecvError), "the closure behind a panic ran");
    expect_kind("query", stream.query(), ErrorKind::StreamFault);
    other.synchronize().expect("another stream");
}

/// A handle that the runtime gives again is another stream.
fn a_stream_of_ours_forgets_its_panic() {
    for _ in 0..20 {
        let stream = new();
        stream.synchronize().expect("a new stream has no fault");
        stream
            .launch_host_func(Box::new(|| std::panic::resume_unwind(Box::new("meant to fail"))))
            .expect("a launch");
        synchronize(stream.raw().as_ptr());
        expect_kind("query", stream.query(), ErrorKind::StreamFault);
    }
}

/// HIP's own destroy functions hang there, from 5.7 on. The thread is the runtime's, and has never made
/// a call of this crate.
fn objects_dropped_in_a_foreign_callback() {
    static OBJECTS: Mutex<Vec<Box<dyn std::any::Any + Send>>> = Mutex::new(Vec::new());
    unsafe extern "C" fn drops(_: Ptr, _: std::ffi::c_int, _: Ptr) {
        OBJECTS.lock().expect("no panic").clear();
    }
    for _ in 0..10 {
        let stream = new();
        let event = Hip::new_event(device(), EventOptions::timed()).expect("an event");
        stream.record(&event).expect("a record");
        stream.synchronize().expect("synchronize");
        OBJECTS.lock().expect("no panic").push(Box::new((stream, event)));
    }
    let raw = new_stream(0, 1, 0);
    // SAFETY: the stream is alive, and the function takes any user data.
    let code = unsafe { (bare().add_callback)(raw, drops, std::ptr::null_mut(), 0) };
    assert_eq!(code, 0);
    synchronize(raw);
    assert!(OBJECTS.lock().expect("no panic").is_empty());
    // The next calls destroy what was dropped, and go on.
    let keep = new();
    (0..100).for_each(|_| _ = keep.query().expect("query"));
}
