//! What busy streams and the ends of threads are made of: std's locks, or loom's when loom checks
//! them (`--cfg gpu_stream_loom`; a cfg of our own and not `loom`, since other crates listen to that
//! one).

#[cfg(not(gpu_stream_loom))]
pub(crate) use std::sync::{
    Condvar, Mutex, MutexGuard,
    atomic::{AtomicBool, Ordering},
};

#[cfg(gpu_stream_loom)]
pub(crate) use loom::sync::{
    Condvar, Mutex, MutexGuard,
    atomic::{AtomicBool, Ordering},
};
