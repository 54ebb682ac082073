//! What the tests of all backends share. The `tests/support` module of a backend adds the functions of its
//! own driver.
//!
//! - [`run`] runs the listed [`cases!`] on a device, and skips them without one.
//! - [`Children`] runs cases in processes of their own.
//! - [`FakeLibrary`] compiles a driver without a device.
//! - [`CountingAllocator`] counts allocations.

mod cases;
mod children;
mod fake;
mod memory;

pub use cases::{Case, expect_kind, is_required, run, skip};
pub use children::{Children, completion, expect_success, run_to_exit};
pub use fake::FakeLibrary;
pub use memory::{CountingAllocator, churn};
