//! Records, waits, and what the host waits for.

use std::sync::Arc;

use super::Place;
use super::clock::{LineId, Snapshot};
use super::event::{EventState, LastRecord, Mark, Recording, Waited, next_number};
use super::found::ScopeId;
use super::late::EarlyWait;
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

    /// Notes that a call begins to record an event. Until it returns, the event may stand for this record and for the
    /// last one, because other threads can use it at any time.
    pub(super) fn begin_record(
        &mut self,
        id: LineId,
        event: &EventState,
        place: Place,
        scope: ScopeId,
    ) -> Recording {
        let id = self.current(id);
        let action = Action::Record { event: event.number() };
        let number = self.step(id, place, action.clone());
        self.check_owner(id, number, place, &action, scope);
        let recording = Recording { number, line: id };
        let Some(line) = self.lines.get_mut(&id) else { return recording };
        let mut snapshot = line.snapshot(id);
        let mut last = event.last();
        if matches!(*last, LastRecord::Opaque) {
            // Others have the handle, and may wait for the record.
            line.joining.joined = snapshot.epoch;
            return recording;
        }
        // The line itself is ordered so when the record is made: it can fail.
        self.add_implicit(&mut snapshot);
        let before = std::mem::replace(&mut *last, LastRecord::None);
        *last = LastRecord::Making(snapshot, number, Box::new(before));
        recording
    }

    /// Notes that a record was made.
    pub(super) fn end_record(&mut self, event: &EventState, recording: Recording, place: Place) {
        let Recording { number, line } = recording;
        self.order_implicitly(line);
        let mut last = event.last();
        let (now, made) = std::mem::replace(&mut *last, LastRecord::None).made(number);
        *last = now;
        drop(last);
        if let Some((snapshot, before)) = made {
            self.drop_records(&before);
            self.add_record(event, &snapshot, number, place);
        }
    }

    /// Notes that a record failed. The event is as it was before.
    pub(super) fn fail_record(&mut self, event: &EventState, recording: Recording) {
        let Recording { number, .. } = recording;
        let mut last = event.last();
        *last = std::mem::replace(&mut *last, LastRecord::None).without(number);
        self.steps.remove(number);
    }

    /// Notes what a new record means for the line's last work, and for earlier waits.
    fn add_record(&mut self, event: &EventState, snapshot: &Snapshot, number: u64, place: Place) {
        let Some(line) = self.lines.get_mut(&snapshot.line) else { return };
        if line.joining.work.as_ref().is_none_or(|work| work.epoch <= snapshot.epoch) {
            line.joining.covering += 1;
        }
        if self.unrecorded.contains(event.number()) {
            let site = line.site(number, place, Action::Record { event: event.number() });
            let (clock, group) = (&snapshot.clock, line.group);
            let mut unrecorded = std::mem::take(&mut self.unrecorded);
            unrecorded.recorded(event.number(), &site, |wait| {
                let is_known = match wait.group {
                    0 => self.is_over(wait.line, wait.epoch),
                    // No executed work happens after captured work.
                    other if other != group => return false,
                    _ => false,
                };
                is_known
                    || clock.get(wait.line) >= wait.epoch
                    || clock.everything().max(self.host_everything) >= wait.site.number
            });
            self.unrecorded = unrecorded;
        }
    }

    /// Notes that an event no longer stands for these records.
    pub(super) fn drop_records(&mut self, last: &LastRecord) {
        let LastRecord::Known(snapshot, _) = last else {
            if let LastRecord::Making(_, _, before) = last {
                self.drop_records(before); // a record that is not made yet is not counted yet
            }
            return;
        };
        let Some(line) = self.lines.get_mut(&snapshot.line) else { return };
        if line.joining.work.as_ref().is_none_or(|work| work.epoch <= snapshot.epoch) {
            line.joining.covering = line.joining.covering.saturating_sub(1);
        }
    }

    /// Notes that others may record an event, and may wait for it.
    pub(super) fn escaped(&mut self, event: &EventState) {
        let old = std::mem::replace(&mut *event.last(), LastRecord::Opaque);
        for (snapshot, _) in old.records() {
            if let Some(line) = self.lines.get_mut(&snapshot.line) {
                line.joining.joined = line.joining.joined.max(snapshot.epoch);
            }
        }
        self.drop_records(&old);
        self.unrecorded.forget(event.number());
    }

    /// Notes a wait for an event that succeeded.
    pub(super) fn wait(&mut self, id: LineId, event: &EventState, place: Place, scope: ScopeId) {
        let (records, is_opaque) = {
            let last = event.last();
            let records = last.records().into_iter();
            let records: Vec<_> =
                records.map(|(snapshot, number)| (snapshot.clone(), number)).collect();
            (records, matches!(*last, LastRecord::Opaque))
        };
        match (records.first(), is_opaque) {
            (Some((snapshot, record)), _) => {
                let id = self.wait_for(id, snapshot, *record, place, scope);
                if let Some(line) = self.lines.get(&id) {
                    self.unrecorded.waited(event.number(), line.info.number);
                }
                for (before, _) in records.iter().skip(1) {
                    self.join(id, before);
                }
            }
            (None, false) => {
                let id = self.current(id);
                let action = Action::Wait { record: None };
                let number = self.step(id, place, action.clone());
                self.check_owner(id, number, place, &action, scope);
                if let Some(line) = self.lines.get(&id) {
                    let site = line.site(number, place, action);
                    let (epoch, group) = (line.epoch, line.group);
                    let wait = EarlyWait { line: id, epoch, group, site, scope, record: None };
                    self.unrecorded.add(event.number(), wait);
                }
            }
            (None, true) => {
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
        if id == other || self.is_refused(id, other) {
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
        let id = self.current(id);
        if self.is_refused(id, snapshot.line) {
            return id;
        }
        let id = self.join_capture(id, snapshot.line);
        self.order_implicitly(id);
        let action = Action::Wait { record: Some(record) };
        let number = self.step(id, place, action.clone());
        self.check_owner(id, number, place, &action, scope);
        self.note_parent(id, snapshot, number, place, action);
        self.join(id, snapshot);
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
        let Some(line) = self.lines.get_mut(&id) else { return Mark(Waited::Event(Vec::new())) };
        let mut snapshot = line.snapshot(id);
        self.add_blocking(&mut snapshot);
        Mark(Waited::Stream(snapshot))
    }

    /// Returns what an event stands for.
    pub(super) fn mark_event(&mut self, event: &EventState) -> Mark {
        let last = event.last();
        if matches!(*last, LastRecord::Opaque) {
            return Mark(Waited::Everything(self.steps.latest()));
        }
        let records = last.records().into_iter().map(|(snapshot, _)| snapshot.clone());
        Mark(Waited::Event(records.collect()))
    }

    /// Notes that the host knows that the work of `mark` is done.
    pub(super) fn host_waited(&mut self, mark: &Mark, place: Place, scope: ScopeId) {
        let snapshots = match &mark.0 {
            Waited::Everything(number) => {
                self.host_everything = self.host_everything.max(*number);
                return;
            }
            Waited::Stream(snapshot) => std::slice::from_ref(snapshot),
            Waited::Event(snapshots) => snapshots,
        };
        for snapshot in snapshots {
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

    /// Returns what an event stands for that is complete. `mark` was taken before the call that has found that.
    ///
    /// Another thread may have recorded the event since then, and the call may have told of that record.
    pub(super) fn completed(&mut self, mark: Mark, event: &EventState) -> Mark {
        let now = self.mark_event(event);
        let waited = match (mark.0, now.0) {
            (Waited::Event(mut before), Waited::Event(now)) => {
                let is_known = |new: &Snapshot| {
                    let is_same = |old: &Snapshot| (old.line, old.epoch) == (new.line, new.epoch);
                    before.iter().any(is_same)
                };
                let new: Vec<_> = now.into_iter().filter(|new| !is_known(new)).collect();
                before.extend(new);
                Waited::Event(before)
            }
            (waited, _) => waited,
        };
        Mark(waited)
    }
}
