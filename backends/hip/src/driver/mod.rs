//! The HIP runtime, as far as this crate calls it: loaded at the first call, never closed.

#[cfg(feature = "hip-sys")]
mod abi;
mod advice;
pub(crate) mod capture;
pub(crate) mod code;
mod current;
mod load;
pub(crate) mod process_state;
mod quirks;
pub(crate) mod symbols;

use std::ffi::{CStr, c_char, c_int};
use std::sync::Arc;

use gpu_stream_core::{BackendKind, ContractError, Error as _, ErrorKind};

use gpu_stream_driver_common::RetryCell;
use gpu_stream_driver_common::library::Watch;
use libloading::Library;

pub(crate) use self::advice::on_start;
use self::code::HipCode;
pub(crate) use self::current::{DeviceGuard, current};
use self::load::Source;
use self::quirks::Quirks;
pub(crate) use self::quirks::is_on_cuda;
use self::symbols::{DeviceHandle, Optional, Ptr, Symbols};
use crate::pool::{Events, ScratchEvents};
use crate::{HipError, thread_exit};

/// The runtime of the process.
pub(crate) struct Driver {
    pub(crate) symbols: Symbols,
    /// The library's file.
    pub(crate) library: Arc<str>,
    source: Source,
    opened: Library,
    /// The user has named the library.
    is_named: bool,
    watch: Watch,
    /// 70253211 is 7.2.53211.
    pub(crate) version: i32,
    /// How this version differs from others.
    pub(crate) quirks: Quirks,
    /// By ordinal.
    pub(crate) devices: Vec<DeviceState>,
}

/// What is known of one device.
pub(crate) struct DeviceState {
    handle: DeviceHandle,
    /// Events of this device that nobody uses at the moment. None was recorded in a capture.
    pub(crate) events: Events,
    pub(crate) scratch_events: ScratchEvents,
}

static DRIVER: RetryCell<Driver, HipError> = RetryCell::new();

/// Returns the runtime, which the first call that succeeds starts. A failure that can pass is not
/// kept.
#[inline]
pub(crate) fn driver() -> Result<&'static Driver, HipError> {
    match process_state::loaded() {
        Some(driver) => Ok(driver),
        None => first_driver(load::load),
    }
}

#[cold]
fn first_driver(load: fn() -> Result<load::Found, HipError>) -> Result<&'static Driver, HipError> {
    process_state::refuse()?;
    process_state::watch_forks();
    let driver = DRIVER.get_or_try(|| Driver::new(load()?), load::can_pass)?;
    process_state::started(driver);
    thread_exit::register_exit_hook();
    Ok(driver)
}

/// The runtime, if a call has loaded it already, and it may be called.
#[inline]
pub(crate) fn loaded() -> Option<&'static Driver> {
    process_state::loaded()
}

/// As [`driver`], with the functions that the program was linked with, if no call was made before.
/// Whether they are those that are used.
#[cfg(feature = "hip-sys")]
pub(crate) fn use_linked() -> Result<bool, HipError> {
    let driver = first_driver(load::linked)?;
    Ok(load::is_linked(&driver.symbols))
}

impl Driver {
    fn new(found: load::Found) -> Result<Self, HipError> {
        let load::Found { opened, library, source, version, symbols } = found;
        let mut driver = Driver {
            symbols,
            library,
            source,
            opened,
            is_named: load::is_named(),
            watch: Watch::default(),
            version,
            quirks: Quirks::of(version),
            devices: Vec::new(),
        };
        match driver.find_devices() {
            Ok(()) => Ok(driver),
            Err(error) => {
                // Not closed: the runtime has started.
                std::mem::forget(driver.opened);
                Err(error)
            }
        }
    }

