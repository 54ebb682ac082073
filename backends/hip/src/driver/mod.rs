//! The HIP runtime: [`Driver`], loaded at the first call and never closed.

pub(crate) mod capture;
mod load;
pub(crate) mod process_state;
pub(crate) mod quirks;
pub(crate) mod symbols;
pub(crate) mod thread_state;

use std::ffi::{CStr, c_char, c_int};
use std::sync::OnceLock;

use gpu_stream_core::{BackendKind, ContractError, Error as _, ErrorKind};
use gpu_stream_driver_common::library::{LoadedLibrary, start_alone};
pub(crate) use gpu_stream_driver_common::symbols::require;
use gpu_stream_driver_common::texts::CodeTexts;
use gpu_stream_driver_common::{DriverCell, DriverStart, Pool, RecordCoalescer};

use self::quirks::Quirks;
use self::symbols::{Ptr, Symbols};
pub(crate) use self::thread_state::{CaptureModeGuard, DeviceGuard, current};
use crate::HipError;
use crate::code::{GetText, HipCode, TEXTS};

/// The HIP runtime of the process.
pub(crate) struct Driver {
    pub(crate) symbols: Symbols,
    texts: CodeTexts<GetText>,
    pub(crate) runtime: LoadedLibrary,
    /// The version number: 70253211 is 7.2.53211.
    pub(crate) version: i32,
    /// How this version differs from others.
    pub(crate) quirks: Quirks,
    /// The devices, by ordinal.
    devices: Vec<DeviceState>,
}

/// The state of one device.
#[derive(Default)]
pub(crate) struct DeviceState {
    /// Unused events of this device. None of them was recorded in a capture.
    pub(crate) events: Pool,
    /// Coalesces concurrent records of one stream. Created for the first.
    pub(crate) coalescer: OnceLock<RecordCoalescer>,
}

/// The runtime of this process. There is none in the child of a fork, and late in the exit of the process.
static DRIVER: DriverCell<Driver, HipError> = DriverCell::new(BackendKind::Hip);

/// Returns the runtime if it was started and may be called.
#[inline]
pub(crate) fn loaded() -> Option<&'static Driver> {
    DRIVER.loaded()
}

/// Returns the runtime, and starts it if no call did before. A temporary failure is not kept.
#[inline]
pub(crate) fn driver() -> Result<&'static Driver, HipError> {
    match loaded() {
        Some(driver) => Ok(driver),
        None => start_driver(),
    }
}

#[cold]
fn start_driver() -> Result<&'static Driver, HipError> {
    extern "C" fn in_child() {
        DRIVER.set_forked();
        TEXTS.set(None);
    }
    fn started(driver: &'static Driver) {
        TEXTS.set(Some(&driver.texts));
        process_state::watch_exit();
    }
    DRIVER.start(&DriverStart {
        load: || start_alone(load::load),
        can_pass: load::can_pass,
        started,
        in_child,
    })
}

impl Driver {
    /// Returns an error if the process has loaded another runtime: a handle may belong to that one.
    ///
    /// Called for handles 0, 1 and 2, which exist in each runtime, and for a handle that this runtime refuses. If
    /// `GPU_STREAM_HIP_LIBRARY` names the file, the user has decided, and there is no error.
    #[inline]
    pub(crate) fn check_only_runtime(&self, operation: &'static str) -> Result<(), HipError> {
        match self.runtime.others(self.symbols.init as usize) {
            None => Ok(()),
            Some(files) => Err(HipError::AmbiguousLibrary { operation, files: files.into() }),
        }
    }

    /// Returns the facts about the runtime that a report lists beside its version.
    pub(crate) fn details(&self) -> Vec<(&'static str, String)> {
        let mut details = vec![
            ("number", self.version.to_string()),
            // Equals `BackendInfo::library`, for programs that read the details.
            ("file", self.runtime.file().to_string()),
            ("found", self.runtime.origin().to_string()),
        ];
        let missing = self.symbols.missing();
        if !missing.is_empty() {
            details.push(("lacks", missing.join(", ")));
        }
        details
    }

