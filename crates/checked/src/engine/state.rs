//! What is known of a backend's streams: [`State`].

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use gpu_stream_core::Device;

use super::clock::{Clock, LineId, Snapshot};
use super::found::Found;
use super::implicit::ImplicitOrder;
use super::late::Unrecorded;
use super::line::{Line, LineState, Origin, StreamKey};
use super::memory::Memory;
use super::steps::Steps;
use super::{Engine, Hook, Place};
use crate::finding::Action;

/// Number of entries that the clock of a stream that is gone keeps.
const LONG_CLOCK: usize = 64;

/// A map by small numbers.
pub(super) type NumberMap<T> = HashMap<u32, T, BuildHasherDefault<NumberHasher>>;

/// A hash of one small number (Fibonacci hashing).
#[derive(Default)]
pub(super) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

/// What is known of the streams of one backend type.
#[derive(Default)]
pub(super) struct State {
    pub(super) lines: NumberMap<LineState>,
    /// The line of each stream that lives.
    pub(super) keys: HashMap<StreamKey, LineId>,
    /// The line of the latest stream with a handle that was destroyed.
    pub(super) destroyed: HashMap<StreamKey, LineId>,
    /// The number of the latest line.
    last_line: LineId,
    /// The number of the latest capture.
    pub(super) last_group: u32,
    /// The accesses of each capture. 0 is outside of all captures.
    pub(super) memory: NumberMap<Memory>,
    /// The order of default streams.
    pub(super) devices: HashMap<Device, ImplicitOrder>,
    /// The host knows that all calls up to this number are done.
    pub(super) host_everything: u64,
    /// Code of the program ran that comes after all calls up to this number: see [`LineState::noted`].
    pub(super) noted_everything: u64,
    /// Counts the changes of what the host knows.
    pub(super) version: u64,
    /// The call of the latest wait for an event whose record is not known.
    pub(super) opaque_wait: u64,
    /// The lines that have waited for another one, in their order.
    pub(super) sides: BTreeSet<LineId>,
    /// The lines without wrappers.
    pub(super) ending: Vec<LineId>,
    /// Number of them at which a sweep is worth its cost.
    pub(super) sweep_at: usize,
    pub(super) steps: Steps,
    pub(super) found: Found,
    pub(super) unrecorded: Unrecorded,
    pub(super) hook: Option<Hook>,
}

impl State {
    /// Opens a wrapper of a stream.
    pub(super) fn open(
        &mut self,
        engine: &'static Engine,
        key: StreamKey,
        origin: Origin,
        blocking: bool,
        place: Place,
    ) -> Line {
        let key = key.normalized();
        let known = self.keys.get(&key).copied();
        let id = match known {
            // The driver gives a handle to a new stream only after the old one is gone.
            Some(old) if origin == Origin::Created => {
                self.destroy(old);
                self.add_line(key, blocking, place)
            }
            Some(old) => old,
            None => {
                let id = self.add_line(key, blocking, place);
                if origin != Origin::Created {
                    self.continue_destroyed(id, key);
                }
                id
            }
        };
        let Some(line) = self.lines.get_mut(&id) else {
            // Unreachable: `keys` names lines that exist.
            return Line::new(engine, id, origin, Arc::default());
        };
        if line.wrappers == 0 {
            // The handle may be that of another stream by now.
            line.fault = None;
            line.is_blocking = blocking;
        }
        line.is_blocking |= blocking;
        line.wrappers += 1;
        if origin == Origin::Created {
            line.created_wrappers += 1;
            line.joining.is_created = true;
        }
        Line::new(engine, id, origin, Arc::clone(&line.flags))
    }

    /// Adds a line for a stream.
    fn add_line(&mut self, key: StreamKey, blocking: bool, place: Place) -> LineId {
        let id = self.next_line();
        let line = LineState::new(key, key.describe(place), blocking);
        if line.is_blocking && line.is_default() {
            self.devices.entry(key.device).or_default().default = Some(id);
        }
        self.lines.insert(id, line);
        self.keys.insert(key, id);
        id
    }

    /// Orders a line after the destroyed stream with its handle. It may be the same stream: the program can keep the
    /// stream inside of a wrapper.
    fn continue_destroyed(&mut self, id: LineId, key: StreamKey) {
        let Some(old) = self.destroyed.get(&key).copied() else { return };
        if let Some(line) = self.lines.get_mut(&old) {
            let snapshot = line.snapshot(old);
            self.join(id, &snapshot);
        }
    }

