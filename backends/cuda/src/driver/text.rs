//! The driver's name and description of a [`CudaCode`].

use std::ffi::{CStr, c_char};
use std::fmt;

use super::code::CudaCode;
use super::loaded;

impl CudaCode {
    /// Returns the driver's name of the code, for example `CUDA_ERROR_INVALID_HANDLE`. Returns `None` if the driver
    /// does not know the code or is not loaded.
    #[doc(alias = "cuGetErrorName")]
    pub fn name(self) -> Option<&'static str> {
        driver_text(loaded()?.symbols.error_name, self)
    }

    /// Returns the driver's description of the code. Returns `None` if the driver does not know the code or is not
    /// loaded.
    #[doc(alias = "cuGetErrorString")]
    pub fn description(self) -> Option<&'static str> {
        driver_text(loaded()?.symbols.error_text, self)
    }
}

type TextOf = unsafe extern "C" fn(CudaCode, *mut *const c_char) -> CudaCode;

fn driver_text(text_of: TextOf, code: CudaCode) -> Option<&'static str> {
    let mut text = std::ptr::null();
    // SAFETY: `&mut text` is a valid out-pointer. The call takes any number.
    let answer = unsafe { text_of(code, &mut text) };
    if answer != CudaCode::SUCCESS || text.is_null() {
        return None;
    }
    // SAFETY: on success `text` is a NUL-terminated string of the library, which is never closed.
    unsafe { CStr::from_ptr(text) }.to_str().ok()
}

impl fmt::Display for CudaCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.get())?;
        match (self.name(), self.description()) {
            (Some(name), Some(description)) => write!(f, " {name}: {description}"),
            (Some(name), None) => write!(f, " {name}"),
            // No driver is loaded, or it does not know the number either.
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for CudaCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "CudaCode({}, {name})", self.get()),
            None => write!(f, "CudaCode({})", self.get()),
        }
    }
}
