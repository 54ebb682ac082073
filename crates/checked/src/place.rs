//! The place of a call in the program: [`called_from`].

use std::cell::Cell;
use std::panic::Location;

/// A place in the source of the program.
pub(crate) type Place = &'static Location<'static>;

thread_local! {
    /// The place that stands for all calls of this thread, while [`called_from`] runs.
    static CALLER: Cell<Option<Place>> = const { Cell::new(None) };
}

/// Runs `call`, and takes `place` for the place of all calls in it on this thread. If it is called inside of such a
/// call, the outer place stays. For layers that call streams through a trait object, which does not pass the caller's
/// place on.
#[doc(hidden)]
pub fn called_from<T>(place: &'static Location<'static>, call: impl FnOnce() -> T) -> T {
    /// Restores the previous place, also if `call` panics.
    struct Restore(Option<Place>);

    impl Drop for Restore {
        fn drop(&mut self) {
            set(self.0);
        }
    }

    let previous = given();
    set(Some(previous.unwrap_or(place)));
    let _restore = Restore(previous);
    call()
}

/// Returns the place that was given for the calls of this thread. Returns `None` while the thread ends.
fn given() -> Option<Place> {
    CALLER.try_with(Cell::get).ok().flatten()
}

/// Sets the place for the calls of this thread. Does nothing while the thread ends.
fn set(place: Option<Place>) {
    // Fails only while the thread ends.
    let _ = CALLER.try_with(|caller| caller.set(place));
}

/// Returns the place of the caller, or the place of [`called_from`].
#[track_caller]
pub(crate) fn caller() -> Place {
    match given() {
        Some(place) => place,
        None => Location::caller(),
    }
}

#[cfg(test)]
mod tests {
    use super::{called_from, caller};
    use std::panic::{Location, catch_unwind};

    #[track_caller]
    fn here() -> &'static Location<'static> {
        Location::caller()
    }

    #[test]
    fn caller_is_that_of_the_function_or_the_one_given() {
        #[track_caller]
        fn call() -> &'static Location<'static> {
            caller()
        }
        let line = here().line();
        assert_eq!(call().line(), line + 1);
        let given = here();
        assert_eq!(called_from(given, call), given);
        assert_eq!(call().line(), line + 4);
    }

    #[test]
    fn place_is_restored_after_a_panic_and_a_nested_call() {
        let (outer, inner) = (here(), here());
        called_from(outer, || {
            assert_eq!(called_from(inner, caller), outer);
            assert!(
                catch_unwind(|| called_from(inner, || std::panic::resume_unwind(Box::new(()))))
                    .is_err()
            );
            assert_eq!(caller(), outer);
        });
        assert_eq!(called_from(inner, caller), inner);
    }
}
