//! A runtime without a device. It keeps streams, events and captures as the real one does, and completes
//! all work at once. The tests compile it into a library and name it in `GPU_STREAM_HIP_LIBRARY`, to
//! reach paths that no real runtime takes on demand. It shows nothing about a GPU.
//!
//! Settings are environment variables: `FAKE_HIP_VERSION`, `FAKE_HIP_DEVICES`, and `FAKE_HIP_NO_DEVICE`,
//! the code for a machine without a device. `fake_fail` makes a function fail. `--cfg old` omits the
//! functions that are newer than HIP 5.2.
//!
//! A destroyed stream stays in memory, so that a call which uses it is counted (`fake_count`) and does
//! not crash.

#![allow(non_snake_case, clippy::missing_safety_doc, clippy::undocumented_unsafe_blocks)]

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::collections::HashMap;
use std::sync::{Condvar, Mutex};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::thread::ThreadId;

type Ptr = *mut c_void;

thread_local! {
    static DEVICE: Cell<c_int> = const { Cell::new(0) };
    static MODE: Cell<c_int> = const { Cell::new(0) };
    static ERROR: Cell<c_int> = const { Cell::new(0) };
    static OWN: RefCell<Own> = const { RefCell::new(Own(Vec::new())) };
}

/// A thread's default streams, by device. They end with the thread.
struct Own(Vec<usize>);

impl Drop for Own {
    fn drop(&mut self) {
        for address in &self.0 {
            unsafe { at(*address) }.alive.store(false, SeqCst);
        }
    }
}

/// The function that fails, and its code.
static FAIL: Mutex<Option<(String, c_int)>> = Mutex::new(None);
/// The function whose next call is blocked, and `true` while it is.
static HOLD_NEXT: Mutex<(Option<String>, bool)> = Mutex::new((None, false));
static CHANGED: Condvar = Condvar::new();
/// Submitted work, and the work of other streams that each stream waits for.
static WORK: Mutex<Option<Work>> = Mutex::new(None);
static CALLS: Mutex<Vec<&'static str>> = Mutex::new(Vec::new());
static LIVE_STREAMS: AtomicUsize = AtomicUsize::new(0);
static LIVE_EVENTS: AtomicUsize = AtomicUsize::new(0);
static STALE: AtomicUsize = AtomicUsize::new(0);
/// The number of events that were recorded elsewhere or destroyed while a capture had a pointer to them.
static LOST: AtomicUsize = AtomicUsize::new(0);
static BUSY: AtomicBool = AtomicBool::new(false);
static HOLD: AtomicBool = AtomicBool::new(false);
static HELD: AtomicBool = AtomicBool::new(false);
static NEXT: AtomicU64 = AtomicU64::new(10);

/// The active captures: the thread that began each, its mode, and its stream.
static CAPTURES: Mutex<Vec<(ThreadId, c_int, usize)>> = Mutex::new(Vec::new());

struct Stream {
    device: c_int,
    id: u64,
    priority: c_int,
    capture: Mutex<(c_int, u64)>,
    alive: AtomicBool,
}

struct Event {
    device: c_int,
    timed: bool,
    /// The stream, or 0, and the capture.
    recorded: Mutex<(usize, u64)>,
    /// The stream of the record, and the amount of its work before the record.
    position: Mutex<(usize, u64)>,
}

#[derive(Default)]
struct Work {
    /// Blocked streams.
    held: Vec<usize>,
    submitted: HashMap<usize, u64>,
    waited_for: HashMap<(usize, usize), u64>,
}

fn work<T>(ask: impl FnOnce(&mut Work) -> T) -> T {
    ask(WORK.lock().unwrap().get_or_insert_default())
}

