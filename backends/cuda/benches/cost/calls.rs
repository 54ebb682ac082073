//! One thread: each call of the contract beside the driver's own call.

use std::ffi::c_int;
use std::hint::black_box;

use gpu_stream_core::{Backend, Event, EventOptions, RawStream, Stream};
use gpu_stream_cuda::{Cuda, CudaStream};

use crate::measure::{Paired, pair};
use crate::support::bare::{Ptr, bare, enter, new_stream, ok, primary_context, set_current};
use crate::support::{device, wrap};
use crate::table::Table;

// Not imported, because their methods have the names of the typed ones.
type DynStream = dyn gpu_stream_core::dynamic::DynStream;
type DynEvent = dyn gpu_stream_core::dynamic::DynEvent;

/// The number of branches of a fork or a join.
const BRANCHES: usize = 16;

/// A waiting stream, its source, and branches; an event of the driver and one of ours.
struct Bench {
    waiter: (Ptr, CudaStream),
    source: (Ptr, CudaStream),
    branches: Vec<(Ptr, CudaStream)>,
    ours: Vec<CudaStream>,
    event: Ptr,
}

/// Creates an event without timing in the context.
pub fn bare_event(context: Ptr) -> Ptr {
    new_bare_event(context, 2)
}

fn timed_event(context: Ptr) -> Ptr {
    new_bare_event(context, 0)
}

fn new_bare_event(context: Ptr, flags: u32) -> Ptr {
    let _current = enter(context);
    let mut event = std::ptr::null_mut();
    // SAFETY: the out-pointer is valid.
    ok("event_create", unsafe { (bare().event_create)(&mut event, flags) });
    event
}

fn record(event: Ptr, stream: Ptr) {
    // SAFETY: the bench's handles are alive until the process ends.
    black_box(unsafe { (bare().event_record)(event, stream) });
}

fn wait(stream: Ptr, event: Ptr) {
    // SAFETY: the bench's handles are alive until the process ends.
    black_box(unsafe { (bare().stream_wait_event)(stream, event, 0) });
}

fn is_capturing(stream: Ptr) {
    let mut status: c_int = 0;
    // SAFETY: the bench's handles are alive until the process ends, and the out-pointer is valid.
    black_box(unsafe { (bare().capture_status)(stream, &mut status) });
    black_box(status);
}

/// Returns the driver's function for the device of a stream if it has one, else that for its context.
fn device_of() -> (&'static str, unsafe extern "C" fn(Ptr, *mut Ptr) -> c_int) {
    let library = Cuda::probe().expect("a driver").library.expect("a library");
    // SAFETY: the backend has loaded the library. The function takes a stream and an out-pointer to a value
    // that is not larger than a pointer.
    let newer = unsafe {
        let library = Box::leak(Box::new(libloading::Library::new(&library).expect("a library")));
        library.get(b"cuStreamGetDevice\0").ok().map(|function| *function)
    };
    match newer {
        Some(function) => ("cuStreamGetDevice", function),
        None => ("cuStreamGetCtx", bare().stream_context),
    }
}

/// Finds the device of a stream as with a driver older than CUDA 12.8: through the context, which must be
/// current.
fn device_by_context(stream: Ptr, device: &mut c_int) {
    let (mut context, mut popped) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: the bench's handles are alive until the process ends, and the out-pointers are valid.
    unsafe {
        (bare().stream_context)(stream, &mut context);
        (bare().ctx_push)(context);
        black_box((bare().ctx_device)(device));
        (bare().ctx_pop)(&mut popped);
    }
}

impl Bench {
    fn new() -> Self {
        let context = primary_context();
        let stream = || {
            let raw = new_stream(context, 1, 0);
            (raw, wrap(raw))
        };
        let branches: Vec<_> = (0..BRANCHES).map(|_| stream()).collect();
        let ours = branches.iter().map(|(_, stream)| stream.clone()).collect();
        Bench { waiter: stream(), source: stream(), branches, ours, event: bare_event(context) }
    }

    fn settle(&self) {
        for (_, stream) in [&self.waiter, &self.source].into_iter().chain(&self.branches) {
            stream.synchronize().expect("synchronize");
        }
    }

    fn pair(&self, bare: impl FnMut(), ours: impl FnMut()) -> Paired {
        pair(&|| self.settle(), bare, ours)
    }
}

