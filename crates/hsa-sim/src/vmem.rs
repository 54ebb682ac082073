//! Virtual memory management: reserving addresses, creating memory, and mapping the memory there.
//! HIP 7 builds the memory pools of `hipMallocAsync` on it.

use std::ffi::c_void;
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd};
use std::ptr;

use crate::abi::*;
use crate::memory::{self, PAGE, Pool};

/// Memory that has no address yet.
struct Memory {
    file: File,
    bytes: usize,
    pool: Pool,
}

/// HSA's permission to read and write.
const READ_WRITE: u32 = 3;

/// Reserves `bytes` addresses by an inaccessible mapping.
fn reserve(bytes: usize, alignment: usize) -> Option<usize> {
    let alignment = alignment.max(PAGE);
    let whole = bytes.checked_add(alignment)?;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: this creates a new mapping at an address of the system's choice.
    let base = unsafe { libc::mmap(ptr::null_mut(), whole, libc::PROT_NONE, flags, -1, 0) };
    if base == libc::MAP_FAILED {
        return None;
    }
    let (base, end) = (base as usize, base as usize + whole);
    let start = base.next_multiple_of(alignment);
    for (from, to) in [(base, start), (start + bytes, end)] {
        if to > from {
            // SAFETY: the range belongs to the mapping above and lies outside of the result.
            unsafe { libc::munmap(from as *mut c_void, to - from) };
        }
    }
    Some(start)
}

impl Memory {
    fn create(pool: Pool, bytes: usize) -> Option<Memory> {
        // SAFETY: the name is a C string, and the flag is one of `memfd_create`.
        let descriptor = unsafe { libc::memfd_create(c"hsa-sim".as_ptr(), libc::MFD_CLOEXEC) };
        if descriptor < 0 {
            return None;
        }
        // SAFETY: the descriptor was just opened and has no other owner.
        let file = unsafe { File::from_raw_fd(descriptor) };
        file.set_len(bytes as u64).ok()?;
        Some(Memory { file, bytes, pool })
    }
}

/// Maps memory at reserved addresses. Without `memory`, maps them inaccessible.
///
/// # Safety
///
/// `at` is null or from [`hsa_amd_vmem_address_reserve_align`], for at least `bytes` bytes.
unsafe fn map(at: *mut c_void, bytes: usize, memory: Option<(&Memory, usize)>) -> Status {
    let shared = libc::MAP_SHARED | libc::MAP_FIXED;
    let nothing = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED;
    let (protection, flags, descriptor, offset) = match memory {
        Some((memory, offset)) => {
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            (protection, shared, memory.file.as_raw_fd(), offset as libc::off_t)
        }
        None => (libc::PROT_NONE, nothing, -1, 0),
    };
    // SAFETY: the addresses are reserved for this mapping (caller contract).
    let mapped = unsafe { libc::mmap(at, bytes, protection, flags, descriptor, offset) };
    if mapped == libc::MAP_FAILED { OUT_OF_RESOURCES } else { SUCCESS }
}

hsa_api! {
    /// Reserves addresses of the system's choice. The wish for certain addresses is ignored.
    fn hsa_amd_vmem_address_reserve(
        address: *mut *mut c_void, bytes: usize, _wish: u64, _flags: u64,
    ) -> Status {
        match reserve(bytes, PAGE) {
            // SAFETY: the out-pointer is null or has room for a pointer (caller contract).
            Some(start) => unsafe { write_out(address.cast(), start) },
            None => OUT_OF_RESOURCES,
        }
    }

    /// Reserves addresses that begin at a multiple of `alignment`, a power of two.
    fn hsa_amd_vmem_address_reserve_align(
        address: *mut *mut c_void, bytes: usize, _wish: u64, alignment: u64, _flags: u64,
    ) -> Status {
        match reserve(bytes, alignment as usize) {
            // SAFETY: the out-pointer is null or has room for a pointer (caller contract).
            Some(start) => unsafe { write_out(address.cast(), start) },
            None => OUT_OF_RESOURCES,
        }
    }

    /// Releases reserved addresses.
    fn hsa_amd_vmem_address_free(address: *mut c_void, bytes: usize) -> Status {
        // SAFETY: the addresses were reserved with this length and are no longer used (caller
        // contract).
        if unsafe { libc::munmap(address, bytes) } == 0 { SUCCESS } else { INVALID_ARGUMENT }
    }

    /// Creates zeroed memory.
    fn hsa_amd_vmem_handle_create(
        pool: Handle, bytes: usize, _kind: u32, _flags: u64, memory: *mut Handle,
    ) -> Status {
        let Some(pool) = Pool::of(pool) else { return INVALID_MEMORY_POOL };
        let Some(made) = Memory::create(pool, bytes) else { return OUT_OF_RESOURCES };
        let handle = Box::into_raw(Box::new(made)) as Handle;
        // SAFETY: the out-pointer is null or has room for a handle (caller contract).
        unsafe { write_out(memory.cast(), handle) }
    }

    /// Releases memory. Existing mappings of it stay until they are unmapped.
    fn hsa_amd_vmem_handle_release(memory: Handle) -> Status {
        if memory == 0 {
            return INVALID_ALLOCATION;
        }
        // SAFETY: `memory` is from `hsa_amd_vmem_handle_create` and is released once (caller
        // contract).
        drop(unsafe { Box::from_raw(memory as *mut Memory) });
        SUCCESS
    }

    /// Maps memory at reserved addresses, readable and writable.
    fn hsa_amd_vmem_map(
        address: *mut c_void, bytes: usize, offset: usize, memory: Handle, _flags: u64,
    ) -> Status {
        // SAFETY: `memory` is 0 or from `hsa_amd_vmem_handle_create` (caller contract).
        let Some(memory) = (unsafe { (memory as *const Memory).as_ref() }) else {
            return INVALID_ALLOCATION;
        };
        if offset.checked_add(bytes).is_none_or(|end| end > memory.bytes) {
            return INVALID_ARGUMENT;
        }
        // SAFETY: `address` is reserved for `bytes` bytes (caller contract).
        let status = unsafe { map(address, bytes, Some((memory, offset))) };
        if status == SUCCESS {
            memory::insert(address as usize, bytes, memory.pool);
        }
        status
    }

    /// Unmaps memory. The addresses stay reserved.
    fn hsa_amd_vmem_unmap(address: *mut c_void, bytes: usize) -> Status {
        if memory::remove(address as usize).is_none() {
            return INVALID_ALLOCATION;
        }
        // SAFETY: the allocation map says that memory was mapped here.
        unsafe { map(address, bytes, None) }
    }

    /// Does nothing: every agent may access all memory.
    fn hsa_amd_vmem_set_access(
        _address: *mut c_void, _bytes: usize, _access: *const c_void, _count: usize,
    ) -> Status {
        SUCCESS
    }

    /// Writes read and write permission: every agent may access all memory.
    fn hsa_amd_vmem_get_access(_address: *mut c_void, access: *mut u32, _agent: Handle) -> Status {
        // SAFETY: the out-pointer is null or has room for a `u32` (caller contract).
        unsafe { write_out(access.cast(), READ_WRITE) }
    }
}
