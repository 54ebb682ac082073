//! Captures by the runtime's own functions. They end with the test, even if it fails.

use std::ffi::c_int;

use super::bare::{Ptr, bare, begin_capture, ok};

/// An active capture. It belongs to the thread that began it.
///
/// The drop ends the capture, also in a test that fails. Otherwise the runtime would reject calls of
/// later tests.
pub struct Capture {
    stream: Ptr,
    mode: c_int,
    ended: bool,
}

impl Capture {
    /// Begins a capture: mode 0 is global, 1 thread-local, 2 relaxed.
    #[track_caller]
    pub fn begin(stream: Ptr, mode: c_int) -> Self {
        begin_capture(stream, mode);
        Capture { stream, mode, ended: false }
    }

    /// Returns the runtime's status: 0 is none, 1 active, 2 broken. An error is the runtime's code.
    pub fn status(&self) -> Result<c_int, c_int> {
        status_of(self.stream)
    }

    /// Panics if the capture is not active. The message names `step`, the last call before.
    #[track_caller]
    pub fn alive(&self, step: &str) {
        let status = self.status();
        assert_eq!(status, Ok(1), "mode {}: the capture is broken after: {step}", self.mode);
    }

    /// Ends the capture. An error is the runtime's code.
    pub fn end(mut self) -> Result<CapturedGraph, c_int> {
        self.ended = true;
        end(self.stream).map(CapturedGraph)
    }

    /// Ends the capture and instantiates its graph. Panics if the capture was broken.
    #[track_caller]
    pub fn graph(self) -> Graph {
        let mode = self.mode;
        match self.end() {
            Ok(graph) => Graph::of(graph),
            Err(code) => panic!("mode {mode}: the capture was broken, its end returned {code}"),
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        drop(end(self.stream).map(CapturedGraph));
    }
}

/// The graph that a capture recorded.
pub struct CapturedGraph(Ptr);

impl Drop for CapturedGraph {
    fn drop(&mut self) {
        // SAFETY: the graph is alive, and this is its last use.
        unsafe { (bare().graph_destroy)(self.0) };
    }
}

/// Returns the runtime's capture status of a stream.
pub fn status_of(stream: Ptr) -> Result<c_int, c_int> {
    let mut status = 0;
    // SAFETY: the tests' streams are alive, and `&mut status` is a valid out-pointer.
    match unsafe { (bare().capture_status)(stream, &mut status) } {
        0 => Ok(status),
        code => Err(code),
    }
}

fn end(stream: Ptr) -> Result<Ptr, c_int> {
    let mut graph = std::ptr::null_mut();
    // SAFETY: the stream is alive, and `&mut graph` is a valid out-pointer.
    match unsafe { (bare().end_capture)(stream, &mut graph) } {
        0 => Ok(graph),
        code => Err(code),
    }
}

/// An executable graph of a capture.
pub struct Graph(Ptr);

impl Graph {
    #[track_caller]
    fn of(captured: CapturedGraph) -> Self {
        let (mut exec, none) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: the captured graph is alive, and `&mut exec` is a valid out-pointer. Null requests no
        // error text.
        let code = unsafe {
            (bare().graph_instantiate)(&mut exec, captured.0, none, std::ptr::null_mut(), 0)
        };
        ok("graph_instantiate", code);
        // HIP 5.2 reads the captured graph when the executable one is launched.
        std::mem::forget(captured);
        Graph(exec)
    }

    /// Launches the graph on `stream`.
    #[track_caller]
    pub fn launch(&self, stream: Ptr) {
        // SAFETY: the graph and the stream are alive.
        ok("graph_launch", unsafe { (bare().graph_launch)(self.0, stream) });
    }
}
