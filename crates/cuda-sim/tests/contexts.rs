//! Primary contexts that end while handles of their objects are kept.
//!
//! The tests run one at a time, because the primary context is global to the process.
#![cfg(target_os = "linux")]

mod support;

use std::ffi::{c_int, c_void};
use std::os::unix::process::ExitStatusExt;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use gpu_stream_faults::Controls;
use support::{
    Context, DEAD, Ptr, answers_by_current, driver, get, is_active, ok, reset, run_child, set,
};

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn current() -> Ptr {
    let mut context = null_mut();
    // SAFETY: `&mut context` is a valid out-pointer.
    ok(unsafe { (driver().ctx_current)(&mut context) });
    context
}

unsafe extern "C" fn count(calls: *mut c_void) {
    // SAFETY: the argument is a counter that lives as long as the process.
    unsafe { AtomicU32::from_ptr(calls.cast()) }.fetch_add(1, Ordering::SeqCst);
}

/// Returns the answers of calls on a stream and an event of a dead context.
fn answers(stream: Ptr, event: Ptr) -> [c_int; 10] {
    let mut out = null_mut();
    // SAFETY: the simulator checks every handle, and the out-pointers are valid.
    unsafe {
        [
            (driver().stream_query)(stream),
            (driver().stream_synchronize)(stream),
            (driver().stream_wait_event)(stream, event, 0),
            (driver().stream_context)(stream, &mut out),
            (driver().launch_host_func)(stream, count, null_mut()),
            (driver().event_query)(event),
            (driver().event_synchronize)(event),
            (driver().event_record)(event, stream),
            (driver().event_destroy)(event),
            (driver().stream_destroy)(stream),
        ]
    }
}

fn id(context: Ptr) -> Result<u64, c_int> {
    let mut id = 0;
    // SAFETY: `&mut id` is a valid out-pointer.
    match unsafe { (driver().ctx_id)(context, &mut id) } {
        0 => Ok(id),
        code => Err(code),
    }
}

/// Ends the primary context by `end` while handles of its objects are kept.
fn end_with_objects(end: fn()) -> (Context, Ptr, Ptr) {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let controls = Controls::of(cuda_sim::library().unwrap()).expect("the plan of faults");
    let before = (controls.live("stream"), controls.live("event"), CALLS.load(Ordering::SeqCst));
    let context = Context::primary(0);
    let (stream, event) = (context.stream(0), context.event());
    let done = &context.words(1)[0];
    context.store(stream, done, 1);
    // SAFETY: the simulator checks every handle, and the counter is never freed.
    unsafe {
        ok((driver().launch_host_func)(stream, count, CALLS.as_ptr().cast()));
        ok((driver().event_record)(event, stream));
    }
    assert!(is_active());
    end();
    assert!(!is_active());
    assert_eq!((get(done), CALLS.load(Ordering::SeqCst)), (1, before.2 + 1), "it was waited for");
    assert_eq!((controls.live("stream"), controls.live("event")), (before.0, before.1));
    for _ in 0..2 {
        assert_eq!(answers(stream, event), [709; 10]);
    }
    assert_eq!((controls.wrong(), context.function(c"store")), (0, Err(709)));
    assert_eq!(current(), context.handle, "it stays current");
    assert_eq!((answers_by_current(), id(context.handle)), (DEAD, Err(709)));
    // The dead context can be made current. Most calls under it then fail.
    //
    // SAFETY: the simulator checks every handle.
    unsafe {
        ok((driver().ctx_set_current)(null_mut()));
        ok((driver().ctx_push)(context.handle));
    }
    assert_eq!(answers_by_current(), DEAD);
    (context, stream, event)
}

/// Checks that the next primary context works.
fn next_after(context: &Context, stream: Ptr, event: Ptr, is_same: bool) {
    let next = Context::primary(0);
    assert_eq!(next.handle == context.handle, is_same);
    assert!(is_active());
    let (fresh, own) = (next.stream(1), next.event());
    assert!(fresh != stream && own != event);
    // SAFETY: the simulator checks every handle.
    unsafe {
        ok((driver().event_record)(own, fresh));
        ok((driver().event_synchronize)(own));
    }
    let word = &next.words(1)[0];
    next.store(fresh, word, 5);
    next.synchronize(fresh);
    assert_eq!((get(word), next.query(null_mut())), (5, 0));
    Context::of(context.handle);
    assert_eq!(answers_by_current(), if is_same { [0; 5] } else { DEAD });
}

#[test]
fn reset_ends_all_objects_of_the_primary_context() {
    let _alone = alone();
    let before = id(Context::primary(0).handle);
    let (context, stream, event) = end_with_objects(reset);
    next_after(&context, stream, event, true);
    assert!(before.is_ok() && id(context.handle).is_ok());
    assert_ne!(id(context.handle), before, "another context of the same handle");
    assert_eq!(id(null_mut()), id(context.handle));
    assert_ne!(id(Context::new(0).handle), id(context.handle));
    // A reset releases nothing, so three references remain.
    for (code, active) in [(0, true), (0, true), (0, false), (201, false)] {
        // SAFETY: the simulator checks handles that outlive the context.
        assert_eq!(unsafe { (driver().primary_release)(0) }, code);
        assert_eq!(is_active(), active);
    }
    // A reset of an inactive context leaves it inactive.
    reset();
    assert!(!is_active());
}

