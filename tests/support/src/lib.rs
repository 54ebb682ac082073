//! What the tests of all backends share.
//!
//! - [`run`] runs the listed [`cases!`] on a device, and skips them without one.
//! - [`Children`] runs cases in processes of their own.
//! - [`FakeLibrary`] compiles a driver without a device.
//! - [`CountingAllocator`] counts allocations.
//! - `cuda` and `hip`, each a feature: the driver without the backend under test. They have the one table
//!   of the driver's functions, and streams, gates and captures that the backend did not make.
//! - `operations`, with either feature: every call of a backend, for tests of what a call leaves behind.

#[cfg(any(feature = "cuda", feature = "hip"))]
mod capture;
mod cases;
mod children;
#[cfg(feature = "cuda")]
pub mod cuda;
#[cfg(any(feature = "cuda", feature = "hip"))]
mod driver;
mod fake;
#[cfg(feature = "hip")]
pub mod hip;
mod memory;
#[cfg(any(feature = "cuda", feature = "hip"))]
mod numbers;
#[cfg(any(feature = "cuda", feature = "hip"))]
pub mod operations;

pub use cases::{Case, expect_kind, is_required, run, skip};
pub use children::{Children, completion, expect_success, run_to_exit};
pub use fake::FakeLibrary;
pub use memory::{CountingAllocator, churn};
