//! The simulated machine: order, the default stream, captures, fault injection.
//!
//! Each test has its own context, because a default stream belongs to its context.
#![cfg(target_os = "linux")]

mod support;

use std::ffi::{c_int, c_void};
use std::ptr::{null_mut, without_provenance_mut};
use std::sync::atomic::{AtomicU32, Ordering};

use gpu_stream_faults::{At, Controls, InjectedFault, Threads};
use support::{Context, NOT_READY, Ptr, driver, get, library, ok, run_child, set, started};

/// Only non-blocking streams run independently. Blocking streams and the default stream order each
/// other.
#[test]
fn default_stream_synchronises_with_blocking_streams_only() {
    let context = Context::new(0);
    let legacy = null_mut();
    let (blocking, free) = (context.stream(0), context.stream(1));
    for (stream, wanted) in [(legacy, 0), (blocking, 0), (free, 1)] {
        let mut flags = 2;
        // SAFETY: `&mut flags` is a valid out-pointer.
        ok(unsafe { (driver().stream_flags)(stream, &mut flags) });
        assert_eq!(flags, wanted, "{stream:?}");
    }
    let [held, by_legacy, by_blocking, by_free, by_own] = context.words(5) else { unreachable!() };
    context.gate(blocking, held);
    context.store(legacy, by_legacy, 1);
    context.store(blocking, by_blocking, 1);
    context.store(without_provenance_mut(2), by_own, 1);
    context.store(free, by_free, 1);
    context.synchronize(free);
    assert_eq!(get(by_free), 1);
    for stream in [legacy, without_provenance_mut(1), without_provenance_mut(2), blocking] {
        assert_eq!(context.query(stream), NOT_READY, "{stream:?}");
    }
    assert_eq!([get(by_legacy), get(by_blocking), get(by_own)], [0; 3]);
    set(held, 1);
    context.synchronize(without_provenance_mut(2));
    assert_eq!([get(by_legacy), get(by_own)], [1; 2]);
    context.synchronize(legacy);
    assert_eq!(get(by_blocking), 1, "the default stream waits for all that it synchronises with");
    // The reverse: work submitted after the default stream's work waits for it.
    set(held, 0);
    context.gate(legacy, held);
    context.copy(blocking, by_legacy, held);
    assert_eq!(context.query(blocking), NOT_READY);
    assert_eq!(context.query(free), 0);
    set(held, 1);
    context.synchronize(blocking);
    assert_eq!(get(by_legacy), 1);
}

/// A wait binds to the record that is the last one at the call. The event can be destroyed before
/// the work is done.
#[test]
fn wait_binds_to_the_record() {
    let driver = started();
    let context = Context::new(0);
    let (source, waiter, later) = (context.stream(1), context.stream(1), context.stream(1));
    let event = context.event();
    let [gate, shut, from, to, late] = context.words(5) else { unreachable!() };
    // SAFETY: the simulator checks every handle.
    unsafe {
        ok((driver.stream_wait_event)(waiter, event, 0));
        context.synchronize(waiter);
        context.gate(source, gate);
        context.store(source, from, 7);
        ok((driver.event_record)(event, source));
        ok((driver.stream_wait_event)(waiter, event, 0));
        context.copy(waiter, to, from);
        context.gate(source, shut);
        ok((driver.event_record)(event, source));
        ok((driver.stream_wait_event)(later, event, 0));
        context.copy(later, late, from);
        assert_eq!((driver.event_query)(event), NOT_READY);
        ok((driver.event_destroy)(event));
    }
    for _ in 0..200 {
        std::thread::yield_now();
        assert_eq!((context.query(waiter), get(to)), (NOT_READY, 0));
    }
    set(gate, 1);
    context.synchronize(waiter);
    assert_eq!(get(to), 7);
    assert_eq!((context.query(later), get(late)), (NOT_READY, 0));
    set(shut, 1);
    context.synchronize(later);
    assert_eq!(get(late), 7);
}

