//! The HIP runtime: [`Driver`], loaded at the first call and never closed.

pub(crate) mod capture;
pub(crate) mod capture_mode;
mod current;
mod load;
pub(crate) mod process_state;
pub(crate) mod quirks;
pub(crate) mod symbols;

use std::ffi::{CStr, c_char, c_int};
use std::sync::OnceLock;

use gpu_stream_core::{BackendKind, ContractError, Error as _, ErrorKind};

use gpu_stream_driver_common::library::LoadedLibrary;
use gpu_stream_driver_common::symbols::Optional;
use gpu_stream_driver_common::texts::CodeTexts;
use gpu_stream_driver_common::{Pool, RecordCoalescer, RetryCell};

pub(crate) use self::capture_mode::CaptureModeGuard;
pub(crate) use self::current::{DeviceGuard, current};
use self::load::Started;
use self::quirks::Quirks;
use self::symbols::{DeviceHandle, Ptr, Symbols};
use crate::HipError;
use crate::code::{GetText, HipCode};

/// The HIP runtime of the process.
pub(crate) struct Driver {
    pub(crate) symbols: Symbols,
    texts: CodeTexts<GetText>,
    pub(crate) runtime: LoadedLibrary,
    /// Set if the program was linked with the runtime, and asked for that one.
    is_linked: bool,
    /// The version number: 70253211 is 7.2.53211.
    pub(crate) version: i32,
    /// How this version differs from others.
    pub(crate) quirks: Quirks,
    /// The devices, by ordinal.
    pub(crate) devices: Vec<DeviceState>,
}

/// The state of one device.
pub(crate) struct DeviceState {
    handle: DeviceHandle,
    /// Unused events of this device. None of them was recorded in a capture.
    pub(crate) events: Pool,
    /// Coalesces concurrent records of one stream. Created for the first.
    pub(crate) coalescer: OnceLock<RecordCoalescer>,
}

static DRIVER: RetryCell<Driver, HipError> = RetryCell::new();

/// Returns the runtime. The first successful call starts it. A temporary failure is not stored.
#[inline]
pub(crate) fn driver() -> Result<&'static Driver, HipError> {
    match process_state::loaded() {
        Some(driver) => Ok(driver),
        None => first_driver(load::load, false),
    }
}

#[cold]
fn first_driver(
    load: fn() -> Result<Started, HipError>,
    is_linked: bool,
) -> Result<&'static Driver, HipError> {
    process_state::ensure_callable()?;
    process_state::watch_forks();
    let driver = DRIVER.get_or_try(|| Driver::new(load()?, is_linked), load::can_pass)?;
    process_state::started(driver);
    Ok(driver)
}

/// Returns the runtime, if an earlier call loaded it, and it may be called.
#[inline]
pub(crate) fn loaded() -> Option<&'static Driver> {
    process_state::loaded()
}

/// Starts the runtime with the functions that the program was linked with, unless it is started. Returns `true` if
/// those functions are in use.
#[cfg(feature = "hip-sys")]
pub(crate) fn use_linked() -> Result<bool, HipError> {
    let driver = first_driver(load::linked, true)?;
    Ok(load::is_linked(&driver.symbols))
}

impl Driver {
    fn new(started: Started, is_linked: bool) -> Result<Self, HipError> {
        let Started { runtime, version, symbols } = started;
        let (quirks, devices) = (Quirks::of(version), Vec::new());
        let texts = CodeTexts { name: symbols.error_name, description: symbols.error_text };
        let mut driver = Driver { symbols, texts, runtime, is_linked, version, quirks, devices };
        driver.find_devices()?;
        Ok(driver)
    }

