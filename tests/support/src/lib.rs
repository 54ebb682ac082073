//! What the tests of all backends share.
//!
//! - [`run`] runs the listed [`cases!`] on a device, and skips them without one.
//! - [`Children`] runs cases in processes of their own.
//! - [`CountingAllocator`] counts allocations.
//! - `cuda`, `hip` and `opencl`, each a feature: the driver without the backend under test, from
//!   `gpu-stream-test-drivers`.
//! - `operations`, with either feature: every call of a backend, for tests of what a call leaves behind.
//! - `shared`, a feature: the cases that both backends have, over what a `Vendor` says of its backend.

mod cases;
mod children;
mod memory;
#[cfg(any(feature = "cuda", feature = "hip"))]
pub mod operations;
#[cfg(feature = "shared")]
mod programs;
#[cfg(feature = "shared")]
pub mod shared;
#[cfg(feature = "shared")]
mod vendor;

#[cfg(feature = "cuda")]
pub use gpu_stream_test_drivers::cuda;
#[cfg(feature = "hip")]
pub use gpu_stream_test_drivers::hip;
#[cfg(feature = "opencl")]
pub use gpu_stream_test_drivers::opencl;

pub use cases::{Case, expect_kind, is_required, run, skip};
pub use children::{Children, completion, expect_success, run_to_exit};
pub use memory::{CountingAllocator, allocations, churn};
#[cfg(feature = "shared")]
pub use programs::{
    Variables, main, main_in_children, main_over_faults, over, run_as_child, run_child, run_trials,
    scratch_folder, trials_over_faults,
};
#[cfg(feature = "shared")]
pub use vendor::{
    Capture, ErrorOf, EventOf, MODES, Ptr, StreamOf, Vendor, device, own_event, own_stream, ptr,
    wrap,
};
