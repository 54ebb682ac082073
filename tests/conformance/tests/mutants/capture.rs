//! Simulated captures of the mutants' streams: a graph is a list of submitted work.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use gpu_stream_conformance::{CaptureMode, Outcome, Verdict};
use gpu_stream_core::ContractError;
use gpu_stream_host::HostStream;

use crate::error::MutantError;
use crate::event::lock;
use crate::mutation::{Mutation, current, on};

/// A node of a graph, which runs on the stream that the graph is launched on.
pub type Node = Box<dyn FnOnce(&HostStream) -> Outcome + Send>;

/// A record that was made in a capture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CapturedRecord {
    pub capture: u64,
    pub stream: usize,
}

struct Capture {
    origin: usize,
    mode: CaptureMode,
    is_broken: bool,
    nodes: Vec<Node>,
    /// Streams with work or records that no other stream has waited for.
    unjoined: BTreeSet<usize>,
}

struct Captures {
    last: u64,
    active: BTreeMap<u64, Capture>,
    /// The capture of each stream, by its handle.
    members: BTreeMap<usize, u64>,
}

static CAPTURES: Mutex<Captures> =
    Mutex::new(Captures { last: 0, active: BTreeMap::new(), members: BTreeMap::new() });

pub fn begin(stream: usize, mode: CaptureMode) {
    let captures = &mut *lock(&CAPTURES);
    captures.last += 1;
    let (is_broken, nodes, unjoined) = (false, Vec::new(), BTreeSet::new());
    let capture = Capture { origin: stream, mode, is_broken, nodes, unjoined };
    captures.active.insert(captures.last, capture);
    captures.members.insert(stream, captures.last);
}

/// Ends the capture of `stream`, and returns the nodes of its graph.
pub fn end(stream: usize) -> Result<Vec<Node>, Verdict> {
    let captures = &mut *lock(&CAPTURES);
    let id = captures.members.get(&stream).copied();
    let capture = id.and_then(|id| captures.active.remove(&id));
    let capture = capture.ok_or_else(|| Verdict::failed("the stream is in no capture"))?;
    captures.members.retain(|_, of| Some(*of) != id);
    match capture {
        Capture { is_broken: true, .. } => Err(Verdict::failed("the capture is broken")),
        Capture { unjoined, .. } if !unjoined.is_empty() => {
            Err(Verdict::failed(format_args!("streams were not joined: {unjoined:?}")))
        }
        Capture { nodes, .. } => Ok(nodes),
    }
}

/// Returns the capture that `stream` is in.
pub fn of(stream: usize) -> Option<u64> {
    lock(&CAPTURES).members.get(&stream).copied()
}

pub fn is_active(capture: u64) -> bool {
    lock(&CAPTURES).active.contains_key(&capture)
}

pub fn is_alive(stream: usize) -> bool {
    let captures = lock(&CAPTURES);
    let capture = captures.members.get(&stream).and_then(|id| captures.active.get(id));
    capture.is_some_and(|capture| !capture.is_broken)
}

/// Adds `node` to the graph that `stream` is captured into.
pub fn add(stream: usize, node: Node) {
    let captures = &mut *lock(&CAPTURES);
    let id = captures.members.get(&stream);
    let Some(capture) = id.and_then(|id| captures.active.get_mut(id)) else { return };
    capture.nodes.push(node);
    if stream != capture.origin {
        capture.unjoined.insert(stream);
    }
}

pub fn break_one(capture: u64) {
    if let Some(capture) = lock(&CAPTURES).active.get_mut(&capture) {
        capture.is_broken = true;
    }
}

/// Breaks all captures that forbid unsafe calls to every thread.
pub fn break_global() {
    for capture in lock(&CAPTURES).active.values_mut() {
        capture.is_broken |= capture.mode == CaptureMode::Global;
    }
}

/// Makes `waiter` wait for a record in an active capture.
fn wait(waiter: usize, record: CapturedRecord) {
    let captures = &mut *lock(&CAPTURES);
    let Some(capture) = captures.active.get_mut(&record.capture) else { return };
    captures.members.insert(waiter, record.capture);
    capture.unjoined.remove(&record.stream);
    if waiter != capture.origin {
        capture.unjoined.insert(waiter);
    }
}

/// Returns an error if the capture of `waiter` cannot hold a wait for `source`, a stream or an
/// event of capture `its`.
fn ensure_can_wait(
    operation: &'static str,
    waiter: usize,
    waited_for: &'static str,
    source: usize,
    its: Option<u64>,
) -> Result<(), MutantError> {
    let Some(mine) = of(waiter).filter(|mine| Some(*mine) != its) else { return Ok(()) };
    let (accepted, error) = match its {
        None => {
            if on(Mutation::OutsideWaitBreaks) {
                break_one(mine);
            }
            let error = ContractError::capture_of_uncaptured;
            (Mutation::OutsideWaitAccepted, error(operation, waiter, waited_for, source))
        }
        Some(_) => {
            let error = ContractError::capture_of_another;
            (Mutation::CaptureWaitAccepted, error(operation, waiter, waited_for, source))
        }
    };
    if on(accepted) { Ok(()) } else { Err(error.into()) }
}

/// Returns an error if the captures of the two streams forbid that `waiter` waits for `source`.
pub fn ensure_can_wait_stream(
    operation: &'static str,
    waiter: usize,
    source: usize,
) -> Result<(), MutantError> {
    if waiter == source {
        return Ok(());
    }
    ensure_can_wait(operation, waiter, "stream", source, of(source))
}

/// Makes `waiter` wait for `event`, whose last record is `record`. Returns `false` if neither is
/// captured.
pub fn wait_event(
    waiter: usize,
    event: usize,
    record: Option<CapturedRecord>,
) -> Result<bool, MutantError> {
    const OPERATION: &str = "Stream::wait_event";
    let mine = of(waiter);
    let Some(record) = record else {
        ensure_can_wait(OPERATION, waiter, "event", event, None)?;
        return Ok(mine.is_some());
    };
    if !is_active(record.capture) {
        if on(Mutation::EventOfCaptureForgotten) {
            return Ok(true);
        }
        return Err(MutantError::OfEndedCapture(OPERATION));
    }
    ensure_can_wait(OPERATION, waiter, "event", event, Some(record.capture))?;
    match current() {
        Some(Mutation::OwnWaitIsANode) if record.stream == waiter => {
            add(waiter, Box::new(|_| Ok(())));
        }
        _ if record.stream == waiter => {}
        Some(Mutation::WaiterStaysOutside) if mine.is_none() => {}
        Some(Mutation::CaptureWaitAccepted) if mine.is_some_and(|id| id != record.capture) => {}
        _ => wait(waiter, record),
    }
    Ok(true)
}

/// Returns the result of a query of an event that was last recorded in a capture.
pub fn query_captured<T>(
    operation: &'static str,
    record: CapturedRecord,
    done: T,
    unrecorded: T,
) -> Result<T, MutantError> {
    match (current(), is_active(record.capture)) {
        (Some(Mutation::EventOfCaptureIsDone), true) => Ok(done),
        (Some(Mutation::EventOfCaptureForgotten), false) => Ok(unrecorded),
        (_, true) => Err(MutantError::Captured(operation)),
        (_, false) => Err(MutantError::OfEndedCapture(operation)),
    }
}
