//! Numbers that identify wrappers of streams, where the runtime has no stream ids: [`next_number`].

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

/// The number of values that a thread reserves at once, so that threads do not contend for each.
const NUMBERS: u64 = 1 << 16;

thread_local! {
    /// The next number of the thread's range, and the end of the range.
    // No destructor, so that it is usable until the thread's very end.
    static RANGE: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

/// Returns a number that was not returned before. It is never 0, 1 or 2, which are handles of default streams.
#[inline]
pub(crate) fn next_number() -> u64 {
    match RANGE.get() {
        (next, end) if next < end => {
            RANGE.set((next + 1, end));
            next
        }
        _ => reserve_range(),
    }
}

#[cold]
fn reserve_range() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(NUMBERS);
    let first = NEXT.fetch_add(NUMBERS, Ordering::Relaxed);
    RANGE.set((first + 1, first + NUMBERS));
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_number_never_repeats() {
        let some = || (0..NUMBERS + 10).map(|_| next_number()).collect::<Vec<_>>();
        let mut all = std::thread::scope(|scope| {
            let threads = [scope.spawn(some), scope.spawn(some)];
            threads.map(|thread| thread.join().unwrap()).concat()
        });
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!((all.len(), all[0]), (count, NUMBERS));
    }
}
