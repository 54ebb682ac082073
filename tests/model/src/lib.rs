//! x
#![allow(missing_docs)]
pub mod campaign;
pub mod check;
pub mod clock;
#[cfg(test)]
mod exhaustive;
pub mod generate;
pub mod harness;
pub mod kept;
pub mod order;
pub mod program;
pub mod run;
mod scene;
pub mod text;
mod watch;
