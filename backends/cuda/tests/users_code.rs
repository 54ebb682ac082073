//! User code (owners and closures) runs with nothing held, and soon. Every submitted closure runs or is
//! dropped. The cases run over the simulated driver, also on a machine with a real one, because it counts
//! calls and breaks contexts. Each case runs in a process of its own.

mod support;

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gpu_stream_core::{Backend, Error as _, ErrorKind, Event, EventOptions, Stream, StreamOptions};
use gpu_stream_cuda::{Cuda, CudaStream};
use gpu_stream_faults::{At, Controls, InjectedFault, Threads};
use gpu_stream_test_support::shared::ends::owned as owned_by;
use gpu_stream_test_support::{Vendor, main_over_faults, shared_cases};
use support::bare::{Ptr, Space, bare, ok};
use support::capture::Capture;
use support::{Case, OnCuda, device, expect_kind, own_stream as stream};

const CASES: [Case; 11] = [
    (
        "owner_that_takes_a_lock_blocks_no_other_thread",
        owner_that_takes_a_lock_blocks_no_other_thread,
    ),
    ("every_call_runs_deferred_work", every_call_runs_deferred_work),
    ("owner_of_a_captured_record_is_dropped_outside", owner_of_a_captured_record),
    ("query_of_a_captured_record_blocks_no_other_thread", query_of_a_captured_record),
    ("closures_after_a_fault_are_dropped", closures_after_a_fault_are_dropped),
    (
        "wait_between_two_broken_contexts_drops_the_closures_of_both",
        wait_between_two_broken_contexts_drops_the_closures_of_both,
    ),
    (
        "last_wrapper_of_a_broken_stream_drops_its_closures",
        last_wrapper_of_a_broken_stream_drops_its_closures,
    ),
    ("panic_on_a_captured_stream_is_reported_later", panic_on_a_captured_stream),
    ("panics_of_other_streams_cost_no_call", panics_of_other_streams_cost_no_call),
    ("graph_runs_a_closure_once", graph_runs_a_closure_once),
    ("record_in_a_short_capture_is_no_record", record_in_a_short_capture_is_no_record),
];

fn main() -> ExitCode {
    let shared = shared_cases![OnCuda, ends:
        panics_of_owners_do_not_abort,
        failed_wrapping_during_unwinding_does_not_abort,
        new_stream_with_a_reused_handle_has_no_fault
    ];
    main_over_faults::<OnCuda>(&[&CASES[..], &shared].concat(), &[])
}

/// The time limit for a thread that should be done at once.
const LIMIT: Duration = Duration::from_secs(60);

fn controls() -> &'static Controls {
    OnCuda::controls()
}

/// Wraps a new stream. `on_drop` is called when its owner is dropped.
fn owned(on_drop: impl Fn() + Send + Sync + 'static) -> CudaStream {
    owned_by::<OnCuda>(Space::primary().stream(1, 0), on_drop)
}

/// Drops the wrapper in a host function of a stream, and waits for that. The function begins after the call
/// that launches it, because that call would run the destructor at its end.
fn drop_inside(stream: &CudaStream, wrapper: CudaStream) {
    let (launched, has_launched) = channel::<()>();
    let (dropped, has_dropped) = channel();
    let func = move || {
        has_launched.recv().unwrap();
        drop(wrapper);
        dropped.send(()).unwrap();
    };
    stream.launch_host_func(Box::new(func)).unwrap();
    launched.send(()).unwrap();
    has_dropped.recv().unwrap();
}

/// The destructor runs after the waits are enqueued, and other threads continue while it waits for a lock.
fn owner_that_takes_a_lock_blocks_no_other_thread() {
    static LOCK: Mutex<()> = Mutex::new(());
    let controls = controls();
    let warm = stream();
    for round in 0..20 {
        // New streams: their record needs a new event, and a destructor once ran there.
        let (source, mine, other) = (stream(), stream(), stream());
        let (sender, entered) = channel();
        let on_drop = move || {
            sender.send(controls.seen()).unwrap();
            drop(LOCK.lock().unwrap_or_else(PoisonError::into_inner));
        };
        drop_inside(&warm, owned(on_drop));
        let held = LOCK.lock().unwrap();
        let waiting = std::thread::spawn({
            let source = source.clone();
            move || {
                controls.watch(Threads::This);
                mine.wait_stream(&source).unwrap();
            }
        });
        let seen = entered.recv().unwrap();
        assert_eq!(seen.last().map(String::as_str), Some("cuStreamWaitEvent"), "{round}: {seen:?}");
        for _ in 0..20 {
            other.wait_stream(&source).unwrap();
            source.fork([&other]).unwrap();
        }
        drop(held);
        waiting.join().unwrap();
        controls.clear();
    }
}

