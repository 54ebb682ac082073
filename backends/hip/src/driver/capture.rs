//! Captures of streams: their status, their ids and their nodes.
//!
//! Querying or synchronizing a captured stream breaks the capture from HIP 6 on, and returns meaningless codes before. So
//! callers check with [`ensure_not_capturing`] first. Other functions break captures of *other* streams:
//! [`CaptureModeGuard`](super::CaptureModeGuard) prevents that.
//!
//! These need no guard: the functions of this module; records, waits and host functions, which are enqueued; and all calls
//! that concern the thread's current device.

use std::ffi::{c_int, c_uint};
use std::sync::{Mutex, MutexGuard, PoisonError};

use gpu_stream_core::CaptureStatus;

use super::symbols::Ptr;
use super::{Driver, dead};
use crate::HipError;
use crate::code::HipCode;

/// `hipStreamCaptureStatusActive`.
pub(crate) const ACTIVE: c_int = 1;

/// Calls `hipStreamIsCapturing`. Returns the code and the status.
///
/// # Safety
/// - `stream` is a live stream, or 0 or 2 with the intended device current.
#[inline]
unsafe fn read_status(driver: &Driver, stream: Ptr) -> (HipCode, c_int) {
    let mut status = 0;
    // SAFETY: `stream` is live, or its device is current (caller contract). `&mut status` is a valid out-pointer.
    let code = unsafe { (driver.symbols.stream_is_capturing)(stream, &mut status) };
    driver.discard(code);
    (code, status)
}

/// Returns the capture status of `stream`. Does not affect the capture.
///
/// # Safety
/// - `stream` is a live stream, or 0 or 2 with the intended device current.
#[inline]
pub(crate) unsafe fn status(
    driver: &Driver,
    stream: Ptr,
    operation: &'static str,
) -> Result<CaptureStatus, HipError> {
    // SAFETY: the caller keeps the same contract.
    match unsafe { read_status(driver, stream) } {
        (HipCode::SUCCESS, 0) => Ok(CaptureStatus::None),
        (HipCode::SUCCESS, ACTIVE) => Ok(CaptureStatus::Active),
        (HipCode::SUCCESS, _) => Ok(CaptureStatus::Invalidated),
        (code, _) => Err(status_error(stream, code, operation)),
    }
}

#[cold]
fn status_error(stream: Ptr, code: HipCode, operation: &'static str) -> HipError {
    match code {
        // The default stream, while a stream is captured that it synchronizes with. This call does not affect that
        // capture.
        HipCode::CAPTURE_IMPLICIT => {
            let what = "a stream that the default stream synchronizes with";
            HipError::Capturing { operation, what }
        }
        // HIP 5.2 returns this for a handle that is no stream.
        HipCode::INVALID_VALUE => dead(stream, operation),
        code => HipError::Driver { operation, function: "hipStreamIsCapturing", code },
    }
}

/// Returns `true` if the stream may be capturing. Also returns `true` if the runtime cannot tell.
///
/// # Safety
/// - `stream` is a live stream, or 0 or 2 with the intended device current.
#[inline]
pub(crate) unsafe fn may_be_capturing(driver: &Driver, stream: Ptr) -> bool {
    // SAFETY: the caller keeps the same contract.
    let answer = unsafe { read_status(driver, stream) };
    answer != (HipCode::SUCCESS, 0)
}

/// Returns an error if the stream is being captured.
///
/// # Safety
/// - `stream` is a live stream, or 0 or 2 with the intended device current.
#[inline]
pub(crate) unsafe fn ensure_not_capturing(
    driver: &Driver,
    stream: Ptr,
    operation: &'static str,
) -> Result<(), HipError> {
    // SAFETY: the caller keeps the same contract.
    match unsafe { status(driver, stream, operation) }? {
        CaptureStatus::None => Ok(()),
        CaptureStatus::Active | CaptureStatus::Invalidated => {
            Err(HipError::Capturing { operation, what: "the stream" })
        }
    }
}

/// The identity of a capture, as read from one of its streams.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct CaptureId {
    /// The runtime's number of the capture, which no other capture has. Up to 5.6 each stream of a capture has numbers of
    /// its own, and a wait inside of the capture gives it another.
    number: u64,
    /// The graph, which all streams of a capture share. A later graph may have the same address. 0 if the runtime does not
    /// tell it.
    graph: usize,
}

impl CaptureId {
    /// Returns `true` if both are one capture. Both must go on.
    pub(crate) fn is_same(self, other: Self) -> bool {
        self.number == other.number || (self.graph != 0 && self.graph == other.graph)
    }
}

/// The capture of a stream, and the nodes that its next work depends on.
pub(crate) struct CaptureInfo {
    pub(crate) id: CaptureId,
    pub(crate) nodes: Vec<usize>,
}

/// Locks the lists of captured streams' nodes, which are read or changed meanwhile: the runtime returns a pointer into
/// a list. Such calls never block, since they submit nothing.
fn lock_nodes() -> MutexGuard<'static, ()> {
    static NODES: Mutex<()> = Mutex::new(());
    NODES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the capture of the stream. `None` if there is none, if it is broken, or if the runtime cannot tell.