fn setting(name: &str, default: c_int) -> c_int {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn version() -> c_int {
    setting("FAKE_HIP_VERSION", 70_253_211)
}

fn devices() -> Result<c_int, c_int> {
    let no_device = setting("FAKE_HIP_NO_DEVICE", 0);
    if no_device == 0 { Ok(setting("FAKE_HIP_DEVICES", 2)) } else { Err(no_device) }
}

fn enter(name: &'static str) -> Result<(), c_int> {
    CALLS.lock().unwrap().push(name);
    block_if_held(name);
    match &*FAIL.lock().unwrap() {
        Some((which, code)) if which == name => Err(*code),
        _ => Ok(()),
    }
}

fn block_if_held(name: &str) {
    let mut hold = HOLD_NEXT.lock().unwrap();
    if hold.0.as_deref() == Some(name) {
        *hold = (None, true);
        CHANGED.notify_all();
        while hold.1 {
            hold = CHANGED.wait(hold).unwrap();
        }
    }
}

/// Returns `true` on HIP's NVIDIA platform.
fn is_on_cuda() -> bool {
    version() < 1_000_000
}

/// Stores the code of a call in the last error. Up to HIP 6 every call replaces the last error. From 7
/// on only a real error does, and on the NVIDIA platform also "not ready".
fn store_last_error(answer: Result<(), c_int>) -> c_int {
    let code = answer.err().unwrap_or(0);
    let replaces = match code {
        0 => version() < 70_000_000 && !is_on_cuda(),
        600 => version() < 70_000_000,
        _ => true,
    };
    if replaces {
        ERROR.set(code);
    }
    code
}

/// Fails as a call that is unsafe beside captures on the NVIDIA platform. Untested versions are assumed
/// to be the same.
fn unsafe_beside_captures() -> Result<(), c_int> {
    if is_on_cuda() || version() >= 70_300_000 { unsafe_beside_captures_since(0) } else { Ok(()) }
}

/// Fails as a call that is unsafe beside captures since the given version, and on the NVIDIA platform:
/// it is rejected and breaks them, unless the thread's mode allows it.
fn unsafe_beside_captures_since(since: c_int) -> Result<(), c_int> {
    if version() < since && !is_on_cuda() {
        return Ok(());
    }
    let (thread, mode) = (std::thread::current().id(), MODE.get());
    let captures = CAPTURES.lock().unwrap();
    let affected = captures.iter().filter(|(began, of, _)| match mode {
        0 => if *began == thread { *of != 2 } else { *of == 0 },
        1 => *began == thread && *of != 2,
        _ => false,
    });
    let broken: Vec<_> = affected.map(|(_, _, stream)| *stream).collect();
    for address in &broken {
        unsafe { at(*address) }.capture.lock().unwrap().0 = 2;
    }
    if broken.is_empty() { Ok(()) } else { Err(900) }
}

/// Returns the stream at this address. Streams are never freed.
unsafe fn at(address: usize) -> &'static Stream {
    unsafe { &*std::ptr::with_exposed_provenance::<Stream>(address) }
}

fn make(device: c_int, priority: c_int) -> usize {
    let (id, capture) = (NEXT.fetch_add(1, SeqCst), Mutex::new((0, 0)));
    let stream = Stream { device, id, priority, capture, alive: AtomicBool::new(true) };
    Box::into_raw(Box::new(stream)).expose_provenance()
}

/// Resolves an explicit stream, or the thread's own on the current device. The default stream always
/// exists, and has no state.
unsafe fn stream(stream: Ptr) -> Result<Option<&'static Stream>, c_int> {
    let address = match stream.addr() {
        0 => return Ok(None),
        // HIP's behaviour with handle 1 differs between versions, and is wrong in all.
        1 => std::process::abort(),
        2 => OWN.with_borrow_mut(|own| {
            let index = DEVICE.get() as usize;
            while own.0.len() <= index {
                own.0.push(make(own.0.len() as c_int, 0));
            }
            own.0[index]
        }),
        address => address,
    };
    let stream = unsafe { at(address) };
    if !stream.alive.load(SeqCst) {
        STALE.fetch_add(1, SeqCst);
        return Err(709);
    }
    Ok(Some(stream))
}

macro_rules! functions {
    ($($name:ident ($($argument:ident: $type:ty),*) $body:block)*) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $type),*) -> c_int {
            let run = || -> Result<(), c_int> { enter(stringify!($name))?; unsafe { $body } };
            store_last_error(run())
        }
    )*};
}

unsafe fn put<T>(out: *mut T, value: T) -> Result<(), c_int> {
    unsafe { out.write(value) };
    Ok(())
}

