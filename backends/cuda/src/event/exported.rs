//! The interprocess handles of this process's own events.
//!
//! The driver does not open such a handle in the process that created the event, and its code does not tell the reason.
//! This table tells it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gpu_stream_core::RawEvent;

use crate::Cuda;

/// The handles of live events of this process, each with its event.
static EXPORTED: Mutex<BTreeMap<[u8; 64], usize>> = Mutex::new(BTreeMap::new());

fn exported() -> MutexGuard<'static, BTreeMap<[u8; 64], usize>> {
    EXPORTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds the handle of an event.
pub(crate) fn add(handle: [u8; 64], event: usize) {
    exported().insert(handle, event);
}

/// Returns the event of this process that the handle names, if there is one.
pub(crate) fn find(handle: &[u8; 64]) -> Option<usize> {
    exported().get(handle).copied()
}

/// Removes the handles of an event that is dropped.
pub(super) fn forget(event: RawEvent<Cuda>) {
    exported().retain(|_, of| *of != event.to_bits());
}