pub fn measure(table: &mut Table) {
    let bench = Bench::new();
    for (name, context) in
        [("the primary context current", primary_context()), ("no context current", Ptr::default())]
    {
        set_current(context);
        table.section(&format!("{name}: the driver's calls that ours are made of"));
        parts(&bench, table);
        table.section(&format!("{name}: one call"));
        single_calls(&bench, table);
        table.section(&format!("{name}: waits for streams"));
        waits(&bench, table);
        table.section(&format!("{name}: the object-safe form (bare: the typed one)"));
        object_safe(&bench, table);
        table.section(&format!("{name}: wrapped anew for each call"));
        short_lived(&bench, table);
    }
    set_current(Ptr::default());
}

/// In these rows, both columns are driver calls.
fn parts(bench: &Bench, table: &mut Table) {
    let (waiter, event) = (bench.waiter.0, bench.event);
    let nothing = || ();
    let mut mode: c_int = 2;
    let exchange = || {
        // SAFETY: `&mut mode` is a valid pointer to a valid mode.
        unsafe {
            (bare().exchange_capture_mode)(&mut mode);
            (bare().exchange_capture_mode)(&mut mode);
        }
    };
    table.row("nothing; the capture's state", bench.pair(nothing, || is_capturing(waiter)));
    table.row("nothing; the capture mode, and back", bench.pair(nothing, exchange));
    let context = primary_context();
    let mut found = std::ptr::null_mut();
    let push = || {
        // SAFETY: the context is alive, and the out-pointer is valid.
        unsafe {
            (bare().ctx_push)(context);
            (bare().ctx_pop)(&mut found);
        }
    };
    table.row("nothing; a context pushed and popped", bench.pair(nothing, push));
    let mut found = std::ptr::null_mut();
    let context_of = || {
        // SAFETY: the stream is alive, and the out-pointer is valid.
        black_box(unsafe { (bare().stream_context)(waiter, &mut found) });
    };
    table.row("nothing; the stream's context", bench.pair(nothing, context_of));
    for (name, timed) in [("without timing", event), ("with timing", timed_event(context))] {
        record(timed, waiter);
        bench.settle();
        let mut time = 0.0;
        // SAFETY: the event is alive, and the out-pointer is valid.
        let ask = || unsafe {
            black_box((bare().event_elapsed)(&mut time, timed, timed));
        };
        table.row(&format!("nothing; an event's time, {name}"), bench.pair(nothing, ask));
    }
    let locked = std::sync::atomic::AtomicUsize::new(0);
    let exchange = || {
        black_box(locked.swap(1, std::sync::atomic::Ordering::AcqRel));
    };
    table.row("nothing; an atomic exchange", bench.pair(nothing, exchange));
    let pushed = || {
        // SAFETY: the context is alive, and the out-pointer is valid.
        unsafe { (bare().ctx_push)(context) };
        record(event, bench.source.0);
        wait(waiter, event);
        let mut found = std::ptr::null_mut();
        // SAFETY: the out-pointer is valid.
        unsafe { (bare().ctx_pop)(&mut found) };
    };
    let plain = || {
        record(event, bench.source.0);
        wait(waiter, event);
    };
    table.row("record and wait; with a context pushed", bench.pair(plain, pushed));
}

