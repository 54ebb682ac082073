//! Virtual memory management: addresses are reserved, memory is made, and the one is mapped at the
//! other. HIP 7 builds the memory pools of `hipMallocAsync` on it.

use std::ffi::c_void;
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd};
use std::ptr;

use crate::abi::*;
use crate::memory::{self, PAGE, Pool};

/// Memory that is not at an address yet.
struct Memory {
    file: File,
    bytes: usize,
    pool: Pool,
}

/// HSA's permission to read and write.
const READ_WRITE: u32 = 3;

/// Maps nothing at `bytes` addresses, which then belong to nobody else.
fn reserve(bytes: usize, alignment: usize) -> Option<usize> {
    let alignment = alignment.max(PAGE);
    let whole = bytes.checked_add(alignment)?;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping, wherever the system puts it.
    let base = unsafe { libc::mmap(ptr::null_mut(), whole, libc::PROT_NONE, flags, -1, 0) };
    if base == libc::MAP_FAILED {
        return None;
    }
    let (base, end) = (base as usize, base as usize + whole);
    let start = base.next_multiple_of(alignment);
    for (from, to) in [(base, start), (start + bytes, end)] {
        if to > from {
            // SAFETY: a part of the mapping above, outside of what is given out.
            unsafe { libc::munmap(from as *mut c_void, to - from) };
        }
    }
    Some(start)
}

impl Memory {
    fn create(pool: Pool, bytes: usize) -> Option<Memory> {
        // SAFETY: a C string, and a flag of the call.
        let descriptor = unsafe { libc::memfd_create(c"hsa-sim".as_ptr(), libc::MFD_CLOEXEC) };
        if descriptor < 0 {
            return None;
        }
        // SAFETY: just opened, and owned by nobody else.
        let file = unsafe { File::from_raw_fd(descriptor) };
        file.set_len(bytes as u64).ok()?;
        Some(Memory { file, bytes, pool })
    }
}

/// # Safety
///
/// Null or from [`hsa_amd_vmem_address_reserve_align`] for as many bytes.
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
    // SAFETY: the addresses are reserved for this by the caller's promise.
    let mapped = unsafe { libc::mmap(at, bytes, protection, flags, descriptor, offset) };
    if mapped == libc::MAP_FAILED { OUT_OF_RESOURCES } else { SUCCESS }
}

hsa_api! {
    /// Reserves addresses, wherever there are some: a wish for certain ones is not met.
    fn hsa_amd_vmem_address_reserve(
        address: *mut *mut c_void, bytes: usize, _wish: u64, _flags: u64,
    ) -> Status {
        match reserve(bytes, PAGE) {
            // SAFETY: the caller gives room for a pointer.
            Some(start) => unsafe { put(address.cast(), start) },
            None => OUT_OF_RESOURCES,
        }
    }

    /// Reserves addresses that begin at a multiple of `alignment`, a power of two.
    fn hsa_amd_vmem_address_reserve_align(
        address: *mut *mut c_void, bytes: usize, _wish: u64, alignment: u64, _flags: u64,
    ) -> Status {
        match reserve(bytes, alignment as usize) {
            // SAFETY: the caller gives room for a pointer.
            Some(start) => unsafe { put(address.cast(), start) },
            None => OUT_OF_RESOURCES,
        }
    }

    /// Gives reserved addresses back.
    fn hsa_amd_vmem_address_free(address: *mut c_void, bytes: usize) -> Status {
        // SAFETY: reserved with this length, by the caller's promise, and used no more.
        if unsafe { libc::munmap(address, bytes) } == 0 { SUCCESS } else { INVALID_ARGUMENT }
    }

    /// Makes memory, of zeros.
    fn hsa_amd_vmem_handle_create(
        pool: Handle, bytes: usize, _kind: u32, _flags: u64, memory: *mut Handle,
    ) -> Status {
        let Some(pool) = Pool::of(pool) else { return INVALID_MEMORY_POOL };
        let Some(made) = Memory::create(pool, bytes) else { return OUT_OF_RESOURCES };
        let handle = Box::into_raw(Box::new(made)) as Handle;
        // SAFETY: the caller gives room for a handle.
        unsafe { put(memory.cast(), handle) }
    }

    /// Gives memory back. Where it is mapped it stays until it is unmapped.
    fn hsa_amd_vmem_handle_release(memory: Handle) -> Status {
        if memory == 0 {
            return INVALID_ALLOCATION;
        }
        // SAFETY: from `hsa_amd_vmem_handle_create`, and released once, by the caller's promise.
        drop(unsafe { Box::from_raw(memory as *mut Memory) });
        SUCCESS
    }

    /// Maps memory at reserved addresses. It may be read and written from then on.
    fn hsa_amd_vmem_map(
        address: *mut c_void, bytes: usize, offset: usize, memory: Handle, _flags: u64,
    ) -> Status {
        // SAFETY: 0 or from `hsa_amd_vmem_handle_create`, by the caller's promise.
        let Some(memory) = (unsafe { (memory as *const Memory).as_ref() }) else {
            return INVALID_ALLOCATION;
        };
        if offset.checked_add(bytes).is_none_or(|end| end > memory.bytes) {
            return INVALID_ARGUMENT;
        }
        // SAFETY: as the caller promises.
        let status = unsafe { map(address, bytes, Some((memory, offset))) };
        if status == SUCCESS {
            memory::enter(address as usize, bytes, memory.pool);
        }
        status
    }

    /// Takes memory away from its addresses, which stay reserved.
    fn hsa_amd_vmem_unmap(address: *mut c_void, bytes: usize) -> Status {
        if memory::strike(address as usize).is_none() {
            return INVALID_ALLOCATION;
        }
        // SAFETY: the book says that memory was mapped here.
        unsafe { map(address, bytes, None) }
    }

    /// Every agent may touch everything here.
    fn hsa_amd_vmem_set_access(
        _address: *mut c_void, _bytes: usize, _access: *const c_void, _count: usize,
    ) -> Status {
        SUCCESS
    }

    /// Every agent may touch everything here.
    fn hsa_amd_vmem_get_access(_address: *mut c_void, access: *mut u32, _agent: Handle) -> Status {
        // SAFETY: the caller gives room for a number.
        unsafe { put(access.cast(), READ_WRITE) }
    }
}
