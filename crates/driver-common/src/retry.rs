//! A value that the first successful attempt makes: [`RetryCell`].

use std::sync::{Mutex, OnceLock, PoisonError};

/// A cell that keeps a success forever, and a failure only if it is permanent.
///
/// `OnceLock<Result<T, E>>` would keep every failure. A driver that is still loading at the first call
/// would then be missing for the rest of the process.
pub(crate) struct RetryCell<T, E> {
    value: OnceLock<T>,
    /// The permanent failure. Locked during an attempt, so there is one attempt at a time.
    failure: Mutex<Option<E>>,
}

impl<T, E: Clone> RetryCell<T, E> {
    /// Creates an empty cell.
    pub(crate) const fn new() -> Self {
        RetryCell { value: OnceLock::new(), failure: Mutex::new(None) }
    }

    /// Returns the value. Calls `make` if there is none yet.
    ///
    /// # Errors
    /// The failure of `make`. The next call tries again if `can_pass` returns `true` for it.
    pub(crate) fn get_or_try(
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passing_failure_is_retried_and_success_is_kept() {
        let cell = RetryCell::<u32, &str>::new();
        assert_eq!(cell.get_or_try(|| Err("busy"), |_| true), Err("busy"));
        assert_eq!(cell.get_or_try(|| Ok(1), |_| true), Ok(&1));
        assert_eq!(cell.get_or_try(|| Err("made twice"), |_| true), Ok(&1));
    }

    #[test]
    fn permanent_failure_is_kept() {
        let cell = RetryCell::<u32, &str>::new();
        assert_eq!(cell.get_or_try(|| Err("too old"), |_| false), Err("too old"));
        assert_eq!(cell.get_or_try(|| Ok(1), |_| true), Err("too old"));
    }
}
