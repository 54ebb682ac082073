//! The devices of all platforms.

use std::ptr::null_mut;

use gpu_stream_core::{BackendInfo, BackendKind, Device, DeviceInfo};

use crate::driver::{Driver, Ptr, driver, info, to_result};
use crate::error::Result;

/// `CL_QUEUE_DEVICE`.
pub(crate) const QUEUE_DEVICE: u32 = 0x1091;
const DEVICE_PARENT: u32 = 0x1042;

/// Returns what a report shows of the backend.
pub(crate) fn probe() -> Result<BackendInfo> {
    let driver = driver()?;
    let named = all(driver.count()).zip(&driver.devices);
    let devices = named.map(|(device, state)| DeviceInfo::new(device, &*state.name)).collect();
    let mut texts: Vec<_> = driver.devices.iter().map(|state| &*state.version).collect();
    texts.dedup();
    // `3.0` of `OpenCL 3.0 PoCL …`.
    let mut numbers: Vec<_> = texts.iter().filter_map(|text| text.split(' ').nth(1)).collect();
    numbers.dedup();
    let mut info = BackendInfo::new(BackendKind::OpenCl, numbers.join(", "), devices);
    info.library = Some(driver.runtime.file().to_string());
    info.details =
        vec![("found", driver.runtime.origin().to_string()), ("reported", texts.join(", "))];
    if !driver.too_old.is_empty() {
        info.details.push(("too old", driver.too_old.join(", ")));
    }
    if !driver.failures.is_empty() {
        info.details.push(("failed", driver.failures.join(", ")));
    }
    Ok(info)
}

/// Returns all devices.
pub(crate) fn devices() -> Result<Vec<Device>> {
    Ok(all(driver()?.count()).collect())
}

fn all(count: u32) -> impl Iterator<Item = Device> {
    (0..count).map(|ordinal| Device::new(BackendKind::OpenCl, ordinal))
}

/// Returns the ordinal of a device, or of the one that it is a part of. Returns `None` if neither is in the list.
pub(crate) fn ordinal_of(
    driver: &Driver,
    mut id: Ptr,
    operation: &'static str,
) -> Result<Option<u32>> {
    while !id.is_null() {
        if let Some(found) = driver.devices.iter().position(|device| device.id == id) {
            return Ok(u32::try_from(found).ok());
        }
        // SAFETY: the device is live, since a queue or a part of it is. The parameter is a pointer, null for a device that
        // is no part of another one.
        let parent = unsafe { info(driver.symbols.device_info, id, DEVICE_PARENT, null_mut()) };
        id = to_result(parent, operation, "clGetDeviceInfo")?;
    }
    Ok(None)
}
