//! Captures, which must survive us: looking before asking, and asking so that others' captures do
//! not mind.
//!
//! To query or synchronize a stream that is being captured kills the capture from HIP 6 on, and is
//! answered with nonsense before, so [`refuse`] looks first. Some of the other functions are
//! *unsafe beside a capture* of this thread, or of any other in the mode *global*, as on CUDA;
//! [`CaptureModeGuard`] tells the runtime that the question has nothing to do with the capture, where it
//! [asks](super::quirks::UnsafeCalls).
//!
//! Safe without it are: [`status`] and [`id`]; recording, waiting and host functions, which are
//! enqueued; and all that concerns the thread's current device.

use std::collections::BTreeMap;
use std::ffi::{c_int, c_uint};
use std::marker::PhantomData;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gpu_stream_core::CaptureStatus;

use super::code::HipCode;
use super::symbols::Ptr;
use super::{Driver, dead, require};
use crate::HipError;

/// `hipStreamCaptureModeRelaxed`.
pub(super) const RELAXED: c_int = 2;

/// `hipStreamCaptureStatusActive`.
pub(super) const ACTIVE: c_int = 1;

/// Whether the stream is being captured. Leaves the capture alone.
///
/// # Safety
/// `stream` is alive, or 0 or 2 with the device that it is meant on current.
#[inline]
pub(crate) unsafe fn status(
    driver: &Driver,
    stream: Ptr,
    operation: &'static str,
) -> Result<CaptureStatus, HipError> {
    let mut status = 0;
    // SAFETY: the caller promises the stream; `status` is a place for the number.
    let code = unsafe { (driver.symbols.stream_is_capturing)(stream, &mut status) };
    if code == HipCode::SUCCESS && status == 0 {
        return Ok(CaptureStatus::None);
    }
    tell(driver, stream, code, status, operation)
}

/// What an answer to the question in [`status`] means.
#[cold]
fn tell(
    driver: &Driver,
    stream: Ptr,
    code: HipCode,
    status: c_int,
    operation: &'static str,
) -> Result<CaptureStatus, HipError> {
    driver.discard(code);
    if code == HipCode::CAPTURE_IMPLICIT {
        // The default stream, beside a captured stream that it synchronises with. To this question
        // the runtime answers so and leaves the capture as it is.
        return Err(HipError::Capturing {
            operation,
            what: "a stream that the default stream synchronises with",
        });
    }
    if code == HipCode::INVALID_VALUE {
        // What HIP 5.2 says of a handle that is no stream.
        return Err(dead(stream, operation));
    }
    driver.check(code, operation, "hipStreamIsCapturing")?;
    Ok(match status {
        0 => CaptureStatus::None,
        ACTIVE => CaptureStatus::Active,
        _ => CaptureStatus::Invalidated,
    })
}

/// Whether the stream may be captured: also if the runtime does not say.
///
/// # Safety
/// As [`status`].
#[inline]
pub(crate) unsafe fn may_be_capturing(driver: &Driver, stream: Ptr) -> bool {
    let mut status = 0;
    // SAFETY: the caller promises the stream; `status` is a place for the number.
    let code = unsafe { (driver.symbols.stream_is_capturing)(stream, &mut status) };
    driver.discard(code);
    code != HipCode::SUCCESS || status != 0
}

/// Whether a capture of the stream has begun since it was looked at, asked behind a record. If the
/// runtime does not say, it is asked once more, and then none has: what it says may be about
/// something else, and the record was made.
///
/// # Safety
/// As [`status`].
#[inline]
pub(crate) unsafe fn capture_started(driver: &Driver, stream: Ptr) -> bool {
    for _ in 0..2 {
        let mut status = 0;
        // SAFETY: the caller promises the stream; `status` is a place for the number.
        let code = unsafe { (driver.symbols.stream_is_capturing)(stream, &mut status) };
        if code == HipCode::SUCCESS {
            return status != 0;
        }
        driver.discard(code);
    }
    false
}

/// An error if the stream is being captured.
///
/// # Safety
/// As [`status`].
#[inline]
pub(crate) unsafe fn ensure_not_capturing(
    driver: &Driver,
    stream: Ptr,
    operation: &'static str,
) -> Result<(), HipError> {
    // SAFETY: the caller promises the same.
    match unsafe { status(driver, stream, operation) }? {
        CaptureStatus::None => Ok(()),
        CaptureStatus::Active | CaptureStatus::Invalidated => {
            Err(HipError::Capturing { operation, what: "the stream" })
        }
    }
}

