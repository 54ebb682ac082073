//! Memory: pools, what is allocated from them, and host memory that was locked for a GPU.
//!
//! All of it is plain memory of the process at one address for everybody. What the simulator adds
//! is the book of what lies where.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::abi::*;
use crate::agents::Agent;
use crate::trace::trace;

pub const PAGE: usize = 4096;

/// What each GPU, and the host, says it has. Pages are only taken when they are touched.
const SIZE: usize = 16 << 30;

const FLAG_KERNARG: u32 = 1;
const FLAG_FINE: u32 = 2;
const FLAG_COARSE: u32 = 4;

const SEGMENT_GLOBAL: u32 = 0;
const SEGMENT_GROUP: u32 = 3;

/// A place that memory comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// Host memory that every agent sees at once; kernels' arguments lie here.
    HostFine,
    HostCoarse,
    /// A GPU's own memory.
    Gpu(usize),
    /// Memory that a workgroup shares: only reported, as no workgroup runs.
    Group(usize),
}

impl Pool {
    /// The pools of an agent.
    pub fn of_agent(agent: Agent) -> [Pool; 2] {
        match agent {
            Agent::Cpu => [Pool::HostFine, Pool::HostCoarse],
            Agent::Gpu(index) => [Pool::Gpu(index), Pool::Group(index)],
        }
    }

    /// The pool behind a handle, if there is one.
    pub fn of(handle: Handle) -> Option<Pool> {
        // The low bits tell an agent's pools apart, the rest is the agent.
        let agent = Agent::of(handle >> 1)?;
        Some(Pool::of_agent(agent)[handle as usize & 1])
    }

    /// Its handle.
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

/// A piece of memory that the book knows.
#[derive(Clone, Copy)]
struct Block {
    bytes: usize,
    kind: u32,
    pool: Pool,
}

/// Everything that GPUs may touch, by its first address.
struct Book {
    /// What was allocated from pools: whole pages, none over another.
    allocated: BTreeMap<usize, Block>,
    /// Host memory that was locked, and how often. These may lie over one another; they are few.
    locked: BTreeMap<usize, (Block, usize)>,
}

static BOOK: Mutex<Book> = Mutex::new(Book { allocated: BTreeMap::new(), locked: BTreeMap::new() });

fn book() -> MutexGuard<'static, Book> {
    BOOK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The block that holds all of these bytes, and its first address.
fn find(address: usize, bytes: usize) -> Option<(usize, Block)> {
    let holds = |base: usize, block: Block| {
        base <= address && address - base < block.bytes && bytes <= block.bytes - (address - base)
    };
    let book = book();
    let below = book.allocated.range(..=address).next_back().map(|(&base, &block)| (base, block));
    let mut locked = book.locked.range(..=address).map(|(&base, &(block, _))| (base, block));
    below
        .filter(|&(base, block)| holds(base, block))
        .or_else(|| locked.find(|&(base, block)| holds(base, block)))
}

/// Bytes that a GPU could still give.
pub fn available(agent: Agent) -> u64 {
    let book = book();
    let blocks = book.allocated.values().filter(|block| block.pool.owner() == agent);
    let used: usize = blocks.map(|block| block.bytes).sum();
    SIZE.saturating_sub(used) as u64
}

/// Whether a GPU may touch these bytes: they were allocated from a pool or locked.
pub fn reachable(address: usize, bytes: usize) -> bool {
    find(address, bytes).is_some()
}

/// Writes down that memory of a pool lies at an address.
pub fn enter(address: usize, bytes: usize, pool: Pool) {
    book().allocated.insert(address, Block { bytes, kind: POINTER_HSA, pool });
}

/// Strikes out what begins at an address: its length and its pool, if there was something.
pub fn strike(address: usize) -> Option<(usize, Pool)> {
    book().allocated.remove(&address).map(|block| (block.bytes, block.pool))
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
    // SAFETY: a new mapping, wherever the system puts it.
    let address = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, flags, -1, 0) };
    if address == libc::MAP_FAILED {
        return Err(OUT_OF_RESOURCES);
    }
    enter(address as usize, bytes, pool);
    trace!("{}: {bytes} bytes at {address:p}", pool.owner());
    Ok(address)
}

