#![doc = include_str!("../README.md")]

#[cfg(target_os = "linux")]
mod call;
#[cfg(target_os = "linux")]
mod captures;
#[cfg(target_os = "linux")]
mod codes;
#[cfg(target_os = "linux")]
mod config;
#[cfg(target_os = "linux")]
mod contexts;
#[cfg(target_os = "linux")]
mod devices;
#[cfg(target_os = "linux")]
mod events;
#[cfg(target_os = "linux")]
mod gates;
#[cfg(target_os = "linux")]
mod graphs;
#[cfg(target_os = "linux")]
mod hide;
#[cfg(target_os = "linux")]
mod host_funcs;
#[cfg(target_os = "linux")]
mod ipc;
#[cfg(target_os = "linux")]
mod kernels;
#[cfg(target_os = "linux")]
mod locate;
#[cfg(target_os = "linux")]
mod memory;
#[cfg(target_os = "linux")]
mod state;
#[cfg(target_os = "linux")]
mod streams;
#[cfg(target_os = "linux")]
mod tables;
#[cfg(target_os = "linux")]
mod thread;
#[cfg(target_os = "linux")]
mod work;

#[cfg(target_os = "linux")]
pub use config::MOST_GPUS;
#[cfg(target_os = "linux")]
pub use locate::{FILE, is_loaded, library, no_driver_here, stand_in, without};

#[cfg(target_os = "linux")]
driver_faults::export_controls!();

/// Has the CUDA backend run over the simulated driver: only on Linux.
///
/// # Errors
/// Always here: the driver is only simulated on Linux.
///
/// # Safety
/// None is needed here.
#[cfg(not(target_os = "linux"))]
pub unsafe fn stand_in(_gpus: usize) -> Result<(), String> {
    Err("the simulated CUDA driver is for Linux only".into())
}

/// Whether the simulated driver is to be used: never here.
#[cfg(not(target_os = "linux"))]
pub fn no_driver_here() -> bool {
    false
}

/// Whether the process has loaded the simulated driver: never here.
#[cfg(not(target_os = "linux"))]
pub fn is_loaded() -> bool {
    false
}
