//! Call counts of the driver: [`Calls`].
//!
//! Available if the backend runs over an interposer library that `tests/stress/count-calls` built.

use std::ffi::{CString, c_char};

use gpu_stream_core::BackendKind;

/// Name of the function that only the interposer library exports.
const COUNT: &[u8] = b"gpu_stream_calls_of\0";

type CallsOf = unsafe extern "C" fn(*const c_char) -> u64;

/// Call counts of the interposer library.
#[derive(Clone, Copy, Debug)]
pub struct Calls {
    of: CallsOf,
    create_event: &'static str,
    destroy_event: &'static str,
}

impl Calls {
    /// Returns the counts of the backend's driver.
    ///
    /// Returns `None` unless the variable that names the driver's library names an interposer library.
    pub fn of_backend(backend: BackendKind) -> Option<Self> {
        let (variable, create_event, destroy_event) = match backend {
            BackendKind::Cuda => ("GPU_STREAM_CUDA_LIBRARY", "cuEventCreate", "cuEventDestroy_v2"),
            BackendKind::Hip => {
                ("GPU_STREAM_HIP_LIBRARY", "hipEventCreateWithFlags", "hipEventDestroy")
            }
            _ => return None,
        };
        let name = std::env::var_os(variable)?;
        // SAFETY: the user named this library for loading, and the backend loads the same one.
        let library = unsafe { libloading::Library::new(name) }.ok()?;
        // SAFETY: only the interposer library exports this name, and its signature is `CallsOf`.
        let of = *unsafe { library.get::<CallsOf>(COUNT) }.ok()?;
        // Never unloaded, so `of` stays valid.
        std::mem::forget(library);
        Some(Calls { of, create_event, destroy_event })
    }

    fn count(&self, function: &str) -> u64 {
        let name = CString::new(function).unwrap_or_default();
        // SAFETY: `name` is a live C string; the function accepts any string.
        unsafe { (self.of)(name.as_ptr()) }
    }

    /// Returns the number of calls that create an event.
    pub fn events_created(&self) -> u64 {
        self.count(self.create_event)
    }

    /// Returns the number of calls that destroy an event.
    pub fn events_destroyed(&self) -> u64 {
        self.count(self.destroy_event)
    }
}