functions! {
    hipRuntimeGetVersion(version_out: *mut c_int) { put(version_out, version()) }
    hipInit(_flags: c_uint) { devices().map(drop) }
    hipGetDeviceCount(count: *mut c_int) { put(count, devices()?) }
    hipDeviceGet(device: *mut c_int, ordinal: c_int) { put(device, ordinal) }
    hipDeviceGetName(name: *mut c_char, _length: c_int, _device: c_int) {
        std::ptr::copy_nonoverlapping(c"Fake".as_ptr(), name, 5);
        Ok(())
    }
    hipGetDevice(device: *mut c_int) { put(device, DEVICE.get()) }
    hipSetDevice(device: c_int) {
        if !(0..devices()?).contains(&device) { return Err(101) }
        DEVICE.set(device);
        Ok(())
    }
    hipDeviceGetStreamPriorityRange(least: *mut c_int, greatest: *mut c_int) {
        unsafe_beside_captures()?;
        put(least, 1)?;
        put(greatest, -1)
    }
    hipThreadExchangeStreamCaptureMode(mode: *mut c_int) { put(mode, MODE.replace(mode.read())) }
    hipStreamCreateWithPriority(made: *mut Ptr, _flags: c_uint, priority: c_int) {
        unsafe_beside_captures()?;
        LIVE_STREAMS.fetch_add(1, SeqCst);
        put(made, std::ptr::with_exposed_provenance_mut(make(DEVICE.get(), priority)))
    }
    hipStreamDestroy(raw: Ptr) {
        unsafe_beside_captures()?;
        let stream = stream(raw)?.ok_or(400)?;
        LIVE_STREAMS.fetch_sub(1, SeqCst);
        stream.alive.store(false, SeqCst);
        Ok(())
    }
    hipStreamQuery(raw: Ptr) {
        unsafe_beside_captures_since(60_000_000)?;
        break_if_captured(stream(raw)?)?;
        if BUSY.load(SeqCst) { Err(600) } else { Ok(()) }
    }
    hipStreamSynchronize(raw: Ptr) { unsafe_beside_captures_since(60_000_000)?; break_if_captured(stream(raw)?) }
    hipStreamGetPriority(raw: Ptr, priority: *mut c_int) { unsafe_beside_captures()?; put(priority, stream(raw)?.map_or(0, |stream| stream.priority)) }
    hipStreamIsCapturing(raw: Ptr, status: *mut c_int) {
        put(status, stream(raw)?.map_or(0, |stream| stream.capture.lock().unwrap().0))
    }
    hipStreamBeginCapture(raw: Ptr, mode: c_int) {
        let stream = stream(raw)?.ok_or(900)?;
        CAPTURES.lock().unwrap().push((std::thread::current().id(), mode, raw.expose_provenance()));
        *stream.capture.lock().unwrap() = (1, NEXT.fetch_add(1, SeqCst));
        Ok(())
    }
    hipStreamEndCapture(raw: Ptr, graph: *mut Ptr) {
        let stream = stream(raw)?.ok_or(900)?;
        CAPTURES.lock().unwrap().retain(|(_, _, captured)| *captured != raw.addr());
        let (status, _) = std::mem::replace(&mut *stream.capture.lock().unwrap(), (0, 0));
        if status == 2 { return Err(901) }
        put(graph, std::ptr::without_provenance_mut(0x77))
    }
    hipStreamAddCallback(raw: Ptr, func: unsafe extern "C" fn(Ptr, c_int, Ptr), data: Ptr, _flags: c_uint) {
        stream(raw)?;
        let (raw, data) = (raw.expose_provenance(), data.expose_provenance());
        let pointer = std::ptr::with_exposed_provenance_mut;
        std::thread::spawn(move || func(pointer(raw), 0, pointer(data))).join().map_err(|_| 999)
    }
    fakeStreamDevice(raw: Ptr, device: *mut c_int) { put(device, stream(raw)?.map_or(DEVICE.get(), |stream| stream.device)) }
    hipEventCreateWithFlags(event: *mut Ptr, flags: c_uint) {
        unsafe_beside_captures()?;
        LIVE_EVENTS.fetch_add(1, SeqCst);
        let (recorded, position) = (Mutex::new((0, 0)), Mutex::new((0, 0)));
        let made = Event { device: DEVICE.get(), timed: flags & 2 == 0, recorded, position };
        put(event, Box::into_raw(Box::new(made)).cast())
    }
    hipEventDestroy(event: Ptr) {
        unsafe_beside_captures()?;
        LIVE_EVENTS.fetch_sub(1, SeqCst);
        // From HIP 5.5 on, the stream of the last record drops its pointer to a destroyed event.
        if version() < 50_500_000 && !is_on_cuda() {
            lose(&*event.cast::<Event>());
        }
        drop(Box::from_raw(event.cast::<Event>()));
        Ok(())
    }
    hipEventQuery(event: Ptr) {
        unsafe_beside_captures_since(70_000_000)?;
        while HOLD.load(SeqCst) {
            HELD.store(true, SeqCst);
            std::thread::yield_now();
        }
        check_valid(event)?;
        if is_pending(event) { Err(600) } else { Ok(()) }
    }
    hipEventSynchronize(event: Ptr) { unsafe_beside_captures_since(60_000_000)?; check_valid(event) }
    hipStreamWaitEvent(raw: Ptr, event: Ptr, _flags: c_uint) {
        stream(raw)?;
        check_valid(event)?;
        let (source, submitted) = *(*event.cast::<Event>()).position.lock().unwrap();
        work(|work| {
            let waited = work.waited_for.entry((raw.addr(), source)).or_default();
            *waited = submitted.max(*waited);
        });
        Ok(())
    }
    hipEventElapsedTime(milliseconds: *mut f32, start: Ptr, end: Ptr) {
        unsafe_beside_captures()?;
        check_valid(start)?;
        check_valid(end)?;
        let timed = |event: Ptr| (*event.cast::<Event>()).timed;
        if !timed(start) || !timed(end) { return Err(400) }
        put(milliseconds, 1.5)
    }
}

