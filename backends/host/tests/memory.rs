//! What streams that were destroyed leave behind: no memory. Counted, over all threads of the process.
//!
//! Alone in its file: other tests would be counted with it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::thread;

use gpu_stream_core::{Backend, Device, Stream, StreamOptions};
use gpu_stream_host::{Gate, Host, HostStream};

static BYTES: AtomicIsize = AtomicIsize::new(0);

struct Counting;

// SAFETY: everything is std's; counting changes nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size() as isize, Ordering::SeqCst);
        // SAFETY: the caller's promise is the one that std asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size() as isize, Ordering::SeqCst);
        // SAFETY: as for `alloc`.
        unsafe { System.dealloc(place, layout) };
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const STREAMS: usize = if cfg!(miri) { 20 } else { 5_000 };

/// What may stay: lists that have grown once, and are used again. Less than a stream's memory.
const KEPT: isize = 1_000;

fn stream(device: Device) -> HostStream {
    Host::new_stream(device, StreamOptions::new()).expect("stream")
}

/// Destroys many streams while they wait for `gate`, and then opens it.
fn leave(device: Device, fails: bool) {
    let gate = Gate::new(device).expect("gate");
    let dropped = Arc::new(());
    for _ in 0..STREAMS {
        let stream = stream(device);
        stream.wait_event(gate.event()).expect("wait");
        let held = Arc::clone(&dropped);
        let work = move || {
            drop(held);
            // Without a message, or the hook would write it so many times.
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
        // Once for what is made at first need.
        leave(device, fails);
        let before = BYTES.load(Ordering::SeqCst);
        leave(device, fails);
        // The last task has run, and its thread takes a few steps more. A hang shows the fault.
        while BYTES.load(Ordering::SeqCst) > before + KEPT {
            thread::yield_now();
        }
    }
}