    fn find_devices(&mut self) -> Result<(), HipError> {
        #[cfg(feature = "hip-sys")]
        if self.source == Source::Linked {
            // Of those that are found, one was chosen among all.
            self.check_only_runtime("interop::use_linked")?;
        }
        let (library, version) = (&self.library, self.version);
        let check = |code, function| {
            self.discard(code);
            load::check_start(code, function, version, library)
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
                let (library, function) = (Arc::clone(library), "hipDeviceGet");
                return Err(HipError::NotStarted { library, version, function, code });
            }
            devices.push(DeviceState {
                handle,
                events: Events::default(),
                scratch_events: ScratchEvents::default(),
            });
        }
        if devices.is_empty() {
            return Err(HipError::NoDevice { library: Arc::clone(library), version });
        }
        self.devices = devices;
        Ok(())
    }

    /// Returns an error if the process has loaded another runtime, whose handles could be meant.
    ///
    /// For handles 0, 1 and 2, which exist in every runtime, and for a handle that this runtime
    /// refuses. The file that `GPU_STREAM_HIP_LIBRARY` names is what the user has decided for.
    #[inline]
    pub(crate) fn check_only_runtime(&self, operation: &'static str) -> Result<(), HipError> {
        if self.is_named {
            return Ok(());
        }
        let ours_at = self.symbols.init as usize;
        match self.watch.others(&load::SPEC, &self.opened, ours_at) {
            None => Ok(()),
            Some(files) => Err(HipError::AmbiguousLibrary { operation, files: files.into() }),
        }
    }

    /// What a report should say of the runtime beside its version.
    pub(crate) fn details(
        &'static self,
        operation: &'static str,
    ) -> Result<Vec<(&'static str, String)>, HipError> {
        let mut details = vec![("number", self.version.to_string())];
        // The same as `BackendInfo::library`, for programs that read it here.
        details.push(("file", self.library.to_string()));
        details.push(("found", self.source.to_string()));
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

    /// Returns the functions that are there and answer "not supported", as far as a call can tell that
    /// makes nothing and is safe beside captures.
    fn unsupported(&'static self, operation: &'static str) -> Result<Vec<&'static str>, HipError> {
        let mut unsupported = Vec::new();
        let symbols = &self.symbols;
        let relaxed = capture::CaptureModeGuard::enter_if(true, self, operation)?;
        if symbols.exchange_capture_mode.function.is_some() && !relaxed.is_set() {
            unsupported.push(symbols.exchange_capture_mode.name);
        }
        if let Some(ask) = symbols.stream_device.function {
            let (mut number, name) = (0, symbols.stream_device.name);
            // SAFETY: handle 0 is always there; `number` is a valid out-pointer.
            match unsafe { ask(std::ptr::null_mut(), &mut number) } {
                HipCode::NOT_SUPPORTED => {
                    self.discard(HipCode::NOT_SUPPORTED);
                    unsupported.push(name);
                }
                code => self.check(code, operation, name)?,
            }
        }
        Ok(unsupported)
    }

    /// An error where interprocess events do not mean what they should.
    pub(crate) fn require_interprocess(&self, operation: &'static str) -> Result<(), HipError> {
        if self.quirks.interprocess {
            return Ok(());
        }
        let reason = if cfg!(windows) {
            "on Windows an interprocess event of HIP does not wait for the work in front of it; use an event of one process"
        } else {
            "on AMD's runtime an interprocess event does not wait for the work in front of it (up to HIP 6.4), or its drop \
             blocks until all work of the device is done (7.2); use an event of one process, and tell the other by other means"
        };
        Err(ContractError::Unsupported { operation, backend: BackendKind::Hip, reason }.into())
    }

    /// How many devices there are.
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.devices.len()).unwrap_or(u32::MAX)
    }

    /// What is known of a device.
    #[inline]
    pub(crate) fn device_state(&self, ordinal: u32) -> Option<&DeviceState> {
        self.devices.get(ordinal as usize)
    }

    /// The events of a device that nobody uses.
    #[inline]
    pub(crate) fn events(&self, ordinal: u32) -> Option<&Events> {
        Some(&self.device_state(ordinal)?.events)
    }

    /// What the runtime calls a device.
    pub(crate) fn name(&'static self, entry: &DeviceState) -> Result<String, HipError> {
        let mut name: [c_char; 256] = [0; 256];
        // SAFETY: `name` has room for 256 characters, of which the runtime uses one for the zero at
        // the end.
        let code = unsafe { (self.symbols.device_name)(name.as_mut_ptr(), 256, entry.handle) };
        self.check(code, "Backend::probe", "hipDeviceGetName")?;
        name[255] = 0;
        // SAFETY: the array ends with a zero.
        let name = unsafe { CStr::from_ptr(name.as_ptr()) };
        Ok(name.to_string_lossy().into_owned())
    }

    /// An error unless `code`, the answer of the call that was just made, is success.
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

    /// As [`check`](Self::check), for an answer that nobody is told.
    #[inline]
    pub(crate) fn discard(&self, code: HipCode) {
        if code != HipCode::SUCCESS {
            self.clear_last_error(code);
        }
    }

    /// Takes the answer of the call that was just made, an error or a mere "not ready", out of the
    /// thread's last error again. To be called for each answer that is not success, before another
    /// call.
    ///
    /// After a call that succeeds there is nothing to take: it leaves the last error as it was (from
    /// HIP 7 on, and on HIP's NVIDIA platform) or replaces it with success (up to HIP 6, where an
    /// error that the caller has not fetched is lost with the next call of anybody, and cannot be
    /// put back). So no call needs a look beforehand. A call that fails replaces what was there in
    /// each version.
    #[cold]
    pub(crate) fn clear_last_error(&self, code: HipCode) {
        let symbols = &self.symbols;
        // SAFETY: neither takes anything.
        unsafe {
            // Another code: a "not ready" that did not stay, as from HIP 7 on, where what is there
            // is the caller's.
            if (symbols.peek_error)() == code {
                (symbols.last_error)();
            }
        }
    }

    /// Returns an error if the runtime does not know an explicit stream any more, which a reset of the
    /// device has freed, and would follow its handle all the same.
    ///
    /// # Safety
    /// `stream` was alive when it was last used; only a reset has destroyed it since.
    pub(crate) unsafe fn ensure_known(
        &'static self,
        stream: Ptr,
        operation: &'static str,
    ) -> Result<(), HipError> {
        if !self.quirks.follows_stale || self.symbols.stream_device.function.is_none() {
            return Ok(());
        }
        let _relaxed = capture::CaptureModeGuard::enter(self, operation)?;
        // SAFETY: the runtime looks the handle up in its list of streams.
        match unsafe { self.device_of(stream, operation) } {
            Err(error) if error.kind() == ErrorKind::InvalidHandle => Err(error),
            _ => Ok(()),
        }
    }

    /// The ordinal of the device that an explicit stream belongs to, or what the runtime says
    /// instead.
    ///
    /// # Safety
    /// `stream` is alive.
    pub(crate) unsafe fn device_of(
        &self,
        stream: Ptr,
        operation: &'static str,
    ) -> Result<c_int, HipError> {
        let symbols = &self.symbols;
        if let Some(ask) = symbols.stream_device.function {
            let mut device = -1;
            // SAFETY: the caller promises that the stream is alive; `device` is a place for the
            // number.
            let code = unsafe { ask(stream, &mut device) };
            if code == HipCode::SUCCESS {
                return Ok(device);
            }
            self.discard(code);
            if code.kind() == ErrorKind::InvalidHandle {
                return Err(dead(stream, operation));
            }
            // One that is there and does nothing is as good as missing.
            if code != HipCode::NOT_SUPPORTED {
                let function = symbols.stream_device.name;
                return Err(HipError::Driver { operation, function, code });
            }
        }
        let ask = require(symbols.stream_device_id, operation)?;
        // SAFETY: as above.
        let device = unsafe { ask(stream) };
        if device < 0 { Err(dead(stream, operation)) } else { Ok(device) }
    }
}

/// Returns the error for a handle that the runtime refuses. It can be the handle of another runtime.
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
        "is no stream that is alive, says the runtime: it was destroyed, or its device was reset; hand in a stream of this \
         process that is alive"
    };
    ContractError::InvalidHandle { operation, bits: stream.addr(), reason }.into()
}

/// The function, or an error that says since which runtime it is there.
pub(crate) fn require<F: Copy>(
    optional: Optional<F>,
    operation: &'static str,
) -> Result<F, HipError> {
    let Optional { function, name: symbol, since } = optional;
    function.ok_or(HipError::MissingSymbol { operation, symbol, since })
}
