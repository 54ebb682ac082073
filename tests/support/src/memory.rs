//! The heap of a test program: [`CountingAllocator`], [`churn`].

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The system's allocator, which counts [`allocations`]. For `#[global_allocator]`.
#[derive(Debug)]
pub struct CountingAllocator;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

/// Returns the number of allocations by [`CountingAllocator`] so far. A library with an allocator of its own,
/// as a simulated driver, does not count.
pub fn allocations() -> usize {
    ALLOCATIONS.load(Ordering::SeqCst)
}

// SAFETY: all calls are forwarded to the system's allocator.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::SeqCst);
        // SAFETY: `layout` is valid (caller contract).
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` and `layout` are valid (caller contract).
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Reuses freed heap memory, so that a freed object does not seem live by chance.
pub fn churn(blocks: usize) {
    let size = |index: usize| 64 + index * 5 % 2_048;
    let blocks: Vec<Vec<u8>> = (0..blocks).map(|index| vec![0xEE; size(index)]).collect();
    std::hint::black_box(&blocks);
}
