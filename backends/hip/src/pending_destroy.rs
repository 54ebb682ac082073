//! Streams of ours that nobody has any more, and that still work.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::{LazyLock, PoisonError};

use gpu_stream_core::{CaptureStatus, Error as _, ErrorKind, RawStream};

use crate::call::may_destroy;
use crate::driver::capture::{self, CaptureModeGuard};
use crate::driver::symbols::Ptr;
use crate::driver::{Driver, loaded};
use crate::host_func::{DEFERRED, HOST_FUNCS, PANICS};
use crate::owned_event::EventRef;
use crate::sync::{AtomicBool, Mutex, MutexGuard, Ordering};
use crate::{Hip, HipError, event, stream};

#[cfg(all(test, gpu_stream_loom))]
mod loom_tests;

static BUSY: LazyLock<PendingDestroy<Dropped>> = LazyLock::new(PendingDestroy::new);

/// A stream of ours that nobody has any more.
struct Dropped {
    stream: RawStream<Hip>,
    /// Of its device.
    ordinal: u32,
    /// What its panics are found by, where the runtime has no ids.
    number: u64,
    /// How often the runtime failed to say whether it is idle.
    failures: Cell<u32>,
    /// Where a destroy waits for the hardware queue: what was recorded to see whether the queue moves.
    marker: Cell<Option<EventRef>>,
}

impl Dropped {
    /// Returns what its closures and panics are found by.
    fn key(&self) -> usize {
        if self.number != 0 { self.number as usize } else { self.stream.to_bits() }
    }
}

/// How often it may fail before the stream is destroyed all the same, which may block: with a fault,
/// or without a runtime, it will not get better.
const FAILURES: u32 = 3;

/// What is to be destroyed when it is idle; the first one was looked at longest ago.
struct PendingDestroy<T> {
    list: Mutex<VecDeque<T>>,
    any: AtomicBool,
}

/// How many of them a call looks at, so that it costs the same however many there are. More than
/// one: else the list could grow.
const REAP_BATCH: usize = 4;

const OPERATION: &str = "HipStream::drop";

impl<T> PendingDestroy<T> {
    fn new() -> Self {
        PendingDestroy { list: Mutex::new(VecDeque::new()), any: AtomicBool::new(false) }
    }

    fn list(&self) -> MutexGuard<'_, VecDeque<T>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts one in that was busy a moment ago.
    fn put(&self, busy: T) {
        self.list().push_back(busy);
        self.any.store(true, Ordering::Release);
    }

    /// Looks at some, each of which `destroy` destroys, or says that it is busy.
    #[inline]
    fn clear(&self, destroy: impl Fn(&T) -> bool) {
        if self.any.load(Ordering::Relaxed) {
            self.reap_slow(destroy);
        }
    }

    #[cold]
    fn reap_slow(&self, destroy: impl Fn(&T) -> bool) {
        for _ in 0..REAP_BATCH {
            // The runtime is not asked under the lock.
            let Some(busy) = self.list().pop_front() else { break };
            if !destroy(&busy) {
                self.list().push_back(busy);
            }
        }
        let list = self.list();
        self.any.store(!list.is_empty(), Ordering::Release);
    }
}

/// Destroys a stream, at once if it is idle: the runtime would block until its work is done. One
/// that is busy, or under capture, or dropped by a thread of the runtime, is destroyed at the end of a
/// later public call. At the end of the process none is, as on CUDA.
///
/// # Safety
/// The stream is ours, of the device `ordinal`, and this is its last use.
pub(crate) unsafe fn destroy(
    driver: &'static Driver,
    stream: RawStream<Hip>,
    ordinal: u32,
    number: u64,
) {
    let dropped =
        Dropped { stream, ordinal, number, failures: Cell::new(0), marker: Cell::new(None) };
    if !may_destroy() {
        BUSY.put(dropped);
        return NEW.store(true, Ordering::Release);
    }
    clear(driver);
    // SAFETY: the caller promises it.
    if !unsafe { destroy_if_idle(driver, &dropped) } {
        BUSY.put(dropped);
    }
}

/// Destroys some of the streams that have become idle.
fn clear(driver: &'static Driver) {
    // SAFETY: the stream is ours, and no other has it: it was taken out of the list.
    BUSY.clear(|dropped| unsafe { destroy_if_idle(driver, dropped) });
}

/// Set if a stream was put into the list that was not looked at yet.
static NEW: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// How many public calls of a thread pass between two looks at the list: asking costs more than most
/// calls.
const EVERY: u32 = 8;

