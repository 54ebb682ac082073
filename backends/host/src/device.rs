//! The devices of the host: names without hardware behind them, so that a program for several GPUs
//! can be tried on a machine that has none.

use gpu_stream_core::{BackendInfo, BackendKind, Device, DeviceInfo};

use crate::HostError;
use crate::executor::driver;

pub(crate) fn probe() -> Result<BackendInfo, HostError> {
    let threads = driver()?.threads;
    let named = |device| DeviceInfo::new(device, format!("CPU, {threads} threads for all devices"));
    let devices = devices()?.into_iter().map(named).collect();
    Ok(BackendInfo::new(BackendKind::Host, env!("CARGO_PKG_VERSION"), devices))
}

pub(crate) fn devices() -> Result<Vec<Device>, HostError> {
    let ordinals = 0..driver()?.devices;
    Ok(ordinals.map(|ordinal| Device::new(BackendKind::Host, ordinal)).collect())
}

/// The ordinal of a device that was given to `operation`, if there is such a device.
pub(crate) fn ordinal(device: Device, operation: &'static str) -> Result<u32, HostError> {
    device.check_exists(BackendKind::Host, driver()?.devices, operation)?;
    Ok(device.ordinal())
}
