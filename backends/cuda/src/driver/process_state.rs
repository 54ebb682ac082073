//! The state of the process: running or forked.
//!
//! The child of a fork has no driver: [`driver`](super::driver) returns an error there, and dropped objects are left alone.

use gpu_stream_driver_common::ProcessState;

/// The state of this process for the CUDA driver.
pub(super) static PROCESS_STATE: ProcessState = ProcessState::new();
