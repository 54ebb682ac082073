//! The CUDA driver, as far as this crate calls it: loaded at the first call, never closed.

pub(crate) mod capture;
pub(crate) mod code;
mod context;
mod current;
mod load;
mod standing;
pub(crate) mod symbols;

use std::ffi::{CStr, c_char};
use std::sync::{Arc, OnceLock};

use self::code::CudaCode;
pub(crate) use self::context::{Context, Primary};
#[cfg(feature = "cudarc")]
pub(crate) use self::current::AsFound;
pub(crate) use self::current::Current;
use self::symbols::{DeviceHandle, Optional, Symbols};
use crate::CudaError;

/// The driver of the process.
pub(crate) struct Driver {
    pub(crate) symbols: Symbols,
    /// As the library was named to the loader.
    pub(crate) library: Arc<str>,
    /// 13000 is 13.0.
    pub(crate) version: i32,
    /// By ordinal.
    pub(crate) devices: Vec<DeviceEntry>,
}

/// What is known of one device.
pub(crate) struct DeviceEntry {
    handle: DeviceHandle,
    primary: OnceLock<Primary>,
}

/// The driver, which the first call loads and starts. What the first call was told is what all
/// others are.
#[inline]
pub(crate) fn driver() -> Result<&'static Driver, CudaError> {
    match standing::loaded() {
        Some(driver) => Ok(driver),
        None => first_driver(),
    }
}

#[cold]
fn first_driver() -> Result<&'static Driver, CudaError> {
    static FOUND: OnceLock<Result<Driver, CudaError>> = OnceLock::new();
    standing::refuse_forked()?;
    standing::watch_forks();
    let driver = FOUND.get_or_init(Driver::new).as_ref().map_err(CudaError::clone)?;
    standing::started(driver);
    Ok(driver)
}

/// The driver, if a call has loaded it already, and it may be called.
#[inline]
pub(crate) fn loaded() -> Option<&'static Driver> {
    standing::loaded()
}

impl Driver {
    fn new() -> Result<Self, CudaError> {
        let load::Found { library, version, symbols } = load::load()?;
        let mut driver = Driver { symbols, library, version, devices: Vec::new() };
        let operation = "loading the driver";
        let mut count = 0;
        // SAFETY: `count` is a place for the number.
        let code = unsafe { (driver.symbols.device_count)(&mut count) };
        check(code, operation, "cuDeviceGetCount")?;
        for ordinal in 0..count {
            let mut handle = 0;
            // SAFETY: `handle` is a place for the device.
            let code = unsafe { (driver.symbols.device_get)(&mut handle, ordinal) };
            check(code, operation, "cuDeviceGet")?;
            driver.devices.push(DeviceEntry { handle, primary: OnceLock::new() });
        }
        if driver.devices.is_empty() {
            let Driver { library, version, .. } = driver;
            return Err(CudaError::NoDevice { library, version });
        }
        Ok(driver)
    }

    /// How many devices there are.
    #[inline]
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.devices.len()).unwrap_or(u32::MAX)
    }

    /// What the driver calls a device.
    pub(crate) fn name(&self, entry: &DeviceEntry) -> Result<String, CudaError> {
        let mut name: [c_char; 256] = [0; 256];
        // SAFETY: `name` has room for 256 characters, of which the driver uses one for the zero at
        // the end.
        let code = unsafe { (self.symbols.device_name)(name.as_mut_ptr(), 256, entry.handle) };
        check(code, "Backend::probe", "cuDeviceGetName")?;
        // SAFETY: the driver wrote a string with a zero at its end; the array ends with one in any
        // case.
        let name = unsafe { CStr::from_ptr(name.as_ptr()) };
        Ok(name.to_string_lossy().into_owned())
    }
}

/// An error unless `code` is success.
#[inline]
pub(crate) fn check(
    code: CudaCode,
    operation: &'static str,
    function: &'static str,
) -> Result<(), CudaError> {
    if code == CudaCode::SUCCESS {
        return Ok(());
    }
    Err(refused(code, operation, function))
}

#[cold]
fn refused(code: CudaCode, operation: &'static str, function: &'static str) -> CudaError {
    CudaError::Driver { operation, function, code }
}

/// The function, or an error that says since which driver it is there.
pub(crate) fn require<F: Copy>(
    optional: Optional<F>,
    operation: &'static str,
) -> Result<F, CudaError> {
    let Optional { function, name: symbol, since } = optional;
    function.ok_or(CudaError::MissingSymbol { operation, symbol, since })
}
