//! Stream captures: work that is recorded in a graph and not done.
//!
//! The rules for what breaks a capture are those that the CUDA backend's `capture_probe` observed
//! on a real driver.

use std::collections::BTreeSet;
use std::ffi::{c_int, c_void};

use crate::call::{Answer, Ptr, exports, write_optional, write_out};
use crate::codes::Code;
use crate::graphs::Graph;
use crate::state::{State, state};
use crate::streams::StreamKind;
use crate::thread;
use crate::work::Work;

/// A capture that is active, or broken and not ended yet.
pub struct Capture {
    /// The mode: 0 global, 1 thread-local, 2 relaxed.
    pub mode: c_int,
    /// The thread that began the capture.
    pub thread: u64,
    /// The stream on which the capture began.
    pub origin: usize,
    pub is_broken: bool,
    /// The graph that the capture produces.
    graph: usize,
    nodes: Vec<Node>,
}

struct Node {
    handle: usize,
    work: Work,
    /// The indices of the nodes that this node depends on.
    after: Vec<usize>,
}

/// The state of a stream in a capture.
#[derive(Clone)]
pub struct Member {
    pub capture: u64,
    /// The dependencies of the stream's next node.
    pub after: Vec<usize>,
}

impl Capture {
    /// Returns `true` if all nodes precede `end`, the origin's last nodes.
    fn is_joined(&self, end: &[usize]) -> bool {
        let (mut open, mut seen) = (end.to_vec(), BTreeSet::new());
        while let Some(node) = open.pop() {
            if seen.insert(node) {
                open.extend(&self.nodes[node].after);
            }
        }
        seen.len() == self.nodes.len()
    }
}

impl State {
    /// Returns the stream's capture. Returns an error if it is broken.
    pub fn capture_of(&self, stream: usize) -> Result<Option<u64>, Code> {
        match &self.streams.get(stream).member {
            None => Ok(None),
            Some(member) if self.is_broken(member.capture) => Err(Code::CAPTURE_INVALIDATED),
            Some(member) => Ok(Some(member.capture)),
        }
    }

    fn is_broken(&self, capture: u64) -> bool {
        self.captures.get(&capture).is_none_or(|capture| capture.is_broken)
    }

    /// Returns `true` if the capture is active and not broken.
    pub fn is_alive(&self, capture: u64) -> bool {
        !self.is_broken(capture)
    }

    pub fn break_capture(&mut self, capture: u64) {
        if let Some(capture) = self.captures.get_mut(&capture) {
            capture.is_broken = true;
        }
    }

    /// Ends a capture for all its streams and drops its graph.
    pub fn abandon_capture(&mut self, capture: u64) {
        if let Some(capture) = self.remove_capture(capture) {
            self.graphs.remove(capture.graph);
        }
    }

    /// Ends a capture for all its streams.
    fn remove_capture(&mut self, capture: u64) -> Option<Capture> {
        for stream in self.streams.all_mut() {
            if stream.member.as_ref().is_some_and(|member| member.capture == capture) {
                stream.member = None;
            }
        }
        self.captures.remove(&capture)
    }

    /// Returns an error, and breaks the capture, if the stream is capturing.
    pub fn ensure_not_captured(&mut self, stream: usize) -> Answer {
        match self.capture_of(stream)? {
            None => Ok(()),
            Some(capture) => {
                self.break_capture(capture);
                Err(Code::CAPTURE_UNSUPPORTED)
            }
        }
    }

    /// Returns the captures of streams that the default stream `stream` synchronises with. Returns
    /// none if `stream` is no default stream.
    fn captures_blocking_default(&self, stream: usize) -> Vec<u64> {
        let stream = self.streams.get(stream);
        if stream.kind != StreamKind::Legacy || self.captures.is_empty() {
            return Vec::new();
        }
        let blocking = self.contexts.get(stream.context).blocking.iter();
        let members = blocking.filter_map(|&other| self.streams.get(other).member.as_ref());
        members.map(|member| member.capture).collect()
    }

