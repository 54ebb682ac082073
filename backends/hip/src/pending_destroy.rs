//! Streams that were dropped while busy, and are destroyed once idle: [`PendingDestroy`].
//!
//! `hipStreamDestroy` blocks until the stream's work is done, and a drop must not block.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::{LazyLock, PoisonError};

use gpu_stream_core::{CaptureStatus, Error as _, ErrorKind, RawStream};

use crate::driver::symbols::Ptr;
use crate::driver::{CaptureModeGuard, Driver, capture, loaded};
use crate::host_func::{self, USER_CODE};
use crate::poll::{MARKER_POLLS, is_idle, is_passed, record_marker};
use crate::pool::PooledEvent;
use crate::sync::{AtomicBool, Mutex, MutexGuard, Ordering};
use crate::thread::may_destroy;
use crate::{Hip, HipError};

#[cfg(all(test, gpu_stream_loom))]
mod loom_tests;

static PENDING: LazyLock<PendingDestroy<Dropped>> = LazyLock::new(PendingDestroy::new);

/// A stream of this crate without any owner.
struct Dropped {
    stream: RawStream<Hip>,
    /// The ordinal of its device.
    ordinal: u32,
    /// The key of its panics where the runtime has no ids. 0 where it has.
    number: u64,
    /// The number of host functions that had ended before the drop.
    ended: usize,
    /// How often the runtime failed to report whether it is idle.
    failures: Cell<u32>,
    /// The event that tells whether the hardware queue advances, where a destroy waits for the queue.
    marker: Cell<Option<PooledEvent>>,
}

impl Dropped {
    /// Returns the handle under which its closures and panics are stored.
    fn key(&self) -> usize {
        if self.number != 0 { self.number as usize } else { self.stream.to_bits() }
    }
}

/// The number of failures after which the stream is destroyed anyway, which may block. With a fault, or without a
/// runtime, the failures are permanent.
const FAILURES: u32 = 3;

/// Values to be destroyed once idle. The first was checked longest ago.
struct PendingDestroy<T> {
    list: Mutex<VecDeque<T>>,
    any: AtomicBool,
}

/// The number of values that one call checks, so that its cost does not depend on their number. More than one, so
/// that the list shrinks.
const REAP_BATCH: usize = 4;

/// The number of pending streams from which on a destruction may wait for a running host function.
const MAX_DEFERRED: usize = 128;

/// The number of polls of a marker after an earlier one has passed.
const MARKER_POLLS_AGAIN: u32 = 2_000;

const OPERATION: &str = "HipStream::drop";

impl<T> PendingDestroy<T> {
    fn new() -> Self {
        PendingDestroy { list: Mutex::new(VecDeque::new()), any: AtomicBool::new(false) }
    }

    fn list(&self) -> MutexGuard<'_, VecDeque<T>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a value that was busy a moment ago.
    fn push(&self, pending: T) {
        self.list().push_back(pending);
        self.any.store(true, Ordering::Release);
    }

    /// Calls `destroy` for some values. It destroys a value and returns `true`, or returns `false` for a busy one.
    #[inline]
    fn reap(&self, destroy: impl Fn(&T) -> bool) {
        if self.any.load(Ordering::Relaxed) {
            self.reap_slow(destroy);
        }
    }

    #[cold]
    fn reap_slow(&self, destroy: impl Fn(&T) -> bool) {
        for _ in 0..REAP_BATCH {
            // The runtime is not called under the lock.
            let Some(pending) = self.list().pop_front() else { break };
            if !destroy(&pending) {
                self.list().push_back(pending);
            }
        }
        let list = self.list();
        self.any.store(!list.is_empty(), Ordering::Release);
    }
}

/// Destroys an idle stream at once. Queues a stream that is busy or captured, or dropped on a thread of the runtime
/// or while a host function runs. The end of a later public call destroys it. Process exit leaves the queue alone,
/// as CUDA does.
///
/// # Safety
/// - This crate created `stream`, on the device `ordinal`, and this is its last use.
pub(crate) unsafe fn destroy(
    driver: &'static Driver,
    stream: RawStream<Hip>,
    ordinal: u32,
    number: u64,
) {
    let (failures, marker) = (Cell::new(0), Cell::new(None));
    let dropped = Dropped { stream, ordinal, number, ended: host_func::ended(), failures, marker };
    if !may_destroy() {
        PENDING.push(dropped);
        return HAS_NEW.store(true, Ordering::Release);
    }
    reap_some(driver);
    // SAFETY: this is the last use of a stream of this crate (caller contract).
    if !unsafe { destroy_if_idle(driver, &dropped) } {
        PENDING.push(dropped);
    }
}

/// Destroys some of the streams that have become idle.
fn reap_some(driver: &'static Driver) {
    // SAFETY: this crate created the stream, and no other owner exists: it was taken out of the list.
    PENDING.reap(|dropped| unsafe { destroy_if_idle(driver, dropped) });
}

/// Set if the list has a stream that was not checked yet.
static HAS_NEW: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// The number of public calls of a thread between two checks: a check costs more than most calls.
const REAP_INTERVAL: u32 = 8;