fn every_call_runs_deferred_work() {
    let (mine, other) = (stream(), stream());
    let (event, start) = (other.record_event().unwrap(), || EventOptions::timed());
    let (first, second) = (mine.new_event(start()).unwrap(), mine.new_event(start()).unwrap());
    mine.record(&first).unwrap();
    mine.record(&second).unwrap();
    mine.synchronize().unwrap();
    let raw = mine.raw();
    type Call<'a> = (&'a str, &'a dyn Fn());
    let calls: [Call; 19] = [
        ("query", &|| drop(mine.query())),
        ("synchronize", &|| mine.synchronize().unwrap()),
        ("record", &|| mine.record(&first).unwrap()),
        ("record_event", &|| drop(mine.record_event().unwrap())),
        ("wait_event", &|| mine.wait_event(&event).unwrap()),
        ("wait_stream", &|| mine.wait_stream(&other).unwrap()),
        ("fork", &|| mine.fork([&other]).unwrap()),
        ("join", &|| mine.join([&other]).unwrap()),
        ("host function", &|| mine.launch_host_func(Box::new(|| ())).unwrap()),
        ("new_event", &|| std::mem::forget(mine.new_event(EventOptions::new()).unwrap())),
        ("new_stream", &|| std::mem::forget(mine.new_stream(StreamOptions::new()).unwrap())),
        ("Backend::new_event", &|| {
            std::mem::forget(Cuda::new_event(device(), EventOptions::new()).unwrap());
        }),
        ("Backend::new_stream", &|| std::mem::forget(stream())),
        ("status", &|| assert!(event.status().is_ok())),
        ("event synchronize", &|| event.synchronize().unwrap()),
        ("elapsed_since", &|| drop(second.elapsed_since(&first))),
        ("drop of a stream", &|| {
            // SAFETY: `mine` outlives the wrapper.
            let wrapper = unsafe { Cuda::stream_from_raw(raw, None) }.unwrap();
            drop((wrapper, mine.clone()));
        }),
        ("capture_status", &|| assert!(mine.capture_status().is_ok())),
        ("is_blocking", &|| assert!(mine.is_blocking().is_ok())),
    ];
    for (name, call) in calls {
        let held = Arc::new(());
        let share = Arc::clone(&held);
        let wrapper = owned(move || drop(Arc::clone(&share)));
        drop_inside(&other, wrapper);
        assert_eq!(Arc::strong_count(&held), 2, "{name}: it was dropped in the host function");
        call();
        assert_eq!(Arc::strong_count(&held), 1, "{name} did not run the deferred work");
    }
}

/// The owner of a stream that recorded an event in a capture queries that event when it is dropped.
fn owner_of_a_captured_record() {
    let raw = Space::primary().stream(1, 0);
    let event = Arc::new(Cuda::new_event(device(), EventOptions::new()).unwrap());
    let seen = Arc::clone(&event);
    let (sender, receiver) = channel();
    let on_drop = move || sender.send(seen.status().is_ok()).unwrap();
    let captured = owned_by::<OnCuda>(raw, on_drop);
    let capture = Capture::begin(raw, 2);
    captured.record(&event).unwrap();
    drop(captured);
    drop(capture.end());
    assert!(receiver.try_recv().is_err(), "the event keeps the owner");
    stream().record(&event).unwrap();
    assert_eq!(receiver.try_recv(), Ok(true), "at the end of the record, with the event free");
}

