//! Failed work breaks its whole context: every later call returns the fault, no unfinished work counts as
//! done, and no later work runs. Each case runs in a process of its own.

mod support;

use std::process::ExitCode;
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use gpu_stream_core::{
    Backend, ErrorKind, Event, EventOptions, EventStatus, RawStream, Stream, StreamOptions,
};
use gpu_stream_cuda::Cuda;
use gpu_stream_test_support::main_in_children;
use support::bare::{Ptr, Space, bare, enter, ok, set_current, thread_state};
use support::{OnCuda, device, expect_kind, wrap};

fn main() -> ExitCode {
    // With lazy loading the driver may load the kernel when it is submitted, and wait for the gate.
    // SAFETY: no other thread is running yet.
    unsafe { std::env::set_var("CUDA_MODULE_LOADING", "EAGER") };
    main_in_children::<OnCuda>(&[
        ("every_call_returns_the_fault", every_call_returns_the_fault),
        ("waiting_stream_gets_the_fault", waiting_stream_gets_the_fault),
        (
            "call_in_another_context_succeeds_or_returns_the_fault",
            call_in_another_context_succeeds_or_returns_the_fault,
        ),
    ])
}

/// A kernel that fails. It is loaded while no gate is shut, because loading may wait for the whole context.
struct Trap {
    space: &'static Space,
    function: Ptr,
}

impl Trap {
    fn load(space: &'static Space) -> Self {
        let text =
            c".version 6.0\n.target sm_50\n.address_size 64\n.visible .entry trap() { trap; }\n";
        let _current = enter(space.context);
        let (mut module, mut function) = (null_mut(), null_mut());
        // SAFETY: all out-pointers are valid, and the texts end with a NUL.
        unsafe {
            ok("module_load", (bare().module_load)(&mut module, text.as_ptr().cast()));
            let name = c"trap".as_ptr();
            ok("module_function", (bare().module_function)(&mut function, module, name));
        }
        Trap { space, function }
    }

    fn submit(&self, stream: Ptr) {
        let _current = enter(self.space.context);
        let (function, none) = (self.function, null_mut());
        // SAFETY: the function is loaded and has no parameters.
        let code = unsafe {
            (bare().launch_kernel)(function, 1, 1, 1, 1, 1, 1, 0, stream, none, null_mut())
        };
        ok("launch_kernel", code);
    }
}

const FAULT: ErrorKind = ErrorKind::StreamFault;

fn every_call_returns_the_fault() {
    let space = Space::primary();
    let raw = space.stream(1, 0);
    let (stream, other) = (wrap(raw), Cuda::new_stream(device(), StreamOptions::new()).unwrap());
    let timed = || Cuda::new_event(device(), EventOptions::timed()).unwrap();
    let (start, end, unrecorded) = (timed(), timed(), timed());
    let third = wrap(space.stream(1, 0));
    let complete = third.record_event().unwrap();
    third.synchronize().unwrap();
    let trap = Trap::load(space);
    let gate = space.gate(raw);
    stream.record(&start).unwrap();
    trap.submit(raw);
    stream.record(&end).unwrap();
    let (held, ran) = (Arc::new(()), Arc::new(AtomicU32::new(0)));
    let inside = (Arc::clone(&held), Arc::clone(&ran));
    let func = move || {
        inside.1.fetch_add(1, Ordering::SeqCst);
    };
    stream.launch_host_func(Box::new(func)).unwrap();
    assert!(!stream.query().unwrap());
    gate.open();
    expect_kind("synchronize", stream.synchronize(), FAULT);
    for current in [null_mut(), space.context] {
        set_current(current);
        let found = thread_state();
        let handle = RawStream::from_ptr(raw);
        // SAFETY: the stream is never destroyed.
        let asked = unsafe { Cuda::stream_from_raw(handle, None) };
        // SAFETY: the stream is never destroyed, and belongs to this device.
        let named = unsafe { Cuda::stream_from_raw_unchecked(handle, device()) };
        expect_kind("wrapping", asked, FAULT);
        for stream in [&stream, &stream.clone(), &named.unwrap(), &other] {
            expect_kind("query", stream.query(), FAULT);
            expect_kind("synchronize", stream.synchronize(), FAULT);
            expect_kind("record", stream.record(&unrecorded), FAULT);
            expect_kind("record_event", stream.record_event(), FAULT);
            expect_kind("wait_event", stream.wait_event(&complete), FAULT);
            expect_kind("host function", stream.launch_host_func(Box::new(|| ())), FAULT);
        }
        expect_kind("wait_stream", other.wait_stream(&stream), FAULT);
        expect_kind("fork", stream.fork([&other]), FAULT);
        expect_kind("join", stream.join([&other]), FAULT);
        for event in [&start, &end, &complete] {
            expect_kind("status", event.status(), FAULT);
            expect_kind("event query", event.query(), FAULT);
            expect_kind("event synchronize", event.synchronize(), FAULT);
        }
        expect_kind("elapsed_since", end.elapsed_since(&start), FAULT);
        expect_kind("new_event", Cuda::new_event(device(), EventOptions::new()), FAULT);
        expect_kind("new_stream", Cuda::new_stream(device(), StreamOptions::new()), FAULT);
        assert_eq!(thread_state(), found);
    }
    assert_eq!(ran.load(Ordering::SeqCst), 0, "a host function after the failure ran");
    drop((stream, other, start, end, complete, unrecorded));
}

