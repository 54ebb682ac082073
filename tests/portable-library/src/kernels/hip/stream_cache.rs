//! Memory in stream order for old runtimes, whose own cannot be used: on HIP 5.2.3, `hipStreamDestroy` does not return
//! once there was a `hipFreeAsync`. The oldest version that was seen to work is 5.7.
//!
//! What a stream has freed is kept for later allocations of the same stream. Its later work runs after the work that
//! used the memory before.

use std::collections::HashMap;
use std::ffi::c_int;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A stream: its device and its handle. A handle that is used again after a stream was destroyed does no harm: the
/// destroyed stream has done its work.
pub type Key = (c_int, usize);

/// Freed memory of one size, as addresses.
type Freed = HashMap<(Key, usize), Vec<u64>>;

fn freed() -> MutexGuard<'static, Option<Freed>> {
    static FREED: Mutex<Option<Freed>> = Mutex::new(None);
    FREED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns memory of `len` elements that the stream has freed, if there is some.
pub fn take(key: Key, len: usize) -> Option<u64> {
    freed().get_or_insert_default().get_mut(&(key, len))?.pop()
}

/// Keeps memory for later allocations of the stream.
pub fn put(key: Key, len: usize, memory: u64) {
    freed().get_or_insert_default().entry((key, len)).or_default().push(memory);
}
