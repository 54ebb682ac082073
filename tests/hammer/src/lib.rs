#![doc = include_str!("../README.md")]

pub mod calls;
mod hand;
pub mod memory;
#[cfg(feature = "plant")]
pub mod plant;
mod proof;
pub mod report;
pub mod run;
pub mod tally;
mod world;

pub use report::{Limits, Report, Sample};
pub use run::{Plan, run};
