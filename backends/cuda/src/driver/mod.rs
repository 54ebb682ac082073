//! The CUDA driver, as far as this crate calls it: loaded by the first call, never closed.
//!
//! The layers, each of which uses those before it:
//!
//! 1. `symbols`, `call`
//! 2. `capture`, `context`
//! 3. `create`, `primary`
//! 4. [`Driver`]
//! 5. `lookup`

mod call;
mod capture;
mod context;
mod create;
mod load;
mod lookup;
mod primary;
mod symbols;

use std::ffi::{CStr, c_char};

use gpu_stream_core::BackendKind;
use gpu_stream_driver_common::library::LoadedLibrary;
use gpu_stream_driver_common::texts::CodeTexts;
use gpu_stream_driver_common::{DriverCell, DriverStart};

pub(crate) use self::call::{DriverCall, check, driver_error};
#[cfg(any(feature = "cudarc", feature = "cuda-core"))]
pub(crate) use self::capture::CaptureModeGuard;
pub(crate) use self::capture::{capture_id, may_be_capturing};
pub(crate) use self::context::Context;
#[cfg(any(feature = "cudarc", feature = "cuda-core"))]
pub(crate) use self::context::SavedContext;
pub(crate) use self::create::NON_BLOCKING;
use self::load::Started;
use self::primary::DeviceState;
pub(crate) use self::primary::{Doubt, PrimaryContext};
pub(crate) use self::symbols::{IpcHandle, Ptr, Symbols};
use crate::code::{GetText, TEXTS};
use crate::error::Result;
use crate::{CudaCode, CudaError};

/// The driver of the process.
pub(crate) struct Driver {
    pub(crate) symbols: Symbols,
    texts: CodeTexts<GetText>,
    pub(crate) runtime: LoadedLibrary,
    /// 13000 is 13.0.
    pub(crate) version: i32,
    /// Indexed by ordinal.
    pub(crate) devices: Vec<DeviceState>,
}

/// The driver of this process. There is none in the child of a fork.
static DRIVER: DriverCell<Driver, CudaError> = DriverCell::new(BackendKind::Cuda);

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
        TEXTS.set(None);
    }
    Ok(DRIVER.start(&DriverStart {
        load: Driver::new,
        can_pass: load::can_pass,
        started: |driver| TEXTS.set(Some(&driver.texts)),
        in_child,
    })?)
}

impl Driver {
    fn new() -> Result<Self, CudaError> {
        let Started { runtime, version, symbols } = load::load()?;
        let texts = CodeTexts { name: symbols.error_name, description: symbols.error_text };
        let mut driver = Driver { symbols, texts, runtime, version, devices: Vec::new() };
        driver.find_devices()?;
        Ok(driver)
    }

    fn find_devices(&mut self) -> Result<(), CudaError> {
        let (runtime, version) = (&self.runtime, self.version);
        let check = |code, function| match code {
            CudaCode::SUCCESS => Ok(()),
            code => Err(CudaError::NotStarted { library: runtime.file(), version, function, code }),
        };
        let mut count = 0;
        // SAFETY: `&mut count` is a valid out-pointer.
        check(unsafe { (self.symbols.device_count)(&mut count) }, "cuDeviceGetCount")?;
        if count <= 0 {
            return Err(CudaError::NoDevice { library: runtime.file(), version });
        }
        for ordinal in 0..count {
            let mut handle = 0;
            // SAFETY: `&mut handle` is a valid out-pointer.
            check(unsafe { (self.symbols.device_get)(&mut handle, ordinal) }, "cuDeviceGet")?;
            self.devices.push(DeviceState::new(handle));
        }
        Ok(())
    }

    /// Returns what a report shows of the driver beside its version.
    pub(crate) fn details(&self) -> Vec<(&'static str, String)> {
        let mut details = vec![("found", self.runtime.origin().to_string())];
        let missing = self.symbols.missing();
        if !missing.is_empty() {
            details.push(("lacks", missing.join(", ")));
        }
        details
    }

    /// Returns the number of devices.
    #[inline]
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.devices.len()).unwrap_or(u32::MAX)
    }
}

impl DriverCall {
    /// Returns an error if the process has loaded another driver, which a handle could belong to.
    ///
    /// Called for handles 0, 1 and 2, which exist in every driver, and for a handle that this driver rejects. Skipped if
    /// `GPU_STREAM_CUDA_LIBRARY` names the file: the user has chosen it.
    #[inline]
    pub(crate) fn check_only_runtime(self) -> Result<()> {
        match self.driver.runtime.others(self.symbols().init as usize) {
            None => Ok(()),
            Some(files) => {
                let operation = self.operation;
                Err(CudaError::AmbiguousLibrary { operation, files: files.into() }.into())
            }
        }
    }

    /// Returns the driver's name of a device.
    pub(crate) fn name(self, device: &DeviceState) -> Result<String> {
        let mut name: [c_char; 256] = [0; 256];
        // SAFETY: `name` has room for 256 characters, and the driver writes no more, with the terminating NUL.
        let code = unsafe { (self.symbols().device_name)(name.as_mut_ptr(), 256, device.handle) };
        self.check(code, "cuDeviceGetName")?;
        // SAFETY: the driver wrote a NUL-terminated string. The last element was 0 before in any case.
        let name = unsafe { CStr::from_ptr(name.as_ptr()) };
        Ok(name.to_string_lossy().into_owned())
    }
}
