//! Every call of the backend, on every kind of stream, for tests of what a call leaves behind.

#![allow(unused_imports, reason = "no test uses all of it")]

use std::sync::OnceLock;

use gpu_stream_core::{Device, RawStream};
use gpu_stream_cuda::ipc::IpcEventHandle;
use gpu_stream_cuda::{Cuda, CudaError, CudaEvent};
pub use gpu_stream_test_support::operations::{OperationsDriver, all, run_all};

use super::bare::{self, Ptr};

/// The CUDA driver, for the operations.
pub struct OnDriver;

/// The objects of the calls.
pub type World = gpu_stream_test_support::operations::World<OnDriver>;

/// Returns the primary context and another one. They are made once: beside a capture, a call that makes one
/// can be rejected.
fn contexts() -> [Ptr; 2] {
    static CONTEXTS: OnceLock<[usize; 2]> = OnceLock::new();
    let made =
        || [bare::primary_context(), bare::new_context()].map(|made| made.expose_provenance());
    CONTEXTS.get_or_init(made).map(std::ptr::with_exposed_provenance_mut)
}

impl OperationsDriver for OnDriver {
    type Backend = Cuda;

    fn new_stream(flags: u32) -> Ptr {
        bare::new_stream(contexts()[0], flags, 0)
    }

    fn new_stream_elsewhere() -> Option<(&'static str, Ptr)> {
        Some(("second", bare::new_stream(contexts()[1], 1, 0)))
    }

    fn begin_capture(stream: Ptr) {
        const THREAD_LOCAL: i32 = 1;
        bare::begin_capture(stream, THREAD_LOCAL);
    }

    fn enter(place: usize) -> bool {
        let context = match place {
            0 => std::ptr::null_mut(),
            1 | 2 => contexts()[place - 1],
            _ => return false,
        };
        bare::set_current(context);
        true
    }

    fn set_capture_mode(mode: i32) {
        bare::set_capture_mode(mode);
    }

    fn thread_state() -> String {
        format!("{:x?}", bare::thread_state())
    }

    fn ipc_handle(event: &CudaEvent) -> Result<(), CudaError> {
        event.ipc_handle().map(drop)
    }

    fn open_ipc_zeros(device: Device) -> Result<CudaEvent, CudaError> {
        // SAFETY: no process created the event, so none destroys it.
        unsafe { IpcEventHandle::from_bytes([0; 64]).open(device) }
    }
}

/// Makes all calls that are allowed while `captured` is being captured. Calls `check` after each step.
#[track_caller]
pub fn beside_a_capture(captured: RawStream<Cuda>, check: &dyn Fn(&str)) {
    gpu_stream_test_support::operations::beside_a_capture::<OnDriver>(captured, check);
}
