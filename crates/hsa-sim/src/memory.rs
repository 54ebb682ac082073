//! Memory: pools, their allocations, and host memory that was locked for a GPU.
//!
//! All of it is ordinary memory of the process, at the same address for the host and all agents.
//! The simulator adds a map of the allocations.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::abi::*;
use crate::agents::Agent;
use crate::trace::trace;

pub const PAGE: usize = 4096;

/// The memory size that each GPU and the host report. Pages are only used when they are touched.
const SIZE: usize = 192 << 30;

const FLAG_KERNARG: u32 = 1;
const FLAG_FINE: u32 = 2;
const FLAG_COARSE: u32 = 4;

const SEGMENT_GLOBAL: u32 = 0;
const SEGMENT_GROUP: u32 = 3;

/// A memory pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// Host memory that is coherent for every agent. Kernel arguments lie here.
    HostFine,
    HostCoarse,
    /// A GPU's own memory.
    Gpu(usize),
    /// Memory that a workgroup shares. It is only reported, because no workgroup runs.
    Group(usize),
}

impl Pool {
    /// Returns the pools of an agent.
    pub fn of_agent(agent: Agent) -> [Pool; 2] {
        match agent {
            Agent::Cpu => [Pool::HostFine, Pool::HostCoarse],
            Agent::Gpu(index) => [Pool::Gpu(index), Pool::Group(index)],
        }
    }

    /// Returns the pool that a handle names. Returns `None` if there is none.
    pub fn of(handle: Handle) -> Option<Pool> {
        // The lowest bit selects one of the agent's pools. The other bits are the agent's handle.
        let agent = Agent::of(handle >> 1)?;
        Some(Pool::of_agent(agent)[handle as usize & 1])
    }

    /// Returns the pool's handle.
    pub fn handle(self) -> Handle {
        let (agent, second) = match self {
            Pool::HostFine => (Agent::Cpu, 0),
            Pool::HostCoarse => (Agent::Cpu, 1),
            Pool::Gpu(index) => (Agent::Gpu(index), 0),
            Pool::Group(index) => (Agent::Gpu(index), 1),
        };
        agent.handle() << 1 | second
    }

    fn owner(self) -> Agent {
        match self {
            Pool::HostFine | Pool::HostCoarse => Agent::Cpu,
            Pool::Gpu(index) | Pool::Group(index) => Agent::Gpu(index),
        }
    }

    fn flags(self) -> u32 {
        match self {
            Pool::HostFine => FLAG_FINE | FLAG_KERNARG,
            Pool::HostCoarse | Pool::Gpu(_) => FLAG_COARSE,
            Pool::Group(_) => 0,
        }
    }

    fn can_allocate(self) -> bool {
        !matches!(self, Pool::Group(_))
    }
}

/// A known range of memory.
#[derive(Clone, Copy)]
struct Block {
    bytes: usize,
    kind: u32,
    pool: Pool,
}

/// All memory that GPUs may access, by start address.
struct AllocationMap {
    /// Allocations from pools: whole pages that do not overlap.
    allocated: BTreeMap<usize, Block>,
    /// Locked host memory, with the number of locks. The ranges are few and can overlap.
    locked: BTreeMap<usize, (Block, usize)>,
}

static ALLOCATIONS: Mutex<AllocationMap> =
    Mutex::new(AllocationMap { allocated: BTreeMap::new(), locked: BTreeMap::new() });

fn allocations() -> MutexGuard<'static, AllocationMap> {
    ALLOCATIONS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the block that contains all of these bytes, with its start address.
fn find(address: usize, bytes: usize) -> Option<(usize, Block)> {
    let holds = |base: usize, block: Block| {
        base <= address && address - base < block.bytes && bytes <= block.bytes - (address - base)
    };
    let allocations = allocations();
    let below =
        allocations.allocated.range(..=address).next_back().map(|(&base, &block)| (base, block));
    let mut locked = allocations.locked.range(..=address).map(|(&base, &(block, _))| (base, block));
    below
        .filter(|&(base, block)| holds(base, block))
        .or_else(|| locked.find(|&(base, block)| holds(base, block)))
}

/// Returns the number of bytes that an agent has left.
pub fn available(agent: Agent) -> u64 {
    let allocations = allocations();
    let blocks = allocations.allocated.values().filter(|block| block.pool.owner() == agent);
    let used: usize = blocks.map(|block| block.bytes).sum();
    SIZE.saturating_sub(used) as u64
}

/// Returns `true` if a GPU may access these bytes: they were allocated from a pool or locked.
pub fn is_accessible(address: usize, bytes: usize) -> bool {
    find(address, bytes).is_some()
}

/// Adds an allocation of a pool to the map.
pub fn insert(address: usize, bytes: usize, pool: Pool) {
    allocations().allocated.insert(address, Block { bytes, kind: POINTER_HSA, pool });
}