/// Destroys some of the streams that have become idle, at the end of some public calls.
#[inline]
pub(crate) fn reap() {
    if PENDING.any.load(Ordering::Relaxed) {
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
    let is_new = HAS_NEW.load(Ordering::Relaxed);
    if (is_new || calls.is_multiple_of(REAP_INTERVAL))
        && may_destroy()
        && let Some(driver) = loaded()
    {
        if is_new {
            HAS_NEW.store(false, Ordering::Release);
        }
        reap_some(driver);
    }
}

/// Returns `true` if the stream was destroyed. Also returns `true` if a reset of its device has freed it.
///
/// # Safety
/// - This crate created the stream, and this is its last use if it is destroyed.
unsafe fn destroy_if_idle(driver: &'static Driver, dropped: &Dropped) -> bool {
    let Dropped { stream, ordinal, ref failures, ref marker, .. } = *dropped;
    let raw = stream.as_ptr();
    // SAFETY: `raw` is live, and this is its last use if it is destroyed (caller contract).
    unsafe {
        let known = driver.ensure_known(raw, OPERATION);
        let idle = match known.and_then(|()| capture::status(driver, raw, OPERATION)) {
            Ok(CaptureStatus::None) => is_idle(driver, raw, ordinal, OPERATION),
            // The library that began the capture may still end it.
            Ok(_) => Ok(false),
            // A reset of the device has freed the stream, and a destroy would free it twice. Asked twice, since one
            // error may be about something else.
            Err(error) if is_unknown(&error) => {
                let again = driver.ensure_known(raw, OPERATION);
                let again = again.and_then(|()| capture::status(driver, raw, OPERATION));
                if again.is_err_and(|error| is_unknown(&error)) {
                    remove_panics(dropped);
                    return true;
                }
                Err(error)
            }
            Err(error) => Err(error),
        };
        failures.update(|failures| failures + u32::from(idle.is_err()));
        let is_known = idle.is_ok();
        let is_fault = idle.as_ref().is_err_and(|error| error.kind() == ErrorKind::StreamFault);
        // `hipStreamDestroy` can wait for the thread that runs all host functions. A host function that begins after
        // this check still delays it.
        if host_func::any_running() && !may_wait(dropped) {
            return false;
        }
        if idle.unwrap_or(failures.get() >= FAILURES) {
            if driver.quirks.destroy_waits
                && is_known
                && !queue_advances(driver, raw, ordinal, marker)
            {
                return false;
            }
            if is_fault {
                remove_panics(dropped);
            }
            USER_CODE.panics.remove(ordinal as usize, dropped.key());
            destroy_now(driver, stream)
        } else {
            false
        }
    }
}

/// Returns `true` if the destruction may wait for a running host function.
///
/// It may if many streams are pending and a host function has ended since the drop. Otherwise a program whose host
/// functions always run would never destroy a stream.
fn may_wait(dropped: &Dropped) -> bool {
    host_func::ended() != dropped.ended && PENDING.list().len() >= MAX_DEFERRED
}

/// Returns `true` if no other stream blocks the hardware queue of an idle stream: a marker passes it at once. A
/// marker that does not pass is kept, so that later checks do not fill the queue.
///
/// A marker that passed since the last check does not suffice: another stream may have blocked the queue after it.
///
/// # Safety
/// - `stream` is live, not captured, and belongs to the device `ordinal`.
unsafe fn queue_advances(
    driver: &'static Driver,
    stream: Ptr,
    ordinal: u32,
    marker: &Cell<Option<PooledEvent>>,
) -> bool {
    let has_passed = |event: &PooledEvent| {
        // SAFETY: the event is live: its owner is borrowed. It points to `stream`, which is live (caller contract).
        unsafe { is_passed(driver, event.raw(), OPERATION) }.unwrap_or(false)
    };
    let mut polls = MARKER_POLLS;
    if let Some(earlier) = marker.take() {
        if !has_passed(&earlier) {
            marker.set(Some(earlier));
            return false;
        }
        // The queue advances, but the device may be slow.
        polls = MARKER_POLLS_AGAIN;
    }
    // SAFETY: `stream` is live, and belongs to `ordinal` (caller contract).
    let Ok(now) = (unsafe { record_marker(driver, stream, ordinal, OPERATION) }) else {
        return false;
    };
    for _ in 0..polls {
        if has_passed(&now) {
            return true;
        }
        std::thread::yield_now();
    }
    marker.set(Some(now));
    false
}

/// Removes the panic and the closures of a stream whose work will never run. The closures are dropped at the end of
/// a public call.
fn remove_panics(dropped: &Dropped) {
    let (scope, handle) = (dropped.ordinal as usize, dropped.key());
    USER_CODE.panics.remove(scope, handle);
    if !USER_CODE.host_funcs.is_empty() {
        USER_CODE.deferred.push(move || {
            USER_CODE.host_funcs.cancel(|stream| (stream.scope, stream.handle) == (scope, handle));
        });
    }
}

fn is_unknown(error: &HipError) -> bool {
    error.kind() == ErrorKind::InvalidHandle
}

/// Destroys the stream. Returns `true`.
///
/// # Safety
/// - This crate created `stream`, and this is its last use.
unsafe fn destroy_now(driver: &'static Driver, stream: RawStream<Hip>) -> bool {
    // Without the guard a capture may break. Without the destruction, the stream leaks, which is worse.
    let _relaxed = CaptureModeGuard::enter(driver, OPERATION).ok();
    // SAFETY: this is the last use of a stream of this crate (caller contract). The error of a runtime that has
    // ended is dropped: no caller is there to get it.
    driver.discard(unsafe { (driver.symbols.stream_destroy)(stream.as_ptr()) });
    true
}