#[test]
fn wait_value_supports_each_comparison() {
    let context = Context::new(0);
    let [word, done] = context.words(2) else { unreachable!() };
    // Each case: the flags, the value, a word that does not match, and a word that matches.
    for (flags, value, wrong, right) in
        [(0, 5, 4, 6), (0, 0x8000_0001, 0x7fff_0000, 0), (1, 5, 6, 5), (2, 6, 9, 4), (3, 1, !1, 0)]
    {
        let stream = context.stream(1);
        set(word, wrong);
        set(done, 0);
        let address = word.as_ptr().expose_provenance() as u64;
        // SAFETY: the word is never freed.
        ok(unsafe { (driver().stream_wait_value)(stream, address, value, flags) });
        context.store(stream, done, 1);
        for _ in 0..200 {
            std::thread::yield_now();
            assert_eq!((context.query(stream), get(done)), (NOT_READY, 0), "flags {flags}");
        }
        set(word, right);
        context.synchronize(stream);
        assert_eq!(get(done), 1);
    }
}

/// Which calls the driver allows inside a host function. The function runs on a thread without a
/// current context, and allowed calls are carried out.
#[test]
fn host_function_may_make_only_the_allowed_calls() {
    struct Within {
        own: Ptr,
        other: Ptr,
        event: Ptr,
        codes: Vec<c_int>,
    }
    static CALLS: AtomicU32 = AtomicU32::new(0);
    unsafe extern "C" fn count(_: *mut c_void) {
        CALLS.fetch_add(1, Ordering::SeqCst);
    }
    unsafe extern "C" fn inside(within: *mut c_void) {
        // SAFETY: the test waits for this function, and accesses `within` only afterwards.
        let within = unsafe { &mut *within.cast::<Within>() };
        let Within { own, other, event, .. } = *within;
        let (mut made, mut number, mut text, mut flags) = (null_mut(), 0, std::ptr::null(), 0);
        // SAFETY: the simulator checks every handle, and the out-pointers are valid.
        within.codes.extend(unsafe {
            [
                (driver().version)(&mut number),
                (driver().error_text)(1, &mut text),
                (driver().device_count)(&mut number),
                (driver().ctx_current)(&mut made),
                (driver().event_create)(&mut made, 0),
                (driver().stream_create)(&mut made, 1, 0),
                (driver().stream_query)(own),
                (driver().stream_query)(other),
                (driver().stream_synchronize)(other),
                (driver().stream_flags)(other, &mut flags),
                (driver().stream_context)(other, &mut made),
                (driver().capture_status)(other, &mut number),
                (driver().event_record)(event, other),
                (driver().event_synchronize)(event),
                (driver().event_query)(event),
                (driver().stream_wait_event)(other, event, 0),
                (driver().launch_host_func)(other, count, null_mut()),
                (driver().event_destroy)(event),
                (driver().stream_destroy)(own),
            ]
        });
    }
    let context = Context::new(0);
    let (own, other, waiter) = (context.stream(1), context.stream(1), context.stream(1));
    let (event, later) = (context.event(), context.event());
    let mut within = Within { own, other, event, codes: Vec::new() };
    let controls = Controls::of(cuda_sim::library().unwrap()).expect("the plan of faults");
    let [gate, done] = context.words(2) else { unreachable!() };
    context.gate(own, gate);
    // SAFETY: the argument is a `Within`, as the function expects. The simulator checks every
    // handle.
    unsafe {
        ok((driver().launch_host_func)(own, inside, (&raw mut within).cast()));
        context.store(own, done, 1);
        ok((driver().event_record)(later, own));
        ok((driver().stream_wait_event)(waiter, later, 0));
    }
    set(gate, 1);
    context.synchronize(waiter);
    context.synchronize(other);
    let (refused, not_ready) = (800, NOT_READY);
    let mut wanted = vec![0, 0, refused, refused, refused, refused, not_ready];
    wanted.extend([0; 12]);
    assert_eq!(within.codes, wanted);
    assert_eq!((get(done), CALLS.load(Ordering::SeqCst), controls.wrong()), (1, 1, 0));
    let mut now = null_mut();
    // SAFETY: `&mut now` is a valid out-pointer.
    ok(unsafe { (driver().ctx_current)(&mut now) });
    assert_eq!(now, context.handle, "what was current on the thread that waited");
}

