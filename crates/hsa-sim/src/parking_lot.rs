//! A parking lot: threads sleep until something changes at an address, as with a futex.
//!
//! A waiter names an address and a condition. A thread that changes what the condition reads then
//! wakes the address.
//!
//! Invariant: no wake-up is lost. A waiter counts itself before it checks the condition, and a
//! waker makes its change before it reads the count. All of this is sequentially consistent, so one
//! of the two sees the other. The waiter also rechecks under the lock that the waker takes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The number of buckets. Addresses in one bucket cause spurious wake-ups, which only cost a
/// recheck.
const BUCKET_COUNT: usize = 256;

struct ParkBucket {
    waiters: AtomicUsize,
    lock: Mutex<()>,
    changed: Condvar,
}

static BUCKETS: [ParkBucket; BUCKET_COUNT] = [const {
    ParkBucket { waiters: AtomicUsize::new(0), lock: Mutex::new(()), changed: Condvar::new() }
}; BUCKET_COUNT];

fn bucket_of(address: usize) -> &'static ParkBucket {
    // Fibonacci hashing, because signals lie at multiples of their size.
    let hash = (address as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    &BUCKETS[(hash >> 56) as usize % BUCKET_COUNT]
}

impl ParkBucket {
    fn wake(&self) {
        if self.waiters.load(Ordering::SeqCst) > 0 {
            drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
            self.changed.notify_all();
        }
    }
}

/// Wakes all threads that wait at `address`. The change must be a sequentially consistent store
/// before this call.
pub fn wake(address: usize) {
    bucket_of(address).wake();
}

/// Wakes all waiting threads, for a change that any of them may depend on (the end of a queue).
pub fn wake_all() {
    for bucket in &BUCKETS {
        bucket.wake();
    }
}

/// Blocks until a thread waits at `address`, or at one in the same bucket.
#[cfg(test)]
pub fn block_until_waited_for(address: usize) {
    while bucket_of(address).waiters.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
}

/// The deadline of a wait, and whether it polls.
#[derive(Clone, Copy, Default)]
pub struct WaitOptions {
    /// The deadline. `None` waits without a limit.
    pub until: Option<Instant>,
    /// `true` if the value can change by a plain store without a wake-up. The waiter then also
    /// polls.
    pub poll: bool,
}

/// The first and the longest pause of a polling waiter.
const FIRST_PAUSE: Duration = Duration::from_micros(10);
const MAX_PAUSE: Duration = Duration::from_micros(200);

/// Waits at `address` until `condition` returns `true`. Returns `false` if the deadline passed
/// first.
pub fn wait(address: usize, options: WaitOptions, mut condition: impl FnMut() -> bool) -> bool {
    if condition() {
        return true;
    }
    let bucket = bucket_of(address);
    bucket.waiters.fetch_add(1, Ordering::SeqCst);
    let held = wait_counted(bucket, options, &mut condition);
    bucket.waiters.fetch_sub(1, Ordering::SeqCst);
    held
}

fn wait_counted(
    bucket: &ParkBucket,
    options: WaitOptions,
    condition: &mut impl FnMut() -> bool,
) -> bool {
    let mut pause = FIRST_PAUSE;
    let mut guard = bucket.lock.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if condition() {
            return true;
        }
        let left = options.until.map(|until| until.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return false;
        }
        let longest = match (left, options.poll) {
            (None, false) => None,
            (Some(left), false) => Some(left),
            (None, true) => Some(pause),
            (Some(left), true) => Some(left.min(pause)),
        };
        pause = (pause * 2).min(MAX_PAUSE);
        guard = match longest {
            None => bucket.changed.wait(guard).unwrap_or_else(PoisonError::into_inner),
            Some(longest) => {
                bucket
                    .changed
                    .wait_timeout(guard, longest)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
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
    fn wake_up_is_never_lost() {
        // Two threads pass a number back and forth. A lost wake-up would leave both asleep forever.
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
    fn wait_ends_at_its_deadline() {
        let options = WaitOptions { until: Some(Instant::now()), poll: false };
        assert!(!wait(8, options, || false));
    }

    #[test]
    fn polling_wait_notices_a_plain_store() {
        let word = Arc::new(AtomicU64::new(0));
        let waiter = {
            let word = word.clone();
            std::thread::spawn(move || {
                let options = WaitOptions { until: None, poll: true };
                wait(64, options, || word.load(Ordering::SeqCst) == 1)
            })
        };
        word.store(1, Ordering::SeqCst);
        assert!(waiter.join().unwrap());
    }
}
