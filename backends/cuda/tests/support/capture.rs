//! Captures through the driver's own functions. They end with the test, however it ends.

use std::ffi::c_int;

use super::bare::{Ptr, bare, begin_capture, enter, ok};

/// An active capture. It belongs to the thread that began it.
///
/// A failing test drops it, which ends the capture. Otherwise the driver would reject calls of the later
/// tests.
pub struct Capture {
    stream: Ptr,
    mode: c_int,
    ended: bool,
}

impl Capture {
    /// Begins a capture on a stream of the primary context: mode 0 is global, 1 thread-local, 2 relaxed.
    #[track_caller]
    pub fn begin(stream: Ptr, mode: c_int) -> Self {
        begin_capture(stream, mode);
        Capture { stream, mode, ended: false }
    }

    /// Returns the driver's status of the capture: 0 is none, 1 active, 2 invalidated. An error is its
    /// code.
    pub fn status(&self) -> Result<c_int, c_int> {
        status_of(self.stream)
    }

    /// Panics if the capture is invalidated, with the name of the last `step`.
    #[track_caller]
    pub fn alive(&self, step: &str) {
        let status = self.status();
        assert_eq!(status, Ok(1), "mode {}: the capture is broken after: {step}", self.mode);
    }

    /// Ends the capture. An error is the driver's code.
    pub fn end(mut self) -> Result<CapturedGraph, c_int> {
        self.ended = true;
        end(self.stream).map(CapturedGraph)
    }

    /// Ends the capture. Panics if it was invalidated.
    #[track_caller]
    pub fn graph(self) -> Graph {
        let (mode, context) = (self.mode, context_of(self.stream));
        match self.end() {
            Ok(graph) => Graph::of(graph, context),
            Err(code) => panic!("mode {mode}: the capture was broken, its end says {code}"),
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

/// Returns the driver's capture status of a stream.
pub fn status_of(stream: Ptr) -> Result<c_int, c_int> {
    let mut status = 0;
    // SAFETY: the tests' streams are alive, and the out-pointer is valid.
    match unsafe { (bare().capture_status)(stream, &mut status) } {
        0 => Ok(status),
        code => Err(code),
    }
}

fn end(stream: Ptr) -> Result<Ptr, c_int> {
    let mut graph = std::ptr::null_mut();
    // SAFETY: the out-pointer is valid, and the stream is alive.
    match unsafe { (bare().end_capture)(stream, &mut graph) } {
        0 => Ok(graph),
        code => Err(code),
    }
}

/// An executable graph of a capture.
pub struct Graph {
    exec: Ptr,
    context: Ptr,
}

impl Graph {
    #[track_caller]
    fn of(captured: CapturedGraph, context: Ptr) -> Self {
        let _current = enter(context);
        let mut exec = std::ptr::null_mut();
        // SAFETY: the out-pointer is valid, and the captured graph is alive.
        let code = unsafe { (bare().graph_instantiate)(&mut exec, captured.0, 0) };
        ok("graph_instantiate", code);
        Graph { exec, context }
    }

    #[track_caller]
    pub fn launch(&self, stream: Ptr) {
        let _current = enter(self.context);
        // SAFETY: the graph and the stream are alive.
        ok("graph_launch", unsafe { (bare().graph_launch)(self.exec, stream) });
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: the graph is alive, and this is its last use. The driver completes pending launches.
        unsafe { (bare().graph_exec_destroy)(self.exec) };
    }
}

#[track_caller]
fn context_of(stream: Ptr) -> Ptr {
    let mut context = std::ptr::null_mut();
    // SAFETY: the tests' streams are alive, and the out-pointer is valid.
    ok("stream_context", unsafe { (bare().stream_context)(stream, &mut context) });
    context
}