/// Removes the allocation that begins at `address`. Returns its length and its pool.
pub fn remove(address: usize) -> Option<(usize, Pool)> {
    allocations().allocated.remove(&address).map(|block| (block.bytes, block.pool))
}

fn allocate(pool: Pool, bytes: usize) -> Result<*mut c_void, Status> {
    if !pool.can_allocate() || bytes == 0 {
        return Err(INVALID_ALLOCATION);
    }
    if bytes as u64 > available(pool.owner()) {
        return Err(OUT_OF_RESOURCES);
    }
    let bytes = bytes.next_multiple_of(PAGE);
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: this creates a new mapping at an address of the system's choice.
    let address = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, flags, -1, 0) };
    if address == libc::MAP_FAILED {
        return Err(OUT_OF_RESOURCES);
    }
    insert(address as usize, bytes, pool);
    trace!("{}: {bytes} bytes at {address:p}", pool.owner());
    Ok(address)
}

/// Allows GPUs to access host memory.
pub fn lock(address: *mut c_void, bytes: usize) {
    let mut allocations = allocations();
    let block = Block { bytes, kind: POINTER_LOCKED, pool: Pool::HostFine };
    let (block, locks) = allocations.locked.entry(address as usize).or_insert((block, 0));
    block.bytes = block.bytes.max(bytes);
    *locks += 1;
}

/// Ends a [`lock`].
pub fn unlock(address: *mut c_void) {
    let mut allocations = allocations();
    if let Some((_, locks)) = allocations.locked.get_mut(&(address as usize)) {
        *locks -= 1;
        if *locks == 0 {
            allocations.locked.remove(&(address as usize));
        }
    }
}

fn answer(address: usize, size: u32) -> PointerInfo {
    let mut info = PointerInfo {
        size,
        kind: POINTER_UNKNOWN,
        agent_base: ptr::null_mut(),
        host_base: ptr::null_mut(),
        bytes: 0,
        user_data: ptr::null_mut(),
        owner: 0,
        global_flags: 0,
        registered: false,
    };
    if let Some((base, block)) = find(address, 0) {
        info.kind = block.kind;
        info.agent_base = base as *mut c_void;
        info.host_base = base as *mut c_void;
        info.bytes = block.bytes;
        info.owner = block.pool.owner().handle();
        info.global_flags = block.pool.flags();
    }
    info
}

