//! Pinned memory of the host: allocated by the driver, or registered by the program.

use std::ffi::{c_uint, c_void};

use crate::call::{Answer, Ptr, exports, write_out};
use crate::codes::Code;
use crate::contexts::synchronize;
use crate::memory::{Kind, allocate, free, is_allocated, is_allocation, register, unregister};
use crate::state::state;

/// Returns an error if no context is current, or if a capture forbids the call.
///
/// Measured on an H100: a capture forbids pinning memory in the modes in which it forbids an allocation on the device.
fn ensure_allowed() -> Answer {
    let mut state = state();
    state.ensure_capture_mode_allows()?;
    state.current().map(drop)
}

exports! {
    initialized cuMemHostAlloc(out: *mut Ptr, length: usize, _flags: c_uint) {
        ensure_allowed()?;
        write_out(out, std::ptr::with_exposed_provenance_mut(allocate(length, Kind::Host)?))
    }

    initialized cuMemFreeHost(memory: Ptr) {
        let context = state().current()?;
        if !is_allocation(memory.addr()) {
            return Err(Code::INVALID_VALUE);
        }
        synchronize(context)?;
        free(memory.addr());
        Ok(())
    }

    initialized cuMemHostGetDevicePointer_v2(out: *mut u64, memory: Ptr, _flags: c_uint) {
        state().current()?;
        if !is_allocated(memory.addr(), 1) {
            return Err(Code::INVALID_VALUE);
        }
        write_out(out, memory.addr() as u64)
    }

    initialized cuMemAllocHost_v2(out: *mut Ptr, length: usize) {
        ensure_allowed()?;
        write_out(out, std::ptr::with_exposed_provenance_mut(allocate(length, Kind::Host)?))
    }

    // Documented, not measured: 712 for memory that is already registered, 713 for memory that is not.
    initialized cuMemHostRegister_v2(memory: *mut c_void, length: usize, _flags: c_uint) {
        ensure_allowed()?;
        register(memory.expose_provenance(), length)
    }

    initialized cuMemHostUnregister(memory: *mut c_void) {
        ensure_allowed()?;
        unregister(memory.addr())
    }
}
