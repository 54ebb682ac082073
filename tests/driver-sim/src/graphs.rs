//! Graphs: what was captured, to be launched. A launch does the work in the order in which it was
//! captured, one piece after the other.

use std::sync::Arc;

use gpu_stream_core::Stream as _;
use gpu_stream_host::HostEvent;

use crate::call::{Ptr, exports, put};
use crate::state::{refused, state};
use crate::work::{Work, play};

pub struct Graph {
    pub work: Vec<Work>,
}

pub struct Executable {
    work: Arc<[Work]>,
    /// Behind the last launch: the next one comes after it, on whatever stream.
    last: Option<HostEvent>,
}

exports! {
    ready cuGraphInstantiateWithFlags(executable: *mut Ptr, graph: Ptr, _flags: u64) {
        let mut state = state();
        let graph = state.graphs.check(graph)?;
        let work = Arc::from(&state.graphs.get(graph).work[..]);
        let made = state.executables.insert(|_| Executable { work, last: None });
        put(executable, std::ptr::without_provenance_mut(made))
    }

    ready cuGraphLaunch(executable: Ptr, stream: Ptr) {
        let mut state = state();
        let executable = state.executables.check(executable)?;
        let stream = state.stream(stream)?;
        let work = Arc::clone(&state.executables.get(executable).work);
        if state.capture_of(stream)?.is_some() {
            return work.iter().try_for_each(|one| state.submit(stream, one.clone()));
        }
        state.in_line(stream)?;
        let it = state.streams.get(stream);
        if let Some(last) = &state.executables.get(executable).last {
            it.host.wait_event(last).map_err(refused)?;
        }
        let fault = &state.contexts.get(it.context).fault;
        work.iter().try_for_each(|one| play(&it.host, fault, one.clone()))?;
        let last = it.host.record_event().map_err(refused)?;
        state.executables.get_mut(executable).last = Some(last);
        Ok(())
    }

    ready cuGraphDestroy(graph: Ptr) {
        let mut state = state();
        let graph = state.graphs.check(graph)?;
        state.graphs.remove(graph);
        Ok(())
    }

    ready cuGraphExecDestroy(executable: Ptr) {
        let mut state = state();
        let executable = state.executables.check(executable)?;
        state.executables.remove(executable);
        Ok(())
    }
}
