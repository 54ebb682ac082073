//! What calls leave behind, and the driver calls that they make: over the simulated driver, also on a machine
//! with a real one. Each case also runs over a strict driver, which requires a current context even where
//! today's drivers do not. Failing calls are the subject of `fault_sweep`.

mod support;

use std::cell::Cell;
use std::process::ExitCode;

use gpu_stream_core::{Backend, Event, EventOptions, Stream};
use gpu_stream_cuda::Cuda;
#[cfg(feature = "cudarc")]
use gpu_stream_cuda::interop::ContextGuard;
use gpu_stream_faults::Threads;
use gpu_stream_test_support::shared::{capture, pool, wrapping};
use gpu_stream_test_support::{Variables, Vendor, main_over_faults};
#[cfg(feature = "cudarc")]
use support::bare::set_current;
use support::bare::{Space, bare, enter, ok};
use support::{Case, OnCuda, device, operations, own_stream};

const CASES: [Case; 7] = [
    ("every_call_succeeds", every_call_succeeds),
    ("captures_survive", capture::any_call_beside_a_capture_leaves_it_active::<OnCuda>),
    ("events_return_to_the_pool", pool::events_return_to_the_pool::<OnCuda>),
    (
        "captured_events_do_not_return_to_the_pool",
        pool::captured_events_do_not_return_to_the_pool::<OnCuda>,
    ),
    ("unchecked_stream_works", wrapping::unchecked_stream_works::<OnCuda>),
    ("number_of_driver_calls", number_of_driver_calls),
    ("unknown_codes_are_reported", pool::unknown_codes_are_reported::<OnCuda>),
];

const STRICT: &str = "CUDA_SIM_STRICT";

const SETS: [Variables; 2] =
    [("", &[("CUDA_SIM_GPUS", "2")]), ("strict", &[("CUDA_SIM_GPUS", "2"), (STRICT, "1")])];

fn main() -> ExitCode {
    main_over_faults::<OnCuda>(&CASES, &SETS)
}

/// Returns the depth of the thread's context stack.
fn depth() -> usize {
    let mut contexts = Vec::new();
    let mut popped = std::ptr::null_mut();
    // SAFETY: the out-pointer is valid.
    while unsafe { (bare().ctx_pop)(&mut popped) } == 0 {
        contexts.push(popped);
    }
    for context in contexts.iter().rev() {
        // SAFETY: the tests' contexts live as long as the process.
        ok("ctx_push", unsafe { (bare().ctx_push)(*context) });
    }
    contexts.len()
}

fn every_call_succeeds() {
    let controls = OnCuda::controls();
    let world = operations::World::new();
    let found = Cell::new(0);
    let before = |_: &str| found.set(depth());
    let after = |name: &str| assert_eq!(depth(), found.get(), "{name} left a context on the stack");
    // Fills the pool first.
    for _ in 0..10 {
        operations::run_all(&world, &before, &after);
    }
    let live = || (controls.live("stream"), controls.live("event"));
    let before_last = live();
    operations::run_all(&world, &before, &after);
    assert_eq!(live(), before_last, "streams, events that leaked");
}

/// The driver calls for the most frequent calls on an explicit stream.
fn number_of_driver_calls() {
    let controls = OnCuda::controls();
    let (one, other) = (own_stream(), own_stream());
    one.wait_stream(&other).unwrap();
    let event = other.record_event().unwrap();
    let count = |call: &dyn Fn()| {
        controls.watch(Threads::All);
        call();
        controls.seen().len()
    };
    let raw = one.raw();
    // SAFETY: `one` outlives the wrapper.
    let unchecked = || drop(unsafe { Cuda::stream_from_raw_unchecked(raw, device()) }.unwrap());
    // SAFETY: `one` outlives the wrapper.
    let checked = || drop(unsafe { Cuda::stream_from_raw(raw, Some(device())) }.unwrap());
    // `event` was the only pooled one.
    one.wait_stream(&other).unwrap();
    one.synchronize().unwrap();
    assert_eq!(count(&unchecked), 0, "wrapping unchecked");
    assert_eq!(count(&|| one.wait_stream(&one.clone()).unwrap()), 0, "wait for the same stream");
    if std::env::var_os(STRICT).is_some() {
        return;
    }
    assert_eq!(count(&checked), 2, "wrapping: cuStreamGetCtx, cuCtxGetId");
    assert_eq!(count(&|| drop(one.query())), 5, "query: context, capture check, mode, query, mode");
    assert_eq!(count(&|| one.wait_event(&event).unwrap()), 2, "wait_event: capture check, wait");
    assert_eq!(count(&|| other.record(&event).unwrap()), 2, "record: capture check, record");
    assert_eq!(count(&|| other.wait_event(&event).unwrap()), 1, "of its own record: capture check");
    assert_eq!(count(&|| one.wait_stream(&other).unwrap()), 3, "wait_stream: check, record, wait");
    let branches = [one.clone(), other.clone(), one.clone()];
    other.fork(&branches).unwrap();
    drop(other.record_event().unwrap());
    assert_eq!(count(&|| other.fork(&branches).unwrap()), 5, "fork: record, two checks and waits");
    assert_eq!(count(&|| other.join(&branches).unwrap()), 6, "join: two checks, records and waits");
    assert_eq!(count(&|| drop(other.record_event().unwrap())), 2, "record_event: check, record");
    assert_eq!(count(&|| drop(event.query())), 4, "event query: context, mode, query, mode");
    let timed = || {
        let event = Cuda::new_event(device(), EventOptions::timed()).unwrap();
        other.record(&event).unwrap();
        event
    };
    let (start, end) = (timed(), timed());
    other.synchronize().unwrap();
    #[cfg(feature = "cudarc")]
    {
        let primary = Space::primary().context;
        let around = |context| {
            count(&move || {
                let _guard = ContextGuard::save().unwrap();
                set_current(context);
            })
        };
        assert_eq!(around(primary), 4, "no context before: current; set; current, set");
        let unchanged = count(&|| drop(ContextGuard::save().unwrap()));
        assert_eq!(unchanged, 2, "no context before and after: current, current");
        let relaxed = count(&|| drop(ContextGuard::save_relaxed().unwrap()));
        assert_eq!(relaxed, 4, "relaxed: current, mode, mode, current");
        let _current = enter(primary);
        assert_eq!(around(primary), 4, "a context before: current, push; set; pop");
        let relaxed = count(&|| drop(ContextGuard::save_relaxed().unwrap()));
        assert_eq!(relaxed, 5, "relaxed: current, push, mode, mode, pop");
    }
    assert_eq!(count(&|| drop(end.elapsed_since(&start))), 2, "elapsed_since: context, time");
    let _current = enter(Space::primary().context);
    let new = || drop(Cuda::new_event(device(), EventOptions::new()).unwrap());
    assert_eq!(count(&new), 5, "new event: context, current, create; drop: context, destroy");
    // SAFETY: `other` outlives the wrapper.
    let source = unsafe { Cuda::stream_from_raw_unchecked(other.raw(), device()) }.unwrap();
    let wait = count(&|| one.wait_stream(&source).unwrap());
    assert_eq!(wait, 4, "unchecked: check, context, record, wait");
}
