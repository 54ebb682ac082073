//! Captures by the runtime's own calls, which end with the test, however it ends.

use std::ffi::c_int;

use super::bare::{Ptr, bare, begin_capture, ok};

/// A capture that goes on. It belongs to the thread that began it.
///
/// A test that fails drops it, which ends the capture: else the runtime would refuse calls of the
/// tests that follow.
pub struct Capture {
    stream: Ptr,
    mode: c_int,
    ended: bool,
}

impl Capture {
    /// Begins one: mode 0 is global, 1 thread-local, 2 relaxed.
    #[track_caller]
    pub fn begin(stream: Ptr, mode: c_int) -> Self {
        begin_capture(stream, mode);
        Capture { stream, mode, ended: false }
    }

    /// What the runtime says of it: 0 is none, 1 alive, 2 broken. An error is its code.
    pub fn status(&self) -> Result<c_int, c_int> {
        status_of(self.stream)
    }

    /// Panics if the capture is broken, saying that it was so after `step`.
    #[track_caller]
    pub fn alive(&self, step: &str) {
        let status = self.status();
        assert_eq!(status, Ok(1), "mode {}: the capture is broken after: {step}", self.mode);
    }

    /// Ends it; an error is the runtime's code.
    pub fn end(mut self) -> Result<CapturedGraph, c_int> {
        self.ended = true;
        end(self.stream).map(CapturedGraph)
    }

    /// Ends it, and panics if it was broken.
    #[track_caller]
    pub fn graph(self) -> Graph {
        let mode = self.mode;
        match self.end() {
            Ok(graph) => Graph::of(graph),
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

/// What a capture recorded.
pub struct CapturedGraph(Ptr);

impl Drop for CapturedGraph {
    fn drop(&mut self) {
        // SAFETY: its last use.
        unsafe { (bare().graph_destroy)(self.0) };
    }
}

/// What the runtime says of the capture of a stream.
pub fn status_of(stream: Ptr) -> Result<c_int, c_int> {
    let mut status = 0;
    // SAFETY: the tests' streams are alive, and `status` is a place for the number.
    match unsafe { (bare().capture_status)(stream, &mut status) } {
        0 => Ok(status),
        code => Err(code),
    }
}

fn end(stream: Ptr) -> Result<Ptr, c_int> {
    let mut graph = std::ptr::null_mut();
    // SAFETY: a place for one graph; the stream is alive.
    match unsafe { (bare().end_capture)(stream, &mut graph) } {
        0 => Ok(graph),
        code => Err(code),
    }
}

/// The graph of a capture, to be launched.
pub struct Graph(Ptr);

impl Graph {
    #[track_caller]
    fn of(captured: CapturedGraph) -> Self {
        let (mut exec, none) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: a place for one graph; the captured one is alive. No text of an error is asked
        // for.
        let code = unsafe {
            (bare().graph_instantiate)(&mut exec, captured.0, none, std::ptr::null_mut(), 0)
        };
        ok("graph_instantiate", code);
        // HIP 5.2 looks at the captured graph when the other is launched.
        std::mem::forget(captured);
        Graph(exec)
    }

    #[track_caller]
    pub fn launch(&self, stream: Ptr) {
        // SAFETY: both are alive.
        ok("graph_launch", unsafe { (bare().graph_launch)(self.0, stream) });
    }
}
