//! Green contexts: their streams and events, and their destruction.
//!
//! The tests run one at a time, because the primary context is global to the process.
#![cfg(target_os = "linux")]

mod support;

use std::ffi::c_int;
use std::ptr::null_mut;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gpu_stream_faults::Controls;
use support::{Context, DEAD, Ptr, answers_by_current, driver, get, is_active, ok, run_child, set};

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Creates a green context of device 0. Returns it and its context handle.
fn green() -> (Ptr, Ptr) {
    let (mut resource, mut description) = ([0; 18], null_mut());
    let (mut green, mut context) = (null_mut(), null_mut());
    let driver = support::started();
    // SAFETY: the out-pointers are valid, and the resource is 144 bytes long.
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
    // SAFETY: `&mut stream` is a valid out-pointer.
    unsafe {
        assert_eq!((driver().green_stream)(&mut stream, green, 0, 0), 1, "a blocking one");
        ok((driver().green_stream)(&mut stream, green, 1, 0));
    }
    stream
}

/// Returns a stream's context by the older function and by the newer one, and its green context by
/// both functions that report it.
fn contexts_of(stream: Ptr) -> (Result<Ptr, c_int>, Ptr, [Ptr; 2]) {
    let (mut older, mut newer, mut green, mut queried) =
        (null_mut(), null_mut(), null_mut(), null_mut());
    // SAFETY: the out-pointers are valid.
    unsafe {
        let code = (driver().stream_context)(stream, &mut older);
        ok((driver().stream_context_v2)(stream, &mut newer, &mut green));
        ok((driver().stream_green)(stream, &mut queried));
        (if code == 0 { Ok(older) } else { Err(code) }, newer, [green, queried])
    }
}

/// Checks the streams and events of a green context. `older` maps its context handle to the
/// expected answer of `cuStreamGetCtx`.
fn green_streams(older: fn(Ptr) -> Result<Ptr, c_int>) {
    let primary = Context::primary(0);
    let (plain, of_primary) = (primary.stream(1), primary.event());
    let (green, handle) = green();
    assert_ne!(handle, primary.handle);
    let stream = green_stream(green);
    assert_eq!(contexts_of(stream), (older(handle), primary.handle, [green; 2]));
    assert_eq!(contexts_of(plain), (Ok(primary.handle), primary.handle, [null_mut(); 2]));
    let within = Context::of(handle);
    let (own, created) = (within.event(), within.stream(0));
    assert_eq!(contexts_of(created).2, [green; 2]);
    let mut flags = 0;
    // SAFETY: the stream is live, and `&mut flags` is a valid out-pointer.
    ok(unsafe { (driver().stream_flags)(created, &mut flags) });
    assert_eq!(flags, 1, "flags of 0 make a non-blocking stream here");
    assert_eq!(contexts_of(null_mut()).2, [green; 2]);
    let words = within.words(2);
    let stranger = Context::new(0).event();
    Context::of(handle);
    // SAFETY: the simulator checks every handle.
    unsafe {
        // Events of the green context and of the primary one fit streams of both. An event of
        // another context fits neither.
        ok((driver().event_record)(of_primary, stream));
        ok((driver().event_record)(own, plain));
        assert_eq!((driver().event_record)(stranger, stream), 400);
        assert_eq!((driver().event_record)(stranger, plain), 400);
        // A wait orders a stream of one after a stream of the other.
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
        // The green context retains the primary context.
        ok((driver().primary_release)(0));
        assert!(is_active());
        ok((driver().green_destroy)(green));
        assert!(!is_active());
    }
}

#[test]
fn green_context_shares_events_with_the_primary_context() {
    let _alone = alone();
    green_streams(Ok);
}

/// Destroys a green context before its streams and events. Calls on its streams then return `dead`,
/// and destroys return `gone`.
fn green_destroyed(dead: c_int, gone: c_int) {
    let controls = Controls::of(cuda_sim::library().unwrap()).expect("the plan of faults");
    let primary = Context::primary(0);
    let (first, handle) = green();
    let (stream, origin) = (green_stream(first), green_stream(first));
    let member = primary.stream(1);
    let event = Context::of(handle).event();
    let live = controls.live("stream");
    let mut status = -1;
    // SAFETY: the simulator checks every handle, and the out-pointer is valid.
    unsafe {
        ok((driver().event_record)(event, stream));
        ok((driver().stream_synchronize)(stream));
        let captured = Context::of(handle).event();
        ok((driver().begin_capture)(origin, 2));
        ok((driver().event_record)(captured, origin));
        ok((driver().stream_wait_event)(member, captured, 0));
        ok((driver().green_destroy)(first));
        assert_eq!((driver().stream_query)(stream), dead);
        assert_eq!((driver().stream_synchronize)(origin), dead);
        assert_eq!((driver().event_record)(event, stream), dead);
        ok((driver().event_query)(event));
        ok((driver().event_synchronize)(event));
        assert_eq!(answers_by_current(), DEAD);
        ok((driver().capture_status)(member, &mut status));
        assert_eq!(status, 0, "the capture began on a stream that is gone");
        ok((driver().event_record)(event, member));
        ok((driver().event_destroy)(event));
        assert_eq!((driver().stream_destroy)(stream), gone);
        assert_eq!((driver().stream_destroy)(origin), gone);
        let left = if gone == 0 { live - 2 } else { live };
        assert_eq!((controls.live("stream"), controls.wrong()), (left, 0));
        ok((driver().primary_release)(0));
    }
}

#[test]
fn streams_of_a_destroyed_green_context_answer_its_code() {
    let _alone = alone();
    green_destroyed(709, 709);
}

#[test]
fn primary_context_with_a_green_context_rejects_reset() {
    let _alone = alone();
    let (green, _) = green();
    let stream = green_stream(green);
    // SAFETY: the simulator checks every handle.
    unsafe {
        assert_eq!((driver().primary_reset)(0), 800);
        assert!(is_active());
        ok((driver().stream_query)(stream));
        ok((driver().green_destroy)(green));
    }
    assert!(!is_active());
}

/// Failing work in a green context also breaks the primary context.
fn a_fault_of_a_green_context() {
    let primary = Context::primary(0);
    let plain = primary.stream(1);
    let (green, _) = green();
    let stream = green_stream(green);
    cuda_sim::fail(stream.addr(), 719).expect("the simulator is loaded");
    // SAFETY: the simulator checks every handle.
    assert_eq!(unsafe { (driver().stream_synchronize)(stream) }, 719);
    assert_eq!(primary.query(plain), 719);
}

#[test]
fn other_drivers_by_variables() {
    for (part, variables) in [
        ("green 801", ("CUDA_SIM_GREEN_801", "1")),
        ("detached", ("CUDA_SIM_VERSION", "13.1")),
        // The fault breaks the primary context of its process.
        ("a fault of a green context", ("CUDA_SIM_GPUS", "1")),
    ] {
        let output = run_child(part, &[variables]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Runs the parts that need a process of their own.
#[test]
fn child() {
    match support::child().as_deref() {
        Some("green 801") => green_streams(|_| Err(801)),
        Some("detached") => green_destroyed(917, 0),
        Some("a fault of a green context") => a_fault_of_a_green_context(),
        _ => {}
    }
}
