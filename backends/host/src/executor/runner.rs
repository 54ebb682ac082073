//! The thread that runs a queue, and whether it is blocked inside `exit`: [`Runner`].
//!
//! A process has one thread that ends it. Std has every other thread that calls
//! [`exit`](std::process::exit) wait in the system call `pause`, for ever. A task that does so
//! while the end of the process waits for tasks would never let it end. There is no function that
//! tells; the system does, in `/proc`. A task that calls `pause` itself looks the same.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// The number that the system has for a thread; 0 where it is not known.
///
/// An atomic of std in the models, too: nothing is ordered by it.
pub(crate) struct Runner {
    thread: AtomicU32,
    /// Whether that thread was seen inside `exit`.
    is_lost: AtomicBool,
}

impl Runner {
    pub(super) fn new() -> Self {
        Runner { thread: AtomicU32::new(0), is_lost: AtomicBool::new(false) }
    }

    /// Notes the calling thread.
    #[inline]
    pub(super) fn set_current(&self) {
        self.thread.store(imp::current(), Ordering::Relaxed);
        self.is_lost.store(false, Ordering::Relaxed);
    }

    pub(super) fn thread(&self) -> u32 {
        self.thread.load(Ordering::Relaxed)
    }

    /// Notes that the thread is inside `exit`.
    pub(super) fn set_lost(&self) {
        self.is_lost.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Relaxed)
    }

    /// Returns `true` if the thread is blocked inside `exit`. Returns `false` where the system does
    /// not tell. Reads a file.
    pub(super) fn is_in_exit(&self) -> bool {
        let thread = self.thread();
        thread != 0 && imp::is_in_pause(thread)
    }
}

#[cfg(all(target_os = "linux", not(any(gpu_stream_loom, gpu_stream_shuttle))))]
mod imp {
    use std::cell::Cell;

    thread_local! {
        static NUMBER: Cell<u32> = const { Cell::new(0) };
    }

    #[inline]
    pub(super) fn current() -> u32 {
        match NUMBER.get() {
            0 => first(),
            number => number,
        }
    }

    #[cold]
    fn first() -> u32 {
        // SAFETY: takes nothing, and cannot fail.
        let number = unsafe { libc::gettid() };
        NUMBER.set(number.unsigned_abs());
        NUMBER.get()
    }

    pub(super) fn is_in_pause(thread: u32) -> bool {
        let text = std::fs::read_to_string(format!("/proc/self/task/{thread}/syscall"));
        text.is_ok_and(|text| is_pause(&text))
    }

    /// Returns `true` if this is the system call `pause`: its number, and then its arguments.
    pub(super) fn is_pause(text: &str) -> bool {
        let mut fields = text.split_ascii_whitespace();
        // "running" is no number.
        let Some(Ok(number)) = fields.next().map(str::parse::<libc::c_long>) else { return false };
        #[cfg(any(target_arch = "x86_64", target_arch = "x86", target_arch = "arm"))]
        if number == libc::SYS_pause {
            return true;
        }
        // Without such a call, `pause` polls no files, without a timeout.
        number == libc::SYS_ppoll && fields.take(3).all(|field| field == "0x0")
    }
}

#[cfg(not(all(target_os = "linux", not(any(gpu_stream_loom, gpu_stream_shuttle)))))]
mod imp {
    #[inline]
    pub(super) fn current() -> u32 {
        0
    }

    pub(super) fn is_in_pause(_: u32) -> bool {
        false
    }
}

#[cfg(all(test, target_os = "linux", not(any(gpu_stream_loom, gpu_stream_shuttle))))]
mod tests {
    use super::imp::is_pause;

    #[test]
    fn a_thread_in_pause_is_told_from_others() {
        let ppoll = |arguments: &str| format!("{} {arguments} 0x7ff 0x7f0\n", libc::SYS_ppoll);
        assert!(is_pause(&ppoll("0x0 0x0 0x0 0x0 0x8 0x1")));
        assert!(!is_pause(&ppoll("0x7ffd10 0x1 0x0 0x0 0x8 0x1")));
        assert!(!is_pause(&ppoll("0x0 0x0 0x7ffd10 0x0 0x8 0x1")));
        assert!(!is_pause(&format!("{} 0x7f1 0x80 0x0 0x0 0x0 0x0 0x1 0x2\n", libc::SYS_futex)));
        assert!(!is_pause("running\n"));
        assert!(!is_pause("-1 0x0 0x0\n"));
        assert!(!is_pause(""));
    }
}
