//! Model-based tests: runs random programs of streams and events on a backend, and compares the results with a
//! model of the rules.
//!
//! A case of the conformance suite checks one property. A program here combines many operations, on up to three
//! threads and two devices: streams of all kinds, records, waits, forks, joins, queries, drops, and gates that
//! block a stream. From the rules alone, a vector-clock model computes the order of the tasks. It also computes what a
//! closed gate must block, and what it must not.
//!
//! - [`program`] and [`text`]: programs, and their text format.
//! - [`clock`] and [`order`]: the model.
//! - [`check`]: which programs may run, and how others are repaired.
//! - [`generate`] and [`shrink`]: random programs, and their shrinking, as a proptest strategy.
//! - [`run`]: runs a program on the backend of a [`Fixture`](gpu_stream_conformance::Fixture).
//! - [`campaign`] and [`harness`]: many programs, as a test target of cargo.
//! - [`corpus`]: programs that run on every backend, against regressions.
//!
//! The README describes what the model knows, and how to read a failure.

pub mod campaign;
pub mod check;
pub mod checked;
pub mod clock;
pub mod corpus;
#[cfg(test)]
mod exhaustive;
pub mod generate;
pub mod harness;
pub mod hazard;
mod interpreter;
pub mod order;
pub mod program;
pub mod run;
pub mod shrink;
pub mod text;
mod watchdog;
