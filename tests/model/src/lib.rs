//! Random programs of streams and events, run on a backend and held against a model of the rules.
//!
//! The conformance suite asks one question in each case. Here a program does many things in one go,
//! on up to three threads and two devices: streams of all sorts, records, waits, forks, joins,
//! questions, drops, and gates that hold a stream back. A vector-clock model says, by the rules
//! alone, which tasks must come before which, what a shut gate must hold back, and what it must not.
//!
//! - [`program`] and [`text`]: what a program is, and how it is written and read.
//! - [`clock`] and [`order`]: the model.
//! - [`check`]: which programs may be run, and what is left out of one to make it so.
//! - [`generate`]: random programs and how they become smaller, as a strategy of proptest.
//! - [`run`]: programs on the backend of a [`Fixture`](gpu_stream_conformance::Fixture).
//! - [`campaign`] and [`harness`]: many of them, as a test target of cargo.
//! - [`kept`]: programs that are run on every backend, for good.
//!
//! The README says what the model knows and how to read a failure.

pub mod campaign;
pub mod check;
pub mod clock;
pub mod corpus;
#[cfg(test)]
mod exhaustive;
pub mod generate;
pub mod harness;
mod interpreter;
pub mod order;
pub mod program;
pub mod run;
pub mod text;
mod watch;
