//! Memory: the process's own, for the host and all devices, with a list of the allocations. Work
//! that touches other memory breaks its context.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::collections::BTreeMap;
use std::ffi::{c_int, c_uint, c_void};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use gpu_stream_core::Stream as _;

use crate::call::{Answer, Ptr, exports, write_optional, write_out};
use crate::codes::Code;
use crate::contexts::synchronize;
use crate::state::{host_error, state};
use crate::work::Work;

/// The allocations and the registered memory, by address.
static ALLOCATED: Mutex<BTreeMap<usize, Block>> = Mutex::new(BTreeMap::new());

const ALIGNMENT: usize = 4096;

/// `CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL`.
const DEVICE_ORDINAL: c_int = 9;

/// The memory that a device has. More cannot be allocated, as on a real device.
pub const DEVICE_MEMORY: usize = 64 << 30;

/// The kind of memory, which decides who frees it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Memory of a device, which has so much.
    Device(usize),
    /// Pinned memory of the host.
    Host,
    /// Memory of the program, pinned by `cuMemHostRegister`.
    Registered,
}

/// An allocation, or memory that was registered.
#[derive(Clone, Copy)]
struct Block {
    length: usize,
    kind: Kind,
}

fn allocated() -> MutexGuard<'static, BTreeMap<usize, Block>> {
    ALLOCATED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns how much memory of a device is free.
pub fn free_of(device: usize) -> usize {
    let of_it = |block: &&Block| block.kind == Kind::Device(device);
    let used: usize = allocated().values().filter(of_it).map(|block| block.length).sum();
    DEVICE_MEMORY.saturating_sub(used)
}

fn layout(length: usize) -> Result<Layout, Code> {
    Layout::from_size_align(length, ALIGNMENT).map_err(|_| Code::OUT_OF_MEMORY)
}

pub fn allocate(length: usize, kind: Kind) -> Result<usize, Code> {
    if length == 0 {
        return Err(Code::INVALID_VALUE);
    }
    if matches!(kind, Kind::Device(device) if length > free_of(device)) {
        return Err(Code::OUT_OF_MEMORY);
    }
    // SAFETY: the length is not 0.
    let memory = unsafe { alloc_zeroed(layout(length)?) };
    if memory.is_null() {
        return Err(Code::OUT_OF_MEMORY);
    }
    let address = memory.expose_provenance();
    allocated().insert(address, Block { length, kind });
    Ok(address)
}

/// Adds memory of the program to the list. Returns an error if some of it is in the list.
pub fn register(address: usize, length: usize) -> Answer {
    let end = address.checked_add(length).filter(|_| address != 0 && length != 0);
    let end = end.ok_or(Code::INVALID_VALUE)?;
    let mut allocated = allocated();
    let before = allocated.range(..end).next_back();
    if before.is_some_and(|(start, block)| start + block.length > address) {
        return Err(Code::ALREADY_REGISTERED);
    }
    allocated.insert(address, Block { length, kind: Kind::Registered });
    Ok(())
}

/// Removes registered memory from the list.
pub fn unregister(address: usize) -> Answer {
    let mut allocated = allocated();
    match allocated.get(&address) {
        Some(block) if block.kind == Kind::Registered => {
            allocated.remove(&address);
            Ok(())
        }
        _ => {
            // A part of registered memory is an invalid value, as measured on an H100.
            let inside = block_at(&allocated, address);
            let is_part = inside
                .is_some_and(|(start, block)| block.kind == Kind::Registered && start != address);
            Err(if is_part { Code::INVALID_VALUE } else { Code::NOT_REGISTERED })
        }
    }
}

/// Returns the start of the memory that an address is in, and the memory.
fn block_at(allocated: &BTreeMap<usize, Block>, address: usize) -> Option<(usize, Block)> {
    let (&start, &block) = allocated.range(..=address).next_back()?;
    (address - start < block.length).then_some((start, block))
}

/// Returns the start and the length of the allocation that an address is in.
pub fn range_of(address: usize) -> Option<(usize, usize)> {
    block_at(&allocated(), address).map(|(start, block)| (start, block.length))
}

/// Returns the kind of the memory that an address is in.
fn kind_of(address: usize) -> Option<Kind> {
    block_at(&allocated(), address).map(|(_, block)| block.kind)
}

/// Returns `true` if an allocation begins at the address. Memory that was registered is none.
pub fn is_allocation(address: usize) -> bool {
    allocated().get(&address).is_some_and(|block| block.kind != Kind::Registered)
}

/// Frees an allocation of [`allocate`]. Ignores any other address.
pub fn free(address: usize) {
    let mut allocated = allocated();
    let Some(block) = allocated.get(&address).copied() else { return };
    let Ok(layout) = layout(block.length) else { return };
    if block.kind == Kind::Registered {
        return;
    }
    allocated.remove(&address);
    // SAFETY: the list held the allocation with this layout, so it was not freed before. All other
    // code that accesses it holds the list's lock.
    unsafe { dealloc(std::ptr::with_exposed_provenance_mut(address), layout) };
}

fn holds(allocated: &BTreeMap<usize, Block>, address: usize, length: usize) -> bool {
    let found = allocated.range(..=address).next_back();
    found.is_some_and(|(start, block)| {
        address.checked_add(length).is_some_and(|end| end <= start + block.length)
    })
}

