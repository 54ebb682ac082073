//! Panics of host functions, which their stream reports from then on: [`Panics`].

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::forks::User;

/// The identity of a stream for host functions and their panics.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct StreamKey {
    /// The unit that fails as a whole when work fails: the context, or the device.
    pub scope: usize,
    /// The handle. The driver reuses it after the stream is destroyed.
    pub handle: usize,
    /// A number that no other stream with this handle has; `None` if the driver has none.
    pub id: Option<u64>,
}

/// The streams on which a host function panicked.
///
/// A driver does not know of a panic, so the fault is kept here. A stream without one pays two loads, however many other
/// streams have one: each wrapper remembers in a [`Seen`] the latest event that it was checked against. An event is a
/// panic, or a call of [`recheck_all`](Self::recheck_all).
///
/// In the child of a fork no stream can be used, and none is looked up: a thread of the parent may have
/// held the lock.
pub struct Panics {
    /// The number of events.
    epoch: AtomicU64,
    /// [`PANICKED`] and [`RECHECK`].
    any: AtomicU8,
    faults: Mutex<BTreeMap<(usize, usize), Vec<Fault>>>,
    user: User,
}

/// Flag: the map is not empty.
const PANICKED: u8 = 1;
/// Flag: wrappers have been told to check their streams for another reason.
const RECHECK: u8 = 2;

struct Fault {
    id: Option<u64>,
    message: Arc<str>,
}

/// The latest event of the process that a wrapper's stream was checked against without a match.
#[derive(Default, Debug)]
pub struct Seen(AtomicU64);

impl Seen {
    /// Creates the state of a new wrapper, whose stream was not checked yet.
    pub const fn new() -> Self {
        Seen(AtomicU64::new(0))
    }

    /// Stores what `other` was checked against. Needed when a check of the stream has a second part, after the search
    /// with `other`.
    pub fn set(&self, other: &Seen) {
        self.0.store(other.0.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Makes the next call check the stream again. Needed when the wrapper stands for another stream, or
    /// when the stream could not be identified.
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

/// The largest of handles 0, 1 and 2, which name one stream in each context or on each thread.
const NAMED: usize = 2;

impl Default for Panics {
    fn default() -> Self {
        Panics::new()
    }
}

impl Panics {
    /// Creates an empty table.
    pub const fn new() -> Self {
        let faults = Mutex::new(BTreeMap::new());
        let (epoch, any, user) = (AtomicU64::new(0), AtomicU8::new(0), User::new());
        Panics { epoch, any, faults, user }
    }

    fn faults(&self) -> MutexGuard<'_, BTreeMap<(usize, usize), Vec<Fault>>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that a host function of `stream` panicked. Keeps the first panic of a stream; later ones may
    /// be its consequences.
    pub fn record_panic(&self, stream: StreamKey, panic: &(dyn Any + Send)) {
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
            // The handle was reused, so the streams that had it are gone. Without an id that is not
            // certain.
            of_handle.clear();
        }
        of_handle.push(Fault { id: stream.id, message });
        self.any.fetch_or(PANICKED, Ordering::Release);
        self.epoch.fetch_add(1, Ordering::Release);
    }

    /// Makes [`is_clean`](Self::is_clean) return `false` once for each wrapper, because its stream may have a fault that
    /// is not a panic.
    pub fn recheck_all(&self) {
        self.any.fetch_or(RECHECK, Ordering::Release);
        self.epoch.fetch_add(1, Ordering::Release);
    }

    /// Returns `true` if no stream of the process has a panic, and [`recheck_all`](Self::recheck_all) was never called.
    #[inline]
    pub fn is_calm(&self) -> bool {
        self.any.load(Ordering::Acquire) == 0
    }

    /// Returns `true` if two loads show that the stream of the wrapper with `seen` has no panic. After
    /// `false`, call [`find`](Self::find).
    #[inline]
    pub fn is_clean(&self, seen: &Seen) -> bool {
        self.is_calm() || seen.0.load(Ordering::Relaxed) == self.epoch.load(Ordering::Acquire)
    }

    /// Returns the message of the stream's panic, if it has one. Calls `id`, which finds the stream's id,
    /// only if a stream with this handle has a panic.
    #[inline]
    pub fn check(
        &self,
        seen: &Seen,
        (scope, handle): (usize, usize),
        id: impl FnOnce() -> Option<u64>,
    ) -> Option<Arc<str>> {
        if self.is_clean(seen) { None } else { self.find(seen, (scope, handle), id) }
    }

    /// Searches the message of the stream's panic: [`check`](Self::check) without its fast path.
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
        // Acquire: the reason for a recheck was stored before.
        let epoch = self.epoch.load(Ordering::Acquire);
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
                // The driver did not tell the id, for instance during a capture. The next call asks again.
                return None;
            }
        }
        seen.0.store(epoch, Ordering::Relaxed);
        None
    }

    /// Returns `true` if a host function of the stream panicked.
    pub fn has(&self, stream: StreamKey) -> bool {
        let is_it = |fault: &Fault| fault.id == stream.id;
        !self.is_calm()
            && self.user.is_this_process()
            && self
                .faults()
                .get(&(stream.scope, stream.handle))
                .is_some_and(|of_handle| of_handle.iter().any(is_it))
    }

    /// Forgets the panics of an explicit handle whose stream is destroyed.
    #[inline]
    pub fn remove(&self, scope: usize, handle: usize) {
        if !self.is_calm() && self.user.is_this_process() {
            self.remove_one(scope, handle);
        }
    }

    #[cold]
    fn remove_one(&self, scope: usize, handle: usize) {
        let mut faults = self.faults();
        faults.remove(&(scope, handle));
        if faults.is_empty() {
            self.any.fetch_and(!PANICKED, Ordering::Release);
        }
    }
}

