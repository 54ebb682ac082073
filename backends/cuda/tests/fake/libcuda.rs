//! A CUDA driver without a device. It keeps contexts, streams, events and captures as the real driver does,
//! and all work completes at once. The tests compile it into a library and name it in
//! `GPU_STREAM_CUDA_LIBRARY`, to reach paths that no real driver takes on demand. It proves nothing about a
//! GPU.
//!
//! Its settings are environment variables: `FAKE_CUDA_VERSION`, `FAKE_CUDA_DEVICES`, and
//! `FAKE_CUDA_STRICT=1`, which requires a current context even where today's drivers do not. `fake_fail`
//! makes a function fail. `--cfg old` omits the functions that are newer than CUDA 11.0.

#![allow(non_snake_case, clippy::missing_safety_doc, clippy::undocumented_unsafe_blocks)]

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::{Condvar, Mutex};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::thread::ThreadId;

type Ptr = *mut c_void;

thread_local! {
    static CURRENT: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
    static MODE: Cell<c_int> = const { Cell::new(0) };
}

/// The function that fails, and its code.
static FAIL: Mutex<Option<(String, c_int)>> = Mutex::new(None);
static CALLS: Mutex<Vec<&'static str>> = Mutex::new(Vec::new());
/// The function whose next call is blocked, and whether it is blocked now.
static HOLD: Mutex<(Option<String>, bool)> = Mutex::new((None, false));
static CHANGED: Condvar = Condvar::new();
/// The amount of work submitted to a stream, and the amount of another's work that a stream waits for.
static WORK: Mutex<Option<Work>> = Mutex::new(None);
static LIVE_STREAMS: AtomicUsize = AtomicUsize::new(0);
static LIVE_EVENTS: AtomicUsize = AtomicUsize::new(0);
static NEXT: AtomicU64 = AtomicU64::new(10);
static CONTEXTS: Mutex<Vec<(usize, c_int)>> = Mutex::new(Vec::new());

/// The active captures: each with its thread, its mode, and its stream.
static CAPTURES: Mutex<Vec<(ThreadId, c_int, usize)>> = Mutex::new(Vec::new());

struct Stream {
    context: usize,
    id: u64,
    priority: c_int,
    capture: Mutex<(c_int, u64)>,
}

struct Event {
    context: usize,
    timed: bool,
    recorded: Mutex<(bool, u64)>,
    /// The stream of the record, and the amount of its work before the record.
    place: Mutex<(usize, u64)>,
}

#[derive(Default)]
struct Work {
    submitted: HashMap<usize, u64>,
    waited_for: HashMap<(usize, usize), u64>,
}

fn work<T>(ask: impl FnOnce(&mut Work) -> T) -> T {
    ask(WORK.lock().unwrap().get_or_insert_default())
}

