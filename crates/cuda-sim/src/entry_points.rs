//! `cuGetProcAddress`: the driver's functions by name and version. NVIDIA's runtime and its Python bindings resolve
//! all functions with it.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::mem::MaybeUninit;
use std::sync::OnceLock;

use crate::call::{Ptr, exports, write_optional, write_out};
use crate::codes::Code;
use crate::config::config;
use crate::hide_symbols::first_version;
use crate::thread;

/// Functions whose first version is neither in the list of newer functions nor that of their suffix.
const EXCEPTIONS: [(&str, c_int); 11] = [
    ("cuCtxDestroy_v2", 4000),
    ("cuCtxPopCurrent_v2", 4000),
    ("cuCtxPushCurrent_v2", 4000),
    ("cuStreamDestroy_v2", 4000),
    ("cuEventDestroy_v2", 4000),
    ("cuMemHostRegister_v2", 6050),
    ("cuStreamBeginCapture_v2", 10_010),
    ("cuDevicePrimaryCtxRelease_v2", 11_000),
    ("cuDevicePrimaryCtxReset_v2", 11_000),
    ("cuDevicePrimaryCtxSetFlags_v2", 11_000),
    ("cuGraphInstantiate_v2", 11_000),
];

/// The suffixes of a function's later forms, and the version from which most functions with the suffix exist. Each
/// later form is in the list of newer functions.
const SUFFIXES: [(&str, c_int); 4] = [("", 0), ("_v2", 3020), ("_v3", 11_040), ("_v4", 12_050)];

/// `CU_GET_PROC_ADDRESS_…`: how a search ended.
const FOUND: c_int = 0;
const UNKNOWN_NAME: c_int = 1;
const VERSION_TOO_LOW: c_int = 2;

/// Returns the library's own handle of the dynamic linker, or null.
fn own_library() -> *mut c_void {
    static HANDLE: OnceLock<usize> = OnceLock::new();
    let handle = HANDLE.get_or_init(|| {
        let mut found = MaybeUninit::<libc::Dl_info>::zeroed();
        // SAFETY: `found` is a valid out-pointer, and the address is only compared. After success the name is a C
        // string. `RTLD_NOLOAD` loads nothing.
        unsafe {
            if libc::dladdr(own_library as *const c_void, found.as_mut_ptr()) == 0 {
                return 0;
            }
            let name = found.assume_init().dli_fname;
            libc::dlopen(name, libc::RTLD_LAZY | libc::RTLD_NOLOAD).expose_provenance()
        }
    });
    std::ptr::with_exposed_provenance_mut(*handle)
}

/// Returns the address of an exported function. Hidden functions are not found.
fn exported(name: &str) -> Option<*mut c_void> {
    let name = CString::new(name).ok()?;
    let library = own_library();
    // SAFETY: the handle is that of this library, and the name is a C string.
    let found = (!library.is_null()).then(|| unsafe { libc::dlsym(library, name.as_ptr()) })?;
    (!found.is_null()).then_some(found)
}

/// Returns the latest form of a function that a program for CUDA `version` means, or how the search failed.
fn find(name: &str, version: c_int) -> Result<*mut c_void, c_int> {
    // Base names only: the version decides on the form.
    let is_base = name.strip_prefix("cu").is_some_and(|rest| {
        rest.starts_with(|first: char| first.is_ascii_uppercase()) && !rest.contains('_')
    });
    if !is_base {
        return Err(UNKNOWN_NAME);
    }
    // From CUDA 12 on, the name means another function.
    if name == "cuGraphInstantiate" && version >= 12_000 {
        return exported("cuGraphInstantiateWithFlags").ok_or(UNKNOWN_NAME);
    }
    let mut failure = UNKNOWN_NAME;
    for (suffix, usual) in SUFFIXES.iter().rev() {
        let form = format!("{name}{suffix}");
        let Some(found) = exported(&form) else { continue };
        let exception = EXCEPTIONS.iter().find(|(known, _)| *known == form);
        let since = first_version(&form).or(exception.map(|(_, since)| *since)).unwrap_or(*usual);
        if since <= version {
            return Ok(found);
        }
        failure = VERSION_TOO_LOW;
    }
    Err(failure)
}

/// `CU_GET_PROC_ADDRESS_…`: flags of a search. Both together are allowed.
const LEGACY_STREAM: u64 = 1;
const PER_THREAD_STREAM: u64 = 2;

/// Writes the function's address, or null. Returns how the search ended.
///
/// A version above the driver's is an error, as measured on an H100. A form for the per-thread default stream is not
/// simulated. The search for one finds nothing, because the other form would give another order.
///
/// # Safety
/// `name` is null or a C string. `out` is null or a valid out-pointer.
unsafe fn look_up(
    name: *const c_char,
    out: *mut Ptr,
    version: c_int,
    flags: u64,
) -> Result<c_int, Code> {
    if name.is_null() || flags > (LEGACY_STREAM | PER_THREAD_STREAM) || version > config().version {
        return Err(Code::INVALID_VALUE);
    }
    // SAFETY: `name` is a C string (caller contract).
    let name = unsafe { CStr::from_ptr(name) }.to_string_lossy();
    let mut found = find(&name, version);
    if flags & PER_THREAD_STREAM != 0 && found.is_ok() && has_per_thread_form(&name) {
        eprintln!(
            "cuda-sim: {}: {name}: its form for the per-thread default stream is not simulated",
            thread::current_call()
        );
        found = Err(UNKNOWN_NAME);
    }
    // SAFETY: `out` is null or a valid out-pointer (caller contract).
    unsafe { write_out(out, found.unwrap_or(std::ptr::null_mut())) }?;
    Ok(found.err().unwrap_or(FOUND))
}

/// Returns `true` if a function has a form that takes 0 for the per-thread default stream.
fn has_per_thread_form(name: &str) -> bool {
    let on_streams =
        ["cuStream", "cuMemcpy", "cuMemset", "cuEventRecord", "cuLaunch", "cuGraphLaunch"];
    let without = ["cuStreamCreate", "cuStreamDestroy"];
    on_streams.iter().any(|start| name.starts_with(start))
        && !without.iter().any(|start| name.starts_with(start))
}

exports! {
    // The form of CUDA 11 has no place for the outcome, and returns 500 for a function that is missing, as measured
    // on an H100.
    always cuGetProcAddress(name: *const c_char, out: *mut Ptr, version: c_int, flags: u64) {
        match look_up(name, out, version, flags)? {
            FOUND => Ok(()),
            _ => Err(Code::NOT_FOUND),
        }
    }

    // Measured on an H100: a function that is missing is a success, with a null pointer.
    always cuGetProcAddress_v2(
        name: *const c_char,
        out: *mut Ptr,
        version: c_int,
        flags: u64,
        status: *mut c_int,
    ) {
        write_optional(status, look_up(name, out, version, flags)?);
        Ok(())
    }
}