fn single_calls(bench: &Bench, table: &mut Table) {
    let (raw, stream) = &bench.source;
    let (raw, theirs) = (*raw, bench.event);
    let handle = RawStream::from_ptr(raw);
    let (first, event) = (device(), Cuda::new_event(device(), EventOptions::new()).expect("event"));
    stream.record(&event).expect("record");
    let unchecked = || {
        // SAFETY: the stream is alive.
        let ours = unsafe { Cuda::stream_from_raw_unchecked(black_box(handle), black_box(first)) };
        black_box(&ours);
    };
    table.row("wrap, unchecked (bare: nothing)", bench.pair(|| (), unchecked));
    let (name, device_of) = device_of();
    let mut expected = std::ptr::null_mut();
    // SAFETY: the stream is alive, and the out-pointer is valid.
    unsafe { device_of(raw, &mut expected) };
    let theirs_checked = || {
        let mut found = std::ptr::null_mut();
        // SAFETY: the stream is alive, and the out-pointer is valid.
        black_box(unsafe { device_of(black_box(raw), &mut found) });
        assert_eq!(found, expected);
    };
    let checked = || {
        // SAFETY: the stream is alive.
        let ours = unsafe { Cuda::stream_from_raw(black_box(handle), Some(black_box(first))) };
        black_box(&ours);
    };
    table.row(&format!("wrap, checked (bare: {name})"), bench.pair(theirs_checked, checked));
    let (context, mut expected_device) = (primary_context(), 0);
    device_by_context(raw, &mut expected_device);
    let by_context = || {
        let mut found = -1;
        device_by_context(black_box(raw), &mut found);
        assert_eq!(found, expected_device);
    };
    table.row("wrap, checked (bare: before CUDA 12.8)", bench.pair(by_context, checked));
    // The calls that suffice for a stream of a known context.
    let compared = || {
        let mut found = std::ptr::null_mut();
        // SAFETY: the stream is alive, and the out-pointer is valid.
        black_box(unsafe { (bare().stream_context)(black_box(raw), &mut found) });
        assert_eq!(found, context);
    };
    table.row("wrap, checked (bare: cuStreamGetCtx)", bench.pair(compared, checked));
    let query = || {
        is_capturing(raw);
        // SAFETY: the stream is alive.
        black_box(unsafe { (bare().stream_query)(raw) });
    };
    table.row("query", bench.pair(query, || drop(black_box(stream.query()))));
    let synchronize = || {
        is_capturing(raw);
        // SAFETY: the stream is alive.
        black_box(unsafe { (bare().stream_synchronize)(raw) });
    };
    table.row("synchronize, idle", bench.pair(synchronize, || drop(stream.synchronize())));
    table.row("record", bench.pair(|| record(theirs, raw), || drop(stream.record(&event))));
    let checked_record = || {
        is_capturing(raw);
        record(theirs, raw);
    };
    table.row(
        "record (bare: with a capture check)",
        bench.pair(checked_record, || drop(stream.record(&event))),
    );
    bench.settle();
    let event_query = || {
        // SAFETY: the event is alive.
        black_box(unsafe { (bare().event_query)(theirs) });
    };
    table.row("event query", bench.pair(event_query, || drop(black_box(event.query()))));
    let event_synchronize = || {
        // SAFETY: the event is alive.
        black_box(unsafe { (bare().event_synchronize)(theirs) });
    };
    table.row(
        "event synchronize, complete",
        bench.pair(event_synchronize, || drop(black_box(event.synchronize()))),
    );
    let (raw, waiter) = &bench.waiter;
    table.row("wait_event", bench.pair(|| wait(*raw, theirs), || drop(waiter.wait_event(&event))));
    let (raw, source) = &bench.source;
    let record_event = || drop(black_box(source.record_event()));
    table.row(
        "record_event, dropped (bare: record)",
        bench.pair(|| record(theirs, *raw), record_event),
    );
    // A record and the call after it: neither may save time at the other's cost.
    let (bare_event, raw_waiter) = (theirs, bench.waiter.0);
    let bare_both = || {
        record(bare_event, *raw);
        wait(raw_waiter, bare_event);
    };
    let both = || {
        let _ = source.record(&event);
        let _ = waiter.wait_event(&event);
    };
    table.row("record, wait_event", bench.pair(bare_both, both));
    let bare_asked = || {
        record(bare_event, *raw);
        // SAFETY: the event is alive.
        black_box(unsafe { (bare().event_query)(bare_event) });
    };
    let asked = || {
        let _ = source.record(&event);
        let _ = black_box(event.query());
    };
    table.row("record, event query", bench.pair(bare_asked, asked));
    let create = || {
        let mut event = std::ptr::null_mut();
        // SAFETY: the out-pointer is valid. The event is destroyed right after.
        unsafe {
            (bare().event_create)(&mut event, 2);
            (bare().event_destroy)(event);
        }
    };
    let new_event = || drop(black_box(Cuda::new_event(first, EventOptions::new())));
    table.row("new_event, dropped", bench.pair(create, new_event));
}

fn waits(bench: &Bench, table: &mut Table) {
    let (raw_source, source) = &bench.source;
    let (raw_waiter, waiter) = &bench.waiter;
    let event = bench.event;
    let bare_wait = || {
        record(event, *raw_source);
        wait(*raw_waiter, event);
    };
    table.row("wait_stream", bench.pair(bare_wait, || drop(waiter.wait_stream(source))));
    let bare_fork = || {
        record(event, *raw_source);
        for (branch, _) in &bench.branches {
            wait(*branch, event);
        }
    };
    table.row("fork to 16", bench.pair(bare_fork, || drop(source.fork(&bench.ours))));
    let bare_join = || {
        for (branch, _) in &bench.branches {
            record(event, *branch);
            wait(*raw_source, event);
        }
    };
    table.row("join of 16", bench.pair(bare_join, || drop(source.join(&bench.ours))));
    #[cfg(feature = "cudarc")]
    {
        let context = cudarc::driver::CudaContext::new(0).expect("cudarc's context");
        let new_theirs = || context.new_stream().expect("cudarc's stream");
        let (theirs, other) = (new_theirs(), new_theirs());
        let wrapped = |stream| CudaStream::from_cudarc(stream).expect("from_cudarc");
        let (ours, ours_other) = (wrapped(&theirs), wrapped(&other));
        let join = || {
            let _ = theirs.join(&other);
        };
        table.row(
            "wait_stream (bare: cudarc's join)",
            pair(&|| ours.synchronize().expect("synchronize"), join, || {
                drop(ours.wait_stream(&ours_other))
            }),
        );
    }
}