/// Ends the capture of a stream, and drops the graph.
///
/// # Safety
/// As [`status`]; the stream ends with it.
pub(crate) unsafe fn end(
    driver: &Driver,
    stream: Ptr,
    operation: &'static str,
) -> Result<(), HipError> {
    let end = require(driver.symbols.end_capture, operation)?;
    let mut graph = std::ptr::null_mut();
    // SAFETY: the caller promises the stream; `graph` is a place for one graph.
    let code = unsafe { end(stream, &mut graph) };
    driver.discard(code);
    if let (Some(destroy), false) = (driver.symbols.graph_destroy.function, graph.is_null()) {
        // SAFETY: the graph is ours, and this is its last use.
        driver.discard(unsafe { destroy(graph) });
    }
    // One that was broken, or has branches that were not joined, is an error and over.
    // SAFETY: the caller promises the stream.
    match unsafe { status(driver, stream, operation) }? {
        CaptureStatus::None => Ok(()),
        _ => driver.check(code, operation, driver.symbols.end_capture.name),
    }
}

/// A capture, as a stream in it knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct CaptureId {
    /// The runtime's number of the capture; 0 if it does not say. No two captures have the same. Up to
    /// 5.6 each stream in a capture has another one, and this is the first that was seen of it.
    number: u64,
    /// The graph, which all streams of a capture share; 0 if the runtime does not say.
    graph: usize,
}

impl CaptureId {
    /// Returns `true` if both, of which each goes on, are one capture.
    pub(crate) fn is_same(self, other: Self) -> bool {
        if self.graph != 0 && other.graph != 0 {
            self.graph == other.graph
        } else {
            self.number == other.number
        }
    }
}

/// The capture that a stream is in, and the nodes that its next work comes after.
pub(crate) struct CaptureInfo {
    pub(crate) id: CaptureId,
    pub(crate) nodes: Vec<usize>,
}

/// Held while the list of a captured stream's nodes is read or added to: the runtime returns a pointer
/// into it. Such calls never block, since nothing is submitted.
static NODES: Mutex<FirstNumbers> = Mutex::new(FirstNumbers(BTreeMap::new()));

fn lock_nodes() -> MutexGuard<'static, FirstNumbers> {
    NODES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The capture number that a stream had first, by the number that a wait has given it since.
///
/// A graph cannot tell captures apart: the next one may have the same address.
struct FirstNumbers(BTreeMap<u64, u64>);

impl FirstNumbers {
    /// The most numbers that are kept: those of captures that are over are not taken out.
    const LIMIT: usize = 1_024;

    /// Returns the first number of the stream that has `number` now.
    fn first(&self, number: u64) -> u64 {
        self.0.get(&number).copied().unwrap_or(number)
    }

    /// Stores that the stream whose first number is `first` has `number` now. The runtime counts up, so
    /// the lowest numbers are the oldest, and are dropped beyond the limit.
    fn insert(&mut self, number: u64, first: u64) {
        self.0.retain(|_, known| *known != first);
        self.0.insert(number, first);
        if self.0.len() > Self::LIMIT {
            self.0.pop_first();
        }
    }
}

/// Returns the capture that the stream is in; `None` if it is in none, or in one that is broken.
///
/// # Safety
/// As [`status`].
pub(crate) unsafe fn info(driver: &Driver, stream: Ptr) -> Option<CaptureInfo> {
    let numbers = lock_nodes();
    // SAFETY: the caller promises the same.
    unsafe { read_info(driver, stream, &numbers) }.ok().flatten()
}

/// As [`info`], for a wait, which must not be made if it cannot be told what it would mean.
///
/// # Errors
/// What the runtime says instead.
///
/// # Safety
/// As [`status`].
pub(crate) unsafe fn capture_info(
    driver: &Driver,
    stream: Ptr,
    operation: &'static str,
) -> Result<Option<CaptureInfo>, HipError> {
    // SAFETY: the caller promises the same.
    if unsafe { status(driver, stream, operation) }? != CaptureStatus::Active {
        return Ok(None);
    }
    let numbers = lock_nodes();
    let function = driver.symbols.stream_capture_info.name;
    // SAFETY: the caller promises the same.
    let info = unsafe { read_info(driver, stream, &numbers) };
    info.map_err(|code| HipError::Driver { operation, function, code })
}

