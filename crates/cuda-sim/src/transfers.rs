//! Copies and fills.

use std::ffi::{c_uint, c_void};
use std::sync::Arc;

use gpu_stream_core::Stream as _;

use crate::call::{Answer, Ptr, exports};
use crate::codes::Code;
use crate::memory::{address, is_allocated};
use crate::state::{host_error, state};
use crate::work::Work;

/// Copies to or from the host, and returns when the copy is done.
fn copy_now(to: usize, from: usize, length: usize) -> Answer {
    let context = {
        let mut state = state();
        state.ensure_capture_mode_allows()?;
        let stream = state.stream(std::ptr::null_mut())?;
        state.submit(stream, Work::Copy { to, from, length })?;
        state.current()?
    };
    synchronize_default(context)
}

fn synchronize_default(context: usize) -> Answer {
    let default = {
        let state = state();
        // The context may have been reset meanwhile.
        state.check_not_faulted(context)?;
        state.streams.get(state.contexts.get(context).legacy).host.clone()
    };
    crate::gates::poll();
    default.synchronize().map_err(host_error)?;
    state().check_not_faulted(context)
}

fn set(stream: Ptr, address: u64, value: &[u8], count: usize) -> Answer {
    let address = usize::try_from(address).map_err(|_| Code::INVALID_VALUE)?;
    if count == 0 {
        return Ok(());
    }
    let length = value.len().checked_mul(count).ok_or(Code::INVALID_VALUE)?;
    if !is_allocated(address, length) {
        return Err(Code::INVALID_VALUE);
    }
    let mut state = state();
    let stream = state.stream(stream)?;
    state.submit(stream, Work::Set { address, bytes: Arc::from(value), count })
}

/// Copies to memory of the host.
///
/// If that memory is not pinned, it returns only when the copy is done, as the real driver does.
fn copy_to_host(to: usize, from: usize, length: usize, stream: Ptr) -> Answer {
    {
        let mut state = state();
        let stream = state.stream(stream)?;
        state.submit(stream, Work::Copy { to, from, length })?;
        if state.streams.get(stream).member.is_some() || is_allocated(to, length) {
            return Ok(());
        }
    }
    crate::streams::synchronize(stream)
}

/// Copies from memory of the host.
///
/// A capture records the address, also of memory that is not pinned: each launch reads what is there then.
///
/// # Safety
/// `from` is valid for reads of `length` bytes. If the stream is capturing, it is so at each launch of the graph.
unsafe fn copy_from_host(to: usize, from: *const c_void, length: usize, stream: Ptr) -> Answer {
    let from_address = from.expose_provenance();
    let mut state = state();
    let stream = state.stream(stream)?;
    let reads_later = state.capture_of(stream)?.is_some() || is_allocated(from_address, length);
    let work = if reads_later || length == 0 {
        Work::Copy { to, from: from_address, length }
    } else {
        // Memory that is not pinned may be freed after the call returns.
        // SAFETY: `from` is valid for reads of `length` bytes (caller contract).
        let bytes = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), length) };
        Work::Write { to, bytes: Arc::from(bytes) }
    };
    state.submit(stream, work)
}

/// Copies between memory of devices, or of a device and pinned memory.
fn copy_on_device(to: usize, from: usize, length: usize, stream: Ptr) -> Answer {
    let mut state = state();
    let stream = state.stream(stream)?;
    state.submit(stream, Work::Copy { to, from, length })
}

/// Copies between any memory, of host or device.
///
/// # Safety
/// `from` is as in [`copy_from_host`], or an address of a device.
unsafe fn copy_any(to: u64, from: u64, length: usize, stream: Ptr) -> Answer {
    let (to, from) = (address(to)?, address(from)?);
    match (is_allocated(to, length), is_allocated(from, length)) {
        (false, _) => copy_to_host(to, from, length, stream),
        // SAFETY: `from` is no memory of a device, so it is valid for reads (caller contract).
        (true, false) => unsafe {
            copy_from_host(to, std::ptr::with_exposed_provenance(from), length, stream)
        },
        (true, true) => copy_on_device(to, from, length, stream),
    }
}

exports! {
    initialized cuMemcpyDtoH_v2(to: *mut c_void, from: u64, length: usize) {
        copy_now(to.expose_provenance(), address(from)?, length)
    }

    initialized cuMemcpyHtoD_v2(to: u64, from: *const c_void, length: usize) {
        copy_now(address(to)?, from.expose_provenance(), length)
    }

    // The real driver may return before a copy between devices is done. This one does not.
    initialized cuMemcpyDtoD_v2(to: u64, from: u64, length: usize) {
        copy_now(address(to)?, address(from)?, length)
    }

    initialized cuMemcpy(to: u64, from: u64, length: usize) {
        copy_now(address(to)?, address(from)?, length)
    }

    initialized cuMemcpyDtoHAsync_v2(to: *mut c_void, from: u64, length: usize, stream: Ptr) {
        copy_to_host(to.expose_provenance(), address(from)?, length, stream)
    }

    initialized cuMemcpyHtoDAsync_v2(to: u64, from: *const c_void, length: usize, stream: Ptr) {
        copy_from_host(address(to)?, from, length, stream)
    }

    initialized cuMemcpyDtoDAsync_v2(to: u64, from: u64, length: usize, stream: Ptr) {
        copy_on_device(address(to)?, address(from)?, length, stream)
    }

    initialized cuMemcpyAsync(to: u64, from: u64, length: usize, stream: Ptr) {
        copy_any(to, from, length, stream)
    }

    // All memory is accessible to all devices.
    initialized cuMemcpyPeerAsync(
        to: u64,
        to_context: Ptr,
        from: u64,
        from_context: Ptr,
        length: usize,
        stream: Ptr,
    ) {
        for context in [to_context, from_context] {
            state().contexts.check(context)?;
        }
        copy_on_device(address(to)?, address(from)?, length, stream)
    }

    initialized cuMemsetD8_v2(memory: u64, value: u8, count: usize) {
        set(std::ptr::null_mut(), memory, &[value], count)
    }

    initialized cuMemsetD8Async(memory: u64, value: u8, count: usize, stream: Ptr) {
        set(stream, memory, &[value], count)
    }

    initialized cuMemsetD32_v2(memory: u64, value: c_uint, count: usize) {
        set(std::ptr::null_mut(), memory, &value.to_ne_bytes(), count)
    }

    inside cuMemsetD32Async(memory: u64, value: c_uint, count: usize, stream: Ptr) {
        set(stream, memory, &value.to_ne_bytes(), count)
    }
}