fn setting(name: &str, default: c_int) -> c_int {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn enter(name: &'static str) -> Result<(), c_int> {
    CALLS.lock().unwrap().push(name);
    let mut hold = HOLD.lock().unwrap();
    if hold.0.as_deref() == Some(name) {
        *hold = (None, true);
        CHANGED.notify_all();
        while hold.1 {
            hold = CHANGED.wait(hold).unwrap();
        }
    }
    drop(hold);
    match &*FAIL.lock().unwrap() {
        Some((which, code)) if which == name => Err(*code),
        _ => Ok(()),
    }
}

fn current() -> usize {
    CURRENT.with_borrow(|stack| stack.last().copied().unwrap_or(0))
}

fn need_context() -> Result<usize, c_int> {
    if current() == 0 { Err(201) } else { Ok(current()) }
}

fn strict() -> Result<(), c_int> {
    if setting("FAKE_CUDA_STRICT", 0) == 1 { need_context().map(drop) } else { Ok(()) }
}

/// The effect of a "potentially unsafe" call on captures, by the driver's documentation: the call fails and
/// invalidates them, unless the thread's mode allows it. The documentation does not list these calls. Here
/// every call counts as one, except the calls that the backend makes at every wait and that a test found
/// harmless (`tests/capture_probe.rs`).
fn risky() -> Result<(), c_int> {
    let (thread, mode) = (std::thread::current().id(), MODE.get());
    let captures = CAPTURES.lock().unwrap();
    let hit = captures.iter().filter(|(began, of, _)| match mode {
        0 => if *began == thread { *of != 2 } else { *of == 0 },
        1 => *began == thread && *of != 2,
        _ => false,
    });
    let broken: Vec<_> = hit.map(|(_, _, stream)| *stream).collect();
    for address in &broken {
        // A stream under capture is not destroyed here.
        let stream = unsafe { &*std::ptr::with_exposed_provenance::<Stream>(*address) };
        stream.capture.lock().unwrap().0 = 2;
    }
    if broken.is_empty() { Ok(()) } else { Err(900) }
}

/// Returns an explicit stream. Default streams need a context and have no capture.
unsafe fn stream<'a>(stream: Ptr) -> Result<Option<&'a Stream>, c_int> {
    if stream.addr() <= 2 {
        return need_context().map(|_| None);
    }
    strict()?;
    Ok(Some(unsafe { &*stream.cast::<Stream>() }))
}

fn device_of(context: usize) -> c_int {
    let contexts = CONTEXTS.lock().unwrap();
    contexts.iter().find(|(known, _)| *known == context).map_or(0, |(_, device)| *device)
}

macro_rules! functions {
    ($($name:ident ($($argument:ident: $type:ty),*) $body:block)*) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $type),*) -> c_int {
            let run = || -> Result<(), c_int> { enter(stringify!($name))?; unsafe { $body } };
            run().err().unwrap_or(0)
        }
    )*};
}

unsafe fn put<T>(place: *mut T, value: T) -> Result<(), c_int> {
    unsafe { place.write(value) };
    Ok(())
}