/// While one thread asks the driver about the capture of an event's record, another thread records the
/// event. The owner that the first call kept is dropped at the end of that call, with nothing held.
fn query_of_a_captured_record() {
    let controls = controls();
    for drops_owner in [false, true] {
        let raw = Space::primary().stream(1, 0);
        let event = Arc::new(Cuda::new_event(device(), EventOptions::new()).unwrap());
        let (in_owner, (sender, dropped)) = (Arc::clone(&event), channel());
        let on_drop = move || {
            sender.send((std::thread::current().id(), in_owner.status().is_ok())).unwrap();
        };
        let captured = owned_by::<OnCuda>(raw, on_drop);
        let capture = Capture::begin(raw, 2);
        captured.record(&event).unwrap();
        controls.set(
            "cuStreamGetCaptureInfo_v2",
            At::Occurrence(1),
            Threads::Others,
            InjectedFault::Hold,
        );
        let asks = std::thread::spawn({
            let event = Arc::clone(&event);
            move || event.status().err().map(|error| error.kind())
        });
        let asker = asks.thread().id();
        assert!(controls.await_held(1, LIMIT));
        let kept = (!drops_owner).then_some(captured);
        let (sender, recorded) = channel();
        let records = std::thread::spawn({
            let (event, other) = (Arc::clone(&event), stream());
            move || {
                let record = other.record(&event);
                drop((other, event));
                sender.send(record).unwrap();
            }
        });
        let record = recorded.recv_timeout(LIMIT);
        controls.release();
        controls.clear();
        record.expect("the record waited for the question").unwrap();
        records.join().unwrap();
        assert_eq!(asks.join().unwrap(), Some(ErrorKind::Capturing));
        assert_eq!(dropped.try_recv().ok(), drops_owner.then_some((asker, true)));
        drop((capture.end(), kept));
    }
}

/// Submits work that fails once the gate before it is open.
fn fail(stream: &CudaStream) {
    // SAFETY: this is the function's type.
    let fail: unsafe extern "C" fn(Ptr, i32) -> i32 =
        unsafe { support::simulated_function("cuda_sim_fail") };
    // SAFETY: the simulator checks the handle.
    let code = unsafe { fail(stream.raw().as_ptr(), 719) };
    ok("cuda_sim_fail", code);
}

fn closures_after_a_fault_are_dropped() {
    let (space, broken, waiter) = (Space::primary(), stream(), stream());
    let gate = space.gate(broken.raw().as_ptr());
    fail(&broken);
    waiter.wait_stream(&broken).unwrap();
    let (sender, receiver) = channel::<()>();
    for on in [&broken, &waiter] {
        let sender = sender.clone();
        on.launch_host_func(Box::new(move || sender.send(()).unwrap())).unwrap();
    }
    drop(sender);
    gate.open();
    expect_kind("synchronize", broken.synchronize(), ErrorKind::StreamFault);
    // The senders are dropped, so this does not wait forever.
    assert!(receiver.recv().is_err(), "a closure behind failed work ran");
}

/// The call is one on both streams, and reports a fault.
fn wait_between_two_broken_contexts_drops_the_closures_of_both() {
    let spaces = [Space::primary(), Space::second()];
    let streams = spaces.map(|space| support::wrap(space.stream(1, 0)));
    let (sender, receiver) = channel::<()>();
    for (space, broken) in spaces.into_iter().zip(&streams) {
        let gate = space.gate(broken.raw().as_ptr());
        fail(broken);
        let sender = sender.clone();
        broken.launch_host_func(Box::new(move || sender.send(()).unwrap())).unwrap();
        gate.open();
        // SAFETY: the stream is alive. Its work is over when the failure has been reported.
        while unsafe { (bare().stream_query)(broken.raw().as_ptr()) } == 600 {
            std::thread::yield_now();
        }
    }
    drop(sender);
    let [waiter, source] = &streams;
    expect_kind("wait_stream", waiter.wait_stream(source), ErrorKind::StreamFault);
    let dropped = receiver.try_recv();
    assert_eq!(dropped, Err(TryRecvError::Disconnected), "a closure of a broken context is kept");
}

fn last_wrapper_of_a_broken_stream_drops_its_closures() {
    let (space, broken) = (Space::primary(), stream());
    let gate = space.gate(broken.raw().as_ptr());
    fail(&broken);
    let (sender, receiver) = channel::<()>();
    broken.launch_host_func(Box::new(move || sender.send(()).unwrap())).unwrap();
    gate.open();
    // SAFETY: the stream is alive. Its work is over when the failure has been reported.
    while unsafe { (bare().stream_query)(broken.raw().as_ptr()) } == 600 {
        std::thread::yield_now();
    }
    drop(broken);
    assert!(receiver.recv().is_err(), "a closure behind failed work ran");
}

