//! `ContextGuard` leaves the thread as it was, whatever cudarc makes current. The first case shows that cudarc
//! leaves its context current without the guard.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::mpsc::channel;

use cudarc::driver::{CudaContext, CudaStream, LaunchConfig, PushKernelArg};
use gpu_stream_core::{ErrorKind, Stream};
use gpu_stream_cuda::interop::ContextGuard;
use gpu_stream_faults::{At, InjectedFault, Threads};
use gpu_stream_test_support::{Vendor, cases, skip};
use support::bare::{
    PTX, Ptr, Space, bare, create_context, current, ok, set_capture_mode, set_current, thread_state,
};
use support::capture::Capture;
use support::{OnCuda, expect_kind, is_simulated, own_stream};

fn main() -> std::process::ExitCode {
    support::main(&cases![
        cudarc_leaves_its_context_current,
        thread_is_as_it_was,
        thread_is_as_it_was_after_a_panic,
        every_exit_from_a_scope_restores,
        nested_guards_restore_their_own,
        stack_below_is_untouched,
        objects_dropped_under_a_later_guard,
        saved_context_destroyed_in_between,
        current_context_destroyed_in_between,
        relaxed_guard_keeps_captures_active,
        guard_in_a_host_function_is_rejected,
        driver_error_is_returned_and_nothing_changes,
        guard_makes_the_documented_calls,
        drop_in_a_forked_child_makes_no_call,
    ])
}

const MODES: [i32; 3] = [0, 1, 2];

/// Returns what can be current: nothing, the primary context, another context.
fn places() -> [Ptr; 3] {
    [null_mut(), Space::primary().context, Space::second().context]
}

/// Makes each place current in each capture mode. Calls `check` with the thread's state in words.
fn in_each_state(check: impl Fn(&str)) {
    for (number, place) in places().into_iter().enumerate() {
        for mode in MODES {
            set_current(place);
            set_capture_mode(mode);
            let found = thread_state();
            let name = format!("place {number}, mode {mode}");
            check(&name);
            assert_eq!(thread_state(), found, "{name}");
        }
    }
    set_current(null_mut());
    set_capture_mode(0);
}

/// Makes calls of cudarc that change what is current: creates, launches, copies, drops.
fn calls_of_cudarc() {
    calls_in(&CudaContext::new(0).unwrap());
}

fn calls_in(context: &Arc<CudaContext>) {
    let module = context.load_module(cudarc::nvrtc::Ptx::from_src(PTX.to_str().unwrap())).unwrap();
    let store = module.load_function("store").unwrap();
    let stream = context.new_stream().unwrap();
    let words = stream.alloc_zeros::<u32>(1).unwrap();
    let mut launch = stream.launch_builder(&store);
    launch.arg(&words).arg(&7_u32);
    let one = LaunchConfig { grid_dim: (1, 1, 1), block_dim: (1, 1, 1), shared_mem_bytes: 0 };
    // SAFETY: the arguments match the kernel's parameters. `words` is freed in the stream's order.
    unsafe { launch.launch(one) }.unwrap();
    assert_eq!(stream.clone_dtoh(&words).unwrap(), [7]);
    assert!(!current().unwrap().is_null(), "cudarc's context is current");
}

fn cudarc_leaves_its_context_current() {
    for place in [null_mut(), Space::second().context] {
        set_current(place);
        calls_of_cudarc();
        let left = current().unwrap();
        assert_eq!(left, Space::primary().context, "without the guard, cudarc's context stays");
    }
}

fn thread_is_as_it_was() {
    in_each_state(|state| {
        let guard = ContextGuard::save().unwrap();
        calls_of_cudarc();
        drop(guard);
        let guard = ContextGuard::save_relaxed().unwrap();
        assert_eq!(thread_state().1, 2, "{state}: the mode is relaxed");
        calls_of_cudarc();
        drop(guard);
        // Nothing changed in between.
        drop(ContextGuard::save().unwrap());
        drop(ContextGuard::save_relaxed().unwrap());
    });
}

fn thread_is_as_it_was_after_a_panic() {
    in_each_state(|state| {
        let panics = || {
            let _guard = ContextGuard::save_relaxed().unwrap();
            calls_of_cudarc();
            // Without the panic hook, which would print each of them.
            std::panic::resume_unwind(Box::new("on purpose"));
        };
        assert!(catch_unwind(AssertUnwindSafe(panics)).is_err(), "{state}");
    });
}

fn every_exit_from_a_scope_restores() {
    fn fails_halfway() -> Result<(), Box<dyn std::error::Error>> {
        let _guard = ContextGuard::save()?;
        CudaContext::new(0)?;
        CudaContext::new(1_000)?;
        unreachable!("there are not so many devices");
    }
    in_each_state(|state| assert!(fails_halfway().is_err(), "{state}"));
}

