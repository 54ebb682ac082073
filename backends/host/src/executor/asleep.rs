//! A helper for tests: detects that a thread sleeps.

use std::thread;

/// Runs `work` on a new thread, waits until that sleeps, calls `release`, and joins the thread.
///
/// Does not return if the thread only spins or yields.
pub(super) fn sleeps_until(work: impl FnOnce() + Send + 'static, release: impl FnOnce()) {
    let (sender, receiver) = std::sync::mpsc::channel();
    let thread = thread::spawn(move || {
        sender.send(std::fs::read_link("/proc/thread-self").expect("/proc")).expect("send");
        work();
    });
    let stat = std::path::Path::new("/proc").join(receiver.recv().expect("path")).join("stat");
    let is_asleep = || {
        let text = std::fs::read_to_string(&stat).expect("the thread is alive");
        text.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S'))
    };
    while !is_asleep() {
        thread::yield_now();
    }
    release();
    thread.join().expect("join");
}