/// A panic is reported after a capture, during which the stream could not be identified.
fn panic_on_a_captured_stream() {
    let mine = stream();
    mine.launch_host_func(Box::new(|| std::panic::resume_unwind(Box::new("meant to fail"))))
        .unwrap();
    // SAFETY: the stream is alive.
    ok("stream_synchronize", unsafe { (bare().stream_synchronize)(mine.raw().as_ptr()) });
    let capture = Capture::begin(mine.raw().as_ptr(), 2);
    drop(mine.record_event());
    drop(mine.record_event());
    drop(capture.end());
    expect_kind("query", mine.query(), ErrorKind::StreamFault);
    expect_kind("record_event", mine.record_event(), ErrorKind::StreamFault);
}

fn panics_of_other_streams_cost_no_call() {
    let controls = controls();
    let (mine, other) = (stream(), stream());
    let raw = other.raw();
    let calls = || {
        mine.wait_stream(&other).unwrap();
        drop(mine.record_event().unwrap());
        assert!(mine.query().is_ok());
        controls.watch(Threads::This);
        mine.wait_stream(&other).unwrap();
        mine.fork([&other]).unwrap();
        mine.join([&other]).unwrap();
        drop(mine.record_event().unwrap());
        assert!(mine.query().is_ok());
        // SAFETY: `other` outlives the wrapper.
        let wrapper = unsafe { Cuda::stream_from_raw(raw, None) }.unwrap();
        mine.wait_stream(&wrapper).unwrap();
        let seen = controls.seen();
        controls.clear();
        seen
    };
    calls();
    let before = calls();
    for _ in 0..3_000 {
        let panicked = stream();
        let func = || std::panic::resume_unwind(Box::new("meant to fail"));
        panicked.launch_host_func(Box::new(func)).unwrap();
        expect_kind("synchronize", panicked.synchronize(), ErrorKind::StreamFault);
    }
    let kept = stream();
    kept.launch_host_func(Box::new(|| std::panic::resume_unwind(Box::new("meant to fail"))))
        .unwrap();
    expect_kind("synchronize", kept.synchronize(), ErrorKind::StreamFault);
    assert_eq!(calls(), before);
    assert!(!before.iter().any(|call| call == "cuStreamGetId"), "{before:?}");
}

/// A capture by another thread begins before a record reaches the driver, and ends after it. No call of this crate has seen
/// it.
fn record_in_a_short_capture_is_no_record() {
    let controls = controls();
    let raw = Space::primary().stream(1, 0);
    let (stream, other) = (support::wrap(raw), support::wrap(Space::primary().stream(1, 0)));
    let event = stream.new_event(EventOptions::new()).unwrap();
    stream.record(&event).unwrap();
    controls.set("cuEventRecord", At::Occurrence(1), Threads::Others, InjectedFault::Hold);
    std::thread::scope(|scope| {
        let records = scope.spawn(|| stream.record(&event));
        let is_held = controls.await_held(1, LIMIT);
        let capture = Capture::begin(raw, 2);
        controls.clear();
        records.join().unwrap().unwrap();
        drop(capture.graph());
        assert!(is_held);
    });
    expect_kind("query", event.query(), ErrorKind::InvalidEvent);
    expect_kind("synchronize", event.synchronize(), ErrorKind::InvalidEvent);
    expect_kind("wait_event", other.wait_event(&event), ErrorKind::InvalidEvent);
    // The next record stands for work again.
    stream.record(&event).unwrap();
    other.wait_event(&event).unwrap();
    event.synchronize().unwrap();
}

/// A capture begins between the check and the launch. The closure becomes a graph node, which the driver
/// calls with every launch.
fn graph_runs_a_closure_once() {
    let controls = controls();
    let space = Space::primary();
    let (raw, play) = (space.stream(1, 0), space.stream(1, 0));
    let mine = support::wrap(raw);
    let (held, ran) = (Arc::new(()), Arc::new(AtomicUsize::new(0)));
    let inside = (Arc::clone(&held), Arc::clone(&ran));
    let func = move || {
        let _held = &inside.0;
        inside.1.fetch_add(1, Ordering::SeqCst);
    };
    controls.set("cuLaunchHostFunc", At::Occurrence(1), Threads::Others, InjectedFault::Hold);
    let launching = std::thread::spawn(move || mine.launch_host_func(Box::new(func)));
    assert!(controls.await_held(1, LIMIT));
    let capture = Capture::begin(raw, 2);
    controls.release();
    launching.join().unwrap().unwrap();
    let graph = capture.graph();
    controls.clear();
    for _ in 0..3 {
        graph.launch(play);
    }
    space.synchronize(play);
    assert_eq!((ran.load(Ordering::SeqCst), Arc::strong_count(&held)), (1, 1));
}