fn nested_guards_restore_their_own() {
    let [none, primary, second] = places();
    set_current(none);
    let outer = ContextGuard::save().unwrap();
    set_current(second);
    let inner = ContextGuard::save().unwrap();
    calls_of_cudarc();
    assert_eq!(current().unwrap(), primary);
    drop(inner);
    assert_eq!(current().unwrap(), second);
    drop(outer);
    assert_eq!(current().unwrap(), none);
}

fn stack_below_is_untouched() {
    let [_, primary, second] = places();
    let pop = || {
        let mut popped = null_mut();
        // SAFETY: `&mut popped` is a valid out-pointer.
        (unsafe { (bare().ctx_pop)(&mut popped) }, popped)
    };
    for (below, top) in [(primary, second), (second, primary), (second, second)] {
        set_current(below);
        // SAFETY: the tests' contexts live as long as the process.
        ok("ctx_push", unsafe { (bare().ctx_push)(top) });
        let guard = ContextGuard::save().unwrap();
        calls_of_cudarc();
        drop(guard);
        assert_eq!([pop(), pop()], [(0, top), (0, below)]);
        assert_eq!(pop().0, 201, "the stack is empty");
    }
}

fn objects_dropped_under_a_later_guard() {
    let make = || -> (Arc<CudaContext>, Arc<CudaStream>) {
        let _guard = ContextGuard::save().unwrap();
        let context = CudaContext::new(0).unwrap();
        let stream = context.new_stream().unwrap();
        (context, stream)
    };
    for place in places() {
        set_current(place);
        let made = make();
        assert_eq!(current().unwrap(), place);
        let guard = ContextGuard::save().unwrap();
        drop(made);
        drop(guard);
        assert_eq!(current().unwrap(), place);
    }
}

/// The thread's stack keeps an entry of the saved context, as the stack of any other thread does. The thread goes on.
fn saved_context_destroyed_in_between() {
    let dead = create_context(0).unwrap();
    set_current(dead);
    let guard = ContextGuard::save().unwrap();
    calls_of_cudarc();
    destroy_context(dead);
    drop(guard);
    assert_eq!(current().unwrap(), dead);
    // SAFETY: the driver holds a reference to what is on the stack.
    assert_eq!(unsafe { (bare().ctx_synchronize)() }, 709);
    set_current(null_mut());
    calls_of_cudarc();
}

/// `cuCtxDestroy` of the context that is current also takes it from the stack. None is current afterwards.
fn current_context_destroyed_in_between() {
    let dead = create_context(0).unwrap();
    set_current(dead);
    let guard = ContextGuard::save().unwrap();
    destroy_context(dead);
    calls_of_cudarc();
    drop(guard);
    assert_eq!(current().unwrap(), null_mut());
    calls_of_cudarc();
}

/// Returns the driver, which the process has loaded and never closes.
fn library() -> &'static libloading::Library {
    // SAFETY: it is loaded, and nothing is initialized again.
    Box::leak(Box::new(unsafe { libloading::Library::new("libcuda.so.1") }.unwrap()))
}

/// Destroys a context that has no objects.
fn destroy_context(context: Ptr) {
    type Destroy = unsafe extern "C" fn(Ptr) -> i32;
    // SAFETY: the driver's function has this type.
    let destroy = *unsafe { library().get::<Destroy>("cuCtxDestroy_v2") }.unwrap();
    // SAFETY: the context is alive, and no object of it exists.
    ok("cuCtxDestroy", unsafe { destroy(context) });
}

fn relaxed_guard_keeps_captures_active() {
    let space = Space::primary();
    // Before the capture: cudarc synchronizes a context when it creates the first stream in it.
    let idle = {
        let _guard = ContextGuard::save().unwrap();
        CudaContext::new(0).unwrap().new_stream().unwrap()
    };
    for mode in MODES {
        let captured = space.stream(1, 0);
        let capture = Capture::begin(captured, mode);
        let guard = ContextGuard::save_relaxed().unwrap();
        calls_in(idle.context());
        idle.synchronize().unwrap();
        capture.alive("calls under the relaxed guard");
        drop(guard);
        if mode == 2 {
            continue;
        }
        // Without the mode, the same call is rejected and breaks the capture.
        let _guard = ContextGuard::save().unwrap();
        assert!(idle.synchronize().is_err(), "mode {mode}");
        assert!(capture.end().is_err(), "mode {mode}");
        // cudarc keeps the error, and returns it from its next call.
        let _ = idle.context().check_err();
    }
}

