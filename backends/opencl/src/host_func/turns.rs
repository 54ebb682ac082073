//! The turns of values that must be used one at a time: [`Turns`].

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Lets one thread at a time use values with the same key. A thread that comes meanwhile leaves its value to the one that
/// has the turn, and does not block.
pub(super) struct Turns<K, T>(Mutex<Vec<(K, VecDeque<T>)>>);

impl<K: Copy + Eq, T> Turns<K, T> {
    pub(super) const fn new() -> Self {
        Turns(Mutex::new(Vec::new()))
    }

    /// Calls `each` with the value, and with those that other threads leave meanwhile. Leaves the value if another thread
    /// has the turn of the key. Holds nothing during a call, which must not unwind.
    pub(super) fn take(&self, key: K, value: T, mut each: impl FnMut(T)) {
        let mut next = self.begin(key, value);
        while let Some(value) = next {
            each(value);
            next = self.pass(key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(K, VecDeque<T>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins the turn of the key, and returns the value. Leaves the value if the turn is taken.
    fn begin(&self, key: K, value: T) -> Option<T> {
        let mut turns = self.lock();
        match turns.iter_mut().find(|(taken, _)| *taken == key) {
            Some((_, left)) => {
                left.push_back(value);
                None
            }
            None => {
                turns.push((key, VecDeque::new()));
                Some(value)
            }
        }
    }

    /// Returns the next value of the key's turn. Ends the turn if there is none.
    fn pass(&self, key: K) -> Option<T> {
        let mut turns = self.lock();
        let index = turns.iter().position(|(taken, _)| *taken == key)?;
        let next = turns[index].1.pop_front();
        if next.is_none() {
            turns.swap_remove(index);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_come_in_a_turn_are_used_after_it_and_other_keys_at_once() {
        let (turns, mut used) = (Turns::new(), Vec::new());
        turns.take('a', 1, |value| {
            used.push(value);
            if value == 1 {
                turns.take('a', 2, |_| panic!("the turn is taken"));
                turns.take('a', 3, |_| panic!("the turn is taken"));
                turns.take('b', 10, |value| used.push(value));
            }
        });
        assert_eq!(used, [1, 10, 2, 3]);
        turns.take('a', 4, |value| used.push(value));
        assert_eq!((used.last(), turns.lock().len()), (Some(&4), 0));
    }
}
