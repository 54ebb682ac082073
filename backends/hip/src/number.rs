//! Numbers for wrappers of streams, where the runtime has no ids for streams: [`next_number`].

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many numbers a thread takes at once, so that threads do not meet for each.
const NUMBERS: u64 = 1 << 16;

thread_local! {
    /// The calling thread's next number, and the first that is not its own.
    // Without a destructor, so that it is good until the thread's very end.
    static MINE: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

/// Returns a number that was not returned before, and never a small one: the handles 0, 1 and 2 have
/// a meaning of their own.
#[inline]
pub(crate) fn next_number() -> u64 {
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
    static NEXT: AtomicU64 = AtomicU64::new(NUMBERS);
    let first = NEXT.fetch_add(NUMBERS, Ordering::Relaxed);
    MINE.set((first + 1, first + NUMBERS));
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_is_given_twice() {
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
