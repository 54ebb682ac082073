//! A library as a user would write it: for any stream of any backend, by the traits alone.
//!
//! [`Pipeline`] is the part about order; [`prefix_sum`] is something to do with it. Neither names a
//! backend, and neither blocks: the caller's stream is ordered before and after the work, and the
//! caller's thread goes on.

mod pipeline;
mod scan;

pub use pipeline::{Pipeline, Stage};
pub use scan::{Numbers, prefix_sum};

/// The example of the repository's README.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
pub struct Readme;
