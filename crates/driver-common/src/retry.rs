//! A value that is made once, by the first attempt that succeeds: [`RetryCell`].

use std::sync::{Mutex, OnceLock, PoisonError};

/// Keeps a success for ever, and a failure only if it cannot pass.
///
/// `OnceLock<Result<T, E>>` would keep every failure: a driver that is still loading when the first
/// call comes would be missing for the rest of the process.
pub struct RetryCell<T, E> {
    value: OnceLock<T>,
    /// The failure that no later attempt can mend. Locked during an attempt: there is one at a time.
    failure: Mutex<Option<E>>,
}

impl<T, E: Clone> RetryCell<T, E> {
    /// Creates an empty cell.
    pub const fn new() -> Self {
        RetryCell { value: OnceLock::new(), failure: Mutex::new(None) }
    }

    /// Returns the value, which `make` makes if there is none yet.
    ///
    /// # Errors
    /// The failure of `make`. The next call tries again if `can_pass` says so of it.
    pub fn get_or_try(
        &self,
        make: impl FnOnce() -> Result<T, E>,
        can_pass: impl FnOnce(&E) -> bool,
    ) -> Result<&T, E> {
        if let Some(value) = self.value.get() {
            return Ok(value);
        }
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = self.value.get() {
            return Ok(value);
        }
        if let Some(error) = &*failure {
            return Err(error.clone());
        }
        match make() {
            Ok(value) => Ok(self.value.get_or_init(|| value)),
            Err(error) => {
                if !can_pass(&error) {
                    *failure = Some(error.clone());
                }
                Err(error)
            }
        }
    }
}

impl<T, E: Clone> Default for RetryCell<T, E> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_that_can_pass_is_tried_again_and_success_is_kept() {
        let cell = RetryCell::<u32, &str>::new();
        assert_eq!(cell.get_or_try(|| Err("busy"), |_| true), Err("busy"));
        assert_eq!(cell.get_or_try(|| Ok(1), |_| true), Ok(&1));
        assert_eq!(cell.get_or_try(|| Err("made twice"), |_| true), Ok(&1));
    }

    #[test]
    fn failure_that_cannot_pass_is_kept() {
        let cell = RetryCell::<u32, &str>::new();
        assert_eq!(cell.get_or_try(|| Err("too old"), |_| false), Err("too old"));
        assert_eq!(cell.get_or_try(|| Ok(1), |_| true), Err("too old"));
    }
}
