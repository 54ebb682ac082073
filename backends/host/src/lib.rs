#![doc = include_str!("../README.md")]
// Loom and shuttle check the inside of the driver; what lies outside of it is not compiled then, and leaves
// parts unused.
#![cfg_attr(any(gpu_stream_loom, gpu_stream_shuttle), allow(dead_code))]

mod sync;

mod executor;

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
pub mod raw;
#[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
mod raw_event;
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
