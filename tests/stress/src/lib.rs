#![doc = include_str!("../README.md")]

pub mod calls;
pub mod counters;
pub mod memory;
mod ordering_checks;
pub mod report;
pub mod run;
#[cfg(feature = "plant")]
pub mod seeded_bug;
mod shared_handles;
mod worker;

pub use report::{Limits, Report, Sample};
pub use run::{Plan, run};
