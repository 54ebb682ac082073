//! What a stream can do: [`store`], [`copy`], [`wait_for`] a number.
//!
//! The runtime has all of it, so no kernel has to be compiled for the device. From HIP 5.2 to 7.2, the
//! stream was observed to execute these calls without blocking the caller:
//!
//! - A store is a write of a value. (`hipMemsetD32Async` on pinned memory waits for the stream up to HIP 6,
//!   and so for a shut gate; then the host sets the memory.)
//! - A copy goes through a number in the device's memory. (Between two addresses in pinned memory the host
//!   copies, again after it has waited for the stream.)
//! - A gate is a wait for a value.

use std::ffi::c_int;
use std::sync::atomic::{AtomicU32, Ordering};

use super::device::DeviceGuard;
use super::driver::{DriverError, Ptr, check, driver};
use crate::numbers::{Arena, Chunk, Number, SIZE};

/// Creates an arena of pinned memory on `device`.
///
/// # Errors
/// The runtime's error.
pub fn arena(device: c_int) -> Result<Arena, DriverError> {
    Arena::new(allocate, device as usize)
}

fn allocate(device: usize, count: usize) -> Result<Chunk, DriverError> {
    /// `hipHostMallocPortable | hipHostMallocMapped`. The second also makes the memory coherent on AMD
    /// GPUs: the host sees what a stream has written while the stream continues.
    const FOR_ALL_DEVICES: u32 = 1 | 2;
    let _current = DeviceGuard::enter(device as c_int)?;
    let (mut memory, mut address) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: both are valid out-pointers, and the memory is allocated for the devices.
    unsafe {
        let code = (driver().host_alloc)(&mut memory, count * SIZE, FOR_ALL_DEVICES);
        check("hipHostMalloc", code)?;
        let code = (driver().host_device_pointer)(&mut address, memory, 0);
        check("hipHostGetDevicePointer", code)?;
    }
    // SAFETY: the runtime allocated so many bytes, aligned to pages, which are never freed. Host and
    // devices access them only as whole words.
    Ok(unsafe { Chunk::new(memory, address.expose_provenance(), count) })
}

/// Allocates device memory for `count` numbers, which are never freed.
///
/// # Errors
/// The runtime's error.
pub fn staging(device: c_int, count: usize) -> Result<Ptr, DriverError> {
    let _current = DeviceGuard::enter(device)?;
    let mut memory = std::ptr::null_mut();
    // SAFETY: `&mut memory` is a valid out-pointer.
    check("hipMalloc", unsafe { (driver().mem_alloc)(&mut memory, count * SIZE) })?;
    Ok(memory)
}

/// Submits `to = value`.
///
/// # Errors
/// The runtime's error.
///
/// # Safety
/// `stream` is live, and its device is current.
pub unsafe fn store(stream: Ptr, to: Number, value: u32) -> Result<(), DriverError> {
    let to = std::ptr::with_exposed_provenance_mut(to.address());
    // SAFETY: the number is never freed, and the stream is as required (caller contract).
    let code = unsafe { (driver().stream_write_value)(stream, to, value, 0) };
    check("hipStreamWriteValue32", code)
}

/// Submits `to = from`, through `staging`.
///
/// # Errors
/// The runtime's error.
///
/// # Safety
/// - `stream` is live, and its device is current.
/// - `staging` is a number in the device's memory that no other copy uses meanwhile.
pub unsafe fn copy(stream: Ptr, to: Number, from: Number, staging: Ptr) -> Result<(), DriverError> {
    /// `hipMemcpyHostToDevice` and `hipMemcpyDeviceToHost`.
    const KINDS: [c_int; 2] = [1, 2];
    let steps = [(staging, from.as_ptr()), (to.as_ptr(), staging)];
    for ((to, from), kind) in steps.into_iter().zip(KINDS) {
        // SAFETY: the numbers are never freed, and no other copy uses the staging number (caller contract).
        // The stream is as required (caller contract).
        let code = unsafe { (driver().copy_async)(to, from.cast_const(), SIZE, kind, stream) };
        check("hipMemcpyAsync", code)?;
    }
    Ok(())
}

/// Makes `stream` wait until the number is at least 1.
///
/// # Errors
/// The runtime's error. Some devices cannot do that.
///
/// # Safety
/// `stream` is live, and its device is current.
pub unsafe fn wait_for(stream: Ptr, number: Number) -> Result<(), DriverError> {
    let address = std::ptr::with_exposed_provenance_mut(number.address());
    // SAFETY: the number is never freed, and the stream is as required (caller contract). Flags 0 mean
    // "until it is at least 1", and all of its bits count.
    let code = unsafe { (driver().stream_wait_value)(stream, address, 1, 0, u32::MAX) };
    check("hipStreamWaitValue32", code)
}

/// Makes a host function of `stream` block until the number is 1. It blocks the thread of all host
/// functions.
///
/// # Errors
/// The runtime's error.
///
/// # Safety
/// `stream` is live, and its device is current.
pub unsafe fn block_host_funcs(stream: Ptr, number: Number) -> Result<(), DriverError> {
    let argument = number.as_ptr();
    // SAFETY: the functions take the address of a number that is never freed. The stream is as required
    // (caller contract).
    unsafe {
        match driver().launch_host_func {
            Some(launch) => check("hipLaunchHostFunc", launch(stream, block, argument)),
            None => {
                let code = (driver().add_callback)(stream, block_in_callback, argument, 0);
                check("hipStreamAddCallback", code)
            }
        }
    }
}

/// Blocks the thread of all host functions until the number is 1.
unsafe extern "C" fn block(number: Ptr) {
    // SAFETY: `number` is the address of a number that is never freed.
    let number = unsafe { AtomicU32::from_ptr(number.cast()) };
    while number.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
}

/// Blocks as [`block`] does, for runtimes that have only the older callbacks.
unsafe extern "C" fn block_in_callback(_stream: Ptr, _status: c_int, number: Ptr) {
    // SAFETY: `number` is the address that `block` requires.
    unsafe { block(number) }
}
