//! Contexts that end while their handles are kept, and green contexts.
//!
//! The primary context is the process's, so that the tests take turns.
#![cfg(target_os = "linux")]

mod support;

use std::ffi::{c_int, c_void};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use driver_faults::Controls;
use support::{Context, Ptr, driver, get, ok, run_child, set};

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_active() -> bool {
    let (mut flags, mut active) = (0, 0);
    // SAFETY: places for two numbers.
    ok(unsafe { (driver().primary_state)(0, &mut flags, &mut active) });
    active != 0
}

fn current() -> Ptr {
    let mut context = null_mut();
    // SAFETY: a place for one context.
    ok(unsafe { (driver().ctx_current)(&mut context) });
    context
}

/// Resets the primary context.
fn reset() {
    // SAFETY: handles that are kept are looked up.
    ok(unsafe { (driver().primary_reset)(0) });
}

unsafe extern "C" fn count(calls: *mut c_void) {
    // SAFETY: the argument is a counter that lives as long as the process.
    unsafe { AtomicU32::from_ptr(calls.cast()) }.fetch_add(1, Ordering::SeqCst);
}

/// Returns what calls on a stream and an event of a dead context answer.
fn answers(stream: Ptr, event: Ptr) -> [c_int; 10] {
    let mut place = null_mut();
    // SAFETY: handles are looked up; the rest are places.
    unsafe {
        [
            (driver().stream_query)(stream),
            (driver().stream_synchronize)(stream),
            (driver().stream_wait_event)(stream, event, 0),
            (driver().stream_context)(stream, &mut place),
            (driver().launch_host_func)(stream, count, null_mut()),
            (driver().event_query)(event),
            (driver().event_synchronize)(event),
            (driver().event_record)(event, stream),
            (driver().event_destroy)(event),
            (driver().stream_destroy)(stream),
        ]
    }
}

/// Returns what calls answer that need a current context.
fn answers_by_current() -> [c_int; 5] {
    let (mut made, mut device) = (null_mut(), 0);
    // SAFETY: handles are looked up; the rest are places.
    unsafe {
        [
            (driver().event_create)(&mut made, 2),
            (driver().stream_create)(&mut made, 1, 0),
            (driver().ctx_device)(&mut device),
            (driver().stream_query)(null_mut()),
            (driver().stream_query)(std::ptr::without_provenance_mut(2)),
        ]
    }
}

/// Ends the primary context by `end`, while objects of it are kept.
fn end_with_objects(end: fn()) -> (Context, Ptr, Ptr) {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let controls = Controls::of(driver_sim::library().unwrap()).expect("the plan of faults");
    let before = (controls.live("stream"), controls.live("event"));
    let context = Context::primary(0);
    let (stream, event) = (context.stream(0), context.event());
    let [gate, done] = context.words(2) else { unreachable!() };
    context.gate(stream, gate);
    context.store(stream, done, 1);
    // SAFETY: handles are looked up; the counter is never freed.
    unsafe {
        ok((driver().launch_host_func)(stream, count, CALLS.as_ptr().cast()));
        ok((driver().event_record)(event, stream));
    }
    assert!(is_active());
    end();
    assert!(!is_active());
    assert_eq!((controls.live("stream"), controls.live("event")), before, "they are gone");
    for _ in 0..2 {
        assert_eq!(answers(stream, event), [709; 10]);
    }
    assert_eq!(controls.wrong(), 0);
    assert_eq!(current(), context.handle, "it stays current");
    assert_eq!(answers_by_current(), [201; 5]);
    assert_eq!(context.function(c"store"), Err(709));
    // It can be made current, and every call under it is refused.
    // SAFETY: handles are looked up.
    unsafe {
        ok((driver().ctx_set_current)(null_mut()));
        ok((driver().ctx_push)(context.handle));
    }
    assert_eq!(answers_by_current(), [201; 5]);
    set(gate, 1);
    for _ in 0..200 {
        std::thread::yield_now();
        assert_eq!((get(done), CALLS.load(Ordering::SeqCst)), (0, 0), "work was done");
    }
    (context, stream, event)
}

/// Checks that the next primary context works, and that objects of the one before stay dead.
fn next_after(context: &Context, stream: Ptr, event: Ptr, is_same: bool) {
    let next = Context::primary(0);
    assert_eq!(next.handle == context.handle, is_same);
    assert!(is_active());
    let (fresh, own) = (next.stream(1), next.event());
    assert!(fresh != stream && own != event);
    // SAFETY: handles are looked up.
    unsafe {
        assert_eq!((driver().event_record)(event, fresh), 201);
        assert_eq!((driver().stream_wait_event)(fresh, event, 0), 709);
        ok((driver().event_record)(own, fresh));
        ok((driver().event_synchronize)(own));
    }
    assert_eq!(answers(stream, event), [709; 10]);
    let word = &next.words(1)[0];
    next.store(fresh, word, 5);
    next.synchronize(fresh);
    assert_eq!((get(word), next.query(null_mut())), (5, 0));
    Context::of(context.handle);
    assert_eq!(answers_by_current(), if is_same { [0; 5] } else { [201; 5] });
}