/// A waiting stream of the same context: its submitted work is not done.
fn waiting_stream_gets_the_fault() {
    let space = Space::primary();
    let (raw, raw_waiter) = (space.stream(1, 0), space.stream(1, 0));
    let (stream, waiter) = (wrap(raw), wrap(raw_waiter));
    let number = Arc::new(AtomicU32::new(0));
    let trap = Trap::load(space);
    let gate = space.gate(raw);
    trap.submit(raw);
    waiter.wait_stream(&stream).unwrap();
    let behind = Arc::clone(&number);
    let func = move || behind.store(1, Ordering::SeqCst);
    waiter.launch_host_func(Box::new(func)).unwrap();
    let event = waiter.record_event().unwrap();
    assert!(!waiter.query().unwrap());
    assert_eq!(event.status().unwrap(), EventStatus::Pending);
    gate.open();
    expect_kind("event synchronize", event.synchronize(), FAULT);
    expect_kind("synchronize of the waiter", waiter.synchronize(), FAULT);
    expect_kind("query of the waiter", waiter.query(), FAULT);
    assert_eq!(number.load(Ordering::SeqCst), 0, "work after the failure was done");
}

/// A call in another context of the device succeeds, or returns the fault. Whether a fault of one context
/// is a fault of all is the driver's choice. (On an H100 it is.)
fn call_in_another_context_succeeds_or_returns_the_fault() {
    let (broken, sound) = (Space::second(), Space::primary());
    let (raw, word) = (broken.stream(1, 0), sound.words(1));
    let (stream, other) = (wrap(raw), wrap(sound.stream(1, 0)));
    Trap::load(broken).submit(raw);
    expect_kind("synchronize", stream.synchronize(), FAULT);
    expect_kind("wait_stream for it", other.wait_stream(&stream), FAULT);
    if other.query().is_ok() {
        sound.slow_store(other.raw().as_ptr(), word, 5, 1);
        let event = other.record_event().unwrap();
        other.synchronize().unwrap();
        assert_eq!(event.status().unwrap(), EventStatus::Complete);
        assert_eq!(sound.read(word, 1), [5]);
        expect_kind("wait of a broken stream", stream.wait_event(&event), FAULT);
    } else {
        expect_kind("query of the other", other.query(), FAULT);
        expect_kind("synchronize of the other", other.synchronize(), FAULT);
        expect_kind("record_event of the other", other.record_event(), FAULT);
    }
    expect_kind("query", stream.query(), FAULT);
}