functions! {
    cuDriverGetVersion(version: *mut c_int) { put(version, setting("FAKE_CUDA_VERSION", 13_000)) }
    cuGetErrorName(code: c_int, name: *mut *const c_char) {
        if code == 123_456 { return Err(1) }
        put(name, c"FAKE_NAME".as_ptr())
    }
    cuGetErrorString(_code: c_int, text: *mut *const c_char) { put(text, c"what the fake says of it".as_ptr()) }
    cuInit(_flags: c_uint) { if setting("FAKE_CUDA_DEVICES", 2) == 0 { Err(100) } else { Ok(()) } }
    cuDeviceGetCount(count: *mut c_int) { put(count, setting("FAKE_CUDA_DEVICES", 2)) }
    cuDeviceGet(device: *mut c_int, ordinal: c_int) { put(device, ordinal + 40) }
    cuDeviceGetName(name: *mut c_char, _length: c_int, _device: c_int) {
        std::ptr::copy_nonoverlapping(c"Fake".as_ptr(), name, 5);
        Ok(())
    }
    cuDevicePrimaryCtxRetain(context: *mut Ptr, device: c_int) {
        risky()?;
        let address = 0x1000 * device as usize;
        let mut contexts = CONTEXTS.lock().unwrap();
        if !contexts.contains(&(address, device)) { contexts.push((address, device)) }
        put(context, std::ptr::without_provenance_mut(address))
    }
    cuDevicePrimaryCtxGetState(device: c_int, _flags: *mut c_uint, active: *mut c_int) {
        risky()?;
        let address = 0x1000 * device as usize;
        put(active, c_int::from(CONTEXTS.lock().unwrap().contains(&(address, device))))
    }
    cuCtxCreate_v2(context: *mut Ptr, _flags: c_uint, device: c_int) {
        let address = 0x10_0000 * NEXT.fetch_add(1, SeqCst) as usize;
        CONTEXTS.lock().unwrap().push((address, device));
        CURRENT.with_borrow_mut(|stack| stack.push(address));
        put(context, std::ptr::without_provenance_mut(address))
    }
    cuCtxGetCurrent(context: *mut Ptr) { put(context, std::ptr::without_provenance_mut(current())) }
    cuCtxSetCurrent(context: Ptr) {
        CURRENT.with_borrow_mut(|stack| { stack.pop(); if !context.is_null() { stack.push(context.addr()) } });
        Ok(())
    }
    cuCtxPushCurrent_v2(context: Ptr) { CURRENT.with_borrow_mut(|stack| stack.push(context.addr())); Ok(()) }
    cuCtxPopCurrent_v2(context: *mut Ptr) {
        let popped = CURRENT.with_borrow_mut(Vec::pop).ok_or(201)?;
        put(context, std::ptr::without_provenance_mut(popped))
    }
    cuCtxGetDevice(device: *mut c_int) { risky()?; put(device, device_of(need_context()?)) }
    cuCtxGetStreamPriorityRange(least: *mut c_int, greatest: *mut c_int) {
        risky()?;
        need_context()?;
        put(least, 0)?;
        put(greatest, -5)
    }
    cuThreadExchangeStreamCaptureMode(mode: *mut c_int) { put(mode, MODE.replace(mode.read())) }
    cuStreamCreateWithPriority(made: *mut Ptr, _flags: c_uint, priority: c_int) {
        risky()?;
        let (context, id) = (need_context()?, NEXT.fetch_add(1, SeqCst));
        LIVE_STREAMS.fetch_add(1, SeqCst);
        let stream = Stream { context, id, priority, capture: Mutex::new((0, 0)) };
        put(made, Box::into_raw(Box::new(stream)).cast())
    }
    cuStreamDestroy_v2(stream: Ptr) {
        risky()?;
        LIVE_STREAMS.fetch_sub(1, SeqCst);
        drop(Box::from_raw(stream.cast::<Stream>()));
        Ok(())
    }
    cuStreamQuery(raw: Ptr) { risky()?; asked(stream(raw)?) }
    cuStreamSynchronize(raw: Ptr) { risky()?; asked(stream(raw)?) }
    cuStreamGetCtx(raw: Ptr, context: *mut Ptr) {
        let address = stream(raw)?.map_or_else(current, |stream| stream.context);
        put(context, std::ptr::without_provenance_mut(address))
    }
    cuStreamGetPriority(raw: Ptr, priority: *mut c_int) { risky()?; put(priority, stream(raw)?.map_or(0, |stream| stream.priority)) }
    cuStreamIsCapturing(raw: Ptr, status: *mut c_int) {
        put(status, stream(raw)?.map_or(0, |stream| stream.capture.lock().unwrap().0))
    }
    cuStreamBeginCapture_v2(raw: Ptr, mode: c_int) {
        let stream = stream(raw)?.ok_or(900)?;
        CAPTURES.lock().unwrap().push((std::thread::current().id(), mode, raw.expose_provenance()));
        *stream.capture.lock().unwrap() = (1, NEXT.fetch_add(1, SeqCst));
        Ok(())
    }
    cuStreamEndCapture(raw: Ptr, graph: *mut Ptr) {
        let stream = stream(raw)?.ok_or(900)?;
        CAPTURES.lock().unwrap().retain(|(_, _, captured)| *captured != raw.addr());
        let (status, _) = std::mem::replace(&mut *stream.capture.lock().unwrap(), (0, 0));
        if status == 2 { return Err(901) }
        put(graph, std::ptr::without_provenance_mut(0x77))
    }
    cuLaunchHostFunc(raw: Ptr, func: unsafe extern "C" fn(Ptr), data: Ptr) {
        stream(raw)?;
        let data = data.expose_provenance();
        let run = move || func(std::ptr::with_exposed_provenance_mut(data));
        std::thread::spawn(run).join().map_err(|_| 999)
    }
    cuEventCreate(event: *mut Ptr, flags: c_uint) {
        risky()?;
        let context = need_context()?;
        LIVE_EVENTS.fetch_add(1, SeqCst);
        let (recorded, place) = (Mutex::new((false, 0)), Mutex::new((0, 0)));
        let made = Event { context, timed: flags & 2 == 0, recorded, place };
        put(event, Box::into_raw(Box::new(made)).cast())
    }
    cuEventDestroy_v2(event: Ptr) {
        risky()?;
        LIVE_EVENTS.fetch_sub(1, SeqCst);
        drop(Box::from_raw(event.cast::<Event>()));
        Ok(())
    }
    cuEventQuery(event: Ptr) { risky()?; strict()?; event_asked(event) }
    cuEventSynchronize(event: Ptr) { risky()?; strict()?; event_asked(event) }
    cuEventRecord(event: Ptr, raw: Ptr) {
        let event = &*event.cast::<Event>();
        let (context, capture) = match stream(raw)? {
            Some(stream) => (stream.context, *stream.capture.lock().unwrap()),
            None => (current(), (0, 0)),
        };
        if event.context != context { return Err(400) }
        if capture.0 == 2 { return Err(901) }
        *event.recorded.lock().unwrap() = (true, capture.1);
        let submitted = work(|work| work.submitted.get(&raw.addr()).copied().unwrap_or(0));
        *event.place.lock().unwrap() = (raw.addr(), submitted);
        Ok(())
    }
    cuStreamWaitEvent(raw: Ptr, event: Ptr, _flags: c_uint) {
        stream(raw)?;
        // A wait for an active capture draws the stream into it, which is not simulated.
        capture_of(event)?;
        let (source, submitted) = *(*event.cast::<Event>()).place.lock().unwrap();
        work(|work| {
            let waited = work.waited_for.entry((raw.addr(), source)).or_default();
            *waited = submitted.max(*waited);
        });
        Ok(())
    }
    // Measured to be harmless to captures.
    cuEventElapsedTime(milliseconds: *mut f32, start: Ptr, end: Ptr) {
        strict()?;
        for event in [start, end] {
            if capture_of(event)?.is_some() { return Err(907) }
        }
        let timed = |event: Ptr| (*event.cast::<Event>()).timed;
        if !timed(start) || !timed(end) { return Err(1) }
        put(milliseconds, 1.5)
    }
}