/// Returns what [`info`] does. The caller holds [`NODES`], which has `numbers`.
///
/// # Safety
/// As [`status`].
unsafe fn read_info(
    driver: &Driver,
    stream: Ptr,
    numbers: &FirstNumbers,
) -> Result<Option<CaptureInfo>, HipCode> {
    let Some(info) = driver.symbols.stream_capture_info.function else {
        // SAFETY: the caller promises the same.
        let status = unsafe { status(driver, stream, "capture::info") };
        let (id, nodes) = (CaptureId { number: 0, graph: 0 }, Vec::new());
        let is_active = matches!(status, Ok(CaptureStatus::Active));
        return Ok(is_active.then_some(CaptureInfo { id, nodes }));
    };
    let (mut status, mut number, mut count) = (0, 0, 0);
    let (mut graph, mut first) = (std::ptr::null_mut(), std::ptr::null::<Ptr>());
    // SAFETY: the caller promises the stream; all others are valid out-pointers.
    let code =
        unsafe { info(stream, &mut status, &mut number, &mut graph, &mut first, &mut count) };
    driver.discard(code);
    if code != HipCode::SUCCESS {
        return Err(code);
    }
    if status != ACTIVE {
        return Ok(None);
    }
    let nodes = if first.is_null() || !driver.quirks.adds_dependencies {
        Vec::new()
    } else {
        // SAFETY: the runtime's list has `count` nodes from `first` on, and no call of ours changes it
        // while the lock is held.
        unsafe { std::slice::from_raw_parts(first, count) }
            .iter()
            .map(|node| node.expose_provenance())
            .collect()
    };
    let number = numbers.first(number);
    Ok(Some(CaptureInfo { id: CaptureId { number, graph: graph.addr() }, nodes }))
}

/// Recognizes a stream again after a wait by the runtime inside of the capture `before`: up to 5.6 the
/// wait has given the stream another number.
///
/// # Safety
/// As [`status`].
pub(crate) unsafe fn renumbered(driver: &Driver, stream: Ptr, before: CaptureId) {
    if !driver.quirks.renumbers_captures {
        return;
    }
    let mut numbers = lock_nodes();
    // SAFETY: the caller promises the same.
    if let Ok(Some(CaptureInfo { id: now, .. })) = unsafe { read_info(driver, stream, &numbers) }
        && now.number != before.number
        && now.graph == before.graph
    {
        numbers.insert(now.number, before.number);
    }
}

/// Returns the capture that the stream is in, as [`info`] does.
///
/// # Safety
/// As [`status`].
pub(crate) unsafe fn id(driver: &Driver, stream: Ptr) -> Option<CaptureId> {
    // SAFETY: the caller promises the same.
    unsafe { info(driver, stream) }.map(|info| info.id)
}

/// Makes the next work of a captured stream come after `nodes` of its graph, which is what a wait for
/// an event of the same capture does. Makes no call if it comes after them anyway. Returns `false` if
/// the runtime refuses, or is of a version where this is not done.
///
/// From 5.7 on the runtime keeps for each stream which others wait for its events, and follows that
/// without end when a capture ends, if a stream waits for itself, or two for each other. This leaves no
/// such trace.
///
/// # Safety
/// As [`status`]; the nodes are of the stream's graph.
pub(crate) unsafe fn add_dependencies(driver: &Driver, stream: Ptr, nodes: &[usize]) -> bool {
    let update =
        driver.symbols.update_dependencies.function.filter(|_| driver.quirks.adds_dependencies);
    let Some(update) = update else { return false };
    let numbers = lock_nodes();
    // SAFETY: the caller promises the same.
    let Ok(Some(now)) = (unsafe { read_info(driver, stream, &numbers) }) else { return false };
    let missing = nodes.iter().filter(|node| !now.nodes.contains(node));
    let mut missing: Vec<Ptr> =
        missing.map(|node| std::ptr::with_exposed_provenance_mut(*node)).collect();
    if missing.is_empty() {
        return true;
    }
    const ADD: c_uint = 0;
    // SAFETY: the caller promises the stream and the nodes, of which there are so many.
    let code = unsafe { update(stream, missing.as_mut_ptr(), missing.len(), ADD) };
    driver.discard(code);
    code == HipCode::SUCCESS
}

