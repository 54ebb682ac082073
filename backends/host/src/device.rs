//! The logical devices of the host.
//!
//! They are names without hardware, so that a program for several GPUs can be tried without one.

use gpu_stream_core::{BackendInfo, BackendKind, Device, DeviceInfo};

use crate::HostError;
use crate::executor::executor;

/// Returns the description of the backend. Starts the executor.
pub(crate) fn probe() -> Result<BackendInfo, HostError> {
    let threads = executor()?.threads;
    let named = |device| DeviceInfo::new(device, format!("CPU, {threads} threads for all devices"));
    let devices = devices()?.into_iter().map(named).collect();
    Ok(BackendInfo::new(BackendKind::Host, env!("CARGO_PKG_VERSION"), devices))
}

/// Returns all devices.
pub(crate) fn devices() -> Result<Vec<Device>, HostError> {
    let ordinals = 0..executor()?.devices;
    Ok(ordinals.map(|ordinal| Device::new(BackendKind::Host, ordinal)).collect())
}

/// Returns the ordinal of `device`. Fails if the host has no such device.
pub(crate) fn ordinal(device: Device, operation: &'static str) -> Result<u32, HostError> {
    device.check_exists(BackendKind::Host, executor()?.devices, operation)?;
    Ok(device.ordinal())
}