#[cfg(not(old))]
functions! {
    cuStreamGetId(raw: Ptr, id: *mut u64) { risky()?; asked(stream(raw)?)?; put(id, stream(raw)?.map_or(1, |stream| stream.id)) }
    cuStreamGetCaptureInfo_v2(raw: Ptr, status: *mut c_int, id: *mut u64, _graph: *mut Ptr, _nodes: *mut *const Ptr, _count: *mut usize) {
        let capture = stream(raw)?.map_or((0, 0), |stream| *stream.capture.lock().unwrap());
        put(status, capture.0)?;
        put(id, capture.1)
    }
    // Each context has one lifetime.
    cuCtxGetId(context: Ptr, id: *mut u64) { put(id, context.addr() as u64) }
    cuIpcGetEventHandle(handle: *mut [u8; 64], _event: Ptr) { risky()?; put(handle, [7; 64]) }
}

// For the tests' own table: there is no memory here, and no kernel runs.
macro_rules! absent {
    ($($name:ident)*) => {$(
        #[unsafe(no_mangle)]
        pub extern "C" fn $name() -> c_int { 999 }
    )*};
}

// A fake that wraps this one may add kernels.
#[cfg(not(kernels))]
absent! { cuModuleLoadData cuModuleGetFunction cuLaunchKernel }

absent! {
    cuMemAlloc_v2 cuMemFree_v2 cuMemHostAlloc cuMemcpyDtoH_v2 cuMemsetD32_v2
    cuStreamWaitValue32_v2 cuGraphInstantiateWithFlags cuGraphLaunch cuGraphDestroy cuGraphExecDestroy
}

