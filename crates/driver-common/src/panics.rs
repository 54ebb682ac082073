//! Panics of host functions, which their stream reports from then on: [`Panics`].

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::forks::User;

/// A stream, as host functions and their panics know it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct StreamKey {
    /// What breaks as a whole when work fails: the context, or the device.
    pub scope: usize,
    /// The handle, which the driver uses again after the stream is gone.
    pub handle: usize,
    /// A number that tells this stream from others that had the handle; `None` if there is none.
    pub id: Option<u64>,
}

/// The streams on which a host function panicked.
///
/// A driver knows nothing of a panic, so the fault is kept here. A stream without one pays two reads
/// for that, however many there are elsewhere: each wrapper remembers in a [`Seen`] up to which panic
/// it was found to have none.
///
/// In the child of a fork no stream can be used, and none is looked up: a thread of the parent may have
/// held the lock.
pub struct Panics {
    /// How many panics there were. Changed under the lock.
    epoch: AtomicU64,
    /// Whether the map has any.
    any: AtomicBool,
    faults: Mutex<BTreeMap<(usize, usize), Vec<Fault>>>,
    user: User,
}

struct Fault {
    id: Option<u64>,
    message: Arc<str>,
}

/// Up to which panic of the process a wrapper's stream was found to have none.
#[derive(Default, Debug)]
pub struct Seen(AtomicU64);

impl Seen {
    /// Returns one for a new wrapper, whose stream was not looked up yet.
    pub const fn new() -> Self {
        Seen(AtomicU64::new(0))
    }

    /// Has the stream looked up anew: it became another one, or could not be told from others.
    #[cold]
    pub fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

impl Clone for Seen {
    fn clone(&self) -> Self {
        Seen(AtomicU64::new(self.0.load(Ordering::Relaxed)))
    }
}

/// The handles 0, 1 and 2, which stand for one stream in each context or on each thread.
const NAMED: usize = 2;

impl Default for Panics {
    fn default() -> Self {
        Panics::new()
    }
}

impl Panics {
    /// Returns an empty table.
    pub const fn new() -> Self {
        let faults = Mutex::new(BTreeMap::new());
        let (epoch, any, user) = (AtomicU64::new(0), AtomicBool::new(false), User::new());
        Panics { epoch, any, faults, user }
    }

    fn faults(&self) -> MutexGuard<'_, BTreeMap<(usize, usize), Vec<Fault>>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a host function of `stream` panicked. The first panic of a stream counts; the rest
    /// may be its consequences.
    pub fn note(&self, stream: StreamKey, panic: &(dyn Any + Send)) {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        let message: Arc<str> = text.unwrap_or("with no message").into();
        if !self.user.is_this_process() {
            return;
        }
        let mut faults = self.faults();
        let of_handle = faults.entry((stream.scope, stream.handle)).or_default();
        if of_handle.iter().any(|fault| fault.id == stream.id) {
            return;
        }
        if stream.handle > NAMED && stream.id.is_some() {
            // The handle was used again: the streams that had it are gone. Without an id that is not
            // certain.
            of_handle.clear();
        }
        of_handle.push(Fault { id: stream.id, message });
        self.any.store(true, Ordering::Release);
        self.epoch.fetch_add(1, Ordering::Release);
    }

    /// Returns `true` if the stream of the wrapper that has `seen` has no panic, as far as two reads
    /// tell. After `false`, [`find`](Self::find) says.
    #[inline]
    pub fn is_clean(&self, seen: &Seen) -> bool {
        !self.any.load(Ordering::Acquire)
            || seen.0.load(Ordering::Relaxed) == self.epoch.load(Ordering::Acquire)
    }

    /// Returns the message of the stream's panic, if there was one. `id` finds the stream's id, and is
    /// called only if a stream with this handle has a panic.
    #[inline]
    pub fn check(
        &self,
        seen: &Seen,
        (scope, handle): (usize, usize),
        id: impl FnOnce() -> Option<u64>,
    ) -> Option<Arc<str>> {
        if self.is_clean(seen) { None } else { self.find(seen, (scope, handle), id) }
    }

    /// As [`check`](Self::check), by a search.
    #[cold]
    pub fn find(
        &self,
        seen: &Seen,
        (scope, handle): (usize, usize),
        id: impl FnOnce() -> Option<u64>,
    ) -> Option<Arc<str>> {
        if !self.user.is_this_process() {
            return None;
        }
        let faults = self.faults();
        let epoch = self.epoch.load(Ordering::Relaxed);
        if faults.contains_key(&(scope, handle)) {
            // The driver is not asked under the lock.
            drop(faults);
            let id = id();
            let faults = self.faults();
            let of_handle = faults.get(&(scope, handle))?;
            let fault = of_handle.iter().find(|fault| fault.id == id);
            if let Some(fault) = fault {
                return Some(Arc::clone(&fault.message));
            }
            if id.is_none() && !of_handle.is_empty() {
                // The driver did not tell the id, beside a capture for instance. It may do so next time.
                return None;
            }
        }
        seen.0.store(epoch, Ordering::Relaxed);
        None
    }

