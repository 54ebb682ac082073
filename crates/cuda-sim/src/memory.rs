//! Memory: the process's own, for the host and all devices, with a list of the allocations. Work
//! that touches other memory breaks its context.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::collections::BTreeMap;
use std::ffi::{c_int, c_uint, c_void};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gpu_stream_core::Stream as _;

use crate::call::{Answer, Ptr, exports, write_out};
use crate::codes::Code;
use crate::contexts::synchronize;
use crate::state::{host_error, state};
use crate::work::Work;

struct Allocation {
    length: usize,
    /// The device whose context made the allocation.
    device: usize,
}

/// The allocations, by address.
static ALLOCATED: Mutex<BTreeMap<usize, Allocation>> = Mutex::new(BTreeMap::new());

const ALIGNMENT: usize = 4096;

/// `CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL`.
const DEVICE_ORDINAL: c_int = 9;

fn allocated() -> MutexGuard<'static, BTreeMap<usize, Allocation>> {
    ALLOCATED.lock().unwrap_or_else(PoisonError::into_inner)
}

fn layout(length: usize) -> Result<Layout, Code> {
    Layout::from_size_align(length, ALIGNMENT).map_err(|_| Code::OUT_OF_MEMORY)
}

fn allocate(length: usize, device: usize) -> Result<usize, Code> {
    if length == 0 {
        return Err(Code::INVALID_VALUE);
    }
    // SAFETY: the length is not 0.
    let memory = unsafe { alloc_zeroed(layout(length)?) };
    if memory.is_null() {
        return Err(Code::OUT_OF_MEMORY);
    }
    let address = memory.expose_provenance();
    allocated().insert(address, Allocation { length, device });
    Ok(address)
}

/// Frees an allocation of [`allocate`]. Ignores any other address.
pub fn free(address: usize) {
    let mut allocated = allocated();
    let Some(Allocation { length, .. }) = allocated.remove(&address) else { return };
    let Ok(layout) = layout(length) else { return };
    // SAFETY: the list held the allocation with this layout, so it was not freed before. All other
    // code that accesses it holds the list's lock.
    unsafe { dealloc(std::ptr::with_exposed_provenance_mut(address), layout) };
}

/// Returns the allocation that holds `length` bytes from `address` on.
fn find(
    allocated: &BTreeMap<usize, Allocation>,
    address: usize,
    length: usize,
) -> Option<&Allocation> {
    let (start, found) = allocated.range(..=address).next_back()?;
    (address.checked_add(length)? <= start + found.length).then_some(found)
}

fn holds(allocated: &BTreeMap<usize, Allocation>, address: usize, length: usize) -> bool {
    find(allocated, address, length).is_some()
}

fn is_allocated(address: usize, length: usize) -> bool {
    holds(&allocated(), address, length)
}

/// Returns the address of a word that a stream can wait for.
pub fn word(address: u64) -> Result<usize, Code> {
    let address = usize::try_from(address).map_err(|_| Code::INVALID_VALUE)?;
    let is_one = address.is_multiple_of(4) && is_allocated(address, 4);
    if is_one { Ok(address) } else { Err(Code::INVALID_VALUE) }
}

/// Calls `touch` with a word of allocated memory.
fn with_word<T>(address: usize, touch: impl FnOnce(&AtomicU32) -> T) -> Result<T, Code> {
    let allocated = allocated();
    if !address.is_multiple_of(4) || !holds(&allocated, address, 4) {
        return Err(Code::ILLEGAL_ADDRESS);
    }
    // SAFETY: the word is aligned and allocated, and cannot be freed while the lock is held. The
    // host and other streams access it as a whole word.
    Ok(touch(unsafe { AtomicU32::from_ptr(std::ptr::with_exposed_provenance_mut(address)) }))
}

pub fn load(address: usize) -> Result<u32, Code> {
    with_word(address, |word| word.load(Ordering::SeqCst))
}

pub fn store(address: usize, value: u32) -> Answer {
    with_word(address, |word| word.store(value, Ordering::SeqCst))
}

pub fn write(to: usize, bytes: &[u8]) -> Answer {
    let allocated = allocated();
    if !holds(&allocated, to, bytes.len()) {
        return Err(Code::ILLEGAL_ADDRESS);
    }
    let to = std::ptr::with_exposed_provenance_mut::<u8>(to);
    // SAFETY: that many bytes are allocated at `to`, and cannot be freed while the lock is held.
    // `bytes` does not overlap them.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    Ok(())
}

/// Copies memory. At most one of the two addresses is ordinary host memory.
pub fn copy(to: usize, from: usize, length: usize) -> Answer {
    let allocated = allocated();
    if !holds(&allocated, to, length) && !holds(&allocated, from, length) {
        return Err(Code::ILLEGAL_ADDRESS);
    }
    let from = std::ptr::with_exposed_provenance::<u8>(from);
    let to = std::ptr::with_exposed_provenance_mut::<u8>(to);
    // SAFETY: allocated memory cannot be freed while the lock is held. Ordinary host memory is
    // valid until the copy is made, as the driver requires of its caller.
    unsafe { std::ptr::copy(from, to, length) };
    Ok(())
}

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
    if !is_allocated(address, value.len() * count) {
        return Err(Code::INVALID_VALUE);
    }
    let mut state = state();
    let stream = state.stream(stream)?;
    state.submit(stream, Work::Set { address, bytes: Arc::from(value), count })
}

