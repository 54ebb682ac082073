//! The locks and atomics of [`pending_destroy`](crate::pending_destroy): those of std, or of loom in loom tests.
//!
//! Loom tests are built with `--cfg gpu_stream_loom`. The flag is not `loom`, because other crates react to that one.

#[cfg(not(gpu_stream_loom))]
pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, Ordering},
};

#[cfg(gpu_stream_loom)]
pub(crate) use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, Ordering},
};