hsa_api! {
    /// Writes a property of a pool.
    fn hsa_amd_memory_pool_get_info(pool: Handle, attribute: u32, value: *mut c_void) -> Status {
        let Some(pool) = Pool::of(pool) else { return INVALID_MEMORY_POOL };
        let group = !pool.can_allocate();
        let bytes = if group { 64 << 10 } else { SIZE };
        // SAFETY: `value` has room for the attribute's type (caller contract), and each arm writes
        // that type.
        unsafe {
            match attribute {
                0 => write_out(value, if group { SEGMENT_GROUP } else { SEGMENT_GLOBAL }),
                1 => write_out(value, pool.flags()),
                2 | 16 => write_out(value, bytes),                   // SIZE, ALLOC_MAX_SIZE
                5 => write_out(value, pool.can_allocate()),          // RUNTIME_ALLOC_ALLOWED
                6 | 7 | 18 => write_out(value, PAGE),                // the granules and the alignment
                15 => write_out(value, pool.owner() == Agent::Cpu),  // ACCESSIBLE_BY_ALL
                17 => write_out(value, 1u32),                        // LOCATION
                _ => {
                    trace!("{pool:?}: attribute {attribute} is not supported");
                    INVALID_ARGUMENT
                }
            }
        }
    }

    /// Writes an agent's access to a pool. GPUs can access each other's memory; the CPU cannot
    /// access theirs.
    fn hsa_amd_agent_memory_pool_get_info(
        agent: Handle, pool: Handle, attribute: u32, value: *mut c_void,
    ) -> Status {
        let Some(agent) = Agent::of(agent) else { return INVALID_AGENT };
        let Some(pool) = Pool::of(pool) else { return INVALID_MEMORY_POOL };
        let access = match (agent, pool.owner()) {
            (a, b) if a == b => 1u32,        // allowed by default
            (Agent::Cpu, Agent::Gpu(_)) => 0, // never allowed: no large BAR
            (Agent::Gpu(_), Agent::Cpu) => 1,
            (_, _) => 2,                     // must be requested
        };
        // SAFETY: `value` has room for the attribute's type (caller contract), and each arm writes
        // that type.
        unsafe {
            match attribute {
                0 => write_out(value, access),
                1 => write_out(value, u32::from(agent != pool.owner())), // NUM_LINK_HOPS
                // LINK_INFO: one 32-byte PCIe link, with atomics and coherent.
                2 if agent != pool.owner() => {
                    write_out(value, [1u32, 1, 16_000, 16_000, 0x0001_0101, 2, 20])
                }
                2 => SUCCESS,
                _ => INVALID_ARGUMENT,
            }
        }
    }

    /// Allocates zeroed whole pages from a pool.
    fn hsa_amd_memory_pool_allocate(
        pool: Handle, bytes: usize, _flags: u32, pointer: *mut *mut c_void,
    ) -> Status {
        let Some(pool) = Pool::of(pool) else { return INVALID_MEMORY_POOL };
        match allocate(pool, bytes) {
            // SAFETY: the out-pointer is null or has room for a pointer (caller contract).
            Ok(address) => unsafe { write_out(pointer.cast(), address) },
            Err(status) => status,
        }
    }

    /// Frees an allocation of a pool.
    fn hsa_amd_memory_pool_free(pointer: *mut c_void) -> Status {
        if pointer.is_null() {
            return SUCCESS;
        }
        let Some((bytes, pool)) = remove(pointer as usize) else { return INVALID_ALLOCATION };
        // SAFETY: the map says that this range was mapped with this length. The program no longer
        // uses it (caller contract).
        unsafe { libc::munmap(pointer, bytes) };
        trace!("{}: {bytes} bytes at {pointer:p} freed", pool.owner());
        SUCCESS
    }

    /// Does nothing: every agent may access all memory.
    fn hsa_amd_agents_allow_access(
        _count: u32, _agents: *const Handle, _flags: *const u32, _pointer: *const c_void,
    ) -> Status {
        SUCCESS
    }

    /// Writes what the map knows about an address.
    fn hsa_amd_pointer_info(
        pointer: *const c_void, info: *mut PointerInfo,
        _allocate: *const c_void, agents: *mut u32, accessible: *mut *mut Handle,
    ) -> Status {
        if info.is_null() {
            return INVALID_ARGUMENT;
        }
        // The agents with access are not tracked: all agents have access.
        if !agents.is_null() {
            // SAFETY: `accessible_count` is not null, so it has room for a number (caller
            // contract).
            unsafe { agents.write(0) };
        }
        if !accessible.is_null() {
            // SAFETY: `accessible` is not null, so it has room for a pointer (caller contract).
            unsafe { accessible.write(ptr::null_mut()) };
        }
        // SAFETY: the caller has set the first field to its struct's size, which depends on its
        // version. At most that many bytes are written.
        unsafe {
            let room = (*info).size;
            let known = answer(pointer as usize, room);
            let length = (room as usize).min(size_of::<PointerInfo>());
            info.cast::<u8>().copy_from_nonoverlapping(ptr::from_ref(&known).cast(), length);
        }
        SUCCESS
    }

    /// Copies memory on the calling thread.
    fn hsa_memory_copy(to: *mut c_void, from: *const c_void, bytes: usize) -> Status {
        // SAFETY: both ranges are valid (caller contract). They may overlap.
        unsafe { ptr::copy(from.cast::<u8>(), to.cast::<u8>(), bytes) };
        SUCCESS
    }

    /// Does nothing: host memory needs no registration.
    fn hsa_memory_register(_pointer: *mut c_void, _bytes: usize) -> Status {
        SUCCESS
    }

    /// Does nothing: host memory needs no registration.
    fn hsa_memory_deregister(_pointer: *mut c_void, _bytes: usize) -> Status {
        SUCCESS
    }

    /// Locks host memory for GPUs, which access it at the same address.
    fn hsa_amd_memory_lock(
        host: *mut c_void, bytes: usize, _agents: *const Handle, _count: i32,
        pointer: *mut *mut c_void,
    ) -> Status {
        lock(host, bytes);
        // SAFETY: the out-pointer is null or has room for a pointer (caller contract).
        unsafe { write_out(pointer.cast(), host) }
    }

    /// Locks host memory for GPUs, with the properties of a pool.
    fn hsa_amd_memory_lock_to_pool(
        host: *mut c_void, bytes: usize, _agents: *const Handle, _count: i32, _pool: Handle,
        _flags: u32, pointer: *mut *mut c_void,
    ) -> Status {
        lock(host, bytes);
        // SAFETY: the out-pointer is null or has room for a pointer (caller contract).
        unsafe { write_out(pointer.cast(), host) }
    }

    /// Ends a lock.
    fn hsa_amd_memory_unlock(host: *mut c_void) -> Status {
        unlock(host);
        SUCCESS
    }

    /// Fills memory with a 32-bit number, on the calling thread.
    fn hsa_amd_memory_fill(to: *mut c_void, value: u32, count: usize) -> Status {
        for index in 0..count {
            // SAFETY: `to` is valid for `count` numbers (caller contract).
            unsafe { to.cast::<u32>().add(index).write_unaligned(value) };
        }
        SUCCESS
    }
}
