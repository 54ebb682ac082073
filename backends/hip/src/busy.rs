//! Streams of ours that nobody has any more, and that still work.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use gpu_stream_core::{CaptureStatus, RawStream};

use crate::driver::Driver;
use crate::driver::capture::{self, Relaxed};
use crate::{Hip, stream};

/// Streams with the ordinals of their devices; the first one was looked at longest ago.
static BUSY: Mutex<VecDeque<(RawStream<Hip>, u32)>> = Mutex::new(VecDeque::new());
static ANY: AtomicBool = AtomicBool::new(false);

/// How many of them a call looks at, so that it costs the same however many there are. More than
/// one: else the list could grow.
const LOOKS: usize = 4;

const OPERATION: &str = "HipStream::drop";

fn busy() -> MutexGuard<'static, VecDeque<(RawStream<Hip>, u32)>> {
    BUSY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Destroys a stream, at once if it is idle: the runtime would block until its work is done. One
/// that is busy, or under capture, is destroyed by a later call that makes or drops a stream, and by
/// none at the end of the process, which does not wait for it on CUDA either.
///
/// # Safety
/// The stream is ours, of the device `ordinal`, and this is its last use.
pub(crate) unsafe fn destroy(driver: &'static Driver, stream: RawStream<Hip>, ordinal: u32) {
    clear(driver);
    // SAFETY: the caller promises it.
    if !unsafe { destroy_if_idle(driver, stream, ordinal) } {
        busy().push_back((stream, ordinal));
        ANY.store(true, Ordering::Release);
    }
}

/// Destroys some of the streams that have become idle.
#[inline]
pub(crate) fn clear(driver: &'static Driver) {
    if ANY.load(Ordering::Relaxed) {
        clear_idle(driver);
    }
}

#[cold]
fn clear_idle(driver: &'static Driver) {
    for _ in 0..LOOKS {
        // The runtime is not asked under the lock.
        let Some((stream, ordinal)) = busy().pop_front() else { break };
        // SAFETY: the stream is ours, and nobody else has it: it was taken out of the list.
        if !unsafe { destroy_if_idle(driver, stream, ordinal) } {
            busy().push_back((stream, ordinal));
        }
    }
    let busy = busy();
    ANY.store(!busy.is_empty(), Ordering::Release);
}

/// Whether it was destroyed.
///
/// # Safety
/// As [`destroy`].
unsafe fn destroy_if_idle(driver: &'static Driver, stream: RawStream<Hip>, ordinal: u32) -> bool {
    let raw = stream.as_ptr();
    // SAFETY: the caller promises that the stream is alive, and that this is its last use if it is
    // destroyed.
    unsafe {
        match capture::status(driver, raw, OPERATION) {
            Ok(CaptureStatus::None) => {}
            // Somebody who knows the handle may end it.
            Ok(_) => return false,
            Err(_) => return destroy_now(driver, stream),
        }
        match stream::is_idle(driver, raw, ordinal, OPERATION) {
            Ok(false) => false,
            // With a fault, or without a runtime, it will not get better.
            Ok(true) | Err(_) => destroy_now(driver, stream),
        }
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
