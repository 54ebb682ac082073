//! The devices of the runtime.

use gpu_stream_core::{BackendInfo, BackendKind, Device, DeviceInfo, PriorityRange};
use gpu_stream_driver_common::error::display_version;

use crate::driver::{CaptureModeGuard, DeviceGuard, driver};
use crate::{HipCode, HipError};

/// Returns the runtime's version, file and devices.
pub(crate) fn probe() -> Result<BackendInfo, HipError> {
    let driver = driver()?;
    let named = |device: Device| {
        Ok(DeviceInfo::new(device, driver.name(device.ordinal(), "Backend::probe")?))
    };
    let devices = all(driver.count()).map(named).collect::<Result<_, HipError>>()?;
    let version = display_version::<HipCode>(driver.version).to_string();
    let mut info = BackendInfo::new(BackendKind::Hip, version, devices);
    info.library = Some(driver.runtime.file().to_string());
    info.details = driver.details();
    Ok(info)
}

/// Returns all devices.
pub(crate) fn devices() -> Result<Vec<Device>, HipError> {
    Ok(all(driver()?.count()).collect())
}

/// Returns the device with this ordinal. Returns an error if there is none.
pub(crate) fn device(ordinal: u32) -> Result<Device, HipError> {
    let given = Device::new(BackendKind::Hip, ordinal);
    self::ordinal(given, "Backend::device")?;
    Ok(given)
}

fn all(count: u32) -> impl Iterator<Item = Device> {
    (0..count).map(|ordinal| Device::new(BackendKind::Hip, ordinal))
}

/// Returns the ordinal of a device. Returns an error if the runtime has no such device.
pub(crate) fn ordinal(device: Device, operation: &'static str) -> Result<u32, HipError> {
    device.check_exists(BackendKind::Hip, driver()?.count(), operation)?;
    Ok(device.ordinal())
}

/// Returns the range of stream priorities of a device.
pub(crate) fn priority_range(
    device: Device,
    operation: &'static str,
) -> Result<PriorityRange, HipError> {
    let ordinal = ordinal(device, operation)?;
    let driver = driver()?;
    let _relaxed = CaptureModeGuard::enter(driver, operation)?;
    let _current = DeviceGuard::enter(driver, ordinal, operation)?;
    let (mut least, mut greatest) = (0, 0);
    // SAFETY: `&mut least` and `&mut greatest` are valid out-pointers.
    let code = unsafe { (driver.symbols.device_priorities)(&mut least, &mut greatest) };
    driver.check(code, operation, "hipDeviceGetStreamPriorityRange")?;
    Ok(PriorityRange { least, greatest })
}