fn guard_in_a_host_function_is_rejected() {
    let (stream, (sender, receiver)) = (own_stream(), channel());
    let save_both = move || {
        let results = [ContextGuard::save(), ContextGuard::save_relaxed()];
        sender.send(results.map(|result| result.map(drop))).unwrap();
    };
    stream.launch_host_func(Box::new(save_both)).unwrap();
    for result in receiver.recv().unwrap() {
        let text = expect_kind("in a host function", result, ErrorKind::NotPermitted);
        assert!(text.contains("ContextGuard::save"), "{text}");
    }
}

fn driver_error_is_returned_and_nothing_changes() {
    if !is_simulated() {
        skip("needs the simulated driver, which fails on demand");
    }
    let controls = OnCuda::controls();
    let [_, primary, second] = places();
    set_current(second);
    let found = thread_state();
    for function in ["cuCtxGetCurrent", "cuThreadExchangeStreamCaptureMode"] {
        for fault in [InjectedFault::Answer(999), InjectedFault::PassThenAnswer(999)] {
            controls.set(function, At::Occurrence(1), Threads::This, fault);
            let text = expect_kind(function, ContextGuard::save_relaxed(), ErrorKind::Driver);
            assert!(
                text.contains("ContextGuard::save_relaxed") && text.contains(function),
                "{text}"
            );
            controls.clear();
            assert_eq!(thread_state(), found, "{function}");
        }
    }
    // The current context stays, also if the driver has pushed it before the error. Then the stack has one entry more.
    for fault in [InjectedFault::Answer(999), InjectedFault::PassThenAnswer(999)] {
        controls.set("cuCtxPushCurrent_v2", At::Occurrence(1), Threads::This, fault);
        expect_kind("cuCtxPushCurrent", ContextGuard::save(), ErrorKind::Driver);
        controls.clear();
        assert_eq!(thread_state(), found);
    }
    // The drop tries a second time, and pops once.
    for fault in [InjectedFault::Answer(999), InjectedFault::PassThenAnswer(999)] {
        let guard = ContextGuard::save().unwrap();
        set_current(primary);
        controls.set("cuCtxPopCurrent_v2", At::Occurrence(1), Threads::This, fault);
        drop(guard);
        controls.clear();
        assert_eq!(thread_state(), found);
    }
}

/// The calls that the guide names as the guard's cost.
fn guard_makes_the_documented_calls() {
    if !is_simulated() {
        skip("needs the simulated driver, which records the calls");
    }
    let controls = OnCuda::controls();
    let [none, primary, second] = places();
    let (get, set) = ("cuCtxGetCurrent", "cuCtxSetCurrent");
    let (push, pop) = ("cuCtxPushCurrent_v2", "cuCtxPopCurrent_v2");
    let exchange = "cuThreadExchangeStreamCaptureMode";
    drop(ContextGuard::save().unwrap()); // the driver is loaded now
    for (place, inside, save, restore) in [
        (second, second, &[get, push][..], &[pop][..]),
        (second, primary, &[get, push], &[pop]),
        (none, none, &[get], &[get]),
        (none, primary, &[get], &[get, set]),
    ] {
        set_current(place);
        controls.watch(Threads::This);
        let guard = ContextGuard::save().unwrap();
        assert_eq!(controls.seen(), save);
        set_current(inside);
        controls.watch(Threads::This);
        drop(guard);
        assert_eq!(controls.seen(), restore);
        controls.watch(Threads::This);
        drop(ContextGuard::save_relaxed().unwrap());
        assert_eq!(controls.seen().iter().filter(|call| *call == exchange).count(), 2);
    }
    set_current(null_mut());
}

#[cfg(unix)]
fn drop_in_a_forked_child_makes_no_call() {
    unsafe extern "C" {
        fn fork() -> i32;
        fn waitpid(process: i32, status: *mut i32, options: i32) -> i32;
        fn _exit(code: i32) -> !;
    }
    if !is_simulated() {
        skip("needs the simulated driver, which records the calls");
    }
    let controls = OnCuda::controls();
    let guard = ContextGuard::save_relaxed().unwrap();
    controls.watch(Threads::All);
    // SAFETY: the child drops the guard, reads the record of calls and ends.
    let child = unsafe { fork() };
    if child == 0 {
        drop(guard);
        let calls = controls.seen().len();
        // SAFETY: `_exit` runs no code of this process.
        unsafe { _exit(i32::try_from(calls).unwrap_or(1)) };
    }
    drop(guard);
    let mut status = -1;
    // SAFETY: the child is this process's own, and `&mut status` is a valid out-pointer.
    assert_eq!(unsafe { waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0, "the child's drop made {} calls of the driver", status >> 8);
}

#[cfg(not(unix))]
fn drop_in_a_forked_child_makes_no_call() {
    skip("there is no fork");
}
