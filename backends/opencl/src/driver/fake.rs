//! A driver for tests. It runs code inside of its calls, as a driver may that runs callbacks there.
//!
//! No work runs. A test runs the callbacks itself, in any order and on any thread.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::ptr::{null_mut, without_provenance_mut};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use gpu_stream_core::{Backend, Device, StreamOptions};
use gpu_stream_driver_common::DriverStart;
use gpu_stream_driver_common::library::{Found, Library, LoadedLibrary, Origin};

use super::symbols::EventCallback;
use super::{DRIVER, DeviceState, Driver, Handle, Ptr, Symbols, load};
use crate::{OpenCl, OpenClStream};

/// The code that a later call runs, and the number of calls before that one.
type Inside = Option<(u32, Box<dyn FnOnce()>)>;

thread_local! {
    static INSIDE: RefCell<Inside> = const { RefCell::new(None) };
    static CALLS: Cell<u32> = const { Cell::new(0) };
    static CALLBACKS: RefCell<Vec<Callback>> = const { RefCell::new(Vec::new()) };
}

/// A callback that was set on an event, with its data.
pub(crate) struct Callback(EventCallback, Handle);

impl Callback {
    /// Calls the callback, as a driver does when the event is complete.
    pub(crate) fn run(self) {
        // SAFETY: `clSetEventCallback` got this function with this data, and it is called once.
        unsafe { (self.0)(null_mut(), 0, self.1.0) };
    }
}

/// Returns the callbacks that this thread has set, in their order.
pub(crate) fn take_callbacks() -> Vec<Callback> {
    CALLBACKS.take()
}

/// Runs `code` inside of the call that this thread makes after `calls` other ones.
pub(crate) fn run_inside(calls: u32, code: impl FnOnce() + 'static) {
    INSIDE.set(Some((calls, Box::new(code))));
}

/// Returns `true` if the code of [`run_inside`] has not run.
pub(crate) fn is_waiting() -> bool {
    INSIDE.with_borrow(Option::is_some)
}

/// Returns the number of calls that this thread has made.
pub(crate) fn calls() -> u32 {
    CALLS.get()
}

/// Makes this driver the process's, and returns a new stream.
pub(crate) fn stream() -> OpenClStream {
    extern "C" fn in_child() {
        DRIVER.set_forked();
    }
    let how = DriverStart { load: || Ok(driver()), can_pass: |_| false, started: |_| (), in_child };
    DRIVER.start(&how).expect("no fork and no end of the process");
    OpenCl::new_stream(Device::new(OpenCl::KIND, 0), StreamOptions::new()).expect("it has a device")
}

fn driver() -> Driver {
    let name = if cfg!(windows) { "kernel32.dll" } else { "libc.so.6" };
    // SAFETY: the process has loaded it already, so no initializer runs.
    let library = unsafe { Library::new(name) }.expect("the system's own library");
    let found = Found { library, file: name.to_owned(), origin: Origin::Loaded };
    let (name, version, context) = (String::new(), String::new(), OnceLock::new());
    let devices = vec![DeviceState { id: new_object(), name, version, context }];
    let runtime = LoadedLibrary::new(&load::SPEC, found);
    Driver { symbols: SYMBOLS, runtime, devices, too_old: Vec::new(), failures: Vec::new() }
}

/// Counts a call, and runs the code that was meant for it.
fn call() {
    CALLS.set(CALLS.get() + 1);
    let now = INSIDE.with_borrow_mut(|inside| {
        let (calls, code) = inside.take()?;
        match calls.checked_sub(1) {
            None => Some(code),
            Some(left) => {
                *inside = Some((left, code));
                None
            }
        }
    });
    if let Some(code) = now {
        code();
    }
}

/// Returns a handle that no other object has. It is never read through.
fn new_object() -> Ptr {
    static LAST: AtomicUsize = AtomicUsize::new(0x1000);
    without_provenance_mut(LAST.fetch_add(64, Ordering::Relaxed))
}

fn new_event(event: *mut Ptr) -> i32 {
    call();
    // SAFETY: the backend passes null or a valid out-pointer.
    if let Some(event) = unsafe { event.as_mut() } {
        *event = new_object();
    }
    0
}

unsafe extern "C" fn enqueue(_: Ptr, _: u32, _: *const Ptr, event: *mut Ptr) -> i32 {
    new_event(event)
}

unsafe extern "C" fn object(_: Ptr) -> i32 {
    call();
    0
}

unsafe extern "C" fn info(_: Ptr, _: u32, _: usize, _: *mut c_void, _: *mut usize) -> i32 {
    -30
}

unsafe extern "C" fn list(_: Ptr, _: u64, _: u32, _: *mut Ptr, _: *mut u32) -> i32 {
    -30
}

unsafe extern "C" fn platforms(_: u32, _: *mut Ptr, _: *mut u32) -> i32 {
    -30
}

unsafe extern "C" fn wait(_: u32, _: *const Ptr) -> i32 {
    -30
}

unsafe extern "C" fn create_context(
    _: *const isize,
    _: u32,
    _: *const Ptr,
    _: *const c_void,
    _: *mut c_void,
    _: *mut i32,
) -> Ptr {
    new_object()
}

unsafe extern "C" fn create_queue(_: Ptr, _: Ptr, _: u64, _: *mut i32) -> Ptr {
    new_object()
}

unsafe extern "C" fn create_event(_: Ptr, _: *mut i32) -> Ptr {
    call();
    new_object()
}

unsafe extern "C" fn set_status(_: Ptr, _: i32) -> i32 {
    call();
    0
}

unsafe extern "C" fn set_callback(_: Ptr, _: i32, function: EventCallback, data: Ptr) -> i32 {
    call();
    CALLBACKS.with_borrow_mut(|all| all.push(Callback(function, Handle(data))));
    0
}

const SYMBOLS: Symbols = Symbols {
    platform_ids: platforms,
    platform_info: info,
    device_ids: list,
    device_info: info,
    context_create: create_context,
    queue_create: create_queue,
    queue_retain: object,
    queue_release: object,
    queue_info: info,
    flush: object,
    marker: enqueue,
    barrier: enqueue,
    event_retain: object,
    event_release: object,
    event_info: info,
    event_wait: wait,
    event_profiling: info,
    event_callback: set_callback,
    user_event_create: create_event,
    user_event_set: set_status,
};