/// Captures that end without being used as intended.
///
/// The captures are thread-local or relaxed: a query on another test's thread would break a global
/// one.
#[test]
fn misused_captures_return_their_codes() {
    let driver = started();
    let context = Context::new(0);
    let (first, second) = (context.stream(1), context.stream(1));
    let (event, other) = (context.event(), context.event());
    let words = context.words(1);
    let mut graph = null_mut();
    // SAFETY: the simulator checks every handle, and the out-pointers are valid.
    unsafe {
        let begin = |stream, mode| ok((driver.begin_capture)(stream, mode));
        let status = |stream| {
            let mut status = 0;
            ok((driver.capture_status)(stream, &mut status));
            status
        };
        // A branch that is not joined.
        begin(first, 1);
        ok((driver.event_record)(event, first));
        ok((driver.stream_wait_event)(second, event, 0));
        context.store(second, &words[0], 1);
        assert_eq!(status(second), 1);
        assert_eq!((driver.end_capture)(first, &mut graph), 904);
        assert!(graph.is_null());
        assert_eq!([status(first), status(second)], [0, 0]);
        // Ended on a stream other than the origin.
        begin(first, 1);
        ok((driver.event_record)(event, first));
        ok((driver.stream_wait_event)(second, event, 0));
        assert_eq!((driver.end_capture)(second, &mut graph), 903);
        assert_eq!((driver.end_capture)(first, &mut graph), 901);
        // Two captures that meet.
        begin(first, 2);
        begin(second, 2);
        ok((driver.event_record)(event, first));
        ok((driver.event_record)(other, second));
        assert_eq!((driver.stream_wait_event)(second, event, 0), 902);
        assert_eq!([status(first), status(second)], [2, 2]);
        assert_eq!((driver.end_capture)(first, &mut graph), 901);
        assert_eq!((driver.end_capture)(second, &mut graph), 901);
        // Ended on another thread than the one that began it, which only a relaxed capture allows.
        for (mode, code) in [(1, 908), (2, 0)] {
            begin(first, mode);
            let (address, handle) = (first.expose_provenance(), context.handle.addr());
            let ended = std::thread::spawn(move || {
                let mut graph = null_mut();
                ok((started().ctx_set_current)(without_provenance_mut(handle)));
                (started().end_capture)(without_provenance_mut(address), &mut graph)
            });
            assert_eq!(ended.join().unwrap(), code);
            if code != 0 {
                ok((driver.end_capture)(first, &mut graph));
            }
        }
        // The default stream cannot be captured, and a stream without a capture cannot end one.
        assert_eq!((driver.begin_capture)(null_mut(), 1), 900);
        assert_eq!((driver.end_capture)(first, &mut graph), 401);
        begin(first, 1);
        assert_eq!((driver.begin_capture)(first, 1), 401);
        // Destroying a stream ends its capture.
        ok((driver.stream_destroy)(first));
        assert_eq!(context.query(second), 0, "a capture is left");
    }
    assert_eq!(get(&words[0]), 0, "captured work ran");
}

/// An interprocess event cannot be opened in the process that created it.
#[test]
fn interprocess_event_cannot_be_opened_by_its_creator() {
    let driver = started();
    let context = Context::new(0);
    let (mut event, mut handle) = (null_mut(), [0; 64]);
    // SAFETY: the out-pointers are valid. The handle is passed by value, as a structure of that
    // size.
    unsafe {
        assert_eq!((driver.event_create)(&mut event, 4), 1, "with timing");
        assert_eq!((driver.ipc_event_handle)(&mut handle, context.event()), 400);
        ok((driver.event_create)(&mut event, 2 | 4));
        ok((driver.ipc_event_handle)(&mut handle, event));
        #[repr(C)]
        struct Handle([u8; 64]);
        type Open = unsafe extern "C" fn(*mut Ptr, Handle) -> c_int;
        let open = *library().get::<Open>("cuIpcOpenEventHandle").unwrap();
        assert_eq!(open(&mut event, Handle(handle)), 201);
        assert_eq!(open(&mut event, Handle([0; 64])), 205);
    }
}

