//! User code that must run with nothing held: [`Deferred`], [`drop_quietly`].

use std::any::Any;
use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::forks::User;

type Work = Box<dyn FnOnce() + Send>;

/// Destructors that are deferred until a public call ends.
///
/// Dropping the last reference to an owner runs user code, which may take locks, call the backend, or
/// panic. It must not run inside a driver's callback, nor while a call holds a lock or a claim. A value
/// that is dropped there is queued here. Every public call that talks to the driver [runs](Self::run) the
/// queue at its end. A queue belongs to one backend and lives as long as the process.
///
/// The child of a fork leaves a queue alone that its parent used. What the parent deferred is the parent's
/// to run, and one of its threads may have held the lock. Work that is deferred there is leaked.
pub struct Deferred {
    list: Mutex<VecDeque<Work>>,
    any: AtomicBool,
    user: User,
}

thread_local! {
    // Has no destructor, so it stays usable until the thread has ended.
    static RUNNING: Cell<bool> = const { Cell::new(false) };
}

impl Default for Deferred {
    fn default() -> Self {
        Deferred::new()
    }
}

impl Deferred {
    /// Creates an empty queue.
    pub const fn new() -> Self {
        let (any, user) = (AtomicBool::new(false), User::new());
        Deferred { list: Mutex::new(VecDeque::new()), any, user }
    }

    fn list(&self) -> MutexGuard<'_, VecDeque<Work>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues `work`. Runs neither it nor any other work.
    ///
    /// Leaks `work` in the child of a fork whose parent used the queue.
    pub fn push(&self, work: impl FnOnce() + Send + 'static) {
        if !self.user.is_this_process() {
            std::mem::forget(work);
            return;
        }
        self.list().push_back(Box::new(work));
        self.any.store(true, Ordering::Release);
    }

    /// Runs all work that was queued before this call, in that order. Catches the panic of each item, so
    /// that it loses no other; the panic hook reports it.
    ///
    /// Returns at once inside a host function, and inside another call of this function on the same thread, for
    /// this queue or another. The work then waits for the next public call. Also returns at once in the child of a fork whose parent used the
    /// queue.
    #[inline]
    pub fn run(&self) {
        if self.any.load(Ordering::Acquire) {
            self.run_all();
        }
    }

    #[cold]
    fn run_all(&self) {
        if crate::host_func::is_inside() || !self.user.is_this_process() || RUNNING.replace(true) {
            return;
        }
        // Work that the destructors defer in turn is left for the next call, so the loop ends.
        let count = self.list().len();
        for _ in 0..count {
            // No lock is held while `work` runs.
            let next = self.list().pop_front();
            let Some(work) = next else { break };
            run_quietly(work);
        }
        let list = self.list();
        self.any.store(!list.is_empty(), Ordering::Release);
        drop(list);
        RUNNING.set(false);
    }

    /// Returns the number of items that this process will run.
    pub fn len(&self) -> usize {
        if self.user.is_this_process() { self.list().len() } else { 0 }
    }

    /// Returns `true` if no item is queued.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Calls `work` and catches its panic. The panic hook has reported it.
pub fn run_quietly(work: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
        forget_panic(panic);
    }
}

/// Drops a user's value and catches a panic of its destructor.
pub fn drop_quietly<T>(value: T) {
    run_quietly(move || drop(value));
}

/// Drops a user's value on the user's own thread. A panic of its destructor propagates to the caller,
/// unless the thread is already unwinding: a second panic would abort the process.
pub fn drop_here<T>(value: T) {
    if std::thread::panicking() { drop_quietly(value) } else { drop(value) }
}

/// Drops the payload of a panic. Leaks what a panicking destructor of the payload throws in turn.
pub(crate) fn forget_panic(panic: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(again);
    }
}

