//! Captures without the backend: [`capture_status`], [`end_capture`].

use std::ffi::c_int;

use super::driver::{DriverError, Ptr, check, driver};

/// The capture status of a stream whose capture is active and not broken.
pub const CAPTURE_ACTIVE: c_int = 1;

/// Begins a capture of a stream: mode 0 is global, 1 thread-local, 2 relaxed.
///
/// # Errors
/// The driver's error.
pub fn start_capture(stream: Ptr, mode: c_int) -> Result<(), DriverError> {
    // SAFETY: the tests' streams are live.
    check("cuStreamBeginCapture", unsafe { (driver().begin_capture)(stream, mode) })
}

/// Returns the capture status of a stream: 0 is none, 1 active, 2 broken.
///
/// # Errors
/// The driver's error.
pub fn capture_status(stream: Ptr) -> Result<c_int, DriverError> {
    let mut status = 0;
    // SAFETY: the tests' streams are live, and `&mut status` is a valid out-pointer.
    check("cuStreamIsCapturing", unsafe { (driver().capture_status)(stream, &mut status) })?;
    Ok(status)
}

/// Ends the capture of a stream. Returns its graph.
///
/// # Errors
/// The driver's error, if the capture is broken.
pub fn end_capture(stream: Ptr) -> Result<CapturedGraph, DriverError> {
    let mut graph = std::ptr::null_mut();
    // SAFETY: the tests' streams are live, and `&mut graph` is a valid out-pointer.
    check("cuStreamEndCapture", unsafe { (driver().end_capture)(stream, &mut graph) })?;
    Ok(CapturedGraph(graph))
}

/// The graph that a capture recorded. The drop destroys it.
#[derive(Debug)]
pub struct CapturedGraph(Ptr);

impl Drop for CapturedGraph {
    fn drop(&mut self) {
        // SAFETY: the graph is live, and this is its last use.
        unsafe { (driver().graph_destroy)(self.0) };
    }
}

impl CapturedGraph {
    /// Returns the number of its nodes. Returns `None` if the driver does not tell.
    ///
    /// # Errors
    /// The driver's error.
    pub fn nodes(&self) -> Result<Option<usize>, DriverError> {
        let (driver, mut count) = (driver(), 0);
        if !driver.has("cuGraphGetNodes") {
            return Ok(None);
        }
        // SAFETY: the graph is live. Without an array of nodes the driver writes only the count, and
        // `&mut count` is a valid out-pointer.
        let code = unsafe { (driver.graph_nodes)(self.0, std::ptr::null_mut(), &mut count) };
        check("cuGraphGetNodes", code)?;
        Ok(Some(count))
    }

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