#[test]
fn a_reset_ends_all_that_is_in_the_primary_context() {
    let _alone = alone();
    let (context, stream, event) = end_with_objects(reset);
    next_after(&context, stream, event, false);
    // A reset releases nothing, so that there are two to release.
    for (code, active) in [(0, true), (0, false), (201, false)] {
        // SAFETY: handles that are kept are looked up.
        assert_eq!(unsafe { (driver().primary_release)(0) }, code);
        assert_eq!(is_active(), active);
    }
    // One that is not active stays so.
    reset();
    assert!(!is_active());
}

#[test]
fn the_last_release_is_as_a_reset() {
    let _alone = alone();
    let (context, stream, event) = end_with_objects(|| {
        // SAFETY: handles that are kept are looked up.
        ok(unsafe { (driver().primary_release)(0) });
    });
    next_after(&context, stream, event, false);
    // SAFETY: as above.
    ok(unsafe { (driver().primary_release)(0) });
}

#[test]
fn other_drivers_by_variables() {
    for (part, variables) in [
        ("the same context", ("DRIVER_SIM_SAME_CONTEXT", "1")),
        ("green 801", ("DRIVER_SIM_GREEN_801", "1")),
    ] {
        let output = run_child(part, &[variables]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_reset_breaks_captures_and_comes_between_a_wait_and_its_end() {
    let _alone = alone();
    let (outer, context) = (Context::new(0), Context::primary(0));
    let (stream, event) = (context.stream(1), context.event());
    outer.make_current();
    let member = outer.stream(1);
    let gate = &outer.words(1)[0];
    context.gate(context.stream(1), gate);
    // SAFETY: handles are looked up.
    unsafe {
        ok((driver().begin_capture)(stream, 2));
        ok((driver().event_record)(event, stream));
        ok((driver().stream_wait_event)(member, event, 0));
    }
    // A thread waits for a stream that is held back. The reset ends the wait.
    let held = context.handle.expose_provenance();
    let (waiting, waits) = std::sync::mpsc::channel();
    let waiter = std::thread::spawn(move || {
        let context = Context::of(std::ptr::with_exposed_provenance_mut(held));
        let stream = context.stream(1);
        let closed = &context.words(1)[0];
        context.gate(stream, closed);
        waiting.send(()).expect("the test is there");
        // SAFETY: handles are looked up.
        unsafe { (driver().stream_synchronize)(stream) }
    });
    waits.recv().expect("the thread waits");
    reset();
    assert_eq!(waiter.join().expect("the thread"), 709);
    // The capture began on a stream that is gone.
    let mut status = -1;
    // SAFETY: a place for the number.
    ok(unsafe { (driver().capture_status)(member, &mut status) });
    assert_eq!(status, 0);
    // SAFETY: handles that are kept are looked up.
    ok(unsafe { (driver().primary_release)(0) });
}

/// Makes a green context of device 0. Returns it and its context.
fn green() -> (Ptr, Ptr) {
    let (mut resource, mut description) = ([0; 18], null_mut());
    let (mut green, mut context) = (null_mut(), null_mut());
    let driver = support::started();
    // SAFETY: places for what is made; the resource is 144 bytes long.
    unsafe {
        assert_eq!((driver.device_resource)(0, &mut resource, 77), 914);
        ok((driver.device_resource)(0, &mut resource, 1));
        assert_eq!((driver.resource_desc)(&mut description, &mut resource, 0), 1);
        ok((driver.resource_desc)(&mut description, &mut resource, 1));
        assert_eq!((driver.green_create)(&mut green, description, 0, 0), 1);
        ok((driver.green_create)(&mut green, description, 0, 1));
        ok((driver.ctx_of_green)(&mut context, green));
    }
    (green, context)
}

fn green_stream(green: Ptr) -> Ptr {
    let mut stream = null_mut();
    // SAFETY: a place for one stream.
    unsafe {
        assert_eq!((driver().green_stream)(&mut stream, green, 0, 0), 1, "a blocking one");
        ok((driver().green_stream)(&mut stream, green, 1, 0));
    }
    stream
}

/// Returns the context of a stream by the older function, by the newer one, and its green context by
/// the two functions that name it.
fn contexts_of(stream: Ptr) -> (Result<Ptr, c_int>, Ptr, [Ptr; 2]) {
    let (mut older, mut newer, mut green, mut asked) =
        (null_mut(), null_mut(), null_mut(), null_mut());
    // SAFETY: places for contexts.
    unsafe {
        let code = (driver().stream_context)(stream, &mut older);
        ok((driver().stream_context_v2)(stream, &mut newer, &mut green));
        ok((driver().stream_green)(stream, &mut asked));
        (if code == 0 { Ok(older) } else { Err(code) }, newer, [green, asked])
    }
}

/// Checks what a green context is for its streams. `older` maps its context to the answer of
/// `cuStreamGetCtx`.
fn green_streams(older: fn(Ptr) -> Result<Ptr, c_int>) {
    let primary = Context::primary(0);
    let (plain, of_primary) = (primary.stream(1), primary.event());
    let (green, handle) = green();
    assert_ne!(handle, primary.handle);
    let stream = green_stream(green);
    assert_eq!(contexts_of(stream), (older(handle), primary.handle, [green; 2]));
    assert_eq!(contexts_of(plain), (Ok(primary.handle), primary.handle, [null_mut(); 2]));
    let within = Context::of(handle);
    let (own, blocking) = (within.event(), within.stream(0));
    assert_eq!(contexts_of(blocking).2, [green; 2]);
    assert_eq!(contexts_of(null_mut()).2, [green; 2]);
    let words = within.words(2);
    // SAFETY: handles are looked up.
    unsafe {
        assert_eq!((driver().event_record)(of_primary, stream), 400);
        assert_eq!((driver().event_record)(own, plain), 400);
        // A wait goes from one to the other.
        within.gate(stream, &words[0]);
        ok((driver().event_record)(own, stream));
        ok((driver().stream_wait_event)(plain, own, 0));
        primary.make_current();
        primary.store(plain, &words[1], 1);
        for _ in 0..200 {
            std::thread::yield_now();
            assert_eq!((primary.query(plain), get(&words[1])), (600, 0));
        }
        set(&words[0], 1);
        primary.synchronize(plain);
        assert_eq!(get(&words[1]), 1);
        assert_eq!((driver().ctx_destroy)(handle), 201);
        // It retains the primary context.
        ok((driver().primary_release)(0));
        assert!(is_active());
        ok((driver().green_destroy)(green));
        assert!(!is_active());
    }
}

#[test]
fn streams_and_events_of_a_green_context() {
    let _alone = alone();
    green_streams(Ok);
}

#[test]
fn a_green_context_ends_with_its_primary_one_and_before_its_streams() {
    let _alone = alone();
    let controls = Controls::of(driver_sim::library().unwrap()).expect("the plan of faults");
    let primary = Context::primary(0);
    // Destroyed: its streams are detached, and want to be destroyed.
    let (first, handle) = green();
    let (stream, origin) = (green_stream(first), green_stream(first));
    let member = primary.stream(1);
    let event = Context::of(handle).event();
    let live = controls.live("stream");
    let mut status = -1;
    // SAFETY: handles are looked up; a place for the number.
    unsafe {
        ok((driver().begin_capture)(origin, 2));
        ok((driver().event_record)(event, origin));
        ok((driver().stream_wait_event)(member, event, 0));
        ok((driver().green_destroy)(first));
        assert_eq!((driver().stream_query)(stream), 917);
        assert_eq!((driver().stream_synchronize)(origin), 917);
        assert_eq!((driver().event_query)(event), 709);
        assert_eq!(answers_by_current(), [709; 5]);
        ok((driver().capture_status)(member, &mut status));
        assert_eq!(status, 0, "the capture began on a stream that is detached");
        ok((driver().stream_destroy)(stream));
        ok((driver().stream_destroy)(origin));
    }
    assert_eq!((controls.live("stream"), controls.wrong()), (live - 2, 0));
    // Work that fails in a green context breaks the primary one, too.
    primary.make_current();
    let (second, handle) = green();
    let stream = green_stream(second);
    driver_sim::fail(stream.addr(), 719).expect("the simulator is loaded");
    // SAFETY: handles are looked up.
    assert_eq!(unsafe { (driver().stream_synchronize)(stream) }, 719);
    assert_eq!(primary.query(member), 719);
    // A reset ends both, and the fault.
    reset();
    // SAFETY: as above.
    unsafe {
        assert_eq!((driver().stream_query)(stream), 709);
        assert_eq!((driver().green_destroy)(second), 709);
    }
    Context::of(handle);
    assert_eq!(answers_by_current(), [201; 5]);
    let next = Context::primary(0);
    assert_eq!(next.query(next.stream(1)), 0);
    for code in [0, 0, 0] {
        // SAFETY: as above.
        assert_eq!(unsafe { (driver().primary_release)(0) }, code);
    }
    assert!(!is_active());
}

/// The parts that have variables of their own.
#[test]
fn child() {
    match support::child().as_deref() {
        Some("the same context") => {
            let (context, stream, event) = end_with_objects(reset);
            next_after(&context, stream, event, true);
        }
        Some("green 801") => green_streams(|_| Err(801)),
        _ => {}
    }
}
