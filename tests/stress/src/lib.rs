#![doc = include_str!("../README.md")]

pub mod calls;
pub mod counters;
pub mod memory;
mod ops;
mod ordering_checks;
pub mod report;
pub mod run;
#[cfg(feature = "seeded-bugs")]
pub mod seeded_bug;
mod shared_handles;
mod worker;

pub use report::{Limits, Report, Sample};
pub use run::{Plan, run};
