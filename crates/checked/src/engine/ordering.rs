//! Records, waits, and what the host waits for.

use std::sync::Arc;

use super::Place;
use super::clock::{LineId, Snapshot};
use super::event::{EventState, LastRecord, Mark, Waited, next_number};
use super::found::ScopeId;
use super::state::State;
use crate::finding::Action;

/// Number of parents that a line keeps.
const PARENTS: usize = 16;

impl State {
    /// Adds a call on a line. Returns its number.
    pub(super) fn step(&mut self, id: LineId, place: Place, action: Action) -> u64 {
        let Some(line) = self.lines.get_mut(&id) else { return 0 };
        let number = self.steps.push(line.info.number, place, action);
        line.last_call = number;
        number
    }

    /// Notes a record that succeeded.
    pub(super) fn record(&mut self, id: LineId, event: &EventState, place: Place, scope: ScopeId) {
        let id = self.current(id);
        self.order_implicitly(id);
        let action = Action::Record { event: event.number() };
        let number = self.step(id, place, action.clone());
        self.check_owner(id, number, place, &action, scope);
        let Some(line) = self.lines.get_mut(&id) else { return };
        let snapshot = line.snapshot(id);
        let site = line.site(number, place, action);
        let joining = &mut line.joining;
        let mut last = event.last();
        if matches!(*last, LastRecord::Opaque) {
            // Others have the handle, and may wait for the record.
            joining.joined = snapshot.epoch;
            return;
        }
        joining.covering += 1;
        let clock = Arc::clone(&snapshot.clock);
        let old = std::mem::replace(&mut *last, LastRecord::Known(snapshot, number));
        drop(last);
        self.drop_record(&old);
        if self.unrecorded.contains(event.number()) {
            let is_before = |line: LineId, epoch: u64, number: u64| {
                line == id
                    || clock.get(line) >= epoch
                    || clock.everything().max(self.host_everything) >= number
                    || self.is_over(line, epoch)
            };
            let kept = self.unrecorded.not_before(event.number(), is_before);
            self.unrecorded.recorded(event.number(), kept, &site);
        }
    }

    /// Notes that an event no longer stands for a record.
    pub(super) fn drop_record(&mut self, last: &LastRecord) {
        let LastRecord::Known(snapshot, _) = last else { return };
        let Some(line) = self.lines.get_mut(&snapshot.line) else { return };
        if line.joining.work.as_ref().is_none_or(|work| work.epoch <= snapshot.epoch) {
            line.joining.covering = line.joining.covering.saturating_sub(1);
        }
    }

    /// Notes that others may record an event, and may wait for it.
    pub(super) fn escaped(&mut self, event: &EventState) {
        let old = std::mem::replace(&mut *event.last(), LastRecord::Opaque);
        if let LastRecord::Known(snapshot, _) = &old
            && let Some(line) = self.lines.get_mut(&snapshot.line)
        {
            line.joining.joined = line.joining.joined.max(snapshot.epoch);
        }
        self.drop_record(&old);
        self.unrecorded.forget(event.number());
    }

    /// Notes a wait for an event that succeeded.
    pub(super) fn wait(&mut self, id: LineId, event: &EventState, place: Place, scope: ScopeId) {
        let (snapshot, record) = match &*event.last() {
            LastRecord::Known(snapshot, record) => (Some(snapshot.clone()), Some(*record)),
            LastRecord::None => (None, None),
            LastRecord::Opaque => (None, Some(0)),
        };
        match (snapshot, record) {
            (Some(snapshot), Some(record)) => {
                let id = self.wait_for(id, &snapshot, record, place, scope);
                self.unrecorded.waited(event.number(), id);
            }
            (_, None) => {
                let id = self.current(id);
                let action = Action::Wait { record: None };
                let number = self.step(id, place, action.clone());
                self.check_owner(id, number, place, &action, scope);
                if let Some(line) = self.lines.get(&id) {
                    let site = line.site(number, place, action);
                    self.unrecorded.add(event.number(), id, line.epoch, site, scope);
                }
            }
            (None, Some(_)) => {
                let id = self.current(id);
                self.order_implicitly(id);
                let action = Action::Wait { record: None };
                let number = self.step(id, place, action.clone());
                self.check_owner(id, number, place, &action, scope);
                self.opaque_wait = number;
                if let Some(line) = self.lines.get_mut(&id) {
                    Arc::make_mut(&mut line.clock).raise_everything(number);
                }
            }
        }
    }

