#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod bench;
pub mod captures;
mod compare;
mod contenders;
pub mod environments;
#[cfg(test)]
mod fake;
mod figures;
mod fixture;
pub mod fixtures;
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
pub mod variables;

pub use self::{
    bench::{Bench, BenchConfig, BenchOf},
    contenders::{BenchStreams, ContenderKind},
    fixture::{
        Bare, BenchFixture, BenchStream, EventOf, Failed, Library, NoBare, StreamOf, UnsafeCall,
    },
    job::{BRANCHES, Job, SIDES},
    measure::{Contender, Plan, calling},
    stats::{Comparison, Spread},
};
