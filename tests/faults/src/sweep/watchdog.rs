//! The end of a sweep that hangs: [`Watchdog`].

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Ends the process if a combination hangs, and prints its name. A call that waits for ever cannot be ended otherwise.
pub(super) struct Watchdog {
    current: Option<Sender<String>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Watches until the drop. A combination may take as long as `limit`.
    pub(super) fn new(limit: Duration) -> Self {
        let (current, next) = mpsc::channel::<String>();
        let watch = move || {
            let mut name = String::from("the preparation");
            loop {
                match next.recv_timeout(limit) {
                    Ok(started) => name = started,
                    Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) => {
                        eprintln!("{name}: a call hangs; no progress in {limit:?}");
                        // No exit handlers: a driver's could wait for the work of the call.
                        std::process::abort();
                    }
                }
            }
        };
        Watchdog { current: Some(current), thread: Some(thread::spawn(watch)) }
    }

    /// Reports progress: the combination with this name begins.
    pub(super) fn begin(&self, name: &str) {
        if let Some(current) = &self.current {
            // The receiver lives until the drop.
            let _ = current.send(name.to_owned());
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.current.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
