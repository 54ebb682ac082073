//! A fake of tvm-ffi, as a library: one stream for each thread, whatever the device is.

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;

thread_local! {
    static STREAM: Cell<*mut c_void> = const { Cell::new(ptr::null_mut()) };
}

/// Returns the thread's stream.
#[unsafe(no_mangle)]
pub extern "C" fn TVMFFIEnvGetStream(_: i32, _: i32) -> *mut c_void {
    STREAM.get()
}

/// Sets the thread's stream. The original stream is not written.
#[unsafe(no_mangle)]
pub extern "C" fn TVMFFIEnvSetStream(
    _: i32,
    _: i32,
    stream: *mut c_void,
    _: *mut *mut c_void,
) -> i32 {
    STREAM.set(stream);
    0
}
