#![doc = include_str!("../README.md")]
#![cfg(target_os = "linux")]

mod call;
mod captures;
mod codes;
mod config;
mod contexts;
mod devices;
mod events;
mod gates;
mod graphs;
mod hide;
mod ipc;
mod kernels;
mod locate;
mod memory;
mod state;
mod streams;
mod tables;
mod thread;
mod work;

pub use config::MOST_GPUS;
pub use locate::{FILE, is_loaded, library, no_driver_here, stand_in, without};

driver_faults::export_controls!();
