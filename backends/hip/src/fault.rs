//! Panics of host functions, which the stream reports from then on.
//!
//! The runtime knows nothing of them: work behind the function runs. So the faults are kept here. A
//! handle is used again when its stream is gone, so that it cannot be the key. Since HIP 7.2 the
//! key is the stream's id, which is never used twice; before, it is a number that a wrapper shares
//! with its clones. A program in which nothing panicked pays one read of a flag for this.

use std::any::Any;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::HipError;
use crate::driver::Driver;

/// Whether there is any fault.
static ANY: AtomicBool = AtomicBool::new(false);

static FAULTS: Mutex<Vec<Fault>> = Mutex::new(Vec::new());

struct Fault {
    key: u64,
    message: Arc<str>,
}

fn faults() -> MutexGuard<'static, Vec<Fault>> {
    FAULTS.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// How a wrapper finds the fault of its stream.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Faults {
    /// By the stream's id.
    ById,
    /// By this number.
    Of(u64),
}

/// How many numbers a thread takes at once, so that threads do not meet for each.
const NUMBERS: u64 = 1 << 16;

thread_local! {
    /// The calling thread's next number, and the first that is not its own.
    // Without a destructor, so that it is good until the thread's very end.
    static MINE: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

/// A number that was not returned before.
#[inline]
fn number() -> u64 {
    match MINE.get() {
        (next, end) if next < end => {
            MINE.set((next + 1, end));
            next
        }
        _ => first_of_more(),
    }
}

#[cold]
fn first_of_more() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let first = NEXT.fetch_add(NUMBERS, Ordering::Relaxed);
    MINE.set((first + 1, first + NUMBERS));
    first
}

/// Whether a host function has panicked in this process.
#[inline]
pub(crate) fn any() -> bool {
    ANY.load(Ordering::SeqCst)
}

impl Faults {
    #[inline]
    pub(crate) fn new(driver: &Driver) -> Self {
        // Of one process only one of the two sorts is used.
        match driver.symbols.stream_id.function {
            Some(_) => Faults::ById,
            None => Faults::Of(number()),
        }
    }

    /// The key, for a host function; `id` finds the stream's, if it can be told.
    pub(crate) fn key(self, id: impl FnOnce() -> Option<u64>) -> Option<u64> {
        match self {
            Faults::ById => id(),
            Faults::Of(number) => Some(number),
        }
    }

    /// An error if a host function of the stream panicked; `id` finds the stream's id, if it has
    /// one.
    #[inline]
    pub(crate) fn check(
        self,
        operation: &'static str,
        id: impl FnOnce() -> Option<u64>,
    ) -> Result<(), HipError> {
        if any() { look(operation, self.key(id)) } else { Ok(()) }
    }
}

/// A host function of the stream with this key panicked.
pub(crate) fn note(key: u64, panic: &(dyn Any + Send)) {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let message = text.unwrap_or("with no message").into();
    let mut faults = faults();
    // The first one is what it was; the rest may be its consequences.
    if faults.iter().all(|fault| fault.key != key) {
        faults.push(Fault { key, message });
    }
    drop(faults);
    ANY.store(true, Ordering::SeqCst);
}

#[cold]
fn look(operation: &'static str, key: Option<u64>) -> Result<(), HipError> {
    let faults = faults();
    match faults.iter().find(|fault| Some(fault.key) == key) {
        Some(fault) => {
            let message = Arc::clone(&fault.message);
            Err(HipError::HostFunctionPanicked { operation, message })
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_is_given_twice() {
        let some = || (0..NUMBERS + 10).map(|_| number()).collect::<Vec<_>>();
        let mut all = std::thread::scope(|scope| {
            let threads = [scope.spawn(some), scope.spawn(some)];
            threads.map(|thread| thread.join().unwrap()).concat()
        });
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn a_fault_is_its_streams_and_stays() {
        for faults in [Faults::ById, Faults::Of(7)] {
            for text in ["first", "second"] {
                note(faults.key(|| Some(7)).expect("a key"), &String::from(text));
            }
            for _ in 0..2 {
                let error = faults.check("here", || Some(7)).unwrap_err().to_string();
                assert!(error.contains("first") && error.contains("here"), "{error}");
            }
        }
        assert!(Faults::Of(8).check("here", || Some(7)).is_ok());
        assert!(Faults::ById.check("here", || Some(8)).is_ok());
        assert!(Faults::ById.check("here", || None).is_ok());
    }
}