    /// Returns `true` if a host function of the stream panicked.
    pub fn has(&self, stream: StreamKey) -> bool {
        let is_it = |fault: &Fault| fault.id == stream.id;
        self.any.load(Ordering::Acquire)
            && self.user.is_this_process()
            && self
                .faults()
                .get(&(stream.scope, stream.handle))
                .is_some_and(|of_handle| of_handle.iter().any(is_it))
    }

    /// Forgets what is known of an explicit handle, whose stream is destroyed.
    #[inline]
    pub fn remove(&self, scope: usize, handle: usize) {
        if self.any.load(Ordering::Acquire) && self.user.is_this_process() {
            self.remove_one(scope, handle);
        }
    }

    #[cold]
    fn remove_one(&self, scope: usize, handle: usize) {
        let mut faults = self.faults();
        faults.remove(&(scope, handle));
        self.any.store(!faults.is_empty(), Ordering::Release);
    }
}

#[cfg(all(test, not(any(gpu_stream_loom, gpu_stream_shuttle))))]
mod tests {
    use super::*;

    fn key(handle: usize, id: u64) -> StreamKey {
        StreamKey { scope: 1, handle, id: Some(id) }
    }

    #[test]
    fn a_panic_is_its_streams_and_the_first_counts() {
        let panics = Panics::new();
        panics.note(key(16, 7), &"first");
        panics.note(key(16, 7), &String::from("second"));
        let find = |id| panics.check(&Seen::new(), (1, 16), || id);
        assert_eq!(find(Some(7)).as_deref(), Some("first"));
        assert_eq!((find(Some(8)), find(None)), (None, None));
        assert_eq!(panics.check(&Seen::new(), (2, 16), || Some(7)), None);
        assert!(panics.has(key(16, 7)) && !panics.has(key(16, 8)) && !panics.has(key(32, 7)));
    }

    #[test]
    fn a_stream_without_one_asks_the_driver_never_and_searches_once_for_each_panic() {
        let (panics, seen) = (Panics::new(), Seen::new());
        let never = || -> Option<u64> { unreachable!("no stream with this handle has a panic") };
        for round in 0..3_000 {
            panics.note(key(1_000 + round, 1), &"elsewhere");
        }
        assert!(!panics.is_clean(&seen));
        assert_eq!(panics.check(&seen, (1, 16), never), None);
        assert!(panics.is_clean(&seen) && panics.is_clean(&seen.clone()));
        panics.note(key(16, 1), &"here");
        assert!(!panics.is_clean(&seen));
        assert!(panics.check(&seen, (1, 16), || Some(1)).is_some());
        assert!(!panics.is_clean(&seen), "a stream that has one is looked up each time");
    }

    #[test]
    fn a_stream_whose_id_is_not_told_is_looked_up_again() {
        let (panics, seen) = (Panics::new(), Seen::new());
        panics.note(key(16, 1), &"here");
        assert_eq!(panics.check(&seen, (1, 16), || None), None);
        assert!(panics.check(&seen, (1, 16), || Some(1)).is_some());
    }

    /// A thread of the parent has the lock while the process forks.
    #[cfg(unix)]
    #[test]
    fn a_child_of_a_fork_looks_no_stream_up() {
        let panics = Panics::new();
        panics.note(key(16, 1), &"here");
        let held = panics.faults();
        // SAFETY: the child makes only calls that are under test here, and ends by `_exit`.
        let child = match unsafe { libc::fork() } {
            0 => {
                // SAFETY: ends a child that waits for the lock.
                unsafe { libc::alarm(60) };
                panics.note(key(32, 1), &"there");
                panics.remove(1, 16);
                let found = panics.check(&Seen::new(), (1, 16), || Some(1)).is_some();
                let code = i32::from(found || panics.has(key(16, 1)));
                // SAFETY: ends the process.
                unsafe { libc::_exit(code) }
            }
            child => child,
        };
        let mut status = -1;
        // SAFETY: `&mut status` is a valid out-pointer.
        let waited = unsafe { libc::waitpid(child, &mut status, 0) };
        drop(held);
        assert_eq!((waited, status), (child, 0));
        assert!(panics.has(key(16, 1)));
    }

    #[test]
    fn a_stream_that_is_gone_is_forgotten() {
        let panics = Panics::new();
        panics.note(key(16, 1), &"first");
        // The handle is another stream's now, and so is the panic.
        panics.note(key(16, 2), &"second");
        assert!(!panics.has(key(16, 1)) && panics.has(key(16, 2)));
        panics.remove(1, 16);
        assert!(!panics.has(key(16, 2)) && panics.is_clean(&Seen::new()));
    }

    #[test]
    fn handle_2_is_another_stream_on_each_thread() {
        let panics = Panics::new();
        panics.note(key(2, 1), &"one thread's");
        panics.note(key(2, 2), &"another thread's");
        let find = |id| panics.check(&Seen::new(), (1, 2), || Some(id));
        assert_eq!(find(1).as_deref(), Some("one thread's"));
        assert_eq!(find(2).as_deref(), Some("another thread's"));
        assert_eq!(find(3), None);
    }
}
