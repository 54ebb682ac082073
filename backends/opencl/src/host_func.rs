//! User code: closures on a stream and owners, and where they run and are dropped.
//!
//! OpenCL has no host functions. One is built of a marker with a callback, and of a user event that later work waits
//! for. The callback runs the closure, on a thread of the driver.

use std::cell::Cell;
use std::ffi::c_void;

use gpu_stream_core::HostFunc;
use gpu_stream_driver_common::UserCode;
use gpu_stream_driver_common::user_code::Lost;

use crate::OpenClError;
use crate::driver::{Driver, Ptr, check, loaded};
use crate::error::Result;
use crate::marker::EventRef;
use crate::stream::OpenClStream;

/// The user code of this backend.
pub(crate) static USER_CODE: UserCode = UserCode::new();

/// `CL_COMPLETE`.
const COMPLETE: i32 = 0;

/// Runs the body of a public call, and ends the call: see [`UserCode::call`].
pub(crate) fn call<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    let lost = |error: &OpenClError| match error {
        OpenClError::HostFunctionPanicked { .. } => Some(Lost::AfterPanics),
        _ => None,
    };
    USER_CODE.call(body, lost)
}

/// A user event, which is set to complete by the drop.
struct CompleteOnDrop(EventRef);

impl Drop for CompleteOnDrop {
    fn drop(&mut self) {
        if let Some(driver) = loaded() {
            // SAFETY: the event is live: the field has a reference. Only this value sets its status, once.
            unsafe { (driver.symbols.user_event_set)(self.0.raw(), COMPLETE) };
        }
    }
}

/// What the driver's callback needs of a launched closure.
struct Launched {
    /// The key of the closure in [`USER_CODE`].
    key: usize,
    /// Keeps the queue, whose handle is the key of its panics.
    stream: OpenClStream,
    /// What later work of the stream waits for.
    later: CompleteOnDrop,
}

thread_local! {
    /// `true` while the thread is inside of [`launch`]. Its driver must not run a closure there.
    static LAUNCHING: Cell<bool> = const { Cell::new(false) };
}

/// Resets [`LAUNCHING`] on each path.
struct Launching(bool);

impl Drop for Launching {
    fn drop(&mut self) {
        LAUNCHING.set(self.0);
    }
}

/// Launches a closure on a stream.
pub(crate) fn launch(
    driver: &'static Driver,
    stream: &OpenClStream,
    func: HostFunc,
    operation: &'static str,
) -> Result<()> {
    let _launching = Launching(LAUNCHING.replace(true));
    let later = CompleteOnDrop(stream.user_event(driver, operation)?);
    // Holds the marker back until its callback is set: a driver calls it at once for a marker that is complete.
    let start = CompleteOnDrop(stream.user_event(driver, operation)?);
    stream.hold(driver, &start.0, operation)?;
    let marker = stream.marker(driver, operation)?;
    stream.hold(driver, &later.0, operation)?;
    USER_CODE.host_funcs.launch(func, stream.key(), |key| {
        let launched = Box::new(Launched { key: key.addr(), stream: stream.clone(), later });
        let data = Box::into_raw(launched);
        // SAFETY: the marker is live. The driver calls `run` once, with `data`, which belongs to that call.
        let code =
            unsafe { (driver.symbols.event_callback)(marker.raw(), COMPLETE, run, data.cast()) };
        check(code, operation, "clSetEventCallback").inspect_err(|_| {
            // SAFETY: the driver has not taken the box, which was made above.
            drop(unsafe { Box::from_raw(data) });
        })
    })?;
    drop(start);
    Ok(())
}

/// Runs a launched closure. The driver calls it, on a thread of its own.
///
/// # Safety
/// - `data` is a [`Launched`] in a box, which belongs to this call.
unsafe extern "C" fn run(_: Ptr, status: i32, data: *mut c_void) {
    // SAFETY: the box belongs to this call (caller contract).
    let mut launched = Some(unsafe { Box::from_raw(data.cast::<Launched>()) });
    if LAUNCHING.get() {
        // Some drivers run callbacks on the thread that completes a user event.
        let moved = launched.take();
        let run = move || moved.into_iter().for_each(|launched| launched.run(status));
        // Without a thread, the closure is dropped, and the work behind it goes on.
        let _ = std::thread::Builder::new().spawn(run);
    }
    launched.into_iter().for_each(|launched| launched.run(status));
}

impl Launched {
    /// Runs the closure, and lets later work of the stream run. Drops it instead if earlier work failed.
    fn run(self, status: i32) {
        let Launched { key, stream, later } = self;
        let key = std::ptr::without_provenance_mut(key);
        if status == COMPLETE {
            USER_CODE.run_host_func(key);
        } else {
            USER_CODE.host_funcs.discard(key);
        }
        if USER_CODE.panics.has(stream.key()) {
            // The queue is never released, so that no other queue gets its handle, and with it the fault.
            std::mem::forget(stream.clone());
        }
        drop(later);
        stream.drop_later();
    }
}

/// Completes a user event after another event, with its status.
pub(crate) fn complete_after(
    driver: &'static Driver,
    event: &EventRef,
    bridge: &EventRef,
    operation: &'static str,
) -> Result<()> {
    let given = std::mem::ManuallyDrop::new(bridge.try_clone(driver, operation)?);
    // SAFETY: the event is live. The callback takes over the reference `given`, and the driver calls it once.
    let code =
        unsafe { (driver.symbols.event_callback)(event.raw(), COMPLETE, pass_on, given.raw()) };
    check(code, operation, "clSetEventCallback").inspect_err(|_| {
        // The driver has not taken the reference.
        drop(std::mem::ManuallyDrop::into_inner(given));
    })
}

/// Sets the status of a user event.
///
/// # Safety
/// - `bridge` is a reference to a user event, which this call takes over. Nothing else sets its status.
unsafe extern "C" fn pass_on(_: Ptr, status: i32, bridge: *mut c_void) {
    let Some(driver) = loaded() else { return };
    // SAFETY: the reference belongs to this call (caller contract).
    let bridge = unsafe { EventRef::from_owned(bridge) };
    // SAFETY: the event is live, and its status was not set (caller contract). 0 and negative numbers are allowed.
    unsafe { (driver.symbols.user_event_set)(bridge.raw(), status.min(COMPLETE)) };
}
