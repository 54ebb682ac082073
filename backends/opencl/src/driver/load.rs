//! Finds the library, and the devices of its platforms.

use std::ptr::null_mut;
use std::sync::{Arc, OnceLock};

use gpu_stream_driver_common::library::{Conflict, Folder, LibrarySpec, LoadedLibrary, NotFound};

use super::{DeviceState, Driver, Ptr, Symbols, info, text, vendors};
use crate::{OpenClCode, OpenClError};

/// The description of an OpenCL loader: its file names, its folders and its exports.
pub(super) static SPEC: LibrarySpec = LibrarySpec {
    variable: "GPU_STREAM_OPENCL_LIBRARY",
    names: if cfg!(windows) { &["OpenCL.dll"] } else { &["libOpenCL.so.1", "libOpenCL.so"] },
    folders: if cfg!(target_os = "linux") { FOLDERS } else { &[] },
    functions: &[
        c"clGetPlatformIDs",
        c"clGetDeviceIDs",
        c"clCreateContext",
        c"clCreateCommandQueue",
        c"clEnqueueMarkerWithWaitList",
        c"clSetEventCallback",
    ],
    unusable: |_| None,
    // An object of a driver names the driver's functions, so any loader accepts it.
    is_same: |_, _| true,
};

/// Folders that the system's loader does not search: conda.
const FOLDERS: &[Folder] = &[Folder::Below { variable: "CONDA_PREFIX", folder: "lib" }];

const PLATFORM_VERSION: u32 = 0x0901;
const DEVICE_NAME: u32 = 0x102B;
const DEVICE_VERSION: u32 = 0x102F;
const DEVICE_AVAILABLE: u32 = 0x1027;
/// `CL_DEVICE_TYPE_ALL`.
const ALL_TYPES: u64 = 0xFFFF_FFFF;

/// The oldest version that has all required functions: 1.2.
const OLDEST: i32 = 1_200;

/// Finds the library and its devices.
pub(super) fn load() -> Result<Driver, OpenClError> {
    // The loader loads the drivers at the first call, and a driver without a loader is loaded here.
    if let Some(conflict) = Conflict::of_opencl(vendors::files) {
        return Err(conflict.into());
    }
    // SAFETY: a file of these names is an OpenCL loader, and so is an object that exports all of its functions. A user
    // who sets the variable vouches for its file.
    let found = unsafe { SPEC.find() }.map_err(not_found)?;
    let runtime = LoadedLibrary::new(&SPEC, found);
    // SAFETY: OpenCL's functions have these types in every version. The library is never closed.
    let symbols = unsafe { Symbols::resolve(runtime.library()) }
        .map_err(|symbol| OpenClError::SymbolNotFound { symbol, library: runtime.file() })?;
    let mut driver =
        Driver { symbols, runtime, devices: Vec::new(), too_old: Vec::new(), failures: Vec::new() };
    driver.find_devices()?;
    Ok(driver)
}

/// Returns `true` if a later attempt to start can succeed.
pub(super) fn can_pass(error: &OpenClError) -> bool {
    !matches!(error, OpenClError::SymbolNotFound { .. } | OpenClError::DriverTooOld { .. })
}

fn not_found(error: NotFound) -> OpenClError {
    match error {
        NotFound::Missing(tried) => OpenClError::LibraryNotFound { tried: tried.into() },
        NotFound::Ambiguous(files) => {
            OpenClError::AmbiguousLibrary { operation: "loading OpenCL", files: files.into() }
        }
    }
}

/// Returns 1200 for `OpenCL 1.2 PoCL …`. Returns 0 for another text.
fn number_of(version: &str) -> i32 {
    let numbers = version.strip_prefix("OpenCL ").and_then(|rest| rest.split(' ').next());
    let Some((major, minor)) = numbers.and_then(|numbers| numbers.split_once('.')) else {
        return 0;
    };
    let (major, minor) = (major.parse().unwrap_or(0_i32), minor.parse().unwrap_or(0_i32));
    major.saturating_mul(1000).saturating_add(minor.saturating_mul(100))
}

