#![doc = include_str!("../README.md")]

mod bench;
mod compare;
mod contend;
#[cfg(test)]
mod fake;
mod figures;
mod ground;
pub mod grounds;
mod growth;
mod job;
pub mod machine;
pub mod markdown;
mod measure;
pub mod report;
pub mod script;
mod stats;
pub mod svg;
pub mod tables;
mod threads;

pub use self::{
    bench::{Bench, BenchOf, Wanted},
    contend::{Stage, Who},
    ground::{Bare, EventOf, Failed, Ground, Lane, Library, NoBare, StreamOf},
    job::{BRANCHES, Job, SIDES},
    measure::{Contender, Plan, calling},
    stats::{Comparison, Spread},
};
