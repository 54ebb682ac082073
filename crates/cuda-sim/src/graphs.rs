//! Graphs: captured work that can be launched.
//!
//! A launch does the work sequentially, in the order in which it was captured.

use std::ffi::{c_char, c_int};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gpu_stream_core::Stream as _;
use gpu_stream_host::HostEvent;

use crate::call::{Answer, Ptr, exports, write_optional, write_out};
use crate::codes::Code;
use crate::state::{host_error, state};
use crate::tables::node_handle;
use crate::work::{Work, execute};

#[derive(Default)]
pub struct Graph {
    pub work: Vec<Work>,
    /// Handles of the nodes, in capture order. No function takes one.
    nodes: Vec<usize>,
}

impl Graph {
    /// Adds a node and returns its handle.
    pub fn add_node(&mut self) -> usize {
        static LAST: AtomicUsize = AtomicUsize::new(0);
        let handle = node_handle(LAST.fetch_add(1, Ordering::Relaxed));
        self.nodes.push(handle);
        handle
    }
}

pub struct Executable {
    work: Arc<[Work]>,
    /// An event after the last launch. The next launch waits for it, on any stream.
    last: Option<HostEvent>,
}

/// `CUDA_GRAPH_INSTANTIATE_PARAMS`.
#[repr(C)]
pub struct Parameters {
    flags: u64,
    upload: Ptr,
    failed: Ptr,
    result: c_int,
}

/// Instantiates a graph. During a global capture it returns 900 and breaks the capture, as observed
/// on an H200.
fn instantiate(graph: Ptr) -> Result<Ptr, Code> {
    let mut state = state();
    state.ensure_capture_mode_allows()?;
    let graph = state.graphs.check(graph)?;
    let work = Arc::from(&state.graphs.get(graph).work[..]);
    let made = state.executables.insert(|_| Executable { work, last: None });
    Ok(std::ptr::without_provenance_mut(made))
}

/// `CUDA_GRAPH_INSTANTIATE_FLAG_…`: free allocations before a launch, upload at once, and use the nodes' priorities.
///
/// The flag 4, a launch from the device, is not simulated, and is an error.
const AUTO_FREE: u64 = 1;
const UPLOAD: u64 = 2;
const NODE_PRIORITY: u64 = 8;

/// The flags without a stream for the upload, as measured on an H100.
const ALLOWED_FLAGS: u64 = AUTO_FREE | NODE_PRIORITY;

/// Returns an error for a flag that is not among the allowed ones.
fn check_flags(flags: u64, allowed: u64) -> Answer {
    if flags & !allowed == 0 { Ok(()) } else { Err(Code::INVALID_VALUE) }
}

exports! {
    initialized cuGraphInstantiateWithFlags(executable: *mut Ptr, graph: Ptr, flags: u64) {
        check_flags(flags, ALLOWED_FLAGS)?;
        write_out(executable, instantiate(graph)?)
    }

    initialized cuGraphInstantiate_v2(
        executable: *mut Ptr,
        graph: Ptr,
        failed: *mut Ptr,
        _text: *mut c_char,
        _room: usize,
    ) {
        write_optional(failed, std::ptr::null_mut());
        write_out(executable, instantiate(graph)?)
    }

    initialized cuGraphInstantiateWithParams(
        executable: *mut Ptr,
        graph: Ptr,
        parameters: *mut Parameters,
    ) {
        if parameters.is_null() {
            return Err(Code::INVALID_VALUE);
        }
        // Documented, not measured: this function has a stream for the upload.
        check_flags((*parameters).flags, ALLOWED_FLAGS | UPLOAD)?;
        (*parameters).failed = std::ptr::null_mut();
        (*parameters).result = 0;
        write_out(executable, instantiate(graph)?)
    }

    // With a null array, only the number of nodes is written.
    initialized cuGraphGetNodes(graph: Ptr, nodes: *mut Ptr, count: *mut usize) {
        let state = state();
        let graph = state.graphs.check(graph)?;
        let all = &state.graphs.get(graph).nodes;
        if count.is_null() {
            return Err(Code::INVALID_VALUE);
        }
        if nodes.is_null() {
            return write_out(count, all.len());
        }
        let room = count.read();
        for index in 0..room {
            let node = all.get(index).copied().unwrap_or(0);
            write_out(nodes.add(index), std::ptr::without_provenance_mut(node))?;
        }
        write_out(count, room.min(all.len()))
    }

    // A graph has nothing to upload.
    initialized cuGraphUpload(executable: Ptr, stream: Ptr) {
        let mut state = state();
        state.executables.check(executable)?;
        state.stream(stream).map(drop)
    }

    inside cuGraphLaunch(executable: Ptr, stream: Ptr) {
        let mut state = state();
        let executable = state.executables.check(executable)?;
        let stream = state.stream(stream)?;
        let work = Arc::clone(&state.executables.get(executable).work);
        if state.capture_of(stream)?.is_some() {
            return work.iter().try_for_each(|one| state.submit(stream, one.clone()));
        }
        state.apply_implicit_sync(stream)?;
        let it = state.streams.get(stream);
        if let Some(last) = &state.executables.get(executable).last {
            it.host.wait_event(last).map_err(host_error)?;
        }
        let fault = &state.contexts.get(it.context).fault;
        work.iter().try_for_each(|one| execute(&it.host, fault, one.clone()))?;
        let last = it.host.record_event().map_err(host_error)?;
        state.executables.get_mut(executable).last = Some(last);
        Ok(())
    }

    initialized cuGraphDestroy(graph: Ptr) {
        let mut state = state();
        let graph = state.graphs.check(graph)?;
        state.graphs.remove(graph);
        Ok(())
    }

    initialized cuGraphExecDestroy(executable: Ptr) {
        let mut state = state();
        let executable = state.executables.check(executable)?;
        state.executables.remove(executable);
        Ok(())
    }
}
