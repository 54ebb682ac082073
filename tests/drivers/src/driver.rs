//! What the tables of driver functions share: [`DriverError`], `driver_table!`, and the search for the
//! loaded library.

use std::ffi::{c_int, c_void};
use std::fmt;

use libloading::Library;

/// A handle of a driver, or an address.
pub type Ptr = *mut c_void;

/// A host function: `CUhostFn`, `hipHostFn_t`.
#[cfg(any(feature = "cuda", feature = "hip"))]
pub type HostFn = unsafe extern "C" fn(Ptr);

/// The code for success, of both vendors.
pub(crate) const SUCCESS: c_int = 0;

/// `CUDA_ERROR_NOT_READY`, `hipErrorNotReady`.
#[cfg(any(feature = "cuda", feature = "hip"))]
pub const NOT_READY: c_int = 600;

/// `CUDA_ERROR_NOT_SUPPORTED`, `hipErrorNotSupported`.
#[cfg(any(feature = "cuda", feature = "hip"))]
pub(crate) const NOT_SUPPORTED: c_int = 801;

/// A call of a driver function that failed.
#[derive(Clone, Copy)]
pub struct DriverError {
    /// The function's name.
    pub function: &'static str,
    /// The code that it returned.
    pub code: c_int,
    /// Returns the driver's name of a code.
    pub(crate) name_of: fn(c_int) -> Option<String>,
}

impl fmt::Display for DriverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, called without the backend, returned {}", self.function, self.code)?;
        (self.name_of)(self.code).map_or(Ok(()), |name| write!(f, " {name}"))
    }
}

impl fmt::Debug for DriverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for DriverError {}

/// Panics unless `code` is success. The message names `call`.
#[cfg(any(feature = "cuda", feature = "hip"))]
#[track_caller]
pub fn ok(call: &str, code: c_int) {
    assert_eq!(code, SUCCESS, "the bare driver's `{call}`");
}

/// Opens the library that the backend has loaded by this name. It is never closed.
///
/// Loads nothing: a process must not have two drivers, because one cannot use the streams of the other.
///
/// # Errors
/// The loader's message.
#[cfg(target_os = "linux")]
pub(crate) fn open_loaded(name: &str) -> Result<&'static Library, String> {
    use libloading::os::unix;
    const RTLD_NOLOAD: c_int = 4;
    // SAFETY: with `RTLD_NOLOAD` nothing is loaded, so no initializer runs.
    let library = unsafe {
        unix::Library::open(Some(name), unix::RTLD_LAZY | unix::RTLD_LOCAL | RTLD_NOLOAD)
    };
    let library = library.map_err(|error| format!("{name}, for direct calls: {error}"))?;
    Ok(Box::leak(Box::new(library.into())))
}

/// Opens the library that the backend has loaded by this name. It is never closed.
///
/// # Errors
/// The loader's message.
#[cfg(not(target_os = "linux"))]
pub(crate) fn open_loaded(name: &str) -> Result<&'static Library, String> {
    // SAFETY: the backend has loaded the library by this name, so its initializers have run.
    let library = unsafe { Library::new(name) };
    Ok(Box::leak(Box::new(library.map_err(|error| format!("{name}, for direct calls: {error}"))?)))
}

/// Declares the struct `Driver`, a table of function pointers, and what every vendor does with it. The
/// vendor's module has a function `name_of`, which returns the name of a code.
///
/// - A function under `always` that the library lacks returns "not supported".
/// - A function under `optional` that the library lacks is `None`.
#[cfg(any(feature = "cuda", feature = "hip"))]
macro_rules! driver_table {
    (
        $(#[$docs:meta])*
        of $backend:ty;
        always { $($field:ident = $name:literal ($($argument:ty),* $(,)?);)* }
        optional { $($rare:ident = $rare_name:literal ($($rare_argument:ty),* $(,)?);)* }
    ) => {
        $(#[$docs])*
        pub struct Driver {
            library: &'static libloading::Library,
            missing: Vec<&'static str>,
            $(
                #[doc = concat!("`", $name, "`.")]
                pub $field: unsafe extern "C" fn($($argument),*) -> std::ffi::c_int,
            )*
            $(
                #[doc = concat!("`", $rare_name, "`. `None` if the library lacks it.")]
                pub $rare: Option<unsafe extern "C" fn($($rare_argument),*) -> std::ffi::c_int>,
            )*
        }

        impl Driver {
            /// The names of all functions of the table.
            const NAMES: &'static [&'static str] = &[$($name,)* $($rare_name,)*];

            fn resolve(library: &'static libloading::Library) -> Self {
                let mut missing = Vec::new();
                $(
                    // SAFETY: the type is the function's signature in the vendor's header. The library
                    // is never closed, so the function pointer stays valid.
                    let $field = unsafe { library.get($name) }.map_or_else(
                        |_| {
                            unsafe extern "C" fn absent($(_: $argument),*) -> std::ffi::c_int {
                                $crate::driver::NOT_SUPPORTED
                            }
                            missing.push($name);
                            absent as unsafe extern "C" fn($($argument),*) -> std::ffi::c_int
                        },
                        |found| *found,
                    );
                )*
                $(
                    // SAFETY: the type is the function's signature in the vendor's header. The library
                    // is never closed, so the function pointer stays valid.
                    let $rare = unsafe { library.get($rare_name) }.ok().map(|found| *found);
                    if $rare.is_none() {
                        missing.push($rare_name);
                    }
                )*
                Driver { library, missing, $($field,)* $($rare,)* }
            }

            /// Returns the functions of the library that the backend uses.
            ///
            /// # Errors
            /// The error text of `Backend::probe` or of the loader.
            pub fn load() -> Result<&'static Self, String> {
                static DRIVER: std::sync::OnceLock<Driver> = std::sync::OnceLock::new();
                if let Some(driver) = DRIVER.get() {
                    return Ok(driver);
                }
                let info = <$backend as gpu_stream_core::Backend>::probe();
                let library = info.map_err(|error| error.to_string())?.library.unwrap_or_default();
                let driver = Driver::resolve($crate::driver::open_loaded(&library)?);
                Ok(DRIVER.get_or_init(|| driver))
            }

            /// Returns `true` if the library exports the function of this name.
            ///
            /// # Panics
            /// If the table has no function of this name.
            pub fn has(&self, function: &str) -> bool {
                assert!(Self::NAMES.contains(&function), "the table has no {function}");
                !self.missing.contains(&function)
            }
        }

        impl std::fmt::Debug for Driver {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let mut parts = f.debug_struct("Driver");
                parts.field("library", self.library).field("missing", &self.missing);
                parts.finish_non_exhaustive()
            }
        }

        /// Returns the functions of the library that the backend uses.
        ///
        /// # Panics
        /// If the machine has no driver.
        pub fn driver() -> &'static Driver {
            Driver::load().expect("a driver")
        }

        /// Returns an error unless `code` is success.
        ///
        /// # Errors
        /// The function's name and the code.
        #[inline]
        pub fn check(
            function: &'static str,
            code: std::ffi::c_int,
        ) -> Result<(), $crate::driver::DriverError> {
            if code == $crate::driver::SUCCESS {
                return Ok(());
            }
            Err($crate::driver::DriverError { function, code, name_of })
        }
    };
}

#[cfg(any(feature = "cuda", feature = "hip"))]
pub(crate) use driver_table;
