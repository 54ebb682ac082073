//! Tests that destroyed streams leave no memory allocated, over all threads of the process.
//!
//! The test is alone in its file, because it would count the allocations of other tests too.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::thread;

use gpu_stream_core::{Backend, Device, Stream, StreamOptions};
use gpu_stream_host::{Gate, Host, HostStream};

static BYTES: AtomicIsize = AtomicIsize::new(0);

/// Std's allocator, with a count of the allocated bytes.
struct Counting;

// SAFETY: every call forwards to std's allocator, which satisfies the contract. Counting has no
// effect on it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size() as isize, Ordering::SeqCst);
        // SAFETY: the contract of `System.alloc` is that of this function (caller contract).
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size() as isize, Ordering::SeqCst);
        // SAFETY: `memory` comes from `System.alloc` with this layout (caller contract).
        unsafe { System.dealloc(memory, layout) };
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const STREAMS: usize = if cfg!(miri) { 20 } else { 5_000 };

/// The number of bytes that may stay allocated: lists that have grown once and are reused. Less
/// than the memory of one stream.
const KEPT: isize = 1_000;

fn stream(device: Device) -> HostStream {
    Host::new_stream(device, StreamOptions::new()).expect("stream")
}

/// Destroys many streams while they wait for a gate, and then opens it.
fn destroy_many(device: Device, fails: bool) {
    let gate = Gate::new(device).expect("gate");
    let dropped = Arc::new(());
    for _ in 0..STREAMS {
        let stream = stream(device);
        stream.wait_event(gate.event()).expect("wait");
        let held = Arc::clone(&dropped);
        let work = move || {
            drop(held);
            // `resume_unwind` does not call the panic hook, which would print each panic.
            if fails {
                std::panic::resume_unwind(Box::new(()));
            }
        };
        stream.launch(work).expect("launch");
    }
    gate.open();
    drop(gate);
    while Arc::strong_count(&dropped) > 1 {
        thread::yield_now();
    }
}

#[test]
fn destroyed_streams_leave_no_memory_behind() {
    let device = Host::device(0).expect("device");
    for fails in [false, true] {
        // The first round allocates what is created once.
        destroy_many(device, fails);
        let before = BYTES.load(Ordering::SeqCst);
        destroy_many(device, fails);
        // The worker of the last task still has a few steps to do. A leak makes the test hang.
        while BYTES.load(Ordering::SeqCst) > before + KEPT {
            thread::yield_now();
        }
    }
}