    /// Returns an error, and breaks the captures, if `stream` is a default stream that synchronises
    /// with capturing streams.
    pub fn ensure_default_not_capturing(&mut self, stream: usize) -> Answer {
        let beside = self.captures_blocking_default(stream);
        if beside.is_empty() {
            return Ok(());
        }
        beside.into_iter().for_each(|capture| self.break_capture(capture));
        Err(Code::CAPTURE_IMPLICIT)
    }

    /// Returns an error, and breaks the captures, if a stream of the context is capturing, in whatever mode.
    pub fn ensure_context_not_capturing(&mut self, context: usize) -> Answer {
        let of_it = self.streams.all().filter(|stream| stream.context == context);
        let captures = of_it.filter_map(|stream| stream.member.as_ref()).map(|it| it.capture);
        let captures: Vec<u64> = captures.filter(|&it| self.is_alive(it)).collect();
        if captures.is_empty() {
            return Ok(());
        }
        captures.into_iter().for_each(|capture| self.break_capture(capture));
        Err(Code::CAPTURE_UNSUPPORTED)
    }

    /// Adds work of a capturing stream to its capture.
    pub fn capture_work(&mut self, stream: usize, capture: u64, work: Work) -> Answer {
        let member = self.streams.get_mut(stream).member.as_mut().ok_or(Code::UNKNOWN)?;
        let capture = self.captures.get_mut(&capture).ok_or(Code::UNKNOWN)?;
        let after = std::mem::replace(&mut member.after, vec![capture.nodes.len()]);
        let graph = self.graphs.get_mut(capture.graph);
        let handle = graph.add_node();
        capture.nodes.push(Node { handle, work, after });
        Ok(())
    }

    fn begin(&mut self, stream: usize, mode: c_int) -> Answer {
        let it = self.streams.get(stream);
        if it.kind == StreamKind::Legacy {
            return Err(Code::CAPTURE_UNSUPPORTED);
        }
        self.check_not_faulted(it.context)?;
        if it.member.is_some() {
            return Err(Code::ILLEGAL_STATE);
        }
        let number = self.next_number();
        let (thread, nodes) = (thread::number(), Vec::new());
        let graph = self.graphs.insert(|_| Graph::default());
        let capture = Capture { mode, thread, origin: stream, is_broken: false, graph, nodes };
        self.captures.insert(number, capture);
        self.streams.get_mut(stream).member = Some(Member { capture: number, after: Vec::new() });
        Ok(())
    }

    fn end(&mut self, stream: usize) -> Result<usize, Code> {
        let member = self.streams.get(stream).member.clone().ok_or(Code::ILLEGAL_STATE)?;
        let capture = self.captures.get_mut(&member.capture).ok_or(Code::UNKNOWN)?;
        if capture.origin != stream {
            capture.is_broken = true;
            return Err(Code::CAPTURE_UNMATCHED);
        }
        if capture.thread != thread::number() && capture.mode != 2 {
            return Err(Code::CAPTURE_WRONG_THREAD);
        }
        let capture = self.remove_capture(member.capture).ok_or(Code::UNKNOWN)?;
        let error = if capture.is_broken {
            Some(Code::CAPTURE_INVALIDATED)
        } else {
            (!capture.is_joined(&member.after)).then_some(Code::CAPTURE_UNJOINED)
        };
        if let Some(code) = error {
            self.graphs.remove(capture.graph);
            return Err(code);
        }
        let work = capture.nodes.into_iter().map(|node| node.work).collect();
        self.graphs.get_mut(capture.graph).work = work;
        Ok(capture.graph)
    }

    /// Returns the capture status and the capture's number. The status is 0 without a capture, 1
    /// for an active capture and 2 for a broken one.
    fn status(&mut self, stream: Ptr) -> Result<(c_int, u64), Code> {
        let stream = self.stream(stream)?;
        self.check_not_faulted(self.streams.get(stream).context)?;
        if !self.captures_blocking_default(stream).is_empty() {
            return Err(Code::CAPTURE_IMPLICIT);
        }
        Ok(match &self.streams.get(stream).member {
            None => (0, 0),
            Some(member) if self.is_broken(member.capture) => (2, 0),
            Some(member) => (1, member.capture),
        })
    }
}