/// While it lives, calls of this thread do not break captures of other streams. The thread's mode
/// is as before when it is dropped.
pub(crate) struct CaptureModeGuard {
    driver: &'static Driver,
    /// `None` where the mode was left alone.
    before: Option<c_int>,
    // The mode is the thread's.
    _not_send: PhantomData<*const ()>,
}

impl CaptureModeGuard {
    /// For a call of whatever is neither `hipStreamQuery` nor `hipEventQuery`.
    #[inline]
    pub(crate) fn enter(
        driver: &'static Driver,
        operation: &'static str,
    ) -> Result<Self, HipError> {
        CaptureModeGuard::enter_if(driver.quirks.unsafe_calls.others, driver, operation)
    }

    /// For a call that needs it if so said.
    #[inline]
    pub(crate) fn enter_if(
        needed: bool,
        driver: &'static Driver,
        operation: &'static str,
    ) -> Result<Self, HipError> {
        let before = if needed { exchange(driver, operation)? } else { None };
        Ok(CaptureModeGuard { driver, before, _not_send: PhantomData })
    }

    /// Returns `true` if the mode was set. A runtime without modes leaves it alone.
    pub(super) fn is_set(&self) -> bool {
        self.before.is_some()
    }
}

/// The mode that the thread had, if the runtime has modes.
#[inline]
fn exchange(driver: &'static Driver, operation: &'static str) -> Result<Option<c_int>, HipError> {
    let Some(exchange) = driver.symbols.exchange_capture_mode.function else { return Ok(None) };
    let mut mode = RELAXED;
    // SAFETY: `mode` is a valid mode, and a place for the one before.
    let code = unsafe { exchange(&mut mode) };
    let done = driver.check(code, operation, driver.symbols.exchange_capture_mode.name);
    // If it was done all the same, the mode is the one before.
    if done.is_err() && mode != RELAXED {
        put_back(driver, exchange, mode);
    }
    // A function that is there and does nothing is as good as missing.
    if code == HipCode::NOT_SUPPORTED { Ok(None) } else { done.map(|()| Some(mode)) }
}

/// Sets the thread's mode to one that the runtime gave: once more, if the runtime says no, which may
/// be about something else.
#[inline]
fn put_back(driver: &Driver, exchange: unsafe extern "C" fn(*mut c_int) -> HipCode, before: c_int) {
    for _ in 0..2 {
        let mut mode = before;
        // SAFETY: `mode` is a mode that the runtime gave, and a place for ours, which nobody needs.
        // If it fails again the runtime is gone, and then there are no modes.
        let code = unsafe { exchange(&mut mode) };
        if code == HipCode::SUCCESS {
            break;
        }
        driver.discard(code);
    }
}

impl Drop for CaptureModeGuard {
    #[inline]
    fn drop(&mut self) {
        let exchange = self.driver.symbols.exchange_capture_mode.function;
        if let (Some(before), Some(exchange)) = (self.before, exchange) {
            put_back(self.driver, exchange, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_one_stream_lead_to_its_first() {
        let mut numbers = FirstNumbers(BTreeMap::new());
        numbers.insert(7, 3);
        numbers.insert(9, 3);
        numbers.insert(8, 4);
        assert_eq!([3, 9, 8, 5].map(|number| numbers.first(number)), [3, 3, 4, 5]);
        assert_eq!(numbers.first(7), 7, "a number that the stream no longer has");
    }

    #[test]
    fn oldest_numbers_are_dropped_beyond_the_limit() {
        let mut numbers = FirstNumbers(BTreeMap::new());
        let limit = FirstNumbers::LIMIT as u64;
        for number in 1..=2 * limit {
            numbers.insert(10_000 + number, number);
        }
        assert_eq!(numbers.0.len(), FirstNumbers::LIMIT);
        assert_eq!(numbers.first(10_000 + 2 * limit), 2 * limit);
        assert_eq!(numbers.first(10_001), 10_001);
    }
}
