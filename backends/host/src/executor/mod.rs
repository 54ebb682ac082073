//! What a vendor's driver is to the other backends: the threads, the streams that are alive, and
//! the process's end.

mod chunk;
mod draining;
pub(crate) mod fault;
mod item;
pub(crate) mod parker;
pub(crate) mod pool;
pub(crate) mod progress;
pub(crate) mod queue;
mod ready;
pub(crate) mod record;
mod runner;
mod state;
pub(crate) mod task;
mod task_queue;

#[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
mod config;
#[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
mod exit;
#[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
mod process;
pub(crate) mod process_state;
pub(crate) mod settle;
mod streams;

#[cfg(all(test, target_os = "linux", not(any(gpu_stream_loom, gpu_stream_shuttle, miri))))]
mod asleep;
#[cfg(all(test, gpu_stream_loom))]
mod loom_tests;
#[cfg(all(test, gpu_stream_shuttle))]
mod shuttle_tests;

#[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
pub(crate) use process::{Driver, driver};
#[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
pub(crate) use streams::{Entry, Origin};

#[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
pub use exit::abandon_at_exit;
