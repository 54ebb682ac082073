//! A library as a user would write it: for any stream of any backend, with only the traits and one of its own.
//!
//! [`Pipeline`] makes the order; [`prefix_sum`] is an algorithm that uses it. Neither names a
//! backend, and neither blocks. The work is ordered after the caller's earlier work and before its
//! later work, and the caller's thread continues.
//!
//! [`saxpy`] and [`sum`] do the same with kernels, on a [`Vector`] in the device's memory: host functions on the host,
//! PTX on CUDA, a code object on HIP, OpenCL C on OpenCL. The trait [`Kernels`] is all that differs.

mod blas;
mod error;
mod kernels;
mod pipeline;
mod scan;
mod span;
mod vector;

pub use blas::{saxpy_at, sum_at};
pub use error::{Error, Result};
pub use kernels::{Address, Kernel, Kernels, Launcher};
pub use pipeline::{Pipeline, Stage};
pub use scan::{Numbers, prefix_sum};
pub use vector::{Vector, saxpy, sum};

/// The example of this library's README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct OwnReadme;

/// The example of the repository's README.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
pub struct Readme;
