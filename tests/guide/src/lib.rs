//! The code blocks of [`docs/guide.md`](../../../docs/guide.md) and its pages, as documentation tests.
//!
//! `cargo test -p gpu-stream-guide` compiles all of them, and runs those that need no GPU.

/// A page of the guide.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide/kernels.md")]
pub struct Kernels;

/// A page of the guide.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide/waiting.md")]
pub struct Waiting;

/// A page of the guide.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide/programs.md")]
pub struct Programs;

/// A page of its own, whose examples are documentation tests, too.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/checked.md")]
pub struct Checked;

/// A page of its own: libraries that take a stream.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/collectives.md")]
pub struct Collectives;
