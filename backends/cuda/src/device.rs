//! The devices that the driver names.

use gpu_stream_core::{BackendInfo, BackendKind, Device, DeviceInfo, PriorityRange};

use crate::CudaError;
use crate::driver::{driver, loaded};
use crate::error::Version;

pub(crate) fn probe() -> Result<BackendInfo, CudaError> {
    let driver = driver()?;
    let mut devices = Vec::new();
    for (device, entry) in all(driver.count()).zip(&driver.devices) {
        devices.push(DeviceInfo::new(device, driver.name(entry)?));
    }
    let version = Version(driver.version).to_string();
    let mut info = BackendInfo::new(BackendKind::Cuda, version, devices);
    info.library = Some(driver.library.to_string());
    info.details = driver.details();
    Ok(info)
}

pub(crate) fn devices() -> Result<Vec<Device>, CudaError> {
    Ok(all(driver()?.count()).collect())
}

/// As the contract has it, without a list of all.
pub(crate) fn device(ordinal: u32) -> Result<Device, CudaError> {
    let given = Device::new(BackendKind::Cuda, ordinal);
    self::ordinal(given, "Backend::device")?;
    Ok(given)
}

fn all(count: u32) -> impl Iterator<Item = Device> {
    (0..count).map(|ordinal| Device::new(BackendKind::Cuda, ordinal))
}

/// Whether the driver is loaded and has named this device.
#[inline]
pub(crate) fn exists(device: Device) -> bool {
    matches!(device.backend(), BackendKind::Cuda)
        && loaded().is_some_and(|driver| device.ordinal() < driver.count())
}

/// The ordinal of a device that was given to `operation`, if there is such a device.
#[inline]
pub(crate) fn ordinal(device: Device, operation: &'static str) -> Result<u32, CudaError> {
    if !exists(device) {
        device.check_exists(BackendKind::Cuda, driver()?.count(), operation)?;
    }
    Ok(device.ordinal())
}

pub(crate) fn priority_range(
    device: Device,
    operation: &'static str,
) -> Result<PriorityRange, CudaError> {
    let ordinal = ordinal(device, operation)?;
    let driver = driver()?;
    driver.priorities(driver.primary(ordinal, operation)?.context, operation)
}
