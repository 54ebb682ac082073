//! What the process holds: a counting allocator, and what the system says.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

/// The system's allocator, with counts. Programs that link this crate have it.
pub struct Counting;

static ALLOCATED_BYTES: AtomicU64 = AtomicU64::new(0);
static FREED_BYTES: AtomicU64 = AtomicU64::new(0);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static FREES: AtomicU64 = AtomicU64::new(0);

// SAFETY: the system's allocator does all of it; counting changes nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        ALLOCATED_BYTES.fetch_add(layout.size() as u64, Ordering::Relaxed);
        // SAFETY: the caller promises the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        FREES.fetch_add(1, Ordering::Relaxed);
        FREED_BYTES.fetch_add(layout.size() as u64, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) };
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// What Rust's allocator has given out and not got back; not what a vendor's library allocates for
/// itself.
#[derive(Clone, Copy, Debug)]
pub struct Heap {
    /// Bytes that are in use.
    pub bytes: u64,
    /// Allocations that are in use.
    pub blocks: u64,
    /// Allocations ever made.
    pub made: u64,
}

/// The heap at this moment. Exact only while no other thread allocates.
pub fn heap() -> Heap {
    let [made, freed] = [&ALLOCATIONS, &FREES].map(|count| count.load(Ordering::Relaxed));
    let [given, taken] =
        [&ALLOCATED_BYTES, &FREED_BYTES].map(|count| count.load(Ordering::Relaxed));
    Heap { bytes: given.saturating_sub(taken), blocks: made.saturating_sub(freed), made }
}

/// What the system says of the process.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    /// Bytes of memory that are resident, those of all libraries included.
    pub resident: u64,
    /// Threads.
    pub threads: u64,
}

/// The process at this moment; `None` where there is no `/proc`.
pub fn process() -> Option<Process> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let number = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    Some(Process { resident: number("VmRSS:")? * 1024, threads: number("Threads:")? })
}