#[cfg(not(old))]
functions! {
    hipStreamGetDevice(raw: Ptr, device: *mut c_int) { unsafe_beside_captures()?; put(device, stream(raw)?.map_or(DEVICE.get(), |stream| stream.device)) }
    hipLaunchHostFunc(raw: Ptr, func: unsafe extern "C" fn(Ptr), data: Ptr) {
        stream(raw)?;
        let data = data.expose_provenance();
        let run = move || func(std::ptr::with_exposed_provenance_mut(data));
        std::thread::spawn(run).join().map_err(|_| 999)
    }
    hipStreamGetId(raw: Ptr, id: *mut u64) { unsafe_beside_captures()?; break_if_captured(stream(raw)?)?; put(id, stream(raw)?.map_or(1, |stream| stream.id)) }
    hipStreamGetCaptureInfo_v2(raw: Ptr, status: *mut c_int, id: *mut u64, _graph: *mut Ptr, _nodes: *mut *const Ptr, _count: *mut usize) {
        let capture = stream(raw)?.map_or((0, 0), |stream| *stream.capture.lock().unwrap());
        put(status, capture.0)?;
        put(id, capture.1)
    }
    hipIpcGetEventHandle(handle: *mut [u8; 64], _event: Ptr) { unsafe_beside_captures()?; put(handle, [7; 64]) }
}

/// Points the event to the stream before it fails, as HIP 5.7 does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hipEventRecord(event: Ptr, raw: Ptr) -> c_int {
    let record = || {
        let failing = enter("hipEventRecord");
        let event = unsafe { &*event.cast::<Event>() };
        let (device, address, capture) = match unsafe { stream(raw) }? {
            Some(stream) => (
                stream.device,
                std::ptr::from_ref(stream).addr(),
                *stream.capture.lock().unwrap(),
            ),
            None => (DEVICE.get(), 0, (0, 0)),
        };
        if event.device != device {
            return Err(400);
        }
        if capture.0 == 2 {
            return Err(901);
        }
        if (address, capture.1) != *event.recorded.lock().unwrap() {
            lose(event);
        }
        event.recorded.lock().unwrap().0 = address;
        failing?;
        event.recorded.lock().unwrap().1 = capture.1;
        let submitted = work(|work| work.submitted.get(&raw.addr()).copied().unwrap_or(0));
        *event.position.lock().unwrap() = (raw.addr(), submitted);
        block_if_held("hipEventRecord, made");
        Ok(())
    };
    store_last_error(record())
}

/// Returns the device itself, or −1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hipGetStreamDeviceId(raw: Ptr) -> c_int {
    let mut device = -1;
    if unsafe { fakeStreamDevice(raw, &mut device) } == 0 { device } else { -1 }
}

#[unsafe(no_mangle)]
pub extern "C" fn hipGetErrorName(code: c_int) -> *const c_char {
    let _ = enter("hipGetErrorName");
    if code == 123_456 { c"hipErrorUnknown".as_ptr() } else { c"fakeErrorName".as_ptr() }
}

#[unsafe(no_mangle)]
pub extern "C" fn hipGetErrorString(_code: c_int) -> *const c_char {
    let _ = enter("hipGetErrorString");
    c"a text of the fake".as_ptr()
}

#[unsafe(no_mangle)]
pub extern "C" fn hipGetLastError() -> c_int {
    let _ = enter("hipGetLastError");
    ERROR.replace(0)
}

#[unsafe(no_mangle)]
pub extern "C" fn hipPeekAtLastError() -> c_int {
    let _ = enter("hipPeekAtLastError");
    ERROR.get()
}

// For the table of functions in the tests. The fake has no memory, and runs nothing.
macro_rules! absent {
    ($($name:ident)*) => {$(
        #[unsafe(no_mangle)]
        pub extern "C" fn $name() -> c_int { 999 }
    )*};
}