#[cfg(all(test, not(any(gpu_stream_loom, gpu_stream_shuttle))))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn panics() {
        std::panic::resume_unwind(Box::new("a destructor's own"));
    }

    #[test]
    fn panicking_items_lose_no_other_and_do_not_propagate() {
        let (list, ran) = (Deferred::new(), Arc::new(AtomicUsize::new(0)));
        for round in 0..6 {
            let ran = Arc::clone(&ran);
            list.push(move || {
                ran.fetch_add(1, Ordering::SeqCst);
                if round % 2 == 0 {
                    panics();
                }
            });
        }
        list.run();
        assert_eq!(ran.load(Ordering::SeqCst), 6);
        assert!(list.is_empty());
    }

    #[test]
    fn work_deferred_by_a_destructor_runs_in_the_next_call() {
        static LIST: Deferred = Deferred::new();
        static RAN: AtomicUsize = AtomicUsize::new(0);
        fn again() {
            RAN.fetch_add(1, Ordering::SeqCst);
            LIST.push(again);
            LIST.run();
        }
        LIST.push(again);
        for round in 1..5 {
            LIST.run();
            assert_eq!((RAN.load(Ordering::SeqCst), LIST.len()), (round, 1));
        }
    }

    #[test]
    fn destructor_runs_without_the_lock() {
        static LIST: Deferred = Deferred::new();
        static FROM_ELSEWHERE: AtomicUsize = AtomicUsize::new(0);
        LIST.push(|| {
            // Another thread uses the queue while this destructor runs.
            let other = std::thread::spawn(|| {
                LIST.push(|| _ = FROM_ELSEWHERE.fetch_add(1, Ordering::SeqCst));
                LIST.run();
            });
            other.join().expect("it does not panic");
        });
        LIST.run();
        LIST.run();
        assert_eq!(FROM_ELSEWHERE.load(Ordering::SeqCst), 1);
    }

    /// The parent's thread holds the lock while the process forks.
    #[cfg(unix)]
    #[test]
    fn child_of_a_fork_leaves_the_parents_queue_alone() {
        static LIST: Deferred = Deferred::new();
        static UNUSED: Deferred = Deferred::new();
        static RAN: AtomicUsize = AtomicUsize::new(0);
        let item = || _ = RAN.fetch_add(1, Ordering::SeqCst);
        LIST.push(item);
        let held = LIST.list();
        // SAFETY: the child makes only the calls under test, and ends by `_exit`.
        let child = match unsafe { libc::fork() } {
            0 => {
                // SAFETY: `alarm` has no requirements. It ends a child that blocks on the lock.
                unsafe { libc::alarm(60) };
                LIST.run();
                LIST.push(item);
                LIST.run();
                let mut code = i32::from(RAN.load(Ordering::SeqCst) != 0 || !LIST.is_empty());
                // A backend that the parent did not use works in the child.
                UNUSED.push(item);
                UNUSED.run();
                code |= i32::from(RAN.load(Ordering::SeqCst) != 1) << 1;
                // SAFETY: `_exit` has no requirements.
                unsafe { libc::_exit(code) }
            }
            child => child,
        };
        drop(held);
        let mut status = -1;
        // SAFETY: `&mut status` is a valid out-pointer.
        let waited = unsafe { libc::waitpid(child, &mut status, 0) };
        assert_eq!((waited, status), (child, 0));
        LIST.run();
        assert_eq!(RAN.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn destructor_panic_during_an_unwind_does_not_abort() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panics();
            }
        }
        struct Holder(Option<Bomb>);
        impl Drop for Holder {
            fn drop(&mut self) {
                drop_here(self.0.take());
            }
        }
        let unwound = catch_unwind(|| {
            let _held = Holder(Some(Bomb));
            panics();
        });
        assert_eq!(unwound.unwrap_err().downcast_ref::<&str>(), Some(&"a destructor's own"));
        assert!(
            catch_unwind(|| drop(Holder(Some(Bomb)))).is_err(),
            "without an unwind the panic propagates"
        );
    }
}
