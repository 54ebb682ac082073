//! What the pool and the shared records are made of: std's atomics, or those of loom or shuttle when
//! these check them (`--cfg gpu_stream_loom`, `--cfg gpu_stream_shuttle`; cfgs of our own and not
//! `loom`, since other crates listen to that one).

use std::cell::Cell;

#[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
mod imp {
    pub(crate) use std::sync::atomic::{AtomicUsize, Ordering};

    /// Backs off in a retry loop: spins for 64 turns, yields for 128, then sleeps.
    ///
    /// A thread that waits sleeps in the end because the thread that it waits for may have a lower
    /// priority. A real-time thread that only yields would keep that one off the core for ever. The
    /// sleep has a time, 50 to 800 µs, and no wake-up: so the other side pays nothing for it.
    pub(crate) fn pause(turn: u32) {
        match turn {
            ..64 => std::hint::spin_loop(),
            64..192 => std::thread::yield_now(),
            192.. => {
                let sleep = std::time::Duration::from_micros(50);
                std::thread::sleep(sleep * (1 << ((turn - 192) / 64).min(4)));
            }
        }
    }
}

#[cfg(gpu_stream_loom)]
mod imp {
    pub(crate) use loom::sync::atomic::{AtomicUsize, Ordering};

    pub(crate) fn pause(_: u32) {
        loom::thread::yield_now();
    }
}

#[cfg(gpu_stream_shuttle)]
mod imp {
    pub(crate) use shuttle::sync::atomic::{AtomicUsize, Ordering};

    pub(crate) fn pause(_: u32) {
        shuttle::thread::yield_now();
    }
}

pub(crate) use imp::*;

thread_local! {
    // Without a destructor: it is good until the thread's very end, and nothing runs then.
    static NUMBER: Cell<usize> = const { Cell::new(0) };
}

/// A number of the calling thread, from 1, to spread threads over places. No two threads of the
/// process have the same. Good until the thread's very end.
#[inline]
pub fn thread_number() -> usize {
    // Its threads are not the system's.
    #[cfg(gpu_stream_shuttle)]
    return usize::from(shuttle::current::me()) + 1;
    #[cfg(not(gpu_stream_shuttle))]
    match NUMBER.get() {
        0 => first_number(),
        number => number,
    }
}

#[cold]
#[cfg_attr(gpu_stream_shuttle, allow(dead_code))]
fn first_number() -> usize {
    static LAST: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let number = LAST.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
    NUMBER.set(number);
    number
}
