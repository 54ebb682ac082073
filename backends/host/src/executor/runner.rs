//! The thread that runs a queue, and whether it is blocked inside `exit`: [`Runner`].
//!
//! Only one thread of a process can end it. Std blocks every other thread that calls
//! [`exit`](std::process::exit) in the system call `pause`, forever. Process exit waits for tasks,
//! so a task that calls `exit` during the exit would block it forever, too.
//!
//! No function reports that a thread is inside `exit`, so this module reads the thread's current
//! system call from `/proc`. A task that calls `pause` itself cannot be distinguished.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// The thread that runs a queue, or that ran it last.
///
/// The atomics are std's in the models too, because they order nothing.
pub(crate) struct Runner {
    /// The system's id of the thread. 0 if it is unknown.
    thread: AtomicU32,
    /// `true` if the thread was found inside `exit`.
    is_lost: AtomicBool,
}

impl Runner {
    /// Creates the runner of a queue that no thread has run.
    pub(super) fn new() -> Self {
        Runner { thread: AtomicU32::new(0), is_lost: AtomicBool::new(false) }
    }

    /// Sets the runner to the calling thread.
    #[inline]
    pub(super) fn set_current(&self) {
        self.thread.store(imp::current(), Ordering::Relaxed);
        self.is_lost.store(false, Ordering::Relaxed);
    }

    /// Returns the system's id of the thread. Returns 0 if it is unknown.
    pub(super) fn thread(&self) -> u32 {
        self.thread.load(Ordering::Relaxed)
    }

    /// Marks the thread as being inside `exit`.
    pub(super) fn set_lost(&self) {
        self.is_lost.store(true, Ordering::Relaxed);
    }

    /// Returns `true` if the thread was marked as being inside `exit`.
    pub(super) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Relaxed)
    }

    /// Returns `true` if the thread is blocked inside `exit`. Returns `false` if the system does
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
        static THREAD_ID: Cell<u32> = const { Cell::new(0) };
    }

    #[inline]
    pub(super) fn current() -> u32 {
        match THREAD_ID.get() {
            0 => current_slow(),
            id => id,
        }
    }

    #[cold]
    fn current_slow() -> u32 {
        // SAFETY: `gettid` has no arguments and cannot fail.
        let id = unsafe { libc::gettid() };
        THREAD_ID.set(id.unsigned_abs());
        THREAD_ID.get()
    }

    pub(super) fn is_in_pause(thread: u32) -> bool {
        let text = std::fs::read_to_string(format!("/proc/self/task/{thread}/syscall"));
        text.is_ok_and(|text| is_pause(&text))
    }

    /// Returns `true` if `text` describes the system call `pause`. `text` is the number of the
    /// call, followed by its arguments.
    pub(super) fn is_pause(text: &str) -> bool {
        let mut fields = text.split_ascii_whitespace();
        // The text of a running thread is "running", which is not a number.
        let Some(Ok(number)) = fields.next().map(str::parse::<libc::c_long>) else { return false };
        #[cfg(any(target_arch = "x86_64", target_arch = "x86", target_arch = "arm"))]
        if number == libc::SYS_pause {
            return true;
        }
        // On an architecture without that call, `pause` is `ppoll` with no files and no timeout.
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
    fn is_pause_accepts_only_a_thread_in_pause() {
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
