//! The CUDA driver, as far as this crate calls it: loaded at the first call, never closed.

mod advice;
pub(crate) mod capture;
pub(crate) mod code;
mod context;
mod current;
mod load;
mod primary;
mod process_state;
pub(crate) mod symbols;

use std::ffi::{CStr, c_char};
use std::sync::Arc;

use gpu_stream_driver_common::RetryCell;
use gpu_stream_driver_common::library::{Origin, Watch};
use libloading::Library;

pub(crate) use self::advice::{advice, on_start};
use self::code::CudaCode;
pub(crate) use self::context::Context;
pub(crate) use self::current::ContextGuard;
#[cfg(feature = "cudarc")]
pub(crate) use self::current::SavedContext;
use self::primary::PrimaryCell;
pub(crate) use self::primary::PrimaryContext;
use self::symbols::{DeviceHandle, Optional, Symbols};
use crate::CudaError;

/// The driver of the process.
pub(crate) struct Driver {
    pub(crate) symbols: Symbols,
    /// The library's file.
    pub(crate) library: Arc<str>,
    origin: Origin,
    opened: Library,
    watch: Watch,
    /// 13000 is 13.0.
    pub(crate) version: i32,
    /// By ordinal.
    pub(crate) devices: Vec<DeviceEntry>,
}

/// What is known of one device.
pub(crate) struct DeviceEntry {
    handle: DeviceHandle,
    primary: PrimaryCell,
}

/// Returns the driver, which the first call that succeeds starts. A failure that can pass is not kept.
#[inline]
pub(crate) fn driver() -> Result<&'static Driver, CudaError> {
    match process_state::loaded() {
        Some(driver) => Ok(driver),
        None => first_driver(),
    }
}

#[cold]
fn first_driver() -> Result<&'static Driver, CudaError> {
    static DRIVER: RetryCell<Driver, CudaError> = RetryCell::new();
    process_state::ensure_not_forked()?;
    process_state::watch_forks();
    let driver = DRIVER.get_or_try(Driver::new, load::can_pass)?;
    process_state::started(driver);
    Ok(driver)
}

/// The driver, if a call has loaded it already, and it may be called.
#[inline]
pub(crate) fn loaded() -> Option<&'static Driver> {
    process_state::loaded()
}

impl Driver {
    fn new() -> Result<Self, CudaError> {
        let load::Found { opened, library, origin, version, symbols } = load::load()?;
        let mut driver = Driver {
            symbols,
            library,
            origin,
            opened,
            watch: Watch::default(),
            version,
            devices: Vec::new(),
        };
        match driver.find_devices() {
            Ok(()) => Ok(driver),
            Err(error) => {
                // Not closed: the driver has started.
                std::mem::forget(driver.opened);
                Err(error)
            }
        }
    }

    fn find_devices(&mut self) -> Result<(), CudaError> {
        let (library, version) = (&self.library, self.version);
        let check = |code, function| match code {
            CudaCode::SUCCESS => Ok(()),
            code => {
                let library = Arc::clone(library);
                Err(CudaError::NotStarted { library, version, function, code })
            }
        };
        let mut count = 0;
        // SAFETY: `count` is a valid out-pointer.
        check(unsafe { (self.symbols.device_count)(&mut count) }, "cuDeviceGetCount")?;
        if count <= 0 {
            return Err(CudaError::NoDevice { library: Arc::clone(library), version });
        }
        for ordinal in 0..count {
            let mut handle = 0;
            // SAFETY: `handle` is a valid out-pointer.
            check(unsafe { (self.symbols.device_get)(&mut handle, ordinal) }, "cuDeviceGet")?;
            self.devices.push(DeviceEntry { handle, primary: PrimaryCell::new() });
        }
        Ok(())
    }

    /// Returns an error if the process has loaded another driver, whose handles could be meant.
    ///
    /// For handles 0, 1 and 2, which exist in every driver, and for a handle that this driver refuses.
    /// The file that `GPU_STREAM_CUDA_LIBRARY` names is what the user has decided for.
    #[inline]
    pub(crate) fn check_only_runtime(&self, operation: &'static str) -> Result<(), CudaError> {
        if self.origin == Origin::Named {
            return Ok(());
        }
        let ours_at = self.symbols.init as usize;
        match self.watch.others(&load::SPEC, &self.opened, ours_at) {
            None => Ok(()),
            Some(files) => Err(CudaError::AmbiguousLibrary { operation, files: files.into() }),
        }
    }

    /// What a report should say of the driver beside its version.
    pub(crate) fn details(&self) -> Vec<(&'static str, String)> {
        let mut details = vec![("found", self.origin.to_string())];
        let missing = self.symbols.missing();
        if !missing.is_empty() {
            details.push(("lacks", missing.join(", ")));
        }
        details
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
