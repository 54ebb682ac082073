//! The devices of the driver.

use gpu_stream_core::{BackendInfo, BackendKind, Device, DeviceInfo, PriorityRange};
use gpu_stream_driver_common::error::display_version;

use crate::CudaCode;
use crate::driver::{DriverCall, driver, loaded};
use crate::error::Result;

/// Returns what a report shows of the backend.
pub(crate) fn probe() -> Result<BackendInfo> {
    let call = DriverCall::begin("Backend::probe")?;
    let driver = call.driver;
    let named = |(device, entry)| Ok(DeviceInfo::new(device, call.name(entry)?));
    let devices =
        all(driver.count()).zip(&driver.devices).map(named).collect::<Result<Vec<_>>>()?;
    let version = display_version::<CudaCode>(driver.version).to_string();
    let mut info = BackendInfo::new(BackendKind::Cuda, version, devices);
    info.library = Some(driver.runtime.file().to_string());
    info.details = driver.details();
    Ok(info)
}

/// Returns all devices.
pub(crate) fn devices() -> Result<Vec<Device>> {
    Ok(all(driver()?.count()).collect())
}

/// Returns the device with this ordinal, without a list of all devices.
pub(crate) fn device(ordinal: u32) -> Result<Device> {
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
pub(crate) fn ordinal(device: Device, operation: &'static str) -> Result<u32> {
    if !exists(device) {
        device.check_exists(BackendKind::Cuda, driver()?.count(), operation)?;
    }
    Ok(device.ordinal())
}

/// Returns the priorities that streams of a device can have.
pub(crate) fn priority_range(device: Device) -> Result<PriorityRange> {
    const OPERATION: &str = "Backend::priority_range";
    let ordinal = ordinal(device, OPERATION)?;
    let call = DriverCall::begin(OPERATION)?;
    call.priorities(call.primary(ordinal)?.context)
}