/// Destroys some of the streams that have become idle, at the end of some public calls.
#[inline]
pub(crate) fn reap() {
    if BUSY.any.load(Ordering::Relaxed) {
        visit_some();
    }
}

#[cold]
fn visit_some() {
    thread_local! {
        // Without a destructor, so that it is good until the thread's very end.
        static CALLS: Cell<u32> = const { Cell::new(0) };
    }
    let calls = CALLS.get().wrapping_add(1);
    CALLS.set(calls);
    let is_new = NEW.load(Ordering::Relaxed);
    if (is_new || calls.is_multiple_of(EVERY))
        && may_destroy()
        && let Some(driver) = loaded()
    {
        if is_new {
            NEW.store(false, Ordering::Release);
        }
        clear(driver);
    }
}

/// Whether it was destroyed.
///
/// # Safety
/// As [`destroy`].
unsafe fn destroy_if_idle(driver: &'static Driver, dropped: &Dropped) -> bool {
    let Dropped { stream, ordinal, ref failures, ref marker, .. } = *dropped;
    let raw = stream.as_ptr();
    // SAFETY: the caller promises that the stream is alive, and that this is its last use if it is
    // destroyed.
    unsafe {
        let known = driver.ensure_known(raw, OPERATION);
        let idle = match known.and_then(|()| capture::status(driver, raw, OPERATION)) {
            Ok(CaptureStatus::None) => stream::is_idle(driver, raw, ordinal, OPERATION),
            // Somebody who knows the handle may end it.
            Ok(_) => Ok(false),
            // Gone with its device, which was reset. To destroy it again would free it twice. One answer
            // may be about something else.
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
        let is_told = idle.is_ok();
        let is_fault = idle.as_ref().is_err_and(|error| error.kind() == ErrorKind::StreamFault);
        if idle.unwrap_or(failures.get() >= FAILURES) {
            if driver.quirks.destroy_waits && is_told && !moves(driver, raw, ordinal, marker) {
                return false;
            }
            if is_fault {
                remove_panics(dropped);
            }
            PANICS.remove(ordinal as usize, dropped.key());
            destroy_now(driver, stream)
        } else {
            false
        }
    }
}

/// Returns `true` if the hardware queue of an idle stream is not held back by another stream: a marker
/// passes it at once. One that does not is kept, so that the queue is not filled by those of later looks.
///
/// # Safety
/// The stream is alive, not captured, and of the device `ordinal`.
unsafe fn moves(
    driver: &'static Driver,
    stream: Ptr,
    ordinal: u32,
    marker: &Cell<Option<EventRef>>,
) -> bool {
    let has_passed = |event: &EventRef| {
        event::is_passed(driver, event.raw.as_ptr(), false, OPERATION).unwrap_or(false)
    };
    if let Some(earlier) = marker.take()
        && !has_passed(&earlier)
    {
        marker.set(Some(earlier));
        return false;
    }
    // SAFETY: the caller promises the stream.
    let Ok(now) = (unsafe { stream::record_marker(driver, stream, ordinal, OPERATION) }) else {
        return false;
    };
    for _ in 0..64 {
        if has_passed(&now) {
            return true;
        }
        std::thread::yield_now();
    }
    marker.set(Some(now));
    false
}

/// Forgets a stream whose work will never run: its panic, and its closures, which are dropped at the end
/// of a public call.
fn remove_panics(dropped: &Dropped) {
    let (scope, handle) = (dropped.ordinal as usize, dropped.key());
    PANICS.remove(scope, handle);
    if !HOST_FUNCS.is_empty() {
        DEFERRED.push(move || {
            HOST_FUNCS.cancel(|stream| (stream.scope, stream.handle) == (scope, handle));
        });
    }
}

fn is_unknown(error: &HipError) -> bool {
    error.kind() == ErrorKind::InvalidHandle
}

/// True: it was destroyed.
///
/// # Safety
/// As [`destroy`].
unsafe fn destroy_now(driver: &'static Driver, stream: RawStream<Hip>) -> bool {
    // Without it a capture may break; without destroying, the stream leaks.
    let _relaxed = CaptureModeGuard::enter(driver, OPERATION).ok();
    // SAFETY: the caller promises it. At the end of the process the runtime may be gone, and says
    // so; there is nobody to tell.
    driver.discard(unsafe { (driver.symbols.stream_destroy)(stream.as_ptr()) });
    true
}
