//! The devices of the driver.

use gpu_stream_core::{BackendInfo, BackendKind, Device, DeviceInfo, PriorityRange};

use crate::CudaError;
use crate::driver::{create, driver, loaded};
use crate::error::Version;

/// Returns what a report shows of the backend.
pub(crate) fn probe() -> Result<BackendInfo, CudaError> {
    let driver = driver()?;
    let mut devices = Vec::new();
    for (device, entry) in all(driver.count()).zip(&driver.devices) {
        devices.push(DeviceInfo::new(device, driver.name(entry)?));
    }
    let version = Version(driver.version).to_string();
    let mut info = BackendInfo::new(BackendKind::Cuda, version, devices);
    info.library = Some(driver.runtime.file().to_string());
    info.details = driver.details();
    Ok(info)
}

/// Returns all devices.
pub(crate) fn devices() -> Result<Vec<Device>, CudaError> {
    Ok(all(driver()?.count()).collect())
}

/// Returns the device with this ordinal, without a list of all devices.
pub(crate) fn device(ordinal: u32) -> Result<Device, CudaError> {
    let given = Device::new(BackendKind::Cuda, ordinal);
    self::ordinal(given, "Backend::device")?;
    Ok(given)
}

fn all(count: u32) -> impl Iterator<Item = Device> {
    (0..count).map(|ordinal| Device::new(BackendKind::Cuda, ordinal))
}

/// Returns `true` if the driver is loaded and has this device.
#[inline]
pub(crate) fn exists(device: Device) -> bool {
    matches!(device.backend(), BackendKind::Cuda)
        && loaded().is_some_and(|driver| device.ordinal() < driver.count())
}

/// Returns the ordinal of a device, or an error if it does not exist.
#[inline]
pub(crate) fn ordinal(device: Device, operation: &'static str) -> Result<u32, CudaError> {
    if !exists(device) {
        device.check_exists(BackendKind::Cuda, driver()?.count(), operation)?;
    }
    Ok(device.ordinal())
}

/// Returns the priorities that streams of a device can have.
pub(crate) fn priority_range(
    device: Device,
    operation: &'static str,
) -> Result<PriorityRange, CudaError> {
    let ordinal = ordinal(device, operation)?;
    let driver = driver()?;
    create::priorities(&driver.symbols, driver.primary(ordinal, operation)?.context, operation)
}
