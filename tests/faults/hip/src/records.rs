//! The pointers that HIP's events and captures keep. The real library follows them unchecked, so their
//! misuse shows itself rarely. The layer counts each one, as an object of kind [`STALE`] or [`LOST`].
//!
//! - An event points to the stream of its last record. A use of the event after the stream's end is stale,
//!   and so is a use of the stream itself.
//! - A capture points to the events that were recorded in it, and writes to them when it ends. An event is
//!   lost if it is recorded elsewhere meanwhile, or, before HIP 5.5, destroyed.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::ffi::{c_int, c_void};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use crate::real;

/// The kind of "object" that stands for a call that used a stream after its end.
const STALE: &str = "stale use";
/// The kind of "object" that stands for an event that a capture lost.
const LOST: &str = "lost event";

/// The handle of the calling thread's own stream.
const PER_THREAD: usize = 2;

type Ptr = *mut c_void;

/// The last record of an event.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Record {
    stream: usize,
    /// The number of the stream's capture, or 0.
    capture: u64,
    /// `true` after the stream's end.
    is_stale: bool,
}

#[derive(Default)]
struct Records {
    events: HashMap<usize, Record>,
    /// The captured streams, each with the number of its capture.
    captures: HashMap<usize, u64>,
    destroyed_streams: HashSet<usize>,
    last_number: u64,
}

static RECORDS: LazyLock<Mutex<Records>> = LazyLock::new(Mutex::default);

fn records() -> MutexGuard<'static, Records> {
    RECORDS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Records {
    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    fn count(&mut self, kind: &'static str) {
        let number = self.next_number();
        gpu_stream_faults::made(kind, number as usize);
    }

    fn end_of_stream(&mut self, stream: usize) {
        for record in self.events.values_mut().filter(|record| record.stream == stream) {
            record.is_stale = true;
        }
    }

    /// Counts the event if the capture of `record` is active.
    fn lose(&mut self, record: Record) {
        let is_active = self.captures.get(&record.stream) == Some(&record.capture);
        // On HIP's NVIDIA platform captures keep no such pointers.
        if record.capture != 0 && is_active && real::version() >= 1_000_000 {
            self.count(LOST);
        }
    }
}

/// The number that stands for the thread's own stream. It ends with the thread.
struct OwnStream(usize);

impl Drop for OwnStream {
    fn drop(&mut self) {
        records().end_of_stream(self.0);
    }
}

/// Returns the number of a stream: its handle, or that of the thread's own stream.
fn number_of(stream: Ptr) -> usize {
    thread_local!(static OWN: RefCell<Option<OwnStream>> = const { RefCell::new(None) });
    if stream.addr() != PER_THREAD {
        return stream.addr();
    }
    let own = OWN.try_with(|own| {
        // Odd, unlike every handle.
        let new = || OwnStream(records().next_number() as usize * 2 + 1);
        own.borrow_mut().get_or_insert_with(new).0
    });
    own.unwrap_or(PER_THREAD)
}

/// Returns `true` if the stream is alive, else counts the use.
pub(crate) fn use_stream(stream: Ptr) -> bool {
    let number = number_of(stream);
    let mut records = records();
    let is_alive = !records.destroyed_streams.contains(&number);
    if !is_alive {
        records.count(STALE);
    }
    is_alive
}

/// Returns `true` if the stream of the event's last record is alive, else counts the use.
pub(crate) fn use_event(event: Ptr) -> bool {
    let mut records = records();
    let is_stale = records.events.get(&event.addr()).is_some_and(|record| record.is_stale);
    if is_stale {
        records.count(STALE);
    }
    !is_stale
}

/// Records that the runtime recorded the event, or tried to: a failed record may move the pointer too.
pub(crate) fn recorded(event: Ptr, stream: Ptr, code: c_int) {
    let number = number_of(stream);
    let mut records = records();
    let capture = records.captures.get(&number).copied().filter(|_| code == 0).unwrap_or(0);
    let record = Record { stream: number, capture, is_stale: false };
    if let Some(last) = records.events.insert(event.addr(), record).filter(|last| *last != record) {
        records.lose(last);
    }
}

/// Records the begin of a capture.
pub(crate) fn capture_began(stream: Ptr, code: c_int) {
    let stream = number_of(stream);
    let mut records = records();
    if code == 0 {
        let number = records.next_number();
        records.captures.insert(stream, number);
    }
}

/// Records the end of a capture.
pub(crate) fn capture_ended(stream: Ptr) {
    let stream = number_of(stream);
    records().captures.remove(&stream);
}

/// Records that the runtime made an object. Its handle may be that of a destroyed one.
pub(crate) fn made(kind: &str, handle: usize) {
    let mut records = records();
    if kind == "stream" {
        records.destroyed_streams.remove(&handle);
    } else {
        records.events.remove(&handle);
    }
}

/// Records that the runtime destroys an object.
pub(crate) fn gone(kind: &str, handle: usize) {
    const KEEPS_DESTROYED_EVENTS: c_int = 50_500_000;
    let mut records = records();
    if kind == "stream" {
        records.destroyed_streams.insert(handle);
        records.end_of_stream(handle);
    } else if let Some(last) = records.events.remove(&handle)
        && real::version() < KEEPS_DESTROYED_EVENTS
    {
        records.lose(last);
    }
}
