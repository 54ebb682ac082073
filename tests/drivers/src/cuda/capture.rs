//! Captures without the backend: [`capture_status`], [`end_capture`].

use std::ffi::c_int;

use super::driver::{DriverError, Ptr, check, driver};
use crate::capture::capture_functions;

capture_functions! {
    "cuStreamBeginCapture", "cuStreamIsCapturing", "cuStreamEndCapture", "cuGraphGetNodes"
}

impl CapturedGraph {
    /// Launches the graph once on `stream`, whose context is current.
    ///
    /// # Errors
    /// The driver's error. Drivers before CUDA 11.4 lack `cuGraphInstantiateWithFlags`.
    pub fn launch(&self, stream: Ptr) -> Result<(), DriverError> {
        let (driver, mut exec) = (driver(), std::ptr::null_mut());
        // SAFETY: the graph is live, and `&mut exec` is a valid out-pointer.
        let code = unsafe { (driver.graph_instantiate)(&mut exec, self.0, 0) };
        check("cuGraphInstantiateWithFlags", code)?;
        // SAFETY: `exec` and `stream` are live. The driver finishes a launch whose graph is destroyed
        // meanwhile.
        let (launched, destroyed) =
            unsafe { ((driver.graph_launch)(exec, stream), (driver.graph_exec_destroy)(exec)) };
        check("cuGraphLaunch", launched)?;
        check("cuGraphExecDestroy", destroyed)
    }
}
