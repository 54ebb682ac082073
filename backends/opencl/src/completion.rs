//! Callbacks on the completion of an event, and the status of user events: [`on_completion`], [`set_status`].
//!
//! A driver may do the work of a call and return an error anyway. So it gets no pointer as its user data, and a status
//! that it refused is set once more.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::OpenClCode;
use crate::driver::{Driver, Ptr, check, loaded};
use crate::error::{Result, driver_error};
use crate::host_func::complete;
use crate::marker::EventRef;

/// `CL_COMPLETE`.
pub(crate) const COMPLETE: i32 = 0;

/// What runs when an event is complete, with its status: negative if its work failed.
type Callback = Box<dyn FnOnce(i32) + Send>;

/// The callbacks that the driver has not called yet, by key. A key is never used again.
struct Callbacks {
    waiting: BTreeMap<usize, Callback>,
    last_key: usize,
}

static CALLBACKS: Mutex<Callbacks> =
    Mutex::new(Callbacks { waiting: BTreeMap::new(), last_key: 0 });

fn callbacks() -> MutexGuard<'static, Callbacks> {
    CALLBACKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes the callback with this key, unless it was taken before.
fn take(key: usize) -> Option<Callback> {
    callbacks().waiting.remove(&key)
}

/// Lets the driver call `callback` once, when the event is complete or its work has failed: on a thread of the driver, or
/// inside this call. It must not unwind.
///
/// After an error the callback is dropped before this function returns, unless it has run already: a driver that has
/// taken it in spite of the error finds nothing to call.
pub(crate) fn on_completion(
    driver: &Driver,
    event: &EventRef,
    callback: impl FnOnce(i32) + Send + 'static,
    operation: &'static str,
) -> Result<()> {
    let key = {
        let mut callbacks = callbacks();
        callbacks.last_key += 1;
        let key = callbacks.last_key;
        callbacks.waiting.insert(key, Box::new(callback));
        key
    };
    let data = std::ptr::without_provenance_mut(key);
    // SAFETY: the event is live: `event` has a reference. `call_back` accepts any data.
    let code = unsafe { (driver.symbols.event_callback)(event.raw(), COMPLETE, call_back, data) };
    check(code, operation, "clSetEventCallback").inspect_err(|_| drop(take(key)))
}

/// Runs the callback whose key is `data`, if it is still there.
///
/// # Safety
/// - No requirements. The type is the driver's.
unsafe extern "C" fn call_back(_: Ptr, status: i32, data: *mut c_void) {
    if let Some(callback) = take(data.addr()) {
        callback(status);
    }
}

/// The user events whose status the driver refused, each with the status.
static REFUSED: Mutex<Vec<(EventRef, i32)>> = Mutex::new(Vec::new());

/// `true` if there may be an event in [`REFUSED`].
static ANY_REFUSED: AtomicBool = AtomicBool::new(false);

/// Sets the status of a user event, which nothing else does. Does nothing in the child of a fork.
///
/// What waits for the event would never run without a status. So a refused one is set again at once, and after that by
/// the next calls of this crate, until the driver takes it.
///
/// # Errors
/// The code of the driver's last refusal.
pub(crate) fn set_status(event: EventRef, status: i32) -> Result<(), i32> {
    /// `CL_INVALID_OPERATION`: the event has a status.
    const IS_SET: i32 = -59;
    const ATTEMPTS: usize = 3;
    let Some(driver) = loaded() else { return Ok(()) };
    let mut code = 0;
    for attempt in 0..ATTEMPTS {
        complete(|| {
            // SAFETY: the event is live: `event` has a reference. A second status is refused by the driver.
            code = unsafe { (driver.symbols.user_event_set)(event.raw(), status) };
        });
        if code == 0 || code == IS_SET && attempt > 0 {
            return Ok(());
        }
    }
    REFUSED.lock().unwrap_or_else(PoisonError::into_inner).push((event, status));
    ANY_REFUSED.store(true, Ordering::Release);
    Err(code)
}

/// Sets the status of a user event to complete.
///
/// # Errors
/// The driver's refusal, as the error of `operation`.
pub(crate) fn set_complete(event: EventRef, operation: &'static str) -> Result<()> {
    set_status(event, COMPLETE)
        .map_err(|code| driver_error(operation, "clSetUserEventStatus", OpenClCode::new(code)))
}

/// Sets each status that the driver has refused once more. Costs one load if there is none.
#[inline]
pub(crate) fn set_refused() {
    if ANY_REFUSED.load(Ordering::Acquire) {
        set_refused_slow();
    }
}

#[cold]
fn set_refused_slow() {
    // A thread of the parent may hold the lock in the child of a fork.
    if loaded().is_none() || !ANY_REFUSED.swap(false, Ordering::AcqRel) {
        return;
    }
    let refused = std::mem::take(&mut *REFUSED.lock().unwrap_or_else(PoisonError::into_inner));
    for (event, status) in refused {
        // Another refusal puts the event back.
        let _ = set_status(event, status);
    }
}