/// Queries a stream. As with the real driver, this invalidates a capture of the stream.
fn asked(stream: Option<&Stream>) -> Result<(), c_int> {
    let Some(stream) = stream else { return Ok(()) };
    let mut capture = stream.capture.lock().unwrap();
    if capture.0 == 0 {
        return Ok(());
    }
    capture.0 = 2;
    Err(900)
}

/// Returns the captured stream of the event's last record if it was made in a capture; 1 if the capture has
/// ended.
unsafe fn capture_of<'a>(event: Ptr) -> Result<Option<&'a Stream>, c_int> {
    let (_, capture) = *unsafe { &*event.cast::<Event>() }.recorded.lock().unwrap();
    if capture == 0 {
        return Ok(None);
    }
    let captures = CAPTURES.lock().unwrap();
    // A stream under capture is not destroyed here.
    let mut streams = captures.iter().map(|(_, _, stream)| unsafe {
        &*std::ptr::with_exposed_provenance::<Stream>(*stream)
    });
    streams.find(|stream| stream.capture.lock().unwrap().1 == capture).map(Some).ok_or(1)
}

/// Queries an event. As with the real driver, this invalidates the capture that the event was recorded in.
unsafe fn event_asked(event: Ptr) -> Result<(), c_int> {
    let Some(stream) = (unsafe { capture_of(event) }?) else { return Ok(()) };
    stream.capture.lock().unwrap().0 = 2;
    Err(907)
}

/// Makes the function fail from now on. Null makes none fail.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fake_fail(name: *const c_char, code: c_int) {
    let failing =
        (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned());
    *FAIL.lock().unwrap() = failing.map(|name| (name, code));
}

/// Returns the number of calls of the function since the last count of any function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fake_calls(name: *const c_char) -> usize {
    let name = unsafe { CStr::from_ptr(name) }.to_string_lossy();
    let calls = std::mem::take(&mut *CALLS.lock().unwrap());
    if name.is_empty() { calls.len() } else { calls.iter().filter(|call| **call == name).count() }
}

/// Blocks the next call of the function, on whichever thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fake_hold(name: *const c_char) {
    let name = unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned();
    HOLD.lock().unwrap().0 = Some(name);
}

/// Waits until a call is blocked.
#[unsafe(no_mangle)]
pub extern "C" fn fake_held() {
    let mut hold = HOLD.lock().unwrap();
    while !hold.1 {
        hold = CHANGED.wait(hold).unwrap();
    }
}

/// Unblocks the call.
#[unsafe(no_mangle)]
pub extern "C" fn fake_release() {
    HOLD.lock().unwrap().1 = false;
    CHANGED.notify_all();
}

/// Submits work to a stream. Returns the total so far.
#[unsafe(no_mangle)]
pub extern "C" fn fake_submit(stream: Ptr) -> u64 {
    work(|work| {
        let submitted = work.submitted.entry(stream.addr()).or_default();
        *submitted += 1;
        *submitted
    })
}

/// Returns the amount of `source`'s work that `waiter` waits for.
#[unsafe(no_mangle)]
pub extern "C" fn fake_waited(waiter: Ptr, source: Ptr) -> u64 {
    let pair = (waiter.addr(), source.addr());
    work(|work| work.waited_for.get(&pair).copied().unwrap_or(0))
}

/// Returns the depth of the thread's context stack.
#[unsafe(no_mangle)]
pub extern "C" fn fake_depth() -> usize {
    CURRENT.with_borrow(Vec::len)
}

/// Returns the number of live streams and events.
#[unsafe(no_mangle)]
pub extern "C" fn fake_live(events: c_int) -> usize {
    if events == 0 { LIVE_STREAMS.load(SeqCst) } else { LIVE_EVENTS.load(SeqCst) }
}
