//! Cases that the backends of CUDA and HIP share, written once over a [`Vendor`](crate::Vendor).
//!
//! A test program of a backend lists them beside cases of its own. They test what the conformance suite
//! cannot: they need a driver that fails on demand, or processes of their own, or count the driver's calls.

pub mod capture;
pub mod capture_probe;
pub mod current_stream;
pub mod data_order;
pub mod ends;
pub mod foreign;
pub mod ipc;
pub mod no_driver;
pub mod one_runtime;
pub mod pool;
pub mod retained;
pub mod start_again;
pub mod steady_state;
pub mod thread_as_found;
pub mod wrapping;

/// Lists shared cases for a vendor, under the names of their functions.
#[macro_export]
macro_rules! shared_cases {
    ($vendor:ty, $module:ident: $($name:ident),* $(,)?) => {
        [$((stringify!($name), $crate::shared::$module::$name::<$vendor> as fn())),*]
    };
}