absent! {
    hipHostMalloc hipMalloc hipFree hipMemsetD32Async hipMemcpyAsync hipStreamWaitValue32 hipStreamWriteValue32
    hipGraphInstantiate hipGraphLaunch hipGraphDestroy hipGraphExecDestroy
}

/// Breaks the capture of a stream that is queried, as the real runtime does.
fn break_if_captured(stream: Option<&Stream>) -> Result<(), c_int> {
    let Some(stream) = stream else { return Ok(()) };
    let mut capture = stream.capture.lock().unwrap();
    if capture.0 == 0 {
        return Ok(());
    }
    capture.0 = 2;
    Err(900)
}

/// Counts the event if the capture of its last record is active. The real runtime writes to the event
/// when the capture ends.
fn lose(event: &Event) {
    if is_on_cuda() {
        return;
    }
    let (address, capture) = *event.recorded.lock().unwrap();
    if capture != 0 && unsafe { at(address) }.capture.lock().unwrap().1 == capture {
        LOST.fetch_add(1, SeqCst);
    }
}

/// Checks that the event can be used: its stream is alive, and it was not recorded in a capture.
unsafe fn check_valid(event: Ptr) -> Result<(), c_int> {
    let (address, capture) = *unsafe { &*event.cast::<Event>() }.recorded.lock().unwrap();
    if address != 0 && !unsafe { at(address) }.alive.load(SeqCst) {
        STALE.fetch_add(1, SeqCst);
        return Err(709);
    }
    if capture == 0 { Ok(()) } else { Err(907) }
}

/// Returns `true` if the event was recorded on a blocked stream, or on one that waits for such a record.
unsafe fn is_pending(event: Ptr) -> bool {
    let (stream, _) = *unsafe { &*event.cast::<Event>() }.position.lock().unwrap();
    work(|work| {
        let sources = work.waited_for.keys().filter(|(waiter, _)| *waiter == stream);
        let mut all = sources.map(|(_, source)| *source).chain([stream]);
        all.any(|stream| work.held.contains(&stream))
    })
}

/// Makes the function fail from now on. Null makes none fail.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fake_fail(name: *const c_char, code: c_int) {
    let failing =
        (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned());
    *FAIL.lock().unwrap() = failing.map(|name| (name, code));
}

/// Returns the number of calls of the function since the last count of any, or of all calls if the name
/// is empty.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fake_calls(name: *const c_char) -> usize {
    let name = unsafe { CStr::from_ptr(name) }.to_string_lossy();
    let calls = std::mem::take(&mut *CALLS.lock().unwrap());
    if name.is_empty() { calls.len() } else { calls.iter().filter(|call| **call == name).count() }
}

/// Returns a count: 0 is streams and 1 events that were created and not destroyed, 2 is calls that used
/// a destroyed stream, and any other number is events that a capture lost.
#[unsafe(no_mangle)]
pub extern "C" fn fake_count(what: c_int) -> usize {
    match what {
        0 => LIVE_STREAMS.load(SeqCst),
        1 => LIVE_EVENTS.load(SeqCst),
        2 => STALE.load(SeqCst),
        _ => LOST.load(SeqCst),
    }
}

/// Makes all streams busy or idle.
#[unsafe(no_mangle)]
pub extern "C" fn fake_busy(busy: bool) {
    BUSY.store(busy, SeqCst);
}

/// Blocks the stream, or releases it.
#[unsafe(no_mangle)]
pub extern "C" fn fake_hold_back(stream: Ptr, held: bool) {
    work(|work| {
        work.held.retain(|known| *known != stream.addr());
        work.held.extend(held.then_some(stream.addr()));
    });
}

/// Blocks queries of events, or releases them. Returns `true` if one is or was blocked since the last
/// change to `true`.
#[unsafe(no_mangle)]
pub extern "C" fn fake_hold_queries(hold: bool) -> bool {
    if hold && !HOLD.swap(true, SeqCst) {
        HELD.store(false, SeqCst);
    }
    HOLD.store(hold, SeqCst);
    HELD.load(SeqCst)
}

/// Blocks the next call of the function, on whichever thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fake_hold_next(name: *const c_char) {
    let name = unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned();
    HOLD_NEXT.lock().unwrap().0 = Some(name);
}

/// Waits until the call is blocked.
#[unsafe(no_mangle)]
pub extern "C" fn fake_held() {
    let mut hold = HOLD_NEXT.lock().unwrap();
    while !hold.1 {
        hold = CHANGED.wait(hold).unwrap();
    }
}

/// Releases the blocked call.
#[unsafe(no_mangle)]
pub extern "C" fn fake_release() {
    HOLD_NEXT.lock().unwrap().1 = false;
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
