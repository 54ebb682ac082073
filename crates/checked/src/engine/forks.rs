//! Keeps the locks usable in the child of a fork, which has none of its parent's other threads: [`watch`].
//!
//! A lock that one of those threads held would never be unlocked in the child, and what it protects would be half changed.
//! So a fork waits until they are free, and holds all of them meanwhile. No code of the program runs under them.

use std::any::Any;
use std::cell::RefCell;
use std::sync::Once;

use super::{ENGINES, lock};
use crate::sink;

thread_local! {
    /// The guards of the locks, while this thread forks.
    static HELD: RefCell<Vec<Box<dyn Any>>> = const { RefCell::new(Vec::new()) };
}

/// Prepares for the forks of this process from now on.
pub(super) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the functions do not unwind, and are as live as this library. Without memory the call fails, and forks
        // go unnoticed; no remedy exists.
        unsafe {
            libc::pthread_atfork(Some(hold), Some(release), Some(release));
        }
    });
}

/// The number of calls of [`hold`].
#[cfg(test)]
static HOLDS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

/// Takes all locks. The crate nests none of them, so any order does. Called by a thread before it forks.
extern "C" fn hold() {
    #[cfg(test)]
    HOLDS.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    // Fails only while the thread ends.
    let _ = HELD.try_with(|held| {
        let mut held = held.borrow_mut();
        held.push(Box::new(sink::hold()));
        let engines = lock(&ENGINES);
        let states: Vec<_> = engines.iter().flat_map(|engines| engines.values()).collect();
        states.into_iter().for_each(|engine| held.push(Box::new(lock(&engine.state))));
        held.push(Box::new(engines));
    });
}

/// Releases the locks. Called by the thread after the fork, in the parent and in the child.
extern "C" fn release() {
    let _ = HELD.try_with(|held| held.borrow_mut().clear());
}

#[cfg(test)]
mod tests {
    use std::sync::TryLockError::WouldBlock;
    use std::sync::atomic::Ordering;
    use std::thread;

    use gpu_stream_host::Host;

    use super::*;
    use crate::engine::Engine;

    /// Returns whether another thread finds each of the locks taken.
    fn are_held(engine: &'static Engine) -> [bool; 3] {
        let are_held = [
            thread::spawn(|| matches!(engine.state.try_lock(), Err(WouldBlock))),
            thread::spawn(|| matches!(ENGINES.try_lock(), Err(WouldBlock))),
            thread::spawn(sink::is_held),
        ];
        are_held.map(|is_held| is_held.join().unwrap())
    }

    #[test]
    fn fork_holds_the_locks_and_releases_them_in_both_processes() {
        let engine = Engine::of::<Host>();
        hold();
        let held = are_held(engine);
        release();
        assert_eq!(held, [true; 3]);
        let before = HOLDS.load(Ordering::SeqCst);
        // SAFETY: the child takes locks only, and ends by `_exit`.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: `alarm` has no requirements. It ends a child that blocks on a lock.
            unsafe { libc::alarm(60) };
            engine.with(|_| ());
            drop((lock(&ENGINES), sink::hold()));
            // SAFETY: `_exit` has no requirements.
            unsafe { libc::_exit(0) };
        }
        let mut status = -1;
        // SAFETY: `&mut status` is a valid out-pointer.
        let waited = unsafe { libc::waitpid(child, &mut status, 0) };
        assert_eq!((waited, status), (child, 0));
        assert!(HOLDS.load(Ordering::SeqCst) > before, "the fork has not taken the locks");
        engine.with(|_| ());
    }
}
