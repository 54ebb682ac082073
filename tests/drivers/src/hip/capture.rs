//! Captures without the backend: [`capture_status`], [`end_capture`].

use std::ffi::c_int;

use super::driver::{DriverError, Ptr, check, driver};
use crate::capture::capture_functions;

capture_functions! {
    "hipStreamBeginCapture", "hipStreamIsCapturing", "hipStreamEndCapture", "hipGraphGetNodes"
}

impl CapturedGraph {
    /// Launches the graph once on `stream`, whose device is current.
    ///
    /// Neither it nor the executable graph is destroyed afterwards: HIP 5.2 reads the captured graph when
    /// the executable one is launched.
    ///
    /// # Errors
    /// The runtime's error.
    pub fn launch(self, stream: Ptr) -> Result<(), DriverError> {
        let (driver, mut exec) = (driver(), std::ptr::null_mut());
        let (graph, none) = (self.0, std::ptr::null_mut());
        std::mem::forget(self);
        // SAFETY: the graph is live, and `&mut exec` is a valid out-pointer. The null buffer of length 0
        // requests no error text.
        let code =
            unsafe { (driver.graph_instantiate)(&mut exec, graph, none, std::ptr::null_mut(), 0) };
        check("hipGraphInstantiate", code)?;
        // SAFETY: `exec` and `stream` are live.
        check("hipGraphLaunch", unsafe { (driver.graph_launch)(exec, stream) })
    }
}