/// Notes that a GPU may touch host memory.
pub fn lock(address: *mut c_void, bytes: usize) {
    let mut book = book();
    let block = Block { bytes, kind: POINTER_LOCKED, pool: Pool::HostFine };
    let (block, locks) = book.locked.entry(address as usize).or_insert((block, 0));
    block.bytes = block.bytes.max(bytes);
    *locks += 1;
}

/// Ends a [`lock`].
pub fn unlock(address: *mut c_void) {
    let mut book = book();
    if let Some((_, locks)) = book.locked.get_mut(&(address as usize)) {
        *locks -= 1;
        if *locks == 0 {
            book.locked.remove(&(address as usize));
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
    /// A property of a pool.
    fn hsa_amd_memory_pool_get_info(pool: Handle, attribute: u32, value: *mut c_void) -> Status {
        let Some(pool) = Pool::of(pool) else { return INVALID_MEMORY_POOL };
        let group = !pool.can_allocate();
        let bytes = if group { 64 << 10 } else { SIZE };
        // SAFETY: for all: the type is the attribute's, which the caller gives room for.
        unsafe {
            match attribute {
                0 => put(value, if group { SEGMENT_GROUP } else { SEGMENT_GLOBAL }),
                1 => put(value, pool.flags()),
                2 | 16 => put(value, bytes),                   // SIZE, ALLOC_MAX_SIZE
                5 => put(value, pool.can_allocate()),          // RUNTIME_ALLOC_ALLOWED
                6 | 7 | 18 => put(value, PAGE),                // the granules and the alignment
                15 => put(value, pool.owner() == Agent::Cpu),  // ACCESSIBLE_BY_ALL
                17 => put(value, 1u32),                        // LOCATION
                _ => {
                    trace!("{pool:?}: attribute {attribute} is not known here");
                    INVALID_ARGUMENT
                }
            }
        }
    }

    /// What an agent may do with a pool: GPUs see one another, the CPU does not see their memory.
    fn hsa_amd_agent_memory_pool_get_info(
        agent: Handle, pool: Handle, attribute: u32, value: *mut c_void,
    ) -> Status {
        let Some(agent) = Agent::of(agent) else { return INVALID_AGENT };
        let Some(pool) = Pool::of(pool) else { return INVALID_MEMORY_POOL };
        let access = match (agent, pool.owner()) {
            (a, b) if a == b => 1u32,        // allowed by default
            (Agent::Cpu, Agent::Gpu(_)) => 0, // never allowed: no large BAR
            (Agent::Gpu(_), Agent::Cpu) => 1,
            (_, _) => 2,                     // must be asked for
        };
        // SAFETY: for all: the type is the attribute's, which the caller gives room for.
        unsafe {
            match attribute {
                0 => put(value, access),
                1 => put(value, u32::from(agent != pool.owner())), // NUM_LINK_HOPS
                // LINK_INFO: one PCIe link of 32 bytes, with atomics and coherent.
                2 if agent != pool.owner() => {
                    put(value, [1u32, 1, 16_000, 16_000, 0x0001_0101, 2, 20])
                }
                2 => SUCCESS,
                _ => INVALID_ARGUMENT,
            }
        }
    }

    /// Allocates from a pool, in whole pages of zeros.
    fn hsa_amd_memory_pool_allocate(
        pool: Handle, bytes: usize, _flags: u32, pointer: *mut *mut c_void,
    ) -> Status {
        let Some(pool) = Pool::of(pool) else { return INVALID_MEMORY_POOL };
        match allocate(pool, bytes) {
            // SAFETY: the caller gives room for a pointer.
            Ok(address) => unsafe { put(pointer.cast(), address) },
            Err(status) => status,
        }
    }

    /// Frees what was allocated from a pool.
    fn hsa_amd_memory_pool_free(pointer: *mut c_void) -> Status {
        if pointer.is_null() {
            return SUCCESS;
        }
        let Some((bytes, pool)) = strike(pointer as usize) else { return INVALID_ALLOCATION };
        // SAFETY: the book said that this was mapped with this length. That nobody uses it any more
        // is the caller's promise.
        unsafe { libc::munmap(pointer, bytes) };
        trace!("{}: {bytes} bytes at {pointer:p} freed", pool.owner());
        SUCCESS
    }

    /// Every agent may touch everything here.
    fn hsa_amd_agents_allow_access(
        _count: u32, _agents: *const Handle, _flags: *const u32, _pointer: *const c_void,
    ) -> Status {
        SUCCESS
    }

    /// What the book knows of an address.
    fn hsa_amd_pointer_info(
        pointer: *const c_void, info: *mut PointerInfo,
        _allocate: *const c_void, agents: *mut u32, accessible: *mut *mut Handle,
    ) -> Status {
        if info.is_null() {
            return INVALID_ARGUMENT;
        }
        // Which agents may touch it is not kept: all may.
        if !agents.is_null() {
            // SAFETY: not null, so the caller gives room for a number.
            unsafe { agents.write(0) };
        }
        if !accessible.is_null() {
            // SAFETY: not null, so the caller gives room for a pointer.
            unsafe { accessible.write(ptr::null_mut()) };
        }
        // SAFETY: the caller has set the first field to the size of its struct, which may be of an
        // older or a newer version; no more than that is written.
        unsafe {
            let room = (*info).size;
            let known = answer(pointer as usize, room);
            let length = (room as usize).min(size_of::<PointerInfo>());
            info.cast::<u8>().copy_from_nonoverlapping(ptr::from_ref(&known).cast(), length);
        }
        SUCCESS
    }

    /// Copies, in the caller's thread.
    fn hsa_memory_copy(to: *mut c_void, from: *const c_void, bytes: usize) -> Status {
        // SAFETY: the caller answers for both ranges. They may overlap.
        unsafe { ptr::copy(from.cast::<u8>(), to.cast::<u8>(), bytes) };
        SUCCESS
    }

    /// Host memory needs no registration here.
    fn hsa_memory_register(_pointer: *mut c_void, _bytes: usize) -> Status {
        SUCCESS
    }

    /// Host memory needs no registration here.
    fn hsa_memory_deregister(_pointer: *mut c_void, _bytes: usize) -> Status {
        SUCCESS
    }

    /// Locks host memory for GPUs, which see it at the same address.
    fn hsa_amd_memory_lock(
        host: *mut c_void, bytes: usize, _agents: *const Handle, _count: i32,
        pointer: *mut *mut c_void,
    ) -> Status {
        lock(host, bytes);
        // SAFETY: the caller gives room for a pointer.
        unsafe { put(pointer.cast(), host) }
    }

    /// Locks host memory for GPUs, with the properties of a pool.
    fn hsa_amd_memory_lock_to_pool(
        host: *mut c_void, bytes: usize, _agents: *const Handle, _count: i32, _pool: Handle,
        _flags: u32, pointer: *mut *mut c_void,
    ) -> Status {
        lock(host, bytes);
        // SAFETY: the caller gives room for a pointer.
        unsafe { put(pointer.cast(), host) }
    }

    /// Ends a lock.
    fn hsa_amd_memory_unlock(host: *mut c_void) -> Status {
        unlock(host);
        SUCCESS
    }

    /// Fills with a 32-bit number, in the caller's thread.
    fn hsa_amd_memory_fill(to: *mut c_void, value: u32, count: usize) -> Status {
        for index in 0..count {
            // SAFETY: the caller answers for `count` numbers from `to`.
            unsafe { to.cast::<u32>().add(index).write_unaligned(value) };
        }
        SUCCESS
    }
}
