//! What a vendor's driver is to the other backends: the threads, the streams that are alive, and
//! the process's end.

mod chunk;
pub(crate) mod fault;
mod item;
mod log;
pub(crate) mod pool;
pub(crate) mod progress;
pub(crate) mod queue;
mod ready;
pub(crate) mod record;
pub(crate) mod signal;
mod state;
pub(crate) mod task;

#[cfg(not(gpu_stream_loom))]
mod config;
#[cfg(not(gpu_stream_loom))]
mod exit;
#[cfg(not(gpu_stream_loom))]
mod process;
#[cfg(not(gpu_stream_loom))]
pub(crate) mod settle;

#[cfg(all(test, gpu_stream_loom))]
mod loom_tests;

#[cfg(not(gpu_stream_loom))]
pub(crate) use process::{Driver, Entry, driver};

#[cfg(not(gpu_stream_loom))]
pub use exit::abandon_at_exit;