#[test]
fn planned_faults_apply_with_and_without_the_work() {
    let context = Context::new(0);
    let controls = Controls::of(cuda_sim::library().unwrap()).expect("the plan of faults");
    let (driver, stream, mut event) = (started(), context.stream(1), null_mut());
    controls.set("cuEventCreate", At::Occurrence(2), Threads::This, InjectedFault::Answer(2));
    controls.set("cuStreamQuery", At::Always, Threads::This, InjectedFault::PassThenAnswer(719));
    // SAFETY: `&mut event` is a valid out-pointer.
    unsafe {
        ok((driver.event_create)(&mut event, 2));
        let made = event;
        assert_eq!((driver.event_create)(&mut event, 2), 2);
        assert_eq!(event, made, "nothing was done");
    }
    assert_eq!(context.query(stream), 719);
    assert_eq!(controls.triggered(), 2);
    controls.clear();
    assert_eq!(context.query(stream), 0);
    assert_eq!(controls.wrong(), 0);
}

#[test]
fn no_device_is_reported_on_a_machine_without_a_gpu() {
    // Runs in a process of its own, because each process reads the variables once.
    let output = run_child("none", &[("CUDA_SIM_GPUS", "0")]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Prints the duration of each call. This is a measurement and not a test. `cargo test --release -p
/// gpu-stream-cuda-sim --test machine -- --ignored --nocapture`
#[test]
#[ignore = "prints figures"]
fn call_costs() {
    let driver = started();
    let context = Context::new(0);
    let (stream, waiter, event) = (context.stream(1), context.stream(1), context.event());
    let mut status = 0;
    let time = |what: &str, call: &mut dyn FnMut() -> c_int| {
        const TIMES: u32 = 20_000;
        let since = std::time::Instant::now();
        (0..TIMES).for_each(|_| ok(call()));
        println!("{what:<40} {:>8} ns", (since.elapsed() / TIMES).as_nanos());
        context.synchronize(stream);
        context.synchronize(waiter);
    };
    // SAFETY: the simulator checks every handle, and the out-pointer is valid.
    unsafe {
        time("cuStreamIsCapturing", &mut || (driver.capture_status)(stream, &mut status));
        time("cuStreamQuery, idle", &mut || (driver.stream_query)(stream));
        time("cuStreamSynchronize, idle", &mut || (driver.stream_synchronize)(stream));
        time("cuEventRecord", &mut || (driver.event_record)(event, stream));
        time("cuEventRecord, cuStreamWaitEvent", &mut || {
            (driver.event_record)(event, stream) | (driver.stream_wait_event)(waiter, event, 0)
        });
        let word = &context.words(1)[0];
        time("a store", &mut || {
            context.store(stream, word, 1);
            0
        });
        time("a store, cuStreamSynchronize", &mut || {
            context.store(stream, word, 1);
            (driver.stream_synchronize)(stream)
        });
        time("cuStreamCreate, cuStreamDestroy", &mut || (driver.stream_destroy)(context.stream(1)));
        time("cuEventCreate, cuEventDestroy", &mut || (driver.event_destroy)(context.event()));
    }
}

/// Runs the child process of [`no_device_is_reported_on_a_machine_without_a_gpu`].
#[test]
fn child() {
    if support::child().as_deref() == Some("none") {
        let mut count = 0;
        // SAFETY: flags are 0, and the out-pointer is valid.
        unsafe {
            assert_eq!((driver().device_count)(&mut count), 3, "before cuInit");
            assert_eq!((driver().init)(0), 100);
            assert_eq!((driver().device_count)(&mut count), 3);
        }
    }
}