fn address(of: u64) -> Result<usize, Code> {
    usize::try_from(of).map_err(|_| Code::INVALID_VALUE)
}

exports! {
    initialized cuMemAlloc_v2(out: *mut u64, length: usize) {
        let device = {
            let mut state = state();
            state.ensure_capture_mode_allows()?;
            let context = state.current()?;
            state.contexts.get(context).device
        };
        write_out(out, allocate(length, device)? as u64)
    }

    initialized cuMemFree_v2(memory: u64) {
        let context = {
            let mut state = state();
            state.ensure_capture_mode_allows()?;
            state.current()?
        };
        if !allocated().contains_key(&address(memory)?) {
            return Err(Code::INVALID_VALUE);
        }
        synchronize(context)?;
        free(address(memory)?);
        Ok(())
    }

    initialized cuMemAllocAsync(out: *mut u64, length: usize, stream: Ptr) {
        let mut state = state();
        let stream = state.stream(stream)?;
        if state.capture_of(stream)?.is_some() {
            return Err(Code::NOT_SUPPORTED);
        }
        let device = state.contexts.get(state.streams.get(stream).context).device;
        write_out(out, allocate(length, device)? as u64)
    }

    initialized cuMemFreeAsync(memory: u64, stream: Ptr) {
        let address = address(memory)?;
        if !allocated().contains_key(&address) {
            return Err(Code::INVALID_VALUE);
        }
        let mut state = state();
        let stream = state.stream(stream)?;
        if state.capture_of(stream)?.is_none() {
            state.apply_implicit_sync(stream)?;
            if state.streams.get(stream).host.query().map_err(host_error)? {
                // On an idle stream, a real driver also enqueues no work.
                free(address);
                return Ok(());
            }
        }
        state.submit(stream, Work::Free { address })
    }

    initialized cuMemHostAlloc(out: *mut Ptr, length: usize, _flags: c_uint) {
        let device = {
            let state = state();
            state.contexts.get(state.current()?).device
        };
        write_out(out, std::ptr::with_exposed_provenance_mut(allocate(length, device)?))
    }

    initialized cuMemFreeHost(memory: Ptr) {
        let context = state().current()?;
        if !allocated().contains_key(&memory.addr()) {
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

    initialized cuPointerGetAttribute(data: *mut c_void, attribute: c_int, pointer: u64) {
        let device = {
            let allocated = allocated();
            find(&allocated, address(pointer)?, 1).ok_or(Code::INVALID_VALUE)?.device
        };
        match attribute {
            DEVICE_ORDINAL => {
                let ordinal = c_int::try_from(device).map_err(|_| Code::UNKNOWN)?;
                write_out(data.cast::<c_int>(), ordinal)
            }
            _ => Err(Code::NOT_SUPPORTED),
        }
    }

    initialized cuMemcpyDtoH_v2(to: *mut c_void, from: u64, length: usize) {
        copy_now(to.expose_provenance(), address(from)?, length)
    }

    initialized cuMemcpyHtoD_v2(to: u64, from: *const c_void, length: usize) {
        copy_now(address(to)?, from.expose_provenance(), length)
    }

    initialized cuMemcpyDtoHAsync_v2(to: *mut c_void, from: u64, length: usize, stream: Ptr) {
        let (to, from) = (to.expose_provenance(), address(from)?);
        {
            let mut state = state();
            let stream = state.stream(stream)?;
            state.submit(stream, Work::Copy { to, from, length })?;
            if state.streams.get(stream).member.is_some() || is_allocated(to, length) {
                return Ok(());
            }
        }
        // The memory is not pinned: the real driver also returns only when the copy is done.
        crate::streams::synchronize(stream)
    }

    initialized cuMemcpyHtoDAsync_v2(to: u64, from: *const c_void, length: usize, stream: Ptr) {
        let to = address(to)?;
        let from_address = from.expose_provenance();
        let work = if is_allocated(from_address, length) {
            Work::Copy { to, from: from_address, length }
        } else {
            // Memory that is not pinned may be freed after the call returns.
            let bytes = std::slice::from_raw_parts(from.cast::<u8>(), length);
            Work::Write { to, bytes: Arc::from(bytes) }
        };
        let mut state = state();
        let stream = state.stream(stream)?;
        state.submit(stream, work)
    }

    initialized cuMemcpyDtoDAsync_v2(to: u64, from: u64, length: usize, stream: Ptr) {
        let (to, from) = (address(to)?, address(from)?);
        let mut state = state();
        let stream = state.stream(stream)?;
        state.submit(stream, Work::Copy { to, from, length })
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