pub fn is_allocated(address: usize, length: usize) -> bool {
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

/// Writes the same bytes `count` times, one after another.
pub fn fill(to: usize, bytes: &[u8], count: usize) -> Answer {
    let allocated = allocated();
    let length = bytes.len().checked_mul(count);
    if !length.is_some_and(|length| holds(&allocated, to, length)) {
        return Err(Code::ILLEGAL_ADDRESS);
    }
    let start = std::ptr::with_exposed_provenance_mut::<u8>(to);
    if let [byte] = bytes {
        // SAFETY: as many bytes are allocated at `to`, and cannot be freed while the lock is held.
        unsafe { start.write_bytes(*byte, count) };
        return Ok(());
    }
    for index in 0..count {
        // SAFETY: `count` times these bytes are allocated at `to`, and cannot be freed while the lock is held.
        unsafe {
            let place = start.add(index * bytes.len());
            match (bytes.try_into(), place.cast::<u32>().is_aligned()) {
                // Host and kernels poll such words.
                (Ok(word), true) => {
                    let word = u32::from_ne_bytes(word);
                    AtomicU32::from_ptr(place.cast()).store(word, Ordering::SeqCst);
                }
                _ => place.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()),
            }
        }
    }
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

/// Returns an address of the driver's interface as a number.
pub fn address(of: u64) -> Result<usize, Code> {
    usize::try_from(of).map_err(|_| Code::INVALID_VALUE)
}

exports! {
    initialized cuMemAlloc_v2(out: *mut u64, length: usize) {
        let device = {
            let mut state = state();
            state.ensure_capture_mode_allows()?;
            state.current_device()?
        };
        write_out(out, allocate(length, Kind::Device(device))? as u64)
    }

    initialized cuMemFree_v2(memory: u64) {
        let context = {
            let mut state = state();
            state.ensure_capture_mode_allows()?;
            state.current()?
        };
        let address = address(memory)?;
        // Pinned memory is an invalid value here, as measured on an H100.
        if !is_allocation(address) || kind_of(address) == Some(Kind::Host) {
            return Err(Code::INVALID_VALUE);
        }
        synchronize(context)?;
        free(address);
        Ok(())
    }

    initialized cuMemAllocAsync(out: *mut u64, length: usize, stream: Ptr) {
        let mut state = state();
        let stream = state.stream(stream)?;
        if state.capture_of(stream)?.is_some() {
            return Err(Code::NOT_SUPPORTED);
        }
        let device = state.contexts.get(state.streams.get(stream).context).device;
        write_out(out, allocate(length, Kind::Device(device))? as u64)
    }

    // Memory that moves between host and devices. The flags 1 (global) and 2 (host) are allowed, as NVIDIA documents.
    // Measured on an H100: 0 and 4 are not.
    initialized cuMemAllocManaged(out: *mut u64, length: usize, flags: c_uint) {
        let device = {
            let mut state = state();
            state.ensure_capture_mode_allows()?;
            state.current_device()?
        };
        if flags != 1 && flags != 2 {
            return Err(Code::INVALID_VALUE);
        }
        write_out(out, allocate(length, Kind::Device(device))? as u64)
    }

    // Documented: the flags are 1 (global), 2 (host) or 4 (this stream, which is not the default one). Which stream may
    // access the memory is not checked. Measured on an H100: on a captured stream the call breaks the capture, in each
    // mode, also with an invalid address. Beside a capture it is forbidden where `cuMemAlloc` is.
    initialized cuStreamAttachMemAsync(stream: Ptr, memory: u64, _length: usize, flags: c_uint) {
        let is_default = stream.addr() < 2;
        {
            let mut state = state();
            let stream = state.stream(stream)?;
            state.ensure_not_captured(stream)?;
            state.ensure_default_not_capturing(stream)?;
            state.ensure_capture_mode_allows()?;
        }
        let is_valid = matches!(flags, 1 | 2) || flags == 4 && !is_default;
        let is_valid = is_valid && is_allocated(address(memory)?, 1);
        if is_valid { Ok(()) } else { Err(Code::INVALID_VALUE) }
    }

    initialized cuMemFreeAsync(memory: u64, stream: Ptr) {
        let address = address(memory)?;
        if !is_allocation(address) {
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

    initialized cuMemGetInfo_v2(free: *mut usize, total: *mut usize) {
        let device = state().current_device()?;
        write_out(free, free_of(device))?;
        write_out(total, DEVICE_MEMORY)
    }

    // Documented: both out-pointers are optional, and an address in no allocation is 500.
    initialized cuMemGetAddressRange_v2(start: *mut u64, length: *mut usize, memory: u64) {
        state().current()?;
        let (its_start, its_length) = range_of(address(memory)?).ok_or(Code::NOT_FOUND)?;
        write_optional(start, its_start as u64);
        write_optional(length, its_length);
        Ok(())
    }

    initialized cuPointerGetAttribute(data: *mut c_void, attribute: c_int, pointer: u64) {
        let kind = kind_of(address(pointer)?).ok_or(Code::INVALID_VALUE)?;
        match (attribute, kind) {
            (DEVICE_ORDINAL, Kind::Device(device)) => {
                let ordinal = c_int::try_from(device).map_err(|_| Code::UNKNOWN)?;
                write_out(data.cast::<c_int>(), ordinal)
            }
            _ => Err(Code::NOT_SUPPORTED),
        }
    }
}
