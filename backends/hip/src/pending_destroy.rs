//! Streams of this crate that were dropped, and are destroyed once that does not block: [`destroy`], [`reap`].
//!
//! `hipStreamDestroy` blocks until the stream's work is done. On HIP 5 it can also wait for the hardware queue of an idle
//! stream, and on all versions for a running host function of any stream. A drop must not block. So a stream that cannot
//! be destroyed at once goes onto a list, and the end of later public calls tries again. Process exit leaves the list
//! alone, as CUDA does.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use gpu_stream_core::{CaptureStatus, Error as _, ErrorKind, RawStream};
use gpu_stream_driver_common::user_code::Lost;

use crate::driver::{CaptureModeGuard, Driver, capture, loaded};
use crate::host_func::{self, USER_CODE};
use crate::poll::{MARKER_POLLS, is_idle, is_passed, record_marker};
use crate::pool::PooledEvent;
use crate::thread::may_destroy;
use crate::{Hip, HipError};

/// The streams to destroy. The first was tried longest ago. The runtime is not called under the lock.
static PENDING: Mutex<VecDeque<Dropped>> = Mutex::new(VecDeque::new());

/// Set while the list has a stream. Changed under its lock.
static ANY: AtomicBool = AtomicBool::new(false);

/// Set while the list has a stream that was not tried yet. The next call tries it.
static HAS_NEW: AtomicBool = AtomicBool::new(false);

/// The number of streams that one call tries, so that its cost does not depend on their number. More than one, so that
/// the list shrinks.
const REAP_BATCH: usize = 4;

/// The number of public calls of a thread between two tries: a try costs more than most calls.
const REAP_INTERVAL: u32 = 8;

/// The number of pending streams from which on a destruction may wait for a running host function.
const MAX_DEFERRED: usize = 128;

/// The number of polls of a marker after an earlier one has passed.
const MARKER_POLLS_AGAIN: u32 = 2_000;

const OPERATION: &str = "HipStream::drop";

/// A stream of this crate without any owner.
struct Dropped {
    stream: RawStream<Hip>,
    /// The ordinal of its device.
    ordinal: u32,
    /// The handle under which its closures and panics are stored.
    key: usize,
    /// The number of host functions that had ended before the drop.
    ended: usize,
    /// The event that tells whether the hardware queue advances, where a destroy waits for the queue.
    marker: Option<PooledEvent>,
}

fn list() -> MutexGuard<'static, VecDeque<Dropped>> {
    PENDING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn push(dropped: Dropped) {
    let mut list = list();
    list.push_back(dropped);
    ANY.store(true, Ordering::Relaxed);
}

fn pop() -> Option<Dropped> {
    let mut list = list();
    let first = list.pop_front();
    ANY.store(!list.is_empty(), Ordering::Relaxed);
    first
}

/// Destroys a stream, at once or at the end of a later public call. Its closures and panics are stored under `key`.
///
/// # Safety
/// - This crate created `stream`, on the device `ordinal`, and this is its last use.
pub(crate) unsafe fn destroy(
    driver: &'static Driver,
    stream: RawStream<Hip>,
    ordinal: u32,
    key: usize,
) {
    let mut dropped = Dropped { stream, ordinal, key, ended: host_func::ended(), marker: None };
    let is_tried = may_destroy();
    if is_tried {
        reap_some(driver);
        // SAFETY: this is the last use of a stream of this crate (caller contract).
        if unsafe { try_destroy(driver, &mut dropped) } {
            return;
        }
    }
    push(dropped);
    if !is_tried {
        HAS_NEW.store(true, Ordering::Relaxed);
    }
}

/// Tries to destroy some of the pending streams, at the end of some public calls.
#[inline]
pub(crate) fn reap() {
    if ANY.load(Ordering::Relaxed) {
        reap_sometimes();
    }
}

#[cold]
fn reap_sometimes() {
    thread_local! {
        // No destructor, so that it is usable until the thread's very end.
        static CALLS: Cell<u32> = const { Cell::new(0) };
    }
    let calls = CALLS.get().wrapping_add(1);
    CALLS.set(calls);
    if (calls.is_multiple_of(REAP_INTERVAL) || HAS_NEW.load(Ordering::Relaxed))
        && may_destroy()
        && let Some(driver) = loaded()
    {
        HAS_NEW.store(false, Ordering::Relaxed);
        reap_some(driver);
    }
}

fn reap_some(driver: &'static Driver) {
    for _ in 0..REAP_BATCH {
        let Some(mut dropped) = pop() else { break };
        // SAFETY: this crate created the stream, and no other owner exists: it was taken out of the list.
        if !unsafe { try_destroy(driver, &mut dropped) } {
            push(dropped);
        }
    }
}

