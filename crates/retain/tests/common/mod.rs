//! What the tests of retained values on the host backend share.

#![allow(dead_code, reason = "no test program uses all of it")]

use std::sync::Arc;

use gpu_stream_core::{Backend, Stream, StreamOptions};
use gpu_stream_host::{Gate, Host, HostStream};
use gpu_stream_retain::Reclaimer;

/// Creates a stream.
pub fn stream() -> HostStream {
    Host::new_stream(Host::device(0).expect("device"), StreamOptions::new()).expect("stream")
}

/// Holds `stream` back until the gate is opened.
pub fn shut(stream: &HostStream) -> Gate {
    let gate = Gate::new(stream.device()).expect("gate");
    stream.wait_event(gate.event()).expect("wait");
    gate
}

/// Returns the number of references besides `held`.
pub fn kept<T>(held: &Arc<T>) -> usize {
    Arc::strong_count(held) - 1
}

/// Retains clones of `held`, which must succeed.
pub fn retain(reclaimer: &Reclaimer<Host>, held: &Arc<()>, streams: &[&HostStream]) {
    reclaimer.retain(Arc::clone(held), streams).expect("retain");
}
