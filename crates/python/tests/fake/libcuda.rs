//! The CUDA backend's fake driver with the extension's kernel, which runs at once on host memory.
//!
//! It tests that arguments reach the driver and that errors are reported. It tests nothing about a GPU.

#![allow(non_snake_case, clippy::missing_safety_doc, clippy::undocumented_unsafe_blocks)]

#[path = "../../../../backends/cuda/tests/fake/libcuda.rs"]
mod base;

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

type Ptr = *mut c_void;

static LAUNCHES: AtomicUsize = AtomicUsize::new(0);

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuModuleLoadData(module: *mut Ptr, text: *const c_char) -> c_int {
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    if !text.contains(".entry saxpy(") {
        return 218;
    }
    unsafe { module.write(std::ptr::without_provenance_mut(0x500)) };
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn cuModuleUnload(_module: Ptr) -> c_int {
    0
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuModuleGetFunction(
    function: *mut Ptr,
    _module: Ptr,
    name: *const c_char,
) -> c_int {
    if unsafe { CStr::from_ptr(name) } != c"saxpy" {
        return 500;
    }
    unsafe { function.write(std::ptr::without_provenance_mut(0x600)) };
    0
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuFuncGetAttribute(value: *mut c_int, _which: c_int, _of: Ptr) -> c_int {
    unsafe { value.write(16) };
    0
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetAttribute(value: *mut c_int, _which: c_int, _of: c_int) -> c_int {
    unsafe { value.write(1) };
    0
}

/// Returns the device of an address: device 1 if it ends in 8, else device 0. Fails below the first page.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuPointerGetAttribute(value: *mut c_void, which: c_int, address: u64) -> c_int {
    // CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
    if which != 9 || address < 4096 {
        return 1;
    }
    unsafe { value.cast::<c_int>().write(c_int::from(address % 16 == 8)) };
    0
}

/// Returns the number of launched kernels.
#[unsafe(no_mangle)]
pub extern "C" fn fake_launches() -> usize {
    LAUNCHES.load(SeqCst)
}

#[unsafe(no_mangle)]
#[allow(clippy::too_many_arguments)]
pub unsafe extern "C" fn cuLaunchKernel(
    _function: Ptr,
    grid_x: c_uint,
    _grid_y: c_uint,
    _grid_z: c_uint,
    block_x: c_uint,
    _block_y: c_uint,
    _block_z: c_uint,
    _shared: c_uint,
    _stream: Ptr,
    parameters: *mut Ptr,
    _extra: *mut Ptr,
) -> c_int {
    if grid_x == 0 || block_x == 0 {
        return 1;
    }
    LAUNCHES.fetch_add(1, SeqCst);
    unsafe {
        let parameter = |index: usize| *parameters.add(index);
        let a = parameter(0).cast::<f32>().read();
        let x = parameter(1).cast::<u64>().read() as usize;
        let y = parameter(2).cast::<u64>().read() as usize;
        let n = parameter(3).cast::<u64>().read() as usize;
        let x: *const f32 = std::ptr::with_exposed_provenance(x);
        let y: *mut f32 = std::ptr::with_exposed_provenance_mut(y);
        for index in 0..n {
            *y.add(index) += a * *x.add(index);
        }
    }
    0
}