#[cfg(all(test, not(any(gpu_stream_loom, gpu_stream_shuttle))))]
mod tests {
    use super::*;

    fn key(handle: usize, id: u64) -> StreamKey {
        StreamKey { scope: 1, handle, id: Some(id) }
    }

    #[test]
    fn first_panic_belongs_to_its_stream() {
        let panics = Panics::new();
        panics.record_panic(key(16, 7), &"first");
        panics.record_panic(key(16, 7), &String::from("second"));
        let find = |id| panics.check(&Seen::new(), (1, 16), || id);
        assert_eq!(find(Some(7)).as_deref(), Some("first"));
        assert_eq!((find(Some(8)), find(None)), (None, None));
        assert_eq!(panics.check(&Seen::new(), (2, 16), || Some(7)), None);
        assert!(panics.has(key(16, 7)) && !panics.has(key(16, 8)) && !panics.has(key(32, 7)));
    }

    #[test]
    fn clean_stream_never_asks_the_driver_and_searches_once_for_each_panic() {
        let (panics, seen) = (Panics::new(), Seen::new());
        let never = || -> Option<u64> { unreachable!("no stream with this handle has a panic") };
        for round in 0..3_000 {
            panics.record_panic(key(1_000 + round, 1), &"elsewhere");
        }
        assert!(!panics.is_clean(&seen));
        assert_eq!(panics.check(&seen, (1, 16), never), None);
        assert!(panics.is_clean(&seen) && panics.is_clean(&seen.clone()));
        panics.record_panic(key(16, 1), &"here");
        assert!(!panics.is_clean(&seen));
        assert!(panics.check(&seen, (1, 16), || Some(1)).is_some());
        assert!(!panics.is_clean(&seen), "a stream with a panic is looked up each time");
    }

    #[test]
    fn recheck_reaches_each_wrapper_once() {
        let (panics, seen) = (Panics::new(), Seen::new());
        assert!(panics.is_calm() && panics.is_clean(&seen));
        for _ in 0..2 {
            panics.recheck_all();
            assert!(!panics.is_calm() && !panics.is_clean(&seen) && !panics.is_clean(&Seen::new()));
            assert_eq!(panics.check(&seen, (1, 16), || None), None);
            assert!(panics.is_clean(&seen));
        }
        // The end of the last panic does not end the recheck.
        panics.record_panic(key(16, 1), &"here");
        panics.remove(1, 16);
        assert!(!panics.is_clean(&seen) && !panics.is_clean(&Seen::new()));
    }

    #[test]
    fn stream_without_a_known_id_is_looked_up_again() {
        let (panics, seen) = (Panics::new(), Seen::new());
        panics.record_panic(key(16, 1), &"here");
        assert_eq!(panics.check(&seen, (1, 16), || None), None);
        assert!(panics.check(&seen, (1, 16), || Some(1)).is_some());
    }

    /// The parent's thread holds the lock while the process forks.
    #[cfg(unix)]
    #[test]
    fn child_of_a_fork_finds_no_panic() {
        let panics = Panics::new();
        panics.record_panic(key(16, 1), &"here");
        let held = panics.faults();
        // SAFETY: the child makes only the calls under test, and ends by `_exit`.
        let child = match unsafe { libc::fork() } {
            0 => {
                // SAFETY: `alarm` has no requirements. It ends a child that blocks on the lock.
                unsafe { libc::alarm(60) };
                panics.record_panic(key(32, 1), &"there");
                panics.remove(1, 16);
                let found = panics.check(&Seen::new(), (1, 16), || Some(1)).is_some();
                let code = i32::from(found || panics.has(key(16, 1)));
                // SAFETY: `_exit` has no requirements.
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
    fn destroyed_stream_is_forgotten() {
        let panics = Panics::new();
        panics.record_panic(key(16, 1), &"first");
        // The handle belongs to another stream now, and so does the panic.
        panics.record_panic(key(16, 2), &"second");
        assert!(!panics.has(key(16, 1)) && panics.has(key(16, 2)));
        panics.remove(1, 16);
        assert!(!panics.has(key(16, 2)) && panics.is_clean(&Seen::new()));
    }

    #[test]
    fn handle_2_names_another_stream_on_each_thread() {
        let panics = Panics::new();
        panics.record_panic(key(2, 1), &"one thread's");
        panics.record_panic(key(2, 2), &"another thread's");
        let find = |id| panics.check(&Seen::new(), (1, 2), || Some(id));
        assert_eq!(find(1).as_deref(), Some("one thread's"));
        assert_eq!(find(2).as_deref(), Some("another thread's"));
        assert_eq!(find(3), None);
    }
}
