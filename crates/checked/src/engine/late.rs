//! What a later call can still excuse: waits for events without a record, and work that is not joined.

use super::clock::LineId;
use super::found::ScopeId;
use super::line::LineState;
use super::state::{NumberMap, State};
use crate::finding::{FindingKind, MissingWait, Report, Site};

/// Number of waits that are kept for one event.
const WAITS: usize = 64;

/// The waits for events that had no record, by the event's number.
#[derive(Default)]
pub(super) struct Unrecorded(NumberMap<Vec<EarlyWait>>);

/// A wait for an event that had no record.
pub(super) struct EarlyWait {
    pub(super) line: LineId,
    pub(super) epoch: u64,
    /// The capture that the line belongs to. 0 is none.
    pub(super) group: u32,
    pub(super) site: Site,
    pub(super) scope: ScopeId,
    /// The first record after it.
    pub(super) record: Option<Site>,
}

impl Unrecorded {
    /// Adds a wait.
    pub(super) fn add(&mut self, event: u32, wait: EarlyWait) {
        let waits = self.0.entry(event).or_default();
        let is_same = |old: &EarlyWait| old.line == wait.line && old.site.place == wait.site.place;
        if waits.len() < WAITS && !waits.iter().any(is_same) {
            waits.push(wait);
        }
    }

    /// Returns `true` if there are waits for the event.
    pub(super) fn contains(&self, event: u32) -> bool {
        !self.0.is_empty() && self.0.contains_key(&event)
    }

    /// Returns `true` if there are waits of the line.
    pub(super) fn has_line(&self, line: LineId) -> bool {
        self.0.values().flatten().any(|wait| wait.line == line)
    }

    /// Notes a record of the event. The waits that happen before it are not meant for it. Those of the same stream do.
    pub(super) fn recorded(
        &mut self,
        event: u32,
        site: &Site,
        is_before: impl Fn(&EarlyWait) -> bool,
    ) {
        let Some(waits) = self.0.get_mut(&event) else { return };
        waits.retain(|wait| {
            let is_own = wait.site.stream.number == site.stream.number;
            wait.record.is_some() || !is_own && !is_before(wait)
        });
        for wait in waits.iter_mut() {
            wait.record.get_or_insert_with(|| site.clone());
        }
        if waits.is_empty() {
            self.0.remove(&event);
        }
    }

    /// Notes that a stream waits for a record of the event: it knows the event's use.
    pub(super) fn waited(&mut self, event: u32, stream: u32) {
        if self.0.is_empty() {
            return;
        }
        if let Some(waits) = self.0.get_mut(&event) {
            waits.retain(|wait| wait.site.stream.number != stream);
        }
    }

    /// Forgets an event.
    pub(super) fn forget(&mut self, event: u32) {
        self.0.remove(&event);
    }

    /// Takes the waits of an event.
    fn take(&mut self, event: u32) -> Vec<EarlyWait> {
        if self.0.is_empty() { Vec::new() } else { self.0.remove(&event).unwrap_or_default() }
    }

    /// Takes the waits of a scope.
    fn take_scope(&mut self, scope: ScopeId) -> Vec<EarlyWait> {
        let mut taken = Vec::new();
        for waits in self.0.values_mut() {
            taken.extend(waits.extract_if(.., |wait| wait.scope == scope));
        }
        self.0.retain(|_, waits| !waits.is_empty());
        taken.sort_by_key(|wait| wait.site.number);
        taken
    }
}

impl State {
    /// Decides about the waits for an event that is gone.
    pub(super) fn decide_event(&mut self, event: u32) {
        let waits = self.unrecorded.take(event);
        waits.into_iter().for_each(|wait| self.decide_wait(wait));
    }

    fn decide_wait(&mut self, wait: EarlyWait) {
        let Some(record) = wait.record else {
            self.add(wait.scope, FindingKind::UnrecordedWait, None, wait.site, None);
            return;
        };
        let waiter = wait.site.stream.clone();
        let next = self.steps.first_after(waiter.number, record.number);
        let before = next.map_or(record.place, |step| step.place);
        let awaited = record.stream.clone();
        let missing = MissingWait { waiter: Some(waiter), awaited, before };
        let kind = FindingKind::WaitBeforeRecord;
        self.add(wait.scope, kind, Some(wait.site), record, Some(missing));
    }

    /// Takes the findings of a scope, or those outside of all scopes.
    pub(super) fn take_report(&mut self, scope: ScopeId) -> Report {
        let waits = self.unrecorded.take_scope(scope);
        waits.into_iter().for_each(|wait| self.decide_wait(wait));
        let sides: Vec<LineId> = self.sides.iter().copied().collect();
        sides.into_iter().for_each(|line| self.decide_line(line, Some(scope)));
        let mut report = self.found.take(scope);
        report.findings.sort_by_key(|finding| finding.second.number);
        report
    }

    /// Closes a scope, and forgets the side streams that are gone and had their last work in it.
    pub(super) fn close_scope(&mut self, scope: ScopeId) {
        self.found.close(scope);
        let lines = &self.lines;
        self.sides.retain(|id| {
            let is_of_scope = |line: &LineState| {
                line.joining.work.as_ref().is_none_or(|work| work.scope == scope)
            };
            lines.get(id).is_some_and(|line| {
                line.wrappers > 0 || !line.flags.is_destroyed() || !is_of_scope(line)
            })
        });
    }

    /// Reports the last work of a side stream if it is not joined: nothing is ordered after it, and the stream that it
    /// waited for is used again. Decides only about work of one scope, if one is given.
    pub(super) fn decide_line(&mut self, id: LineId, scope: Option<ScopeId>) {
        let Some(line) = self.lines.get(&id) else { return };
        let Some((parent, wait)) = &line.joining.awaited else { return };
        let Some(work) = &line.joining.work else { return };
        let is_in_scope = scope.is_none_or(|scope| work.scope == scope);
        let Some(parent) = self.lines.get(parent) else { return };
        let is_open = self.is_candidate(line) && line.joining.covering == 0;
        if !is_in_scope || !is_open || parent.last_call <= work.number {
            return;
        }
        let site = line.site(work.number, work.place, work.action.clone());
        let next = self.steps.first_after(parent.info.number, work.number);
        let missing = MissingWait {
            waiter: Some(parent.info.clone()),
            awaited: line.info.clone(),
            before: next.map_or(work.place, |step| step.place),
        };
        let (wait, scope, number) = (wait.clone(), work.scope, work.number);
        self.add(scope, FindingKind::NotJoined, Some(wait), site, Some(missing));
        if let Some(line) = self.lines.get_mut(&id) {
            line.joining.reported = number;
        }
    }

    /// Returns `true` if the line is a side stream whose last work nothing is ordered after.
    pub(super) fn is_candidate(&self, line: &LineState) -> bool {
        let joining = &line.joining;
        let (Some((_, wait)), Some(work)) = (&joining.awaited, &joining.work) else {
            return false;
        };
        let is_joined = joining.joined >= work.epoch
            || line.host >= work.epoch
            || self.opaque_wait.max(self.host_everything) >= work.number;
        joining.is_created
            && line.group == 0
            && !joining.is_host_joined
            && !is_joined
            && wait.number < work.number
            && joining.reported < work.number
    }
}
