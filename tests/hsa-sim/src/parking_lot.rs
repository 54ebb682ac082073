//! Where threads sleep until something changes at an address.
//!
//! As with a futex, a waiter names an address and a condition, and whoever changes what the
//! condition looks at wakes the address. No wake-up is lost: a waiter counts itself before it
//! looks, a waker changes before it reads the count (all of it sequentially consistent), so one of
//! the two sees the other; and the waiter looks again under the lock that the waker takes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Addresses that share a lot wake one another for nothing, which costs a look and no more.
const LOTS: usize = 256;

struct ParkBucket {
    waiters: AtomicUsize,
    lock: Mutex<()>,
    changed: Condvar,
}

static PARK: [ParkBucket; LOTS] = [const {
    ParkBucket { waiters: AtomicUsize::new(0), lock: Mutex::new(()), changed: Condvar::new() }
}; LOTS];

fn lot(address: usize) -> &'static ParkBucket {
    // Fibonacci hashing: signals lie at multiples of their size.
    let hash = (address as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    &PARK[(hash >> 56) as usize % LOTS]
}

impl ParkBucket {
    fn wake(&self) {
        if self.waiters.load(Ordering::SeqCst) > 0 {
            drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
            self.changed.notify_all();
        }
    }
}

/// Wakes whoever waits at `address`. The change itself must be a sequentially consistent store,
/// made before this call.
pub fn wake(address: usize) {
    lot(address).wake();
}

/// Wakes every waiter there is, for changes that any of them may look at (a queue that ends).
pub fn wake_all() {
    for lot in &PARK {
        lot.wake();
    }
}

/// Comes back when somebody waits at `address`, or at one that shares its lot.
#[cfg(test)]
pub fn until_waited_for(address: usize) {
    while lot(address).waiters.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
}

/// How long a wait may last and how it hears of changes.
#[derive(Clone, Copy, Default)]
pub struct WaitOptions {
    /// When to give up; never if `None`.
    pub until: Option<Instant>,
    /// Whether what is looked at may also be changed by a plain store that wakes nobody, so that
    /// the waiter must look again by itself from time to time.
    pub look_again: bool,
}

/// The first and the longest pause of a waiter that has to look by itself.
const SHORT_PAUSE: Duration = Duration::from_micros(10);
const LONG_PAUSE: Duration = Duration::from_micros(200);

/// Waits at `address` until `holds` answers true; false if time ran out first.
pub fn wait(address: usize, patience: WaitOptions, mut holds: impl FnMut() -> bool) -> bool {
    if holds() {
        return true;
    }
    let lot = lot(address);
    lot.waiters.fetch_add(1, Ordering::SeqCst);
    let held = wait_counted(lot, patience, &mut holds);
    lot.waiters.fetch_sub(1, Ordering::SeqCst);
    held
}

fn wait_counted(lot: &ParkBucket, patience: WaitOptions, holds: &mut impl FnMut() -> bool) -> bool {
    let mut pause = SHORT_PAUSE;
    let mut guard = lot.lock.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if holds() {
            return true;
        }
        let left = patience.until.map(|until| until.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return false;
        }
        let longest = match (left, patience.look_again) {
            (None, false) => None,
            (Some(left), false) => Some(left),
            (None, true) => Some(pause),
            (Some(left), true) => Some(left.min(pause)),
        };
        pause = (pause * 2).min(LONG_PAUSE);
        guard = match longest {
            None => lot.changed.wait(guard).unwrap_or_else(PoisonError::into_inner),
            Some(longest) => {
                lot.changed.wait_timeout(guard, longest).unwrap_or_else(PoisonError::into_inner).0
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn a_wake_up_is_never_lost() {
        // Two threads hand a number to and fro. A lost wake-up would leave both asleep for ever.
        let turn = Arc::new(AtomicU64::new(0));
        let address = Arc::as_ptr(&turn) as usize;
        let execute = move |turn: Arc<AtomicU64>, odd: u64| {
            for round in 0..20_000 {
                let mine = 2 * round + odd;
                wait(address, WaitOptions::default(), || turn.load(Ordering::SeqCst) == mine);
                turn.store(mine + 1, Ordering::SeqCst);
                wake(address);
            }
        };
        let other = {
            let turn = turn.clone();
            std::thread::spawn(move || execute(turn, 1))
        };
        execute(turn.clone(), 0);
        other.join().unwrap();
        assert_eq!(turn.load(Ordering::SeqCst), 40_000);
    }

    #[test]
    fn time_runs_out() {
        let patience = WaitOptions { until: Some(Instant::now()), look_again: false };
        assert!(!wait(8, patience, || false));
    }

    #[test]
    fn a_store_that_wakes_nobody_is_seen() {
        let word = Arc::new(AtomicU64::new(0));
        let waiter = {
            let word = word.clone();
            std::thread::spawn(move || {
                let patience = WaitOptions { until: None, look_again: true };
                wait(64, patience, || word.load(Ordering::SeqCst) == 1)
            })
        };
        word.store(1, Ordering::SeqCst);
        assert!(waiter.join().unwrap());
    }
}
