//! The atomics of the pool and of the coalescer: std's, or in unit tests those of loom or shuttle under
//! `--cfg gpu_stream_loom` or `--cfg gpu_stream_shuttle`. Loom and shuttle are dev-dependencies, so that they
//! are in no user's lock file. The cfgs have names of their own because other crates react to `loom`.

use std::cell::Cell;

#[cfg(not(all(test, any(gpu_stream_loom, gpu_stream_shuttle))))]
mod imp {
    pub(crate) use std::sync::atomic::{AtomicUsize, Ordering};
    pub(crate) use std::sync::{Mutex, MutexGuard};

    /// Backs off in a retry loop: spins for 64 turns, yields for 128, then sleeps.
    ///
    /// A waiting thread sleeps in the end because the thread that it waits for may have a lower priority. A
    /// real-time thread that only yields would keep that thread off the core forever. The sleep is timed,
    /// 50 to 800 µs, and needs no wake-up, so it costs the other side nothing.
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

#[cfg(all(test, gpu_stream_loom))]
mod imp {
    pub(crate) use loom::sync::atomic::{AtomicUsize, Ordering};
    pub(crate) use loom::sync::{Mutex, MutexGuard};

    pub(crate) fn pause(_: u32) {
        loom::thread::yield_now();
    }
}

#[cfg(all(test, gpu_stream_shuttle))]
mod imp {
    pub(crate) use shuttle::sync::atomic::{AtomicUsize, Ordering};
    pub(crate) use shuttle::sync::{Mutex, MutexGuard};

    pub(crate) fn pause(_: u32) {
        shuttle::thread::yield_now();
    }
}

pub(crate) use imp::*;

thread_local! {
    // Has no destructor, so it stays usable until the thread has ended.
    static NUMBER: Cell<usize> = const { Cell::new(0) };
}

/// Returns the number of the calling thread, counted from 1. It selects where the thread starts in shared
/// tables. No two threads of the process have the same number. Works until the thread has ended.
#[inline]
pub fn thread_number() -> usize {
    // Shuttle's threads are not those of the system.
    #[cfg(all(test, gpu_stream_shuttle))]
    return usize::from(shuttle::current::me()) + 1;
    #[cfg(not(all(test, gpu_stream_shuttle)))]
    match NUMBER.get() {
        0 => first_number(),
        number => number,
    }
}

#[cold]
#[cfg_attr(all(test, gpu_stream_shuttle), allow(dead_code))]
fn first_number() -> usize {
    static LAST: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let number = LAST.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
    NUMBER.set(number);
    number
}
