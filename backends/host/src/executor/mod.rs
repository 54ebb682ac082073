//! The executor: worker threads, the registry of streams, and process exit.
//!
//! It does for this backend what a vendor's driver does for the others.
//! `docs/internals/host-executor.md` has a list of the files, the life of a closure, and the
//! invariants.

mod chunk;
mod draining;
pub(crate) mod fault;
mod item;
pub(crate) mod level;
mod local;
pub(crate) mod parker;
mod pool;
pub(crate) mod progress;
pub(crate) mod queue;
mod ready;
pub(crate) mod record;
mod run_state;
mod runner;
pub(crate) mod task;
mod task_queue;

#[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
mod config;
#[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
mod exit;
#[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
mod global;
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
pub(crate) use global::{Executor, executor};
#[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
pub(crate) use streams::{Origin, StreamEntry};

#[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
pub use exit::abandon_at_exit;
