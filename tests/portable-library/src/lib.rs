//! A library as a user would write it: for any stream of any backend, with only the traits.
//!
//! [`Pipeline`] makes the order; [`prefix_sum`] is an algorithm that uses it. Neither names a
//! backend, and neither blocks. The work is ordered after the caller's earlier work and before its
//! later work, and the caller's thread continues.

mod pipeline;
mod scan;

pub use pipeline::{Pipeline, Stage};
pub use scan::{Numbers, prefix_sum};

/// The example of the repository's README.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
pub struct Readme;
