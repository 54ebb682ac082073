#![doc = include_str!("../README.md")]
// Loom and shuttle check only the executor. The other modules are not compiled then, so parts of
// the executor are unused.
#![cfg_attr(any(gpu_stream_loom, gpu_stream_shuttle), allow(dead_code))]

mod executor;
mod sync;

#[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
mod device;
#[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
mod error;
#[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
mod event;
#[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
mod gate;
#[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
mod host;
#[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
mod options;
#[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
mod owner;
#[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
pub mod raw;
#[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
mod shared_event;
#[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
mod stream;

#[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
pub use self::{
    error::{HostError, StreamFault},
    event::HostEvent,
    executor::abandon_at_exit,
    gate::Gate,
    host::{Host, wait_quiescent},
    stream::HostStream,
};
