//! Captures: work that is noted and not done. What breaks one is as `capture_probe` of the CUDA
//! backend saw it on a real driver.

use std::collections::BTreeSet;
use std::ffi::{c_int, c_void};

use crate::call::{Answer, Ptr, exports, put, put_if};
use crate::codes::Code;
use crate::graphs::Graph;
use crate::state::{State, state};
use crate::streams::Kind;
use crate::thread;
use crate::work::Work;

/// A capture that goes on, or is broken and not ended yet.
pub struct Capture {
    /// 0 global, 1 thread-local, 2 relaxed.
    pub mode: c_int,
    /// The thread that began it.
    pub thread: u64,
    /// The stream that it began on.
    pub origin: usize,
    pub is_broken: bool,
    /// What it comes to.
    graph: usize,
    nodes: Vec<Node>,
}

struct Node {
    handle: usize,
    work: Work,
    /// Nodes that come before it.
    after: Vec<usize>,
}

/// A stream's part in a capture.
#[derive(Clone)]
pub struct Member {
    pub capture: u64,
    /// What the stream's next node comes after.
    pub after: Vec<usize>,
}

impl Capture {
    /// Whether every node comes before the end, which the origin has come to.
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
    /// The capture that a stream is in; an error if it is broken.
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

    /// Whether a capture goes on and is not broken.
    pub fn is_alive(&self, capture: u64) -> bool {
        !self.is_broken(capture)
    }

    pub fn break_capture(&mut self, capture: u64) {
        if let Some(capture) = self.captures.get_mut(&capture) {
            capture.is_broken = true;
        }
    }

    /// Ends a capture for all its streams, and its graph.
    pub fn abandon_capture(&mut self, capture: u64) {
        if let Some(capture) = self.forget_capture(capture) {
            self.graphs.remove(capture.graph);
        }
    }

    /// Ends a capture for all its streams.
    fn forget_capture(&mut self, capture: u64) -> Option<Capture> {
        for stream in self.streams.all_mut() {
            if stream.member.as_ref().is_some_and(|member| member.capture == capture) {
                stream.member = None;
            }
        }
        self.captures.remove(&capture)
    }

    /// For what cannot be asked of a stream that is captured.
    pub fn refuse_captured(&mut self, stream: usize) -> Answer {
        match self.capture_of(stream)? {
            None => Ok(()),
            Some(capture) => {
                self.break_capture(capture);
                Err(Code::CAPTURE_UNSUPPORTED)
            }
        }
    }

    /// The captures of streams that the default stream `stream` synchronises with.
    fn captures_blocking_default(&self, stream: usize) -> Vec<u64> {
        let stream = self.streams.get(stream);
        if stream.kind != Kind::Legacy || self.captures.is_empty() {
            return Vec::new();
        }
        let blocking = self.contexts.get(stream.context).blocking.iter();
        let members = blocking.filter_map(|&other| self.streams.get(other).member.as_ref());
        members.map(|member| member.capture).collect()
    }

    /// For whatever the default stream is used for.
    pub fn refuse_default(&mut self, stream: usize) -> Answer {
        let beside = self.captures_blocking_default(stream);
        if beside.is_empty() {
            return Ok(());
        }
        beside.into_iter().for_each(|capture| self.break_capture(capture));
        Err(Code::CAPTURE_IMPLICIT)
    }

    /// Notes work of a stream that is captured.
    pub fn note(&mut self, stream: usize, capture: u64, work: Work) -> Answer {
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
        if it.kind == Kind::Legacy {
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
        let capture = self.forget_capture(member.capture).ok_or(Code::UNKNOWN)?;
        let refused = if capture.is_broken {
            Some(Code::CAPTURE_INVALIDATED)
        } else {
            (!capture.is_joined(&member.after)).then_some(Code::CAPTURE_UNJOINED)
        };
        if let Some(code) = refused {
            self.graphs.remove(capture.graph);
            return Err(code);
        }
        let work = capture.nodes.into_iter().map(|node| node.work).collect();
        self.graphs.get_mut(capture.graph).work = work;
        Ok(capture.graph)
    }

    /// 0 no capture, 1 one that goes on, 2 a broken one; and the capture.
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

/// What `cuStreamGetCaptureInfo` tells. All but the status is for a capture that goes on.
struct Info {
    status: c_int,
    id: u64,
    graph: usize,
    nodes: *const Ptr,
    edges: *const c_void,
    count: usize,
}

impl Info {
    /// Writes what every version of the function tells.
    ///
    /// # Safety
    /// Each is null or a place for what it is for.
    unsafe fn tell(&self, status: *mut c_int, id: *mut u64, graph: *mut Ptr) -> Answer {
        // SAFETY: the caller promises the places.
        unsafe {
            put(status, self.status)?;
            put_if(id, self.id);
            put_if(graph, std::ptr::without_provenance_mut(self.graph));
        }
        Ok(())
    }
}

impl State {
    /// Returns what a capture tells. The arrays are good until the stream is asked again or ends.
    fn info(&mut self, stream: Ptr) -> Result<Info, Code> {
        let (status, id) = self.status(stream)?;
        let (nodes, edges) = (std::ptr::null(), std::ptr::null());
        let mut info = Info { status, id, graph: 0, nodes, edges, count: 0 };
        let stream = self.stream(stream)?;
        let stream = self.streams.get_mut(stream);
        if let (1, Some(member)) = (status, &stream.member)
            && let Some(capture) = self.captures.get(&member.capture)
        {
            stream.told.nodes = member.after.iter().map(|&at| capture.nodes[at].handle).collect();
            stream.told.edges = vec![0; member.after.len()];
            info.graph = capture.graph;
            info.nodes = stream.told.nodes.as_ptr().cast();
            info.edges = stream.told.edges.as_ptr().cast();
            info.count = member.after.len();
        }
        Ok(info)
    }
}

exports! {
    ready cuStreamBeginCapture_v2(stream: Ptr, mode: c_int) {
        if !(0..=2).contains(&mode) {
            return Err(Code::INVALID_VALUE);
        }
        let mut state = state();
        let stream = state.stream(stream)?;
        state.begin(stream, mode)
    }

    ready cuStreamEndCapture(stream: Ptr, graph: *mut Ptr) {
        put(graph, std::ptr::null_mut())?;
        let mut state = state();
        let stream = state.stream(stream)?;
        let made = state.end(stream)?;
        put(graph, std::ptr::without_provenance_mut(made))
    }

    inside cuStreamIsCapturing(stream: Ptr, status: *mut c_int) {
        let (number, _) = state().status(stream)?;
        put(status, number)
    }

    ready cuStreamGetCaptureInfo(stream: Ptr, status: *mut c_int, id: *mut u64) {
        let mut state = state();
        let info = state.info(stream)?;
        info.tell(status, id, std::ptr::null_mut())
    }

    ready cuStreamGetCaptureInfo_v2(
        stream: Ptr,
        status: *mut c_int,
        id: *mut u64,
        graph: *mut Ptr,
        after: *mut *const Ptr,
        count: *mut usize,
    ) {
        let mut state = state();
        let info = state.info(stream)?;
        info.tell(status, id, graph)?;
        put_if(after, info.nodes);
        put_if(count, info.count);
        Ok(())
    }

    ready cuStreamGetCaptureInfo_v3(
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
        info.tell(status, id, graph)?;
        put_if(after, info.nodes);
        put_if(edges, info.edges);
        put_if(count, info.count);
        Ok(())
    }
}
