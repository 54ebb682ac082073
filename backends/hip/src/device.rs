//! The devices that the runtime names.

use gpu_stream_core::{BackendInfo, BackendKind, Device, DeviceInfo, PriorityRange};

use crate::HipError;
use crate::driver::capture::CaptureModeGuard;
use crate::driver::{DeviceGuard, driver};
use crate::error::Version;

pub(crate) fn probe() -> Result<BackendInfo, HipError> {
    let driver = driver()?;
    let mut devices = Vec::new();
    for (device, entry) in all(driver.count()).zip(&driver.devices) {
        devices.push(DeviceInfo::new(device, driver.name(entry)?));
    }
    let version = Version(driver.version).to_string();
    let mut info = BackendInfo::new(BackendKind::Hip, version, devices);
    info.library = Some(driver.library.to_string());
    info.details = driver.details("Backend::probe")?;
    Ok(info)
}

pub(crate) fn devices() -> Result<Vec<Device>, HipError> {
    Ok(all(driver()?.count()).collect())
}

/// As the contract has it, without a list of all.
pub(crate) fn device(ordinal: u32) -> Result<Device, HipError> {
    let given = Device::new(BackendKind::Hip, ordinal);
    self::ordinal(given, "Backend::device")?;
    Ok(given)
}

fn all(count: u32) -> impl Iterator<Item = Device> {
    (0..count).map(|ordinal| Device::new(BackendKind::Hip, ordinal))
}

/// The ordinal of a device that was given to `operation`, if there is such a device.
pub(crate) fn ordinal(device: Device, operation: &'static str) -> Result<u32, HipError> {
    device.check_exists(BackendKind::Hip, driver()?.count(), operation)?;
    Ok(device.ordinal())
}

pub(crate) fn priority_range(
    device: Device,
    operation: &'static str,
) -> Result<PriorityRange, HipError> {
    let ordinal = ordinal(device, operation)?;
    let driver = driver()?;
    let _relaxed = CaptureModeGuard::enter(driver, operation)?;
    let _current = DeviceGuard::enter(driver, ordinal, operation)?;
    let (mut least, mut greatest) = (0, 0);
    // SAFETY: both are places for their numbers.
    let code = unsafe { (driver.symbols.device_priorities)(&mut least, &mut greatest) };
    driver.check(code, operation, "hipDeviceGetStreamPriorityRange")?;
    Ok(PriorityRange { least, greatest })
}
