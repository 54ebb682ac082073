#![doc = include_str!("../README.md")]
// Loom checks the inside of the driver; what lies outside of it is not compiled then, and leaves
// parts unused.
#![cfg_attr(gpu_stream_loom, allow(dead_code))]

mod sync;

mod driver;

#[cfg(not(gpu_stream_loom))]
mod device;
#[cfg(not(gpu_stream_loom))]
mod error;
#[cfg(not(gpu_stream_loom))]
mod event;
#[cfg(not(gpu_stream_loom))]
mod gate;
#[cfg(not(gpu_stream_loom))]
mod host;
#[cfg(not(gpu_stream_loom))]
pub mod raw;
#[cfg(not(gpu_stream_loom))]
mod stream;

#[cfg(not(gpu_stream_loom))]
pub use self::{
    driver::abandon_at_exit,
    error::{HostError, StreamFault},
    event::HostEvent,
    gate::Gate,
    host::{Host, settle},
    stream::HostStream,
};
