//! Captures without the backend: [`capture_status`], [`end_capture`].

use std::ffi::c_int;

use super::driver::{DriverError, Ptr, check, driver};

/// The capture status of a stream whose capture is active and not broken.
pub const CAPTURE_ACTIVE: c_int = 1;

/// Begins a capture of a stream: mode 0 is global, 1 thread-local, 2 relaxed.
///
/// # Errors
/// The runtime's error.
pub fn start_capture(stream: Ptr, mode: c_int) -> Result<(), DriverError> {
    // SAFETY: the tests' streams are live.
    check("hipStreamBeginCapture", unsafe { (driver().begin_capture)(stream, mode) })
}

/// Returns the capture status of a stream: 0 is none, 1 active, 2 broken.
///
/// # Errors
/// The runtime's error.
pub fn capture_status(stream: Ptr) -> Result<c_int, DriverError> {
    let mut status = 0;
    // SAFETY: the tests' streams are live, and `&mut status` is a valid out-pointer.
    check("hipStreamIsCapturing", unsafe { (driver().capture_status)(stream, &mut status) })?;
    Ok(status)
}

/// Ends the capture of a stream. Returns its graph.
///
/// # Errors
/// The runtime's error, if the capture is broken.
pub fn end_capture(stream: Ptr) -> Result<CapturedGraph, DriverError> {
    let mut graph = std::ptr::null_mut();
    // SAFETY: the tests' streams are live, and `&mut graph` is a valid out-pointer.
    check("hipStreamEndCapture", unsafe { (driver().end_capture)(stream, &mut graph) })?;
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
    /// Returns the number of its nodes. Returns `None` if the runtime does not tell.
    ///
    /// # Errors
    /// The runtime's error.
    pub fn nodes(&self) -> Result<Option<usize>, DriverError> {
        let (driver, mut count) = (driver(), 0);
        if !driver.has("hipGraphGetNodes") {
            return Ok(None);
        }
        // SAFETY: the graph is live. Without an array of nodes the runtime writes only the count, and
        // `&mut count` is a valid out-pointer.
        let code = unsafe { (driver.graph_nodes)(self.0, std::ptr::null_mut(), &mut count) };
        check("hipGraphGetNodes", code)?;
        Ok(Some(count))
    }

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
