//! Every call of the backend, on every kind of stream, for tests of what a call leaves behind.

#![allow(unused_imports, reason = "no test uses all of it")]

use gpu_stream_core::{BackendKind, ContractError, Device, RawStream};
use gpu_stream_hip::{Hip, HipError, HipEvent};
pub use gpu_stream_test_support::operations::{OperationsDriver, all, run_all, run_failing};

use super::bare::{self, Ptr};

/// The HIP runtime, for the operations.
pub struct OnDriver;

/// The objects of the calls.
pub type World = gpu_stream_test_support::operations::World<OnDriver>;

impl OperationsDriver for OnDriver {
    type Backend = Hip;

    fn new_stream(flags: u32) -> Ptr {
        bare::new_stream(0, flags, 0)
    }

    fn new_stream_elsewhere() -> Option<(&'static str, Ptr)> {
        (super::devices() > 1).then(|| ("second device", bare::new_stream(1, 1, 0)))
    }

    fn begin_capture(stream: Ptr) {
        const THREAD_LOCAL: i32 = 1;
        bare::begin_capture(stream, THREAD_LOCAL);
    }

    fn enter(place: usize) -> bool {
        let exists = place < super::devices().min(2) as usize;
        if exists {
            bare::set_device(place as i32);
        }
        exists
    }

    fn set_capture_mode(mode: i32) {
        bare::set_capture_mode(mode);
    }

    fn thread_state() -> String {
        format!("{:?}", bare::thread_state())
    }

    fn clear_last_error() {
        bare::fetch_error();
    }

    fn last_error() -> i32 {
        bare::peek_error()
    }

    fn has_stream_ids() -> bool {
        bare::bare().stream_id.is_some()
    }

    fn ipc_handle(_: &HipEvent) -> Result<(), HipError> {
        Err(no_interprocess())
    }

    fn open_ipc_zeros(_: Device) -> Result<HipEvent, HipError> {
        Err(no_interprocess())
    }
}

/// Returns an error in place of functions that this backend lacks: it has no interprocess events.
pub fn no_interprocess() -> HipError {
    let (operation, backend) = ("interprocess events", BackendKind::Hip);
    ContractError::Unsupported { operation, backend, reason: "none in HIP" }.into()
}

/// Makes all calls that are allowed while `captured` is being captured. Calls `check` after each step.
#[track_caller]
pub fn beside_a_capture(captured: RawStream<Hip>, check: &dyn Fn(&str)) {
    gpu_stream_test_support::operations::beside_a_capture::<OnDriver>(captured, check);
}
