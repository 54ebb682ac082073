//! The devices that the driver names.

use gpu_stream_core::{
    BackendInfo, BackendKind, Device, DeviceInfo, Error, ErrorKind, PriorityRange,
};

use crate::CudaError;
use crate::driver::capture::Relaxed;
use crate::driver::{Current, check, driver, loaded, require};
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
    let _relaxed = Relaxed::enter(driver, operation)?;
    let _current = Current::enter(driver, driver.primary(ordinal, operation)?.context, operation)?;
    let ask = require(driver.symbols.ctx_priorities, operation)?;
    let (mut least, mut greatest) = (0, 0);
    // SAFETY: both are valid out-pointers.
    let code = unsafe { ask(&mut least, &mut greatest) };
    check(code, operation, "cuCtxGetStreamPriorityRange")?;
    Ok(PriorityRange { least, greatest })
}

/// Returns an error unless the device has this priority. A driver without priorities has 0 only.
pub(crate) fn check_priority(
    device: Device,
    priority: i32,
    operation: &'static str,
) -> Result<(), CudaError> {
    match priority_range(device, operation) {
        Ok(range) => Ok(range.check(priority, operation)?),
        Err(error) if priority == 0 && error.kind() == ErrorKind::Unsupported => Ok(()),
        Err(error) => Err(error),
    }
}
