//! How often the driver's functions were called, if somebody counts: the library that
//! `tests/stress/count-calls` makes stands before the driver's and does.

use std::ffi::{CString, c_char};

use gpu_stream_core::BackendKind;

/// The function that only the counting library has.
const COUNT: &[u8] = b"gpu_stream_calls_of\0";

type CallsOf = unsafe extern "C" fn(*const c_char) -> u64;

/// Asks the counting library.
#[derive(Clone, Copy, Debug)]
pub struct Calls {
    of: CallsOf,
    create_event: &'static str,
    destroy_event: &'static str,
}

impl Calls {
    /// The counts of the backend's driver, if the variable that names its library names one that
    /// counts.
    pub fn of_backend(backend: BackendKind) -> Option<Self> {
        let (variable, create_event, destroy_event) = match backend {
            BackendKind::Cuda => ("GPU_STREAM_CUDA_LIBRARY", "cuEventCreate", "cuEventDestroy_v2"),
            BackendKind::Hip => {
                ("GPU_STREAM_HIP_LIBRARY", "hipEventCreateWithFlags", "hipEventDestroy")
            }
            _ => return None,
        };
        let name = std::env::var_os(variable)?;
        // SAFETY: the backend loads the same library, which the user has named for that.
        let library = unsafe { libloading::Library::new(name) }.ok()?;
        // SAFETY: only the counting library has a function of this name, with this signature.
        let of = *unsafe { library.get::<CallsOf>(COUNT) }.ok()?;
        // So that the function is good for ever.
        std::mem::forget(library);
        Some(Calls { of, create_event, destroy_event })
    }

    fn count(&self, function: &str) -> u64 {
        let name = CString::new(function).unwrap_or_default();
        // SAFETY: it takes a C string, and any will do.
        unsafe { (self.of)(name.as_ptr()) }
    }

    /// Events that the driver was asked to make.
    pub fn events_created(&self) -> u64 {
        self.count(self.create_event)
    }

    /// Events that the driver was asked to destroy.
    pub fn events_destroyed(&self) -> u64 {
        self.count(self.destroy_event)
    }
}