#[test]
fn last_release_acts_like_a_reset() {
    let _alone = alone();
    let (context, stream, event) = end_with_objects(|| {
        // SAFETY: the simulator checks handles that outlive the context.
        ok(unsafe { (driver().primary_release)(0) });
    });
    next_after(&context, stream, event, true);
    // SAFETY: the simulator checks handles that outlive the context.
    ok(unsafe { (driver().primary_release)(0) });
}

/// A reset and a last release return when the work is done.
#[test]
fn reset_waits_for_pending_work() {
    let _alone = alone();
    for is_release in [false, true] {
        let context = Context::primary(0);
        let stream = context.stream(1);
        let [gate, done] = context.words(2) else { unreachable!() };
        context.gate(stream, gate);
        context.store(stream, done, 1);
        let ending = std::thread::spawn(move || {
            // SAFETY: the simulator checks handles that outlive the context.
            ok(unsafe {
                if is_release { (driver().primary_release)(0) } else { (driver().primary_reset)(0) }
            });
        });
        for _ in 0..200 {
            std::thread::yield_now();
            assert!(!ending.is_finished() && is_active());
        }
        set(gate, 1);
        ending.join().expect("the thread");
        assert_eq!((get(done), is_active()), (1, false));
        if !is_release {
            // SAFETY: the simulator checks handles that outlive the context.
            ok(unsafe { (driver().primary_release)(0) });
        }
    }
}

#[test]
fn other_drivers_by_variables() {
    for (part, variables) in [
        ("another context", ("CUDA_SIM_SAME_CONTEXT", "0")),
        // The fault breaks the primary context of its process.
        ("a fault persists", ("CUDA_SIM_GPUS", "2")),
    ] {
        let output = run_child(part, &[variables]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A real driver crashes in this case.
#[test]
fn object_from_before_a_reset_aborts_after_the_next_retain() {
    for (part, text) in [
        ("an old stream", "cuStreamQuery: stream 0x"),
        ("an old event", "cuEventRecord: event 0x"),
        ("an old stream elsewhere", "cuStreamQuery: stream 0x"),
    ] {
        let same = if part == "an old stream elsewhere" { "0" } else { "1" };
        let output = run_child(part, &[("CUDA_SIM_SAME_CONTEXT", same)]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), Some(6), "{part}: {stderr}");
        assert!(stderr.contains(text) && stderr.contains("was destroyed"), "{part}: {stderr}");
    }
}

fn use_after_retain(part: &str) {
    let (_, stream, event) = end_with_objects(reset);
    let next = Context::primary(0);
    if part == "an old event" {
        // SAFETY: the simulator checks every handle, and aborts here.
        unsafe { (driver().event_record)(event, next.stream(1)) };
    }
    next.query(stream);
}

/// After failed work, a reset allows no new context.
fn fault_persists() {
    let context = Context::primary(0);
    let stream = context.stream(1);
    cuda_sim::fail(stream.addr(), 719).expect("the simulator is loaded");
    // SAFETY: the simulator checks every handle, and the out-pointer is valid.
    unsafe {
        assert_eq!((driver().stream_synchronize)(stream), 719);
        reset();
        assert!(!is_active());
        let mut again = null_mut();
        assert_eq!((driver().primary_retain)(&mut again, 0), 719);
        assert_eq!(answers_by_current(), DEAD);
        ok((driver().primary_retain)(&mut again, 1));
    }
}

#[test]
fn reset_ends_captures() {
    let _alone = alone();
    let (outer, context) = (Context::new(0), Context::primary(0));
    let (stream, event) = (context.stream(1), context.event());
    outer.make_current();
    let member = outer.stream(1);
    let mut status = -1;
    // SAFETY: the simulator checks every handle, and `&mut status` is a valid out-pointer.
    unsafe {
        ok((driver().begin_capture)(stream, 2));
        ok((driver().event_record)(event, stream));
        ok((driver().stream_wait_event)(member, event, 0));
        reset();
        // The capture began on a stream that no longer exists.
        ok((driver().capture_status)(member, &mut status));
        assert_eq!(status, 0);
        ok((driver().primary_release)(0));
    }
}

/// Runs the parts that need a process of their own.
#[test]
fn child() {
    match support::child().as_deref() {
        Some("another context") => {
            let (context, stream, event) = end_with_objects(reset);
            next_after(&context, stream, event, false);
        }
        Some("a fault persists") => fault_persists(),
        Some(part) if part.starts_with("an old ") => use_after_retain(part),
        _ => {}
    }
}
