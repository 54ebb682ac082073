#![doc = include_str!("../README.md")]

#[cfg(target_os = "linux")]
mod abi;
#[cfg(target_os = "linux")]
mod agents;
#[cfg(target_os = "linux")]
mod clock;
#[cfg(target_os = "linux")]
mod code_objects;
#[cfg(target_os = "linux")]
mod config;
#[cfg(target_os = "linux")]
mod copies;
#[cfg(target_os = "linux")]
mod fills;
#[cfg(target_os = "linux")]
mod handlers;
#[cfg(target_os = "linux")]
mod kernels;
#[cfg(target_os = "linux")]
mod memory;
#[cfg(target_os = "linux")]
mod metadata;
#[cfg(target_os = "linux")]
mod packets;
#[cfg(target_os = "linux")]
mod parking_lot;
#[cfg(target_os = "linux")]
mod preload;
#[cfg(target_os = "linux")]
mod queues;
#[cfg(target_os = "linux")]
mod signals;
#[cfg(target_os = "linux")]
mod stubs;
#[cfg(all(test, target_os = "linux"))]
mod tests;
#[cfg(target_os = "linux")]
mod trace;
#[cfg(not(target_os = "linux"))]
mod unsupported;
#[cfg(target_os = "linux")]
mod values;
#[cfg(target_os = "linux")]
mod vmem;

#[cfg(target_os = "linux")]
pub use preload::{library, live_signals, loaded_version, preload, this_program};
#[cfg(not(target_os = "linux"))]
pub use unsupported::{live_signals, loaded_version, preload, this_program};
