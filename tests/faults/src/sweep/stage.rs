//! One call of the backend, told apart from what is done before and after it: [`CallProbe`].

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use gpu_stream_core::{ContractError, Error, ErrorKind};

/// A call of the backend, with what it needs before and what is checked after it.
pub struct Operation<'w> {
    /// What it is called in reports.
    pub name: String,
    /// Does it, with [`CallProbe::act`] around the call itself. What fails outside of that is a panic.
    pub run: Box<dyn Fn(&CallProbe) + 'w>,
}

/// What a call of the backend answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Success.
    Done,
    /// An error.
    Failed {
        /// Its kind.
        kind: ErrorKind,
        /// The driver's code, if it is about one.
        code: Option<i32>,
        /// Its text.
        text: String,
    },
    /// A panic, with its message.
    Panicked(String),
}

impl Outcome {
    /// Whether two calls ended alike: both with success, or with errors of one kind.
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

/// Where an operation plays.
pub struct CallProbe<'a> {
    before: &'a dyn Fn(),
    after: &'a dyn Fn(),
    outcome: RefCell<Option<Outcome>>,
    wrong: RefCell<Vec<String>>,
    broken_captures: RefCell<usize>,
}

impl<'a> CallProbe<'a> {
    /// `before` and `after` are called right before and after the call.
    pub fn new(before: &'a dyn Fn(), after: &'a dyn Fn()) -> Self {
        CallProbe {
            before,
            after,
            outcome: RefCell::default(),
            wrong: RefCell::default(),
            broken_captures: RefCell::default(),
        }
    }

    /// Makes the call. What it gives is to be dropped after this, where nothing fails any more.
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

    /// Makes a call that cannot say no, a drop for instance.
    pub fn act_silent<T>(&self, call: impl FnOnce() -> T) -> Option<T> {
        self.act(|| Ok::<T, ContractError>(call()))
    }

    /// Notes what is wrong, unless it holds.
    pub fn check(&self, holds: bool, what: &str) {
        if !holds {
            self.wrong.borrow_mut().push(what.to_owned());
        }
    }

    /// Notes that a capture is broken, unless it is alive.
    pub fn check_capture(&self, alive: bool) {
        *self.broken_captures.borrow_mut() += usize::from(!alive);
    }

    /// Whether the call was made and ended with success.
    pub fn is_done(&self) -> bool {
        matches!(*self.outcome.borrow(), Some(Outcome::Done))
    }

    /// What came of it: the outcome, what is wrong, and how many captures are broken.
    pub(super) fn end(self) -> (Option<Outcome>, Vec<String>, usize) {
        (self.outcome.into_inner(), self.wrong.into_inner(), self.broken_captures.into_inner())
    }
}

pub(super) fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("with no message").to_owned()
}
