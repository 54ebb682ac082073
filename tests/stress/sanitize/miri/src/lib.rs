//! Common code of the programs.
//!
//! A program waits for its work before it returns, because Miri does not support `atexit`.

use std::cell::UnsafeCell;
use std::sync::Arc;

use gpu_stream_core::{Backend, StreamOptions};
use gpu_stream_host::{Host, HostStream};

/// Creates a stream of the given priority.
pub fn stream(priority: i32) -> HostStream {
    let device = Host::device(0).expect("device");
    Host::new_stream(device, StreamOptions::new().priority(priority)).expect("stream")
}

/// Number without a lock. Miri reports a data race if streams do not order its users.
#[derive(Default)]
pub struct Number(UnsafeCell<u64>);

// SAFETY: streams order all accesses. That is the claim under test, and Miri checks it.
unsafe impl Sync for Number {}

impl Number {
    /// Adds one, and returns the sum.
    pub fn add(&self) -> u64 {
        // SAFETY: streams order all accesses (see `Sync`), so no other thread accesses the number now.
        unsafe {
            *self.0.get() += 1;
            *self.0.get()
        }
    }
}

/// Returns a task that adds one.
pub fn adds(number: &Arc<Number>) -> impl FnOnce() + Send + 'static {
    let number = Arc::clone(number);
    move || {
        number.add();
    }
}
