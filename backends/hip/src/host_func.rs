//! Closures on a stream, and what must not happen inside them.

use std::any::Any;
use std::cell::Cell;
use std::collections::VecDeque;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use gpu_stream_core::{ContractError, HostFunc};

use crate::HipError;
use crate::driver::code::HipCode;
use crate::driver::symbols::Ptr;
use crate::fault;

/// A closure on its way through the runtime, which shares it with the caller until it is clear who has
/// it: a runtime that refuses it may speak of earlier work, and run it all the same.
pub(crate) struct Job(Mutex<Option<Work>>);

struct Work {
    func: HostFunc,
    /// The key for a panic, if there is one.
    fault: Option<u64>,
}

impl Job {
    pub(crate) fn new(func: HostFunc, fault: Option<u64>) -> Arc<Self> {
        Arc::new(Job(Mutex::new(Some(Work { func, fault }))))
    }

    /// A share for the runtime: the pointer that [`run`] takes.
    pub(crate) fn share(self: &Arc<Self>) -> *mut c_void {
        Arc::into_raw(Arc::clone(self)).cast_mut().cast()
    }

    /// After an error: drops the closure, unless it runs or has run. From here on it does not. The
    /// runtime's share stays, a few words of memory, since nobody knows whether it has one.
    pub(crate) fn cancel(&self) {
        drop(self.take());
    }

    fn take(&self) -> Option<Work> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

thread_local! {
    // Without a destructor, so that it is good until the thread's very end.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// What the runtime calls, on a thread of its own.
///
/// # Safety
/// `job` is of [`Job::share`], and each share is run once at most.
pub(crate) unsafe extern "C" fn run(job: *mut c_void) {
    // SAFETY: the caller promises that it is a share, which nobody else takes.
    let job = unsafe { Arc::from_raw(job.cast_const().cast::<Job>()) };
    let Some(Work { func, fault }) = job.take() else { return };
    INSIDE.set(true);
    // The closure is consumed, and what it holds is dropped, before this returns and the stream
    // goes on. A panic ends here: it must not unwind into the runtime.
    if let Err(panic) = catch_unwind(AssertUnwindSafe(func)) {
        if let Some(key) = fault {
            fault::note(key, &*panic);
        }
        drop_quietly(panic);
    }
    INSIDE.set(false);
}

/// As [`run`], for runtimes without `hipLaunchHostFunc`. They pass success, whatever happened.
///
/// # Safety
/// As [`run`].
pub(crate) unsafe extern "C" fn run_callback(_stream: Ptr, _code: HipCode, job: *mut c_void) {
    // SAFETY: the caller promises it.
    unsafe { run(job) }
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
pub(crate) fn refuse_inside(operation: &'static str) -> Result<(), HipError> {
    if !is_inside() {
        return Ok(());
    }
    let reason = "it is called from a host function, which must not wait for the GPU; let another stream wait for an event instead";
    Err(ContractError::NotPermitted { operation, reason }.into())
}

/// What is to be destroyed, and could not be where it was dropped.
static LATER: Mutex<VecDeque<Box<dyn FnOnce() + Send>>> = Mutex::new(VecDeque::new());
static ANY_LATER: AtomicBool = AtomicBool::new(false);

/// Runs `destroy` now, or, inside a host function, where the runtime may not be called, at the next
/// call on another thread that makes or drops something.
pub(crate) fn outside(destroy: impl FnOnce() + Send + 'static) {
    if is_inside() {
        let mut later = LATER.lock().unwrap_or_else(PoisonError::into_inner);
        later.push_back(Box::new(destroy));
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
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::fault::Faults;

    fn run_now(func: impl FnOnce() + Send + 'static, stream: u64) {
        // SAFETY: the share is run once.
        unsafe { run(Job::new(Box::new(func), Some(stream)).share()) }
    }

    fn check(stream: u64) -> Result<(), HipError> {
        Faults::ById.check("here", || Some(stream))
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
        let error = check(1_001).unwrap_err().to_string();
        assert!(error.contains("meant to fail"), "{error}");
        assert!(check(1_002).is_err());
        assert!(!is_inside());
    }

    #[test]
    fn what_is_cancelled_is_dropped_and_never_runs() {
        let held = Arc::new(());
        let inner = Arc::clone(&held);
        let job = Job::new(Box::new(move || drop(inner)), None);
        let (first, second) = (job.share(), job.share());
        job.cancel();
        assert_eq!(Arc::strong_count(&held), 1, "what the closure held is still there");
        // SAFETY: each share is run once: the runtime took the closure twice, in spite of what it said.
        unsafe { (run(first), run(second)) };
        assert_eq!(Arc::strong_count(&job), 1);
    }

    #[test]
    fn what_is_dropped_inside_is_destroyed_outside() {
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
        assert!(check(1_003).is_ok());
        clear();
        assert_eq!(destroyed.load(Ordering::SeqCst), 1);
        assert!(refuse_inside("here").is_ok());
    }
}
