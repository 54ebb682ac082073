//! What an event stands for: [`EventState`].

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use super::clock::{LineId, Snapshot};
use super::{Engine, lock};

/// The last record of an event. A wrapper of an event holds it.
pub(crate) struct EventState {
    engine: &'static Engine,
    number: u32,
    /// Locked only while the engine's state is locked.
    last: Mutex<LastRecord>,
}

/// The last record of an event.
pub(super) enum LastRecord {
    /// There is none.
    None,
    /// Others may have made it.
    Opaque,
    /// The call with this number.
    Known(Snapshot, u64),
    /// The call with this number, which has not returned yet. Before it, this was the last record.
    Making(Snapshot, u64, Box<LastRecord>),
}

impl LastRecord {
    /// Returns the records that the event may stand for. The latest one comes first.
    pub(super) fn records(&self) -> Vec<(&Snapshot, u64)> {
        let (mut records, mut last) = (Vec::new(), self);
        loop {
            last = match last {
                LastRecord::None | LastRecord::Opaque => return records,
                LastRecord::Known(snapshot, number) => {
                    records.push((snapshot, *number));
                    return records;
                }
                LastRecord::Making(snapshot, number, before) => {
                    records.push((snapshot, *number));
                    before
                }
            };
        }
    }

    /// Makes the record of a call known. Returns what it has replaced, or `None` if the call is not here: another one has
    /// replaced it, or the event escaped.
    pub(super) fn made(self, call: u64) -> (Self, Option<(Snapshot, LastRecord)>) {
        match self {
            LastRecord::Making(snapshot, number, before) if number == call => {
                (LastRecord::Known(snapshot.clone(), number), Some((snapshot, *before)))
            }
            LastRecord::Making(snapshot, number, before) => {
                let (before, made) = before.made(call);
                (LastRecord::Making(snapshot, number, Box::new(before)), made)
            }
            other => (other, None),
        }
    }

    /// Removes a call that made no record.
    pub(super) fn without(self, call: u64) -> Self {
        match self {
            LastRecord::Making(_, number, before) if number == call => *before,
            LastRecord::Making(snapshot, number, before) => {
                LastRecord::Making(snapshot, number, Box::new(before.without(call)))
            }
            other => other,
        }
    }
}

impl EventState {
    /// Returns the state of an event that has no record. Other libraries may record a foreign one.
    pub(crate) fn new(engine: &'static Engine, is_foreign: bool) -> Self {
        let last = if is_foreign { LastRecord::Opaque } else { LastRecord::None };
        EventState { engine, number: next_number(), last: Mutex::new(last) }
    }

    /// Returns the engine that the event belongs to.
    pub(crate) fn engine(&self) -> &'static Engine {
        self.engine
    }

    /// Returns the number of the event, counted over the process.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Locks the last record. Only for calls that hold the engine's state.
    pub(super) fn last(&self) -> std::sync::MutexGuard<'_, LastRecord> {
        lock(&self.last)
    }
}

impl Drop for EventState {
    fn drop(&mut self) {
        self.engine.with(|state| {
            let last = std::mem::replace(&mut *self.last(), LastRecord::None);
            state.drop_records(&last);
            state.decide_event(self.number);
        });
    }
}

/// Returns the number of a new event.
pub(super) fn next_number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A record that is being made.
#[must_use = "a record is made, or it failed"]
pub(crate) struct Recording {
    /// The number of the call.
    pub(super) number: u64,
    /// The line that records.
    pub(super) line: LineId,
}

/// What the host waits for: taken before the call, noted by [`Engine::host_waited`] if it succeeds.
pub(crate) struct Mark(pub(super) Waited);

/// What the host waits for.
pub(super) enum Waited {
    /// All calls up to this number.
    Everything(u64),
    /// All work of a line so far.
    Stream(Snapshot),
    /// The records that an event may stand for.
    Event(Vec<Snapshot>),
}