    fn find_devices(&mut self) -> Result<(), HipError> {
        if self.is_linked {
            // A search checks that there is one runtime, and linked functions skip the search.
            self.check_only_runtime("interop::use_linked")?;
        }
        let (runtime, version) = (&self.runtime, self.version);
        let check = |code, function| {
            self.discard(code);
            load::check_start(code, function, version, runtime)
        };
        let mut count = 0;
        // SAFETY: `count` is a valid out-pointer.
        check(unsafe { (self.symbols.device_count)(&mut count) }, "hipGetDeviceCount")?;
        let mut devices = Vec::new();
        for ordinal in 0..count {
            let mut handle = 0;
            // SAFETY: `handle` is a valid out-pointer.
            let code = unsafe { (self.symbols.device_get)(&mut handle, ordinal) };
            if code != HipCode::SUCCESS {
                self.discard(code);
                let (library, function) = (runtime.file(), "hipDeviceGet");
                return Err(HipError::NotStarted { library, version, function, code });
            }
            devices.push(DeviceState { handle, events: Pool::new(), coalescer: OnceLock::new() });
        }
        if devices.is_empty() {
            return Err(HipError::NoDevice { library: runtime.file(), version });
        }
        self.devices = devices;
        Ok(())
    }

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
    pub(crate) fn details(
        &'static self,
        operation: &'static str,
    ) -> Result<Vec<(&'static str, String)>, HipError> {
        let mut details = vec![("number", self.version.to_string())];
        // Equals `BackendInfo::library`, for programs that read the details.
        details.push(("file", self.runtime.file().to_string()));
        let found = match self.is_linked {
            true => "linked into the program".to_owned(),
            false => self.runtime.origin().to_string(),
        };
        details.push(("found", found));
        let missing = self.symbols.missing();
        if !missing.is_empty() {
            details.push(("lacks", missing.join(", ")));
        }
        let unsupported = self.unsupported(operation)?;
        if !unsupported.is_empty() {
            details.push(("not supported", unsupported.join(", ")));
        }
        Ok(details)
    }

    /// Returns the functions that are present and answer "not supported". Checks only those whose calls create
    /// nothing and are safe beside captures.
    fn unsupported(&'static self, operation: &'static str) -> Result<Vec<&'static str>, HipError> {
        let mut unsupported = Vec::new();
        let symbols = &self.symbols;
        let relaxed = CaptureModeGuard::enter_if(true, self, operation)?;
        if symbols.exchange_capture_mode.function.is_some() && !relaxed.is_set() {
            unsupported.push(symbols.exchange_capture_mode.name);
        }
        if let Some(read) = symbols.stream_device.function {
            let (mut number, name) = (0, symbols.stream_device.name);
            // SAFETY: handle 0 is always valid. `&mut number` is a valid out-pointer.
            match unsafe { read(std::ptr::null_mut(), &mut number) } {
                HipCode::NOT_SUPPORTED => {
                    self.discard(HipCode::NOT_SUPPORTED);
                    unsupported.push(name);
                }
                code => self.check(code, operation, name)?,
            }
        }
        Ok(unsupported)
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
    pub(crate) fn name(&'static self, entry: &DeviceState) -> Result<String, HipError> {
        let mut name: [c_char; 256] = [0; 256];
        // SAFETY: `name` has room for 256 characters, including the final zero.
        let code = unsafe { (self.symbols.device_name)(name.as_mut_ptr(), 256, entry.handle) };
        self.check(code, "Backend::probe", "hipDeviceGetName")?;
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
        let symbols = &self.symbols;
        // SAFETY: the functions take no arguments.
        unsafe {
            // Another code is the caller's: from HIP 7 on, "not ready" is not stored.
            if (symbols.peek_error)() == code {
                (symbols.last_error)();
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
        match unsafe { self.device_of(stream, operation) } {
            Err(error) if error.kind() == ErrorKind::InvalidHandle => Err(error),
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
        let symbols = &self.symbols;
        if let Some(read) = symbols.stream_device.function {
            let mut device = -1;
            // SAFETY: `stream` is live, or is validated (caller contract). `&mut device` is a valid out-pointer.
            let code = unsafe { read(stream, &mut device) };
            if code == HipCode::SUCCESS {
                return Ok(device);
            }
            self.discard(code);
            if code.kind() == ErrorKind::InvalidHandle {
                return Err(dead(stream, operation));
            }
            // A function that is present and does nothing counts as missing.
            if code != HipCode::NOT_SUPPORTED {
                let function = symbols.stream_device.name;
                return Err(HipError::Driver { operation, function, code });
            }
        }
        let read = require(symbols.stream_device_id, operation)?;
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
    let reason = if stream.addr() <= 2 {
        "is a default stream, and this runtime refuses it; use a stream of `Backend::new_stream`, or another runtime"
    } else {
        "is not a live stream (reported by the HIP runtime): it was destroyed, or its device was reset; pass a stream of this \
         process that has not been destroyed"
    };
    ContractError::InvalidHandle { operation, bits: stream.addr(), reason }.into()
}

/// Returns the function. Without it, returns an error that names the first version that has it.
pub(crate) fn require<F: Copy>(
    optional: Optional<F>,
    operation: &'static str,
) -> Result<F, HipError> {
    let Optional { function, name: symbol, since } = optional;
    function.ok_or(HipError::MissingSymbol { operation, symbol, since })
}
