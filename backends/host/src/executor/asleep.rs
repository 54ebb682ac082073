//! For tests: seeing that a thread sleeps.

use std::thread;

/// Runs `work` on a new thread, waits until that sleeps, calls `release`, and waits for its end.
///
/// A thread that spins or yields is never asleep, and then this does not return.
pub(super) fn sleeps_until(work: impl FnOnce() + Send + 'static, release: impl FnOnce()) {
    let (tell, told) = std::sync::mpsc::channel();
    let thread = thread::spawn(move || {
        tell.send(std::fs::read_link("/proc/thread-self").expect("/proc")).expect("tell");
        work();
    });
    let stat = std::path::Path::new("/proc").join(told.recv().expect("told")).join("stat");
    let is_asleep = || {
        let text = std::fs::read_to_string(&stat).expect("a thread that is there");
        text.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S'))
    };
    while !is_asleep() {
        thread::yield_now();
    }
    release();
    thread.join().expect("join");
}
