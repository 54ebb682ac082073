//! OpenCL, as far as this crate calls it: loaded by the first call, never closed.

#[cfg(test)]
pub(crate) mod fake;
mod load;
mod symbols;
mod vendors;

use std::ffi::{CStr, c_void};
use std::mem::size_of_val;
use std::sync::OnceLock;

use gpu_stream_core::{BackendKind, ContractError, Device};
use gpu_stream_driver_common::library::{LoadedLibrary, start_alone};
use gpu_stream_driver_common::{DriverCell, DriverStart};

pub(crate) use self::symbols::{Ptr, Symbols};
use crate::error::{Result, driver_error};
use crate::{OpenClCode, OpenClError};

/// OpenCL in this process.
pub(crate) struct Driver {
    pub(crate) symbols: Symbols,
    pub(crate) runtime: LoadedLibrary,
    /// The devices of all platforms, indexed by ordinal.
    pub(crate) devices: Vec<DeviceState>,
    /// The devices that are too old, for reports.
    pub(crate) too_old: Vec<String>,
    /// The calls that failed during the start, for reports.
    pub(crate) failures: Vec<String>,
}

/// A device, and the context in which this crate creates its queues.
pub(crate) struct DeviceState {
    pub(crate) id: Ptr,
    pub(crate) name: String,
    /// As in `OpenCL 3.0 PoCL …`.
    pub(crate) version: String,
    /// Created by the first use, and never released.
    context: OnceLock<Handle>,
}

/// An object of OpenCL. All calls on one are thread-safe, except for those that set a kernel's arguments:
/// [Thread safety](https://registry.khronos.org/OpenCL/specs/3.0-unified/html/OpenCL_API.html#_opencl_thread_safety).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Handle(pub(crate) Ptr);

// SAFETY: OpenCL's objects belong to no thread.
unsafe impl Send for Handle {}
// SAFETY: OpenCL's calls on one object are thread-safe.
unsafe impl Sync for Handle {}
// SAFETY: the identifier of a device is an object of OpenCL, which belongs to no thread. The other fields are `Send`.
unsafe impl Send for DeviceState {}
// SAFETY: OpenCL's calls on one device are thread-safe. The other fields are `Sync`.
unsafe impl Sync for DeviceState {}

/// The driver of this process. There is none in the child of a fork.
static DRIVER: DriverCell<Driver, OpenClError> = DriverCell::new(BackendKind::OpenCl);

/// Returns the driver if it was started and may be called. Returns `None` in the child of a fork.
#[inline]
pub(crate) fn loaded() -> Option<&'static Driver> {
    DRIVER.loaded()
}

/// Returns the driver, and starts it if no call did before. A temporary failure is not kept.
#[inline]
pub(crate) fn driver() -> Result<&'static Driver> {
    match loaded() {
        Some(driver) => Ok(driver),
        None => start_driver(),
    }
}

#[cold]
fn start_driver() -> Result<&'static Driver> {
    extern "C" fn in_child() {
        DRIVER.set_forked();
    }
    DRIVER.start(&DriverStart {
        load: || start_alone(load::load),
        can_pass: load::can_pass,
        started: |_| (),
        in_child,
    })
}

/// A query of OpenCL, as `clGetEventInfo`: the object, the parameter, and a buffer for its value with its size.
type GetInfo = unsafe extern "C" fn(Ptr, u32, usize, *mut c_void, *mut usize) -> i32;

/// Returns an error unless `number`, the answer of `function`, is success.
#[inline]
pub(crate) fn check(number: i32, operation: &'static str, function: &'static str) -> Result<()> {
    match number {
        0 => Ok(()),
        number => Err(driver_error(operation, function, OpenClCode::new(number))),
    }
}

/// Converts the code of a failed query into an error that names `function`.
pub(crate) fn to_result<T>(
    answer: Result<T, i32>,
    operation: &'static str,
    function: &'static str,
) -> Result<T> {
    answer.map_err(|code| driver_error(operation, function, OpenClCode::new(code)))
}

/// Queries a parameter of a fixed size of an object. Returns its value, or the code of the failed call.
///
/// # Safety
/// - `get` is a function of OpenCL for objects of this type, and the object is live.
/// - The parameter (`param_name`) is of type `T`, for which any bytes are valid.
pub(crate) unsafe fn info<T: Copy>(
    get: GetInfo,
    object: Ptr,
    parameter: u32,
    zero: T,
) -> Result<T, i32> {
    let mut value = zero;
    let buffer = (&raw mut value).cast();
    // SAFETY: the object is live (caller contract), and `buffer` has the given size. The size may be unasked for.
    match unsafe { get(object, parameter, size_of_val(&value), buffer, std::ptr::null_mut()) } {
        0 => Ok(value),
        code => Err(code),
    }
}

/// Queries a text of an object. Returns it, or the code of the failed call.
///
/// # Safety
/// - `get` is a function of OpenCL for objects of this type, the object is live, and the parameter is a text.
unsafe fn text(get: GetInfo, object: Ptr, parameter: u32) -> Result<String, i32> {
    let mut buffer = [0_u8; 1024];
    let (size, start) = (buffer.len() - 1, buffer.as_mut_ptr().cast());
    // SAFETY: the object is live (caller contract). The buffer is larger by a NUL than the given size.
    match unsafe { get(object, parameter, size, start, std::ptr::null_mut()) } {
        0 => {
            let text = CStr::from_bytes_until_nul(&buffer).unwrap_or_default();
            Ok(text.to_string_lossy().trim().to_owned())
        }
        code => Err(code),
    }
}

impl Driver {
    /// Returns the number of devices.
    #[inline]
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.devices.len()).unwrap_or(u32::MAX)
    }

    /// Returns the state of a device, or an error if it does not exist.
    pub(crate) fn device(&self, device: Device, operation: &'static str) -> Result<&DeviceState> {
        device.check_exists(BackendKind::OpenCl, self.count(), operation)?;
        let found = self.devices.get(device.ordinal() as usize);
        let count = self.count();
        found.ok_or(ContractError::InvalidDevice { operation, given: device, count }.into())
    }

    /// Returns the context in which this crate creates the queues of a device.
    pub(crate) fn context(&self, device: &DeviceState, operation: &'static str) -> Result<Ptr> {
        if let Some(context) = device.context.get() {
            return Ok(context.0);
        }
        let mut code = 0;
        // SAFETY: the device exists, and one is given. There are no properties and no callback, and `&mut code` is a valid
        // out-pointer.
        let context = unsafe {
            let (properties, callback, data) =
                (std::ptr::null(), std::ptr::null(), std::ptr::null_mut());
            (self.symbols.context_create)(properties, 1, &device.id, callback, data, &mut code)
        };
        check(code, operation, "clCreateContext")?;
        // Another thread may have been first. Its context is used, and this one is not worth a release.
        Ok(device.context.get_or_init(|| Handle(context)).0)
    }
}
