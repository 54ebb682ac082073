//! One call of the backend, apart from the steps before and after it: [`CallProbe`].

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use gpu_stream_core::{ContractError, Error, ErrorKind};

/// A call of the backend, with its preparation and the checks after it.
pub struct Operation<'w> {
    /// The name in reports.
    pub name: String,
    /// Runs the operation. It makes the call itself in [`CallProbe::act`], and panics if another
    /// step fails.
    pub run: Box<dyn Fn(&CallProbe) + 'w>,
}

/// The outcome of a backend call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The call succeeded.
    Done,
    /// The call returned an error.
    Failed {
        /// The error's kind.
        kind: ErrorKind,
        /// The driver's code, if the error has one.
        code: Option<i32>,
        /// The error's text.
        text: String,
    },
    /// The call panicked with this message.
    Panicked(String),
}

impl Outcome {
    /// Returns `true` if both calls succeeded, or both failed with errors of one kind.
    pub fn is_like(&self, other: &Outcome) -> bool {
        match (self, other) {
            (Outcome::Done, Outcome::Done) => true,
            (Outcome::Failed { kind, .. }, Outcome::Failed { kind: of_other, .. }) => {
                kind == of_other
            }
            _ => false,
        }
    }
}

/// Separates the call under test from the other steps of an operation, and collects findings.
pub struct CallProbe<'a> {
    before: &'a dyn Fn(),
    after: &'a dyn Fn(),
    outcome: RefCell<Option<Outcome>>,
    wrong: RefCell<Vec<String>>,
    broken_captures: RefCell<usize>,
}

impl<'a> CallProbe<'a> {
    /// Creates a probe that runs `before` right before the call and `after` right after it.
    pub fn new(before: &'a dyn Fn(), after: &'a dyn Fn()) -> Self {
        CallProbe {
            before,
            after,
            outcome: RefCell::default(),
            wrong: RefCell::default(),
            broken_captures: RefCell::default(),
        }
    }

    /// Makes the call. Returns its value, to be dropped after this function, where no fault is set.
    pub fn act<T, E: Error>(&self, call: impl FnOnce() -> Result<T, E>) -> Option<T> {
        (self.before)();
        let answer = catch_unwind(AssertUnwindSafe(call));
        (self.after)();
        let (outcome, value) = match answer {
            Ok(Ok(value)) => (Outcome::Done, Some(value)),
            Ok(Err(error)) => {
                let text = error.to_string();
                (Outcome::Failed { kind: error.kind(), code: error.code(), text }, None)
            }
            Err(panic) => (Outcome::Panicked(message(&*panic)), None),
        };
        self.outcome.replace(Some(outcome));
        value
    }

    /// Makes a call that cannot return an error, such as a drop.
    pub fn act_silent<T>(&self, call: impl FnOnce() -> T) -> Option<T> {
        self.act(|| Ok::<T, ContractError>(call()))
    }

    /// Reports `what` as wrong unless `holds`.
    pub fn check(&self, holds: bool, what: &str) {
        if !holds {
            self.wrong.borrow_mut().push(what.to_owned());
        }
    }

    /// Reports a broken capture unless `alive`.
    pub fn check_capture(&self, alive: bool) {
        *self.broken_captures.borrow_mut() += usize::from(!alive);
    }

    /// Returns `true` if the call succeeded. Returns `false` if it was not made.
    pub fn is_done(&self) -> bool {
        matches!(*self.outcome.borrow(), Some(Outcome::Done))
    }

    /// Returns the outcome, the findings, and the number of broken captures.
    pub(super) fn end(self) -> (Option<Outcome>, Vec<String>, usize) {
        (self.outcome.into_inner(), self.wrong.into_inner(), self.broken_captures.into_inner())
    }
}

pub(super) fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("with no message").to_owned()
}