/// Destroys the stream if that does not block. Returns `true` if it is gone.
///
/// # Safety
/// - This crate created the stream, and this is its last use if the function returns `true`.
unsafe fn try_destroy(driver: &'static Driver, dropped: &mut Dropped) -> bool {
    // Asked twice, since one error may be about something else.
    // SAFETY: the stream is live, unless a reset has destroyed it (caller contract).
    let idle =
        unsafe { is_stream_idle(driver, dropped).or_else(|_| is_stream_idle(driver, dropped)) };
    match idle.map_err(|error| error.kind()) {
        Ok(true) => {}
        // A reset of the device has freed the stream, and a destroy would free it twice. Or the device is broken. The
        // third kind is what the first becomes beside another runtime.
        Err(ErrorKind::InvalidHandle | ErrorKind::StreamFault | ErrorKind::AmbiguousLibrary) => {
            drop_closures(dropped);
            return true;
        }
        Ok(false) | Err(_) => return false,
    }
    // A host function that begins after this check still delays the destruction, so the check is late.
    if host_func::any_running() && !may_wait(dropped) {
        return false;
    }
    // SAFETY: the stream is live and not captured, as the check has shown.
    if driver.quirks.destroy_waits && !unsafe { queue_advances(driver, dropped) } {
        return false;
    }
    USER_CODE.panics.remove(dropped.ordinal as usize, dropped.key);
    // Without the guard a capture may break. Without the destruction, the stream leaks, which is worse.
    let _relaxed = CaptureModeGuard::enter(driver, OPERATION).ok();
    // SAFETY: this is the last use of a stream of this crate (caller contract). The error of a runtime that has
    // ended is dropped: no caller is there to get it.
    driver.discard(unsafe { (driver.symbols.stream_destroy)(dropped.stream.as_ptr()) });
    true
}

/// Returns `true` if the destruction may wait for a running host function.
///
/// It may if many streams are pending and a host function has ended since the drop. Otherwise a program whose host
/// functions always run would never destroy a stream.
fn may_wait(dropped: &Dropped) -> bool {
    host_func::ended() != dropped.ended && list().len() >= MAX_DEFERRED
}

/// Returns `true` if the stream has no work and is not captured: the library that began a capture may still end it.
///
/// # Safety
/// - The stream was alive when it was last used. Only a reset has destroyed it since.
unsafe fn is_stream_idle(driver: &'static Driver, dropped: &Dropped) -> Result<bool, HipError> {
    let raw = dropped.stream.as_ptr();
    // SAFETY: only a reset can have destroyed the stream (caller contract). Where the other functions follow the handle
    // of a destroyed stream, the first returns an error.
    unsafe {
        driver.ensure_known(raw, OPERATION)?;
        Ok(capture::status(driver, raw, OPERATION)? == CaptureStatus::None
            && is_idle(driver, raw, dropped.ordinal, OPERATION)?)
    }
}

/// Returns `true` if no other stream blocks the hardware queue of an idle stream: a marker passes it at once. A marker
/// that does not pass is kept, so that later tries do not fill the queue.
///
/// A marker that passed since the last try does not suffice: another stream may have blocked the queue after it.
///
/// # Safety
/// - The stream is live and not captured.
unsafe fn queue_advances(driver: &'static Driver, dropped: &mut Dropped) -> bool {
    let Dropped { stream, ordinal, ref mut marker, .. } = *dropped;
    let has_passed = |event: &PooledEvent| {
        // SAFETY: the event is live: its owner is borrowed. It points to the stream, which is live (caller contract).
        unsafe { is_passed(driver, event.raw(), OPERATION) }.unwrap_or(false)
    };
    let mut polls = MARKER_POLLS;
    if let Some(earlier) = marker {
        if !has_passed(earlier) {
            return false;
        }
        // The queue advances, but the device may be slow.
        polls = MARKER_POLLS_AGAIN;
    }
    // SAFETY: the stream is live, and belongs to the device (caller contract).
    *marker = unsafe { record_marker(driver, stream.as_ptr(), ordinal, OPERATION) }.ok();
    let Some(now) = marker else { return false };
    for _ in 0..polls {
        if has_passed(now) {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

/// Removes the panic and the closures of a stream whose work will never run. The closures are dropped at the end of a
/// public call.
fn drop_closures(dropped: &Dropped) {
    let (scope, handle) = (dropped.ordinal as usize, dropped.key);
    USER_CODE.panics.remove(scope, handle);
    if !USER_CODE.host_funcs.is_empty() {
        let cancel = move || USER_CODE.cancel(|| Some(Lost::Stream { scope, handle }));
        USER_CODE.deferred.push(cancel);
    }
}