    /// Returns the number of devices.
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.devices.len()).unwrap_or(u32::MAX)
    }

    /// Returns the state of a device. `None` if there is no such device.
    #[inline]
    pub(crate) fn device_state(&self, ordinal: u32) -> Option<&DeviceState> {
        self.devices.get(ordinal as usize)
    }

    /// Returns the runtime's name of a device.
    pub(crate) fn name(&self, ordinal: u32, operation: &'static str) -> Result<String, HipError> {
        let (mut handle, ordinal) = (0, c_int::try_from(ordinal).unwrap_or(c_int::MAX));
        // SAFETY: `&mut handle` is a valid out-pointer, and the function takes any number.
        let code = unsafe { (self.symbols.device_get)(&mut handle, ordinal) };
        self.check(code, operation, "hipDeviceGet")?;
        let mut name: [c_char; 256] = [0; 256];
        // SAFETY: `name` has room for 256 characters, including the final zero.
        let code = unsafe { (self.symbols.device_name)(name.as_mut_ptr(), 256, handle) };
        self.check(code, operation, "hipDeviceGetName")?;
        name[255] = 0;
        // SAFETY: the last character is zero.
        let name = unsafe { CStr::from_ptr(name.as_ptr()) };
        Ok(name.to_string_lossy().into_owned())
    }

    /// Returns an error unless `code`, the result of the last call, is success. Clears the thread's last error.
    #[inline]
    pub(crate) fn check(
        &self,
        code: HipCode,
        operation: &'static str,
        function: &'static str,
    ) -> Result<(), HipError> {
        if code == HipCode::SUCCESS {
            return Ok(());
        }
        self.clear_last_error(code);
        Err(HipError::Driver { operation, function, code })
    }

    /// Drops `code`, the result of the last call. Clears the thread's last error if it is no success.
    #[inline]
    pub(crate) fn discard(&self, code: HipCode) {
        if code != HipCode::SUCCESS {
            self.clear_last_error(code);
        }
    }

    /// Removes `code`, the result of the last call, from the thread's last error. Called for each code but success,
    /// also for "not ready", before any other call.
    ///
    /// A successful call needs no cleanup. HIP 7 and HIP's NVIDIA platform leave the last error unchanged. HIP 6 and
    /// older reset it to success: there, an error that the caller did not fetch is lost with the next call of any
    /// library, and cannot be restored. A failed call replaces the last error in each version.
    #[cold]
    pub(crate) fn clear_last_error(&self, code: HipCode) {
        // SAFETY: the functions take no arguments.
        unsafe {
            // Another code is the caller's: from HIP 7 on, "not ready" is not stored.
            if (self.symbols.peek_error)() == code {
                (self.symbols.last_error)();
            }
        }
    }

    /// Returns an error if a reset of the device has freed an explicit stream, on versions that would follow its
    /// handle.
    ///
    /// # Safety
    /// - `stream` was alive when it was last used; only a reset has destroyed it since.
    pub(crate) unsafe fn ensure_known(
        &'static self,
        stream: Ptr,
        operation: &'static str,
    ) -> Result<(), HipError> {
        if !self.quirks.follows_stale || self.symbols.stream_device.function.is_none() {
            return Ok(());
        }
        let _relaxed = CaptureModeGuard::enter(self, operation)?;
        // SAFETY: the runtime validates the handle, so it need not be live.
        match unsafe { self.device_of(stream, operation) }.map_err(|error| error.kind()) {
            // The second is the kind for a handle that the runtime does not know, beside another runtime.
            Err(ErrorKind::InvalidHandle | ErrorKind::AmbiguousLibrary) => {
                Err(unknown(stream, operation))
            }
            _ => Ok(()),
        }
    }

    /// Returns the ordinal of an explicit stream's device.
    ///
    /// # Errors
    /// [`InvalidHandle`](ErrorKind::InvalidHandle) if the runtime does not know the handle, and any other error of
    /// the runtime.
    ///
    /// # Safety
    /// - `stream` is alive, or the runtime validates the handle.
    pub(crate) unsafe fn device_of(
        &self,
        stream: Ptr,
        operation: &'static str,
    ) -> Result<c_int, HipError> {
        let symbol = self.symbols.stream_device;
        if let Some(read) = symbol.function {
            let mut device = -1;
            // SAFETY: `stream` is live, or is validated (caller contract). `&mut device` is a valid out-pointer.
            let code = unsafe { read(stream, &mut device) };
            if code == HipCode::SUCCESS {
                return Ok(device);
            }
            self.clear_last_error(code);
            match code.kind() {
                ErrorKind::InvalidHandle => return Err(dead(stream, operation)),
                // A function that is present and does nothing counts as missing.
                _ if code == HipCode::NOT_SUPPORTED => {}
                _ => return Err(HipError::Driver { operation, function: symbol.name, code }),
            }
        }
        let read = require(self.symbols.stream_device_id, operation)?;
        // SAFETY: `stream` is live, or is validated (caller contract).
        let device = unsafe { read(stream) };
        if device < 0 { Err(dead(stream, operation)) } else { Ok(device) }
    }
}

/// Returns the error for a handle that the runtime refuses. The handle may belong to another runtime.
#[cold]
pub(crate) fn dead(stream: Ptr, operation: &'static str) -> HipError {
    if let Some(driver) = loaded()
        && let Err(error) = driver.check_only_runtime(operation)
    {
        return error;
    }
    unknown(stream, operation)
}

/// Returns the error for a handle that the runtime refuses, and that belongs to no other runtime.
fn unknown(stream: Ptr, operation: &'static str) -> HipError {
    let reason = if stream.addr() <= 2 {
        "is a default stream, and this runtime refuses it; use a stream of `Backend::new_stream`, or another runtime"
    } else {
        "is not a live stream (reported by the HIP runtime): it was destroyed, or its device was reset; pass a stream of this \
         process that has not been destroyed"
    };
    ContractError::InvalidHandle { operation, bits: stream.addr(), reason }.into()
}