fn object_safe(bench: &Bench, table: &mut Table) {
    let (source, waiter) = (&bench.source.1, &bench.waiter.1);
    let event = Cuda::new_event(device(), EventOptions::new()).expect("event");
    source.record(&event).expect("record");
    let (dyn_source, dyn_waiter): (&DynStream, &DynStream) = (source, waiter);
    let (dyn_source, dyn_waiter) = (black_box(dyn_source), black_box(dyn_waiter));
    let dyn_event: &DynEvent = black_box(&event);
    table.row("query", bench.pair(|| drop(source.query()), || drop(dyn_source.query())));
    table.row(
        "record",
        bench.pair(|| drop(source.record(&event)), || drop(dyn_source.record(dyn_event))),
    );
    table.row("event query", bench.pair(|| drop(event.query()), || drop(dyn_event.query())));
    table.row(
        "wait_event",
        bench.pair(|| drop(waiter.wait_event(&event)), || drop(dyn_waiter.wait_event(dyn_event))),
    );
    table.row(
        "wait_stream",
        bench
            .pair(|| drop(waiter.wait_stream(source)), || drop(dyn_waiter.wait_stream(dyn_source))),
    );
}

/// A library's function that receives the caller's handle at each call, has streams of its own, and keeps
/// nothing.
fn short_lived(bench: &Bench, table: &mut Table) {
    let (raw, _) = bench.source;
    let (mine, branches) = (&bench.waiter, &bench.branches[..2]);
    let ours = &bench.ours[..2];
    let (handle, first, event) = (RawStream::from_ptr(raw), device(), bench.event);
    let bare_once = || {
        record(event, raw);
        wait(mine.0, event);
    };
    let bare_all = || {
        record(event, raw);
        wait(mine.0, event);
        record(event, mine.0);
        for (branch, _) in branches {
            wait(*branch, event);
        }
        for (branch, _) in branches {
            record(event, *branch);
            wait(raw, event);
        }
    };
    let (name, device_of) = device_of();
    let asked = |job: &dyn Fn()| {
        let mut found = std::ptr::null_mut();
        // SAFETY: the stream is alive, and the out-pointer is valid.
        black_box(unsafe { device_of(black_box(raw), &mut found) });
        job();
    };
    // SAFETY: the stream is alive.
    let checked = || unsafe { Cuda::stream_from_raw(black_box(handle), Some(first)) };
    // SAFETY: the stream is alive, and belongs to this device.
    let unchecked = || unsafe { Cuda::stream_from_raw_unchecked(black_box(handle), first) };
    let all = |theirs: &CudaStream| {
        let _ = mine.1.wait_stream(theirs);
        let _ = mine.1.fork(ours);
        let _ = theirs.join(ours);
    };
    let once = |theirs: &CudaStream| drop(mine.1.wait_stream(theirs));
    // The calls that it may exceed by some nanoseconds only.
    let kept = &bench.source.1;
    for (name, job) in [
        ("wait", &once as &dyn Fn(&CudaStream)),
        ("wait, fork, join", &all as &dyn Fn(&CudaStream)),
    ] {
        table.row(
            &format!("{name}, checked (bare: wrapped once)"),
            bench.pair(|| job(kept), || job(&checked().expect("wrap"))),
        );
        table.row(
            &format!("{name}, unchecked (bare: wrapped once)"),
            bench.pair(|| job(kept), || job(&unchecked().expect("wrap"))),
        );
    }
    table.row("wait, checked", bench.pair(bare_once, || once(&checked().expect("wrap"))));
    table.row(
        &format!("wait, checked (bare: with {name})"),
        bench.pair(|| asked(&bare_once), || once(&checked().expect("wrap"))),
    );
    table.row("wait, unchecked", bench.pair(bare_once, || once(&unchecked().expect("wrap"))));
    table.row("wait, fork, join, checked", bench.pair(bare_all, || all(&checked().expect("wrap"))));
    table.row(
        &format!("wait, fork, join (bare: with {name})"),
        bench.pair(|| asked(&bare_all), || all(&checked().expect("wrap"))),
    );
    table.row(
        "wait, fork, join, unchecked",
        bench.pair(bare_all, || all(&unchecked().expect("wrap"))),
    );
}
