//! Closures on a stream, and what must not happen inside them.

use std::any::Any;
use std::cell::Cell;
use std::collections::VecDeque;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use gpu_stream_core::{ContractError, HostFunc};

use crate::{CudaError, fault};

/// A closure on its way through the driver.
pub(crate) struct Job {
    func: HostFunc,
    /// The id of the stream, if the driver has ids.
    stream: Option<u64>,
}

impl Job {
    /// The pointer that [`run`] takes.
    pub(crate) fn into_raw(func: HostFunc, stream: Option<u64>) -> *mut c_void {
        Box::into_raw(Box::new(Job { func, stream })).cast()
    }

    /// Drops the closure unrun.
    ///
    /// # Safety
    /// `raw` is of [`into_raw`](Self::into_raw), and the driver will not run it.
    pub(crate) unsafe fn drop_raw(raw: *mut c_void) {
        // SAFETY: the caller promises that the pointer is such a box, and that nobody else uses it.
        drop(unsafe { Box::from_raw(raw.cast::<Job>()) });
    }
}

thread_local! {
    // Without a destructor, so that it is good until the thread's very end.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// What the driver calls, on a thread of its own.
///
/// # Safety
/// `job` is of [`Job::into_raw`], and is run once.
pub(crate) unsafe extern "C" fn run(job: *mut c_void) {
    // SAFETY: the caller promises it.
    let Job { func, stream } = *unsafe { Box::from_raw(job.cast::<Job>()) };
    INSIDE.set(true);
    // The closure is consumed, and what it holds is dropped, before this returns and the stream
    // goes on. A panic ends here: it must not unwind into the driver.
    if let Err(panic) = catch_unwind(AssertUnwindSafe(func)) {
        if let Some(stream) = stream {
            fault::note(stream, &*panic);
        }
        drop_quietly(panic);
    }
    INSIDE.set(false);
}

/// Drops what a panic carried, which may panic itself.
fn drop_quietly(panic: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(again);
    }
}

/// Whether the calling thread is inside a host function.
pub(crate) fn is_inside() -> bool {
    INSIDE.get()
}

/// An error inside a host function: to block there would block the thread that all host functions
/// run on.
pub(crate) fn refuse_inside(operation: &'static str) -> Result<(), CudaError> {
    if !is_inside() {
        return Ok(());
    }
    let reason = "it is called from a host function, which must not wait for the GPU; let another stream wait for an event instead";
    Err(ContractError::NotPermitted { operation, reason }.into())
}

/// What is to be destroyed, and could not be where it was dropped.
static LATER: Mutex<VecDeque<Box<dyn FnOnce() + Send>>> = Mutex::new(VecDeque::new());
static ANY_LATER: AtomicBool = AtomicBool::new(false);

/// Runs `destroy` now, or, inside a host function, where the driver may not be called, at the next
/// call on another thread that makes or drops something.
pub(crate) fn outside(destroy: impl FnOnce() + Send + 'static) {
    if is_inside() {
        LATER.lock().unwrap_or_else(PoisonError::into_inner).push_back(Box::new(destroy));
        ANY_LATER.store(true, Ordering::Release);
    } else {
        destroy();
        clear();
    }
}

/// Destroys what was put off.
#[inline]
pub(crate) fn clear() {
    if ANY_LATER.load(Ordering::Relaxed) && !is_inside() {
        clear_all();
    }
}

#[cold]
fn clear_all() {
    // One by one, and not under the lock: what is destroyed may be somebody's, who drops more, or
    // panics.
    loop {
        let mut later = LATER.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(destroy) = later.pop_front() else {
            ANY_LATER.store(false, Ordering::Relaxed);
            return;
        };
        drop(later);
        destroy();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn run_now(func: impl FnOnce() + Send + 'static, stream: u64) {
        // SAFETY: the job is run once.
        unsafe { run(Job::into_raw(Box::new(func), Some(stream))) }
    }

    #[test]
    fn a_panic_stays_inside_and_is_noted() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                std::panic::resume_unwind(Box::new("the payload's own"));
            }
        }
        run_now(|| std::panic::resume_unwind(Box::new("meant to fail")), 1_001);
        run_now(|| std::panic::resume_unwind(Box::new(Bomb)), 1_002);
        let error = fault::check("here", || Some(1_001)).unwrap_err().to_string();
        assert!(error.contains("meant to fail"), "{error}");
        assert!(fault::check("here", || Some(1_002)).is_err());
        assert!(!is_inside());
    }

    /// The list is one for all tests.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

    #[test]
    fn a_panic_of_one_that_was_put_off_leaves_the_others() {
        let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let destroyed = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&destroyed);
        run_now(
            move || {
                outside(|| std::panic::resume_unwind(Box::new("an owner's")));
                outside(move || {
                    count.fetch_add(1, Ordering::SeqCst);
                });
            },
            1_004,
        );
        assert!(catch_unwind(clear).is_err());
        clear();
        assert_eq!(destroyed.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn what_is_dropped_inside_is_destroyed_outside() {
        let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let destroyed = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&destroyed);
        run_now(
            move || {
                assert!(refuse_inside("here").is_err());
                let inner = Arc::clone(&count);
                outside(move || {
                    inner.fetch_add(1, Ordering::SeqCst);
                });
                clear();
                assert_eq!(count.load(Ordering::SeqCst), 0);
            },
            1_003,
        );
        assert!(fault::check("here", || Some(1_003)).is_ok());
        clear();
        assert_eq!(destroyed.load(Ordering::SeqCst), 1);
        assert!(refuse_inside("here").is_ok());
    }
}
