//! The cases: plain generic functions, each of which checks one thing, and one list of them all.
//!
//! A case makes its own streams and events, and drops them. It returns `Ok` if the backend does
//! what its rules say, and otherwise what was seen instead. [`runner::run`](crate::runner::run)
//! gives it a thread and a time limit.

mod awaited;
mod list;
mod retained;
mod support;

pub mod await_failures;
pub mod awaits;
pub mod blocking;
pub mod capabilities;
pub mod captures;
pub mod devices;
pub mod dynamic;
pub mod ends;
pub mod errors;
pub mod events;
pub mod faults;
pub mod foreign_events;
pub mod handles;
pub mod identity;
pub mod lifetimes;
pub mod order;
pub mod own_context;
pub mod owners;
pub mod panics;
pub mod priorities;
pub mod query;
pub mod racing;
pub mod records;
pub mod reset;
pub mod retention;
pub mod retention_failures;
pub mod threads;
pub mod timing;
pub mod topology;

pub use list::{ALL, all};

use crate::rules::Rule;
use crate::{Fixture, Outcome};

/// The description of a case, for reports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CaseInfo {
    /// The unique name, which is also the function's name.
    pub name: &'static str,
    /// The group of the case, which is also the module's name.
    pub area: &'static str,
    /// The rules that it checks, the most important first.
    pub rules: &'static [Rule],
    /// What it checks, as a sentence.
    pub about: &'static str,
}

/// A case, for one fixture.
pub struct Case<F: Fixture> {
    /// The description, for reports.
    pub info: &'static CaseInfo,
    /// The case itself. It returns an error if the backend does not do what the rules say.
    pub run: fn(&F) -> Outcome,
}

impl<F: Fixture> Clone for Case<F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F: Fixture> Copy for Case<F> {}