/// The answer of `cuStreamGetCaptureInfo`. Only `status` is set unless the capture is active.
struct Info {
    status: c_int,
    id: u64,
    graph: usize,
    nodes: *const Ptr,
    edges: *const c_void,
    count: usize,
}

impl Info {
    /// Writes the fields that all versions of the function share.
    ///
    /// # Safety
    /// Each pointer is null or a valid out-pointer.
    unsafe fn write(&self, status: *mut c_int, id: *mut u64, graph: *mut Ptr) -> Answer {
        // SAFETY: each pointer is null or a valid out-pointer (caller contract).
        unsafe {
            write_out(status, self.status)?;
            write_optional(id, self.id);
            write_optional(graph, std::ptr::without_provenance_mut(self.graph));
        }
        Ok(())
    }
}

impl State {
    /// Returns the capture info of a stream. The arrays are valid until the next query of the
    /// stream or its end.
    fn info(&mut self, stream: Ptr) -> Result<Info, Code> {
        let (status, id) = self.status(stream)?;
        let (nodes, edges) = (std::ptr::null(), std::ptr::null());
        let mut info = Info { status, id, graph: 0, nodes, edges, count: 0 };
        let stream = self.stream(stream)?;
        let stream = self.streams.get_mut(stream);
        if let (1, Some(member)) = (status, &stream.member)
            && let Some(capture) = self.captures.get(&member.capture)
        {
            stream.capture_info.nodes =
                member.after.iter().map(|&at| capture.nodes[at].handle).collect();
            stream.capture_info.edges = vec![0; member.after.len()];
            info.graph = capture.graph;
            info.nodes = stream.capture_info.nodes.as_ptr().cast();
            info.edges = stream.capture_info.edges.as_ptr().cast();
            info.count = member.after.len();
        }
        Ok(info)
    }
}

exports! {
    initialized cuStreamBeginCapture_v2(stream: Ptr, mode: c_int) {
        if !(0..=2).contains(&mode) {
            return Err(Code::INVALID_VALUE);
        }
        let mut state = state();
        let stream = state.stream(stream)?;
        state.begin(stream, mode)
    }

    initialized cuStreamEndCapture(stream: Ptr, graph: *mut Ptr) {
        write_out(graph, std::ptr::null_mut())?;
        let mut state = state();
        let stream = state.stream(stream)?;
        let made = state.end(stream)?;
        write_out(graph, std::ptr::without_provenance_mut(made))
    }

    inside cuStreamIsCapturing(stream: Ptr, status: *mut c_int) {
        let (number, _) = state().status(stream)?;
        write_out(status, number)
    }

    initialized cuStreamGetCaptureInfo(stream: Ptr, status: *mut c_int, id: *mut u64) {
        let mut state = state();
        let info = state.info(stream)?;
        info.write(status, id, std::ptr::null_mut())
    }

    initialized cuStreamGetCaptureInfo_v2(
        stream: Ptr,
        status: *mut c_int,
        id: *mut u64,
        graph: *mut Ptr,
        after: *mut *const Ptr,
        count: *mut usize,
    ) {
        let mut state = state();
        let info = state.info(stream)?;
        info.write(status, id, graph)?;
        write_optional(after, info.nodes);
        write_optional(count, info.count);
        Ok(())
    }

    initialized cuStreamGetCaptureInfo_v3(
        stream: Ptr,
        status: *mut c_int,
        id: *mut u64,
        graph: *mut Ptr,
        after: *mut *const Ptr,
        edges: *mut *const c_void,
        count: *mut usize,
    ) {
        if !edges.is_null() && after.is_null() {
            return Err(Code::INVALID_VALUE);
        }
        let mut state = state();
        let info = state.info(stream)?;
        info.write(status, id, graph)?;
        write_optional(after, info.nodes);
        write_optional(edges, info.edges);
        write_optional(count, info.count);
        Ok(())
    }
}