///
/// # Safety
/// - `stream` is a live stream, or 0 or 2 with the intended device current.
pub(crate) unsafe fn info(driver: &Driver, stream: Ptr) -> Option<CaptureInfo> {
    // SAFETY: the caller keeps the same contract.
    unsafe { read_info(driver, stream, &lock_nodes()) }.ok().flatten()
}

/// Returns the capture of the stream, for a wait, which must not be made if the runtime cannot tell.
///
/// # Errors
/// The runtime's error, if it cannot tell.
///
/// # Safety
/// - `stream` is a live stream, or 0 or 2 with the intended device current.
pub(crate) unsafe fn capture_info(
    driver: &Driver,
    stream: Ptr,
    operation: &'static str,
) -> Result<Option<CaptureInfo>, HipError> {
    // SAFETY: the caller keeps the same contract.
    unsafe {
        if status(driver, stream, operation)? != CaptureStatus::Active {
            return Ok(None);
        }
        let function = driver.symbols.stream_capture_info.name;
        let to_error = |code| HipError::Driver { operation, function, code };
        read_info(driver, stream, &lock_nodes()).map_err(to_error)
    }
}

/// Reads the capture of the stream. [`lock_nodes`] is held.
///
/// # Safety
/// - `stream` is a live stream, or 0 or 2 with the intended device current.
unsafe fn read_info(
    driver: &Driver,
    stream: Ptr,
    _locked: &MutexGuard<'_, ()>,
) -> Result<Option<CaptureInfo>, HipCode> {
    let read = driver.symbols.stream_capture_info.function.ok_or(HipCode::NOT_SUPPORTED)?;
    let (mut status, mut number, mut count) = (0, 0, 0);
    let (mut graph, mut first) = (std::ptr::null_mut(), std::ptr::null::<Ptr>());
    // SAFETY: `stream` is live, or its device is current (caller contract). All other arguments are valid
    // out-pointers.
    let code =
        unsafe { read(stream, &mut status, &mut number, &mut graph, &mut first, &mut count) };
    driver.discard(code);
    match (code, status) {
        (HipCode::SUCCESS, ACTIVE) => {}
        (HipCode::SUCCESS, _) => return Ok(None),
        (code, _) => return Err(code),
    }
    let mut nodes = Vec::new();
    if !first.is_null() && driver.quirks.adds_dependencies {
        // SAFETY: the runtime's list has `count` nodes, starting at `first`. No call of this crate changes it while
        // the lock is held.
        let list = unsafe { std::slice::from_raw_parts(first, count) };
        nodes.extend(list.iter().map(|node| node.expose_provenance()));
    }
    Ok(Some(CaptureInfo { id: CaptureId { number, graph: graph.addr() }, nodes }))
}

/// Returns the id of the stream's capture. `None` if there is none, if it is broken, or if the runtime cannot tell.
///
/// # Safety
/// - `stream` is a live stream, or 0 or 2 with the intended device current.
pub(crate) unsafe fn id(driver: &Driver, stream: Ptr) -> Option<CaptureId> {
    // SAFETY: the caller keeps the same contract.
    unsafe { info(driver, stream) }.map(|info| info.id)
}

/// Makes the next work of a captured stream depend on `nodes` of its graph, as a wait for an event of the same capture
/// does. Makes no call if it depends on them already. Returns `false` if the runtime refuses, or if its version needs the
/// event.
///
/// From 5.7 on the runtime keeps a list of the streams that wait for each stream's events. When the capture ends, it
/// follows these lists without end if a stream waits for itself, or two for each other. This function leaves no entry.
///
/// # Safety
/// - `stream` is a live stream, or 0 or 2 with the intended device current.
/// - The nodes belong to the stream's graph.
pub(crate) unsafe fn add_dependencies(driver: &Driver, stream: Ptr, nodes: &[usize]) -> bool {
    let update = driver.symbols.update_dependencies.function;
    let Some(update) = update.filter(|_| driver.quirks.adds_dependencies) else { return false };
    let locked = lock_nodes();
    // SAFETY: `stream` is live, or its device is current (caller contract).
    let Ok(Some(now)) = (unsafe { read_info(driver, stream, &locked) }) else { return false };
    let missing = nodes.iter().filter(|node| !now.nodes.contains(node));
    let mut missing: Vec<Ptr> =
        missing.map(|node| std::ptr::with_exposed_provenance_mut(*node)).collect();
    if missing.is_empty() {
        return true;
    }
    const ADD: c_uint = 0;
    // SAFETY: `stream` is live, or its device is current, and the nodes belong to its graph (caller contract). The
    // pointer and the length are those of `missing`.
    let code = unsafe { update(stream, missing.as_mut_ptr(), missing.len(), ADD) };
    driver.discard(code);
    code == HipCode::SUCCESS
}
