//! The cases: plain generic functions, each of which shows one thing, with one list of them all.
//!
//! A case makes its own streams and events, and leaves nothing behind. It returns `Ok` if the
//! backend does what its rules say, and otherwise what was seen instead;
//! [`runner::run`](crate::runner::run) gives it a thread and a time limit.

mod list;
mod support;

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
pub mod kin;
pub mod lifetimes;
pub mod order;
pub mod owners;
pub mod panics;
pub mod priorities;
pub mod query;
pub mod racing;
pub mod records;
pub mod reset;
pub mod threads;
pub mod timing;
pub mod topology;

pub use list::{ALL, all};

use crate::rules::Rule;
use crate::{Fixture, Outcome};

/// What a report says of a case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CaseInfo {
    /// The name, which is also the function's; no two cases have the same.
    pub name: &'static str,
    /// The group that it belongs to, which is also the module's name.
    pub area: &'static str,
    /// The rules that it checks, the chief one first.
    pub rules: &'static [Rule],
    /// What it shows.
    pub about: &'static str,
}

/// A case, for one fixture.
pub struct Case<F: Fixture> {
    /// What a report says of it.
    pub info: &'static CaseInfo,
    /// The case itself. It returns why not, where the backend does not do what the rules say.
    pub run: fn(&F) -> Outcome,
}

impl<F: Fixture> Clone for Case<F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F: Fixture> Copy for Case<F> {}