    /// Returns the number of a new line.
    pub(super) fn next_line(&mut self) -> LineId {
        self.last_line = self.last_line.wrapping_add(1).max(1);
        self.last_line
    }

    /// Notes that a wrapper and its clones were dropped.
    pub(super) fn close(&mut self, id: LineId, origin: Origin) {
        let Some(line) = self.lines.get_mut(&id) else { return };
        line.wrappers = line.wrappers.saturating_sub(1);
        if line.wrappers == 0 && !line.is_ending {
            line.is_ending = true;
            self.ending.push(id);
        }
        if origin == Origin::Created {
            line.created_wrappers = line.created_wrappers.saturating_sub(1);
            if line.created_wrappers == 0 {
                self.destroy(id);
            }
        }
        self.shorten(id);
        self.sweep_if_due();
    }

    /// Replaces a long clock of a stream that is gone by a short one that covers more. The clock counts only if the stream
    /// inside was kept, and is wrapped again.
    fn shorten(&mut self, id: LineId) {
        let latest = self.steps.latest();
        let Some(line) = self.lines.get_mut(&id) else { return };
        let is_gone = line.wrappers == 0 && line.flags.is_destroyed() && !line.is_unseen;
        if is_gone && line.clock.entries().len() > LONG_CLOCK {
            let mut clock = Clock::default();
            clock.raise_everything(latest);
            line.clock = Arc::new(clock);
        }
    }

    /// Notes that a stream was destroyed.
    fn destroy(&mut self, id: LineId) {
        let Some(line) = self.lines.get_mut(&id) else { return };
        if line.flags.is_destroyed() {
            return;
        }
        line.flags.set_destroyed();
        let (key, created) = (line.key, line.info.created);
        self.steps.push(line.info.number, created, Action::Drop);
        if self.keys.get(&key) == Some(&id) {
            self.keys.remove(&key);
        }
        self.destroyed.insert(key, id);
        self.end_capture_of_destroyed(id);
    }

    /// Makes the work that follows on a line happen after a snapshot.
    pub(super) fn join(&mut self, id: LineId, snapshot: &Snapshot) {
        let Snapshot { line: other, epoch, ref clock } = *snapshot;
        let is_over = self.is_over(other, epoch);
        if let Some(other) = self.lines.get_mut(&other) {
            other.joining.joined = other.joining.joined.max(epoch);
        }
        let Some(line) = self.lines.get(&id) else { return };
        let is_known = other == id || line.clock.get(other) >= epoch;
        if is_known || is_over && self.lines.contains_key(&other) {
            return;
        }
        let is_known_line = self.lines.contains_key(&other);
        let Some(line) = self.lines.get_mut(&id) else { return };
        if !clock.entries().is_empty() || clock.everything() > 0 {
            line.clock = Arc::new(line.clock.joined(clock));
        }
        if is_known_line {
            Arc::make_mut(&mut line.clock).raise(other, epoch);
        }
        self.prune(id);
    }

    /// Returns `true` if the host knows that the work of a line up to an epoch is done.
    ///
    /// A line that is forgotten has no access that is still compared.
    pub(super) fn is_over(&self, line: LineId, epoch: u64) -> bool {
        self.lines.get(&line).is_none_or(|line| line.host >= epoch)
    }

    /// Removes what the host knows from a line's clock, if that has changed since the last time.
    pub(super) fn prune(&mut self, id: LineId) {
        let version = self.version;
        let Some(line) = self.lines.get_mut(&id).filter(|line| !line.clock.is_pruned(version))
        else {
            return;
        };
        let mut clock = std::mem::take(&mut line.clock);
        Arc::make_mut(&mut clock).prune(version, |line, epoch| self.is_over(line, epoch));
        if let Some(line) = self.lines.get_mut(&id) {
            line.clock = clock;
        }
    }

    /// Notes that the host knows that the work of a snapshot is done.
    pub(super) fn host_join(&mut self, snapshot: &Snapshot) {
        self.host_join_line(snapshot.line, snapshot.epoch);
        self.host_join_clock(&snapshot.clock);
        self.prune(snapshot.line);
    }

    /// Notes that the host knows that the work of a clock is done.
    pub(super) fn host_join_clock(&mut self, clock: &Clock) {
        clock.entries().iter().for_each(|(id, epoch)| self.host_join_line(*id, *epoch));
        self.host_everything = self.host_everything.max(clock.everything());
    }

    fn host_join_line(&mut self, id: LineId, epoch: u64) {
        if let Some(line) = self.lines.get_mut(&id)
            && line.host < epoch
        {
            line.host = epoch;
            self.version += 1;
        }
    }
}
