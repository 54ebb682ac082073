//! Memory of the process: [`heap`] by a counting allocator, [`process`] by the system.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

/// The system allocator with counters. It is the global allocator of programs that link this crate.
pub struct Counting;

static ALLOCATED_BYTES: AtomicU64 = AtomicU64::new(0);
static FREED_BYTES: AtomicU64 = AtomicU64::new(0);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static FREES: AtomicU64 = AtomicU64::new(0);

// SAFETY: forwards to `System`, which meets the contract; the counters do not touch the memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        ALLOCATED_BYTES.fetch_add(layout.size() as u64, Ordering::Relaxed);
        // SAFETY: `layout` has a non-zero size (caller contract).
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        FREES.fetch_add(1, Ordering::Relaxed);
        FREED_BYTES.fetch_add(layout.size() as u64, Ordering::Relaxed);
        // SAFETY: `pointer` came from `alloc`, so from `System`, with this `layout` (caller contract).
        unsafe { System.dealloc(pointer, layout) };
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Live allocations of Rust's heap. Does not include the allocations of a vendor's library.
#[derive(Clone, Copy, Debug)]
pub struct Heap {
    /// Bytes in use.
    pub bytes: u64,
    /// Allocations in use.
    pub blocks: u64,
    /// Allocations since the start of the process.
    pub allocations: u64,
}

/// Returns the current state of the heap. Exact only while no other thread allocates.
pub fn heap() -> Heap {
    let [allocations, frees] = [&ALLOCATIONS, &FREES].map(|count| count.load(Ordering::Relaxed));
    let [allocated, released] =
        [&ALLOCATED_BYTES, &FREED_BYTES].map(|count| count.load(Ordering::Relaxed));
    Heap {
        bytes: allocated.saturating_sub(released),
        blocks: allocations.saturating_sub(frees),
        allocations,
    }
}

/// Memory and threads of the process, as the system reports them.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    /// Resident bytes, including those of all libraries.
    pub resident: u64,
    /// Number of threads.
    pub threads: u64,
}

/// Returns the current state of the process, or `None` if the system has no `/proc`.
pub fn process() -> Option<Process> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let number = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    Some(Process { resident: number("VmRSS:")? * 1024, threads: number("Threads:")? })
}
