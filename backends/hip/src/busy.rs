//! Streams of ours that nobody has any more, and that still work.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::{LazyLock, PoisonError};

use gpu_stream_core::{CaptureStatus, RawStream};

use crate::driver::Driver;
use crate::driver::capture::{self, Relaxed};
use crate::sync::{AtomicBool, Mutex, MutexGuard, Ordering};
use crate::{Hip, stream};

#[cfg(all(test, gpu_stream_loom))]
mod loom_tests;

static BUSY: LazyLock<Busy<Dropped>> = LazyLock::new(Busy::new);

/// A stream of ours that nobody has any more.
struct Dropped {
    stream: RawStream<Hip>,
    /// Of its device.
    ordinal: u32,
    /// How often the runtime failed to say whether it is idle.
    failures: Cell<u32>,
}

/// How often it may fail before the stream is destroyed all the same, which may block: with a fault,
/// or without a runtime, it will not get better.
const FAILURES: u32 = 3;

/// What is to be destroyed when it is idle; the first one was looked at longest ago.
struct Busy<T> {
    list: Mutex<VecDeque<T>>,
    any: AtomicBool,
}

/// How many of them a call looks at, so that it costs the same however many there are. More than
/// one: else the list could grow.
const LOOKS: usize = 4;

const OPERATION: &str = "HipStream::drop";

impl<T> Busy<T> {
    fn new() -> Self {
        Busy { list: Mutex::new(VecDeque::new()), any: AtomicBool::new(false) }
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
            self.clear_idle(destroy);
        }
    }

    #[cold]
    fn clear_idle(&self, destroy: impl Fn(&T) -> bool) {
        for _ in 0..LOOKS {
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
/// that is busy, or under capture, is destroyed by a later call that makes or drops a stream, and by
/// none at the end of the process, which does not wait for it on CUDA either.
///
/// # Safety
/// The stream is ours, of the device `ordinal`, and this is its last use.
pub(crate) unsafe fn destroy(driver: &'static Driver, stream: RawStream<Hip>, ordinal: u32) {
    clear(driver);
    let dropped = Dropped { stream, ordinal, failures: Cell::new(0) };
    // SAFETY: the caller promises it.
    if !unsafe { destroy_if_idle(driver, &dropped) } {
        BUSY.put(dropped);
    }
}

/// Destroys some of the streams that have become idle.
#[inline]
pub(crate) fn clear(driver: &'static Driver) {
    // SAFETY: the stream is ours, and nobody else has it: it was taken out of the list.
    BUSY.clear(|dropped| unsafe { destroy_if_idle(driver, dropped) });
}

/// Whether it was destroyed.
///
/// # Safety
/// As [`destroy`].
unsafe fn destroy_if_idle(driver: &'static Driver, dropped: &Dropped) -> bool {
    let Dropped { stream, ordinal, ref failures } = *dropped;
    let raw = stream.as_ptr();
    // SAFETY: the caller promises that the stream is alive, and that this is its last use if it is
    // destroyed.
    unsafe {
        let idle = match capture::status(driver, raw, OPERATION) {
            Ok(CaptureStatus::None) => stream::is_idle(driver, raw, ordinal, OPERATION),
            // Somebody who knows the handle may end it.
            Ok(_) => Ok(false),
            Err(error) => Err(error),
        };
        failures.update(|failures| failures + u32::from(idle.is_err()));
        if idle.unwrap_or(failures.get() >= FAILURES) { destroy_now(driver, stream) } else { false }
    }
}

/// True: it was destroyed.
///
/// # Safety
/// As [`destroy`].
unsafe fn destroy_now(driver: &'static Driver, stream: RawStream<Hip>) -> bool {
    // Without it a capture may break; without destroying, the stream leaks.
    let _relaxed = Relaxed::enter(driver, OPERATION).ok();
    // SAFETY: the caller promises it. At the end of the process the runtime may be gone, and says
    // so; there is nobody to tell.
    driver.ignore(unsafe { (driver.symbols.stream_destroy)(stream.as_ptr()) });
    true
}