impl Driver {
    fn find_devices(&mut self) -> Result<(), OpenClError> {
        let library: Arc<str> = self.runtime.file();
        let (mut newest, mut newest_too_old, mut failures) = (0, 0, Vec::new());
        for platform in self.platforms()? {
            // SAFETY: the platform is from the library's list, and the parameter is a text.
            let version = unsafe { text(self.symbols.platform_info, platform, PLATFORM_VERSION) };
            newest = newest.max(number_of(&version.unwrap_or_default()));
            let ids = self.devices_of(platform).unwrap_or_else(|code| {
                failures.push(("clGetDeviceIDs", OpenClCode::new(code)));
                Vec::new()
            });
            for id in ids {
                match self.facts_of(id) {
                    Err(code) => failures.push(("clGetDeviceInfo", OpenClCode::new(code))),
                    Ok((name, version, _)) if number_of(&version) < OLDEST => {
                        newest_too_old = newest_too_old.max(number_of(&version));
                        self.too_old.push(format!("{name} ({version})"));
                    }
                    Ok((_, _, false)) => {}
                    Ok((name, version, true)) => {
                        let context = OnceLock::new();
                        self.devices.push(DeviceState { id, name, version, context });
                    }
                }
            }
        }
        // Another platform or device may work. Then the failures are for reports.
        let text = |(function, code): &(&str, OpenClCode)| format!("{function} answered {code}");
        self.failures = failures.iter().map(text).collect();
        match failures.first() {
            _ if !self.devices.is_empty() => Ok(()),
            Some(&(function, code)) => {
                Err(OpenClError::NotStarted { library, version: newest, function, code })
            }
            None if self.too_old.is_empty() => {
                Err(OpenClError::NoDevice { library, version: newest })
            }
            None => {
                Err(OpenClError::DriverTooOld { library, version: newest_too_old, oldest: OLDEST })
            }
        }
    }

    /// Returns the name and the version of a device, and `true` if it is available. On failure, returns the code of
    /// `clGetDeviceInfo`.
    fn facts_of(&self, id: Ptr) -> Result<(String, String, bool), i32> {
        let get = self.symbols.device_info;
        // SAFETY: the device is from the platform's list, and the facts are of these types.
        unsafe {
            let (name, version) = (text(get, id, DEVICE_NAME)?, text(get, id, DEVICE_VERSION)?);
            Ok((name, version, info(get, id, DEVICE_AVAILABLE, 0_u32)? != 0))
        }
    }

    fn platforms(&self) -> Result<Vec<Ptr>, OpenClError> {
        let library = self.runtime.file();
        let mut count = 0;
        // SAFETY: there is room for no platform, and `&mut count` is a valid out-pointer.
        let code = unsafe { (self.symbols.platform_ids)(0, null_mut(), &mut count) };
        let mut platforms = vec![null_mut(); count as usize];
        let code = match OpenClCode::new(code) {
            OpenClCode::SUCCESS if count > 0 => {
                // SAFETY: there is room for `count` platforms.
                unsafe { (self.symbols.platform_ids)(count, platforms.as_mut_ptr(), null_mut()) }
            }
            OpenClCode::SUCCESS => OpenClCode::NO_PLATFORM.get(),
            code => code.get(),
        };
        match OpenClCode::new(code) {
            OpenClCode::SUCCESS => Ok(platforms),
            OpenClCode::NO_PLATFORM => Err(OpenClError::NoDevice { library, version: 0 }),
            code => {
                let function = "clGetPlatformIDs";
                Err(OpenClError::NotStarted { library, version: 0, function, code })
            }
        }
    }

    /// Returns the devices of a platform, which may be none. On failure, returns the code of `clGetDeviceIDs`.
    fn devices_of(&self, platform: Ptr) -> Result<Vec<Ptr>, i32> {
        let mut count = 0;
        let get = self.symbols.device_ids;
        // SAFETY: the platform is from the library's list. There is room for no device.
        let code = unsafe { get(platform, ALL_TYPES, 0, null_mut(), &mut count) };
        let mut devices = vec![null_mut(); count as usize];
        let code = match OpenClCode::new(code) {
            OpenClCode::SUCCESS => {
                // SAFETY: there is room for `count` devices.
                unsafe { get(platform, ALL_TYPES, count, devices.as_mut_ptr(), null_mut()) }
            }
            OpenClCode::DEVICE_NOT_FOUND => return Ok(Vec::new()),
            code => code.get(),
        };
        match code {
            0 => Ok(devices),
            code => Err(code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_read_from_the_start_of_the_text() {
        assert_eq!(number_of("OpenCL 1.2 pocl HSTR: x86"), 1_200);
        assert_eq!(number_of("OpenCL 3.0"), 3_000);
        assert!(
            ["", "OpenCL", "OpenCL C 1.2", "1.2", "OpenCL x.y"]
                .iter()
                .all(|text| number_of(text) < OLDEST)
        );
        assert_eq!(number_of("OpenCL 9999999999.1"), 100);
    }
}
