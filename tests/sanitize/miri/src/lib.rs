//! What the programs share.
//!
//! A program under Miri waits for its work before it ends: Miri has no functions of `atexit`.

use std::cell::UnsafeCell;
use std::sync::Arc;

use gpu_stream_core::{Backend, StreamOptions};
use gpu_stream_host::{Host, HostStream};

/// Creates a stream of this priority.
pub fn stream(priority: i32) -> HostStream {
    let device = Host::device(0).expect("device");
    Host::new_stream(device, StreamOptions::new().priority(priority)).expect("stream")
}

/// A number without a lock. Miri reports a data race where streams do not order its users.
#[derive(Default)]
pub struct Number(UnsafeCell<u64>);

// SAFETY: the programs are there to show that streams order all uses, and Miri checks it.
unsafe impl Sync for Number {}

impl Number {
    /// Adds one, and returns the sum.
    pub fn add(&self) -> u64 {
        // SAFETY: see `Sync` above.
        unsafe {
            *self.0.get() += 1;
            *self.0.get()
        }
    }
}

/// A task that adds one.
pub fn adds(number: &Arc<Number>) -> impl FnOnce() + Send + 'static {
    let number = Arc::clone(number);
    move || {
        number.add();
    }
}