    /// Notes that a line waits for all work of another one so far.
    pub(super) fn wait_stream(&mut self, id: LineId, other: LineId, place: Place, scope: ScopeId) {
        let (id, other) = (self.current(id), self.current(other));
        if id == other {
            return;
        }
        self.order_implicitly(other);
        let action = Action::Record { event: next_number() };
        let record = self.step(other, place, action.clone());
        self.check_owner(other, record, place, &action, scope);
        let Some(line) = self.lines.get_mut(&other) else { return };
        let snapshot = line.snapshot(other);
        self.wait_for(id, &snapshot, record, place, scope);
    }

    /// Makes a line wait for a record. Returns the line, which is another one if the wait adds it to a capture.
    fn wait_for(
        &mut self,
        id: LineId,
        snapshot: &Snapshot,
        record: u64,
        place: Place,
        scope: ScopeId,
    ) -> LineId {
        let id = self.join_capture(self.current(id), snapshot.line);
        self.order_implicitly(id);
        let action = Action::Wait { record: Some(record) };
        let number = self.step(id, place, action.clone());
        self.check_owner(id, number, place, &action, scope);
        let group = |id: LineId| self.lines.get(&id).map(|line| line.group);
        // A captured stream does not wait for work outside of its capture.
        if group(id) == Some(0) || group(id) == group(snapshot.line) {
            self.note_parent(id, snapshot, number, place, action);
            self.join(id, snapshot);
        }
        id
    }

    /// Notes that a line waits for another one that has not waited for it: it may be a side stream of that one.
    fn note_parent(
        &mut self,
        id: LineId,
        snapshot: &Snapshot,
        number: u64,
        place: Place,
        action: Action,
    ) {
        let parent = snapshot.line;
        let is_child = |line: LineId| {
            self.lines.get(&line).is_some_and(|line| line.joining.parents.contains(&id))
        };
        if parent == id || snapshot.clock.get(id) > 0 || is_child(parent) {
            return;
        }
        let Some(line) = self.lines.get_mut(&id) else { return };
        let site = line.site(number, place, action);
        let joining = &mut line.joining;
        if !joining.is_created {
            return;
        }
        if !joining.parents.contains(&parent) {
            if joining.parents.len() >= PARENTS {
                joining.parents.remove(0);
            }
            joining.parents.push(parent);
        }
        joining.awaited = Some((parent, site));
        self.sides.insert(id);
    }

    /// Returns all work of a line so far.
    pub(super) fn mark(&mut self, id: LineId) -> Mark {
        let id = self.current(id);
        let Some(line) = self.lines.get_mut(&id) else { return Mark(Waited::Nothing) };
        let mut snapshot = line.snapshot(id);
        self.add_blocking(&mut snapshot);
        Mark(Waited::Stream(snapshot))
    }

    /// Returns what an event stands for.
    pub(super) fn mark_event(&mut self, event: &EventState) -> Mark {
        match &*event.last() {
            LastRecord::None => Mark(Waited::Nothing),
            LastRecord::Opaque => Mark(Waited::Everything(self.steps.latest())),
            LastRecord::Known(snapshot, _) => Mark(Waited::Event(snapshot.clone())),
        }
    }

    /// Notes that the host knows that the work of `mark` is done.
    pub(super) fn host_waited(&mut self, mark: &Mark, place: Place, scope: ScopeId) {
        let snapshot = match &mark.0 {
            Waited::Nothing => return,
            Waited::Everything(number) => {
                self.host_everything = self.host_everything.max(*number);
                return;
            }
            Waited::Stream(snapshot) | Waited::Event(snapshot) => snapshot,
        };
        let number = self.step(snapshot.line, place, Action::HostWait);
        if matches!(mark.0, Waited::Stream(_)) {
            self.check_owner(snapshot.line, number, place, &Action::HostWait, scope);
        }
        if let Some(line) = self.lines.get_mut(&snapshot.line) {
            line.joining.is_host_joined = true;
        }
        self.host_join(snapshot);
    }
}
