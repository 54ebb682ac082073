//! Accesses of memory, and other work.

use std::sync::Arc;

use gpu_stream_core::{Access, Device, Region};

use super::Place;
use super::clock::{Clock, LineId};
use super::found::ScopeId;
use super::line::{LineState, Work};
use super::memory::{Entry, HOST};
use super::state::{NumberMap, State};
use crate::finding::{Action, Finding, FindingKind, MissingWait, Site, StreamInfo};

impl State {
    /// Notes a declared access of a line.
    pub(super) fn access(
        &mut self,
        id: LineId,
        access: Access,
        region: &Region,
        place: Place,
        scope: ScopeId,
    ) {
        let id = self.current(id);
        let Some(site) = self.work(id, place, Action::Access(access, *region), scope) else {
            return;
        };
        let Some(line) = self.lines.get(&id) else { return };
        let (epoch, group) = (line.epoch, line.group);
        let _flags = Some(Arc::clone(&line.flags));
        let entry = Arc::new(Entry { line: id, epoch, access, region: *region, site, _flags });
        let known = line.clock.everything().max(self.host_everything);
        let memory = self.memory.entry(group).or_default();
        let found = memory.access(&entry, |first| {
            first.line == id
                || first.site.number <= known
                || line.clock.get(first.line) >= first.epoch
                || is_over(&self.lines, self.noted_everything, first, region)
        });
        if memory.is_due() {
            self.sweep_memory();
        }
        for (kind, first) in found {
            self.add_conflict(kind, &first, &entry, scope);
        }
    }

    /// Notes an access of the host itself, by code that knows that the work of `known` is done.
    pub(super) fn host_access(
        &mut self,
        device: Device,
        access: Access,
        region: &Region,
        known: &Clock,
        place: Place,
        scope: ScopeId,
    ) {
        let action = Action::Access(access, *region);
        let number = self.steps.push(0, place, action.clone());
        let make = |stream| {
            let site = Site { number, place, stream, action: action.clone() };
            Arc::new(Entry { line: HOST, epoch: 0, access, region: *region, site, _flags: None })
        };
        let entry = make(host(device, 0, place));
        let found = self.memory.entry(0).or_default().access(&entry, |first| {
            first.site.number <= self.host_everything.max(known.everything())
                || known.get(first.line) >= first.epoch
                || is_over(&self.lines, self.noted_everything, first, region)
        });
        for (kind, first) in found {
            let other = &first.site.stream;
            let second = make(host(other.device, other.handle, place));
            self.add_conflict(kind, &first, &second, scope);
        }
    }

    /// Notes work of a line. Returns its site, or `None` for a line that does not exist.
    pub(super) fn work(
        &mut self,
        id: LineId,
        place: Place,
        action: Action,
        scope: ScopeId,
    ) -> Option<Site> {
        self.order_implicitly(id);
        let number = self.step(id, place, action.clone());
        self.check_owner(id, number, place, &action, scope);
        let line = self.lines.get_mut(&id)?;
        let epoch = line.epoch;
        line.joining.covering = 0;
        line.joining.work = Some(Work { number, place, action: action.clone(), epoch, scope });
        let site = line.site(number, place, action);
        if let Some(fault) = line.fault.clone() {
            self.add(scope, FindingKind::BehindFault, Some(fault), site.clone(), None);
        }
        Some(site)
    }

    /// Notes that a call returned a fault of the stream.
    pub(super) fn faulted(&mut self, id: LineId, place: Place) {
        let id = self.current(id);
        let number = self.step(id, place, Action::HostWait);
        if let Some(line) = self.lines.get_mut(&id)
            && line.fault.is_none()
        {
            line.fault = Some(line.site(number, place, Action::HostWait));
        }
    }

    /// Reports a use of a stream that was destroyed, before the call that may fail.
    pub(super) fn used(&mut self, id: LineId, place: Place, scope: ScopeId) {
        let Some(line) = self.lines.get_mut(&id).filter(|line| line.flags.is_destroyed()) else {
            return;
        };
        line.used_at = Some(place);
        let stream = line.info.number;
        let number = self.steps.push(stream, place, Action::Submit);
        self.add_use_after_owner(id, number, place, &Action::Submit, scope);
    }

    /// Reports a call on a stream that was destroyed.
    pub(super) fn check_owner(
        &mut self,
        id: LineId,
        number: u64,
        place: Place,
        action: &Action,
        scope: ScopeId,
    ) {
        let Some(line) = self.lines.get_mut(&id).filter(|line| line.flags.is_destroyed()) else {
            return;
        };
        // The call was reported before it was made.
        if line.used_at.take() != Some(place) {
            self.add_use_after_owner(id, number, place, action, scope);
        }
    }

    fn add_use_after_owner(
        &mut self,
        id: LineId,
        number: u64,
        place: Place,
        action: &Action,
        scope: ScopeId,
    ) {
        let Some(line) = self.lines.get(&id) else { return };
        let site = line.site(number, place, action.clone());
        self.add(scope, FindingKind::UseAfterOwner, None, site, None);
    }

    fn add_conflict(&mut self, kind: FindingKind, first: &Entry, second: &Entry, scope: ScopeId) {
        let is_gone = first.access == Access::Release
            && first.region.allocation() == second.region.allocation();
        let is_by_host = first.line == HOST;
        let waiter = (second.line != HOST).then(|| Arc::clone(&second.site.stream));
        let awaited = Arc::clone(&first.site.stream);
        let missing = MissingWait { waiter, awaited, before: second.site.place };
        // No wait mends the use of memory after its release.
        let missing = (!is_gone && !is_by_host).then_some(missing);
        self.add(scope, kind, Some(first.site.clone()), second.site.clone(), missing);
        if let Some(line) = self.lines.get_mut(&first.line)
            && let Some(work) = &line.joining.work
        {
            // The wait that is missing joins the line, too.
            line.joining.reported = work.number;
        }
    }

    /// Adds a finding.
    pub(super) fn add(
        &mut self,
        scope: ScopeId,
        kind: FindingKind,
        first: Option<Site>,
        second: Site,
        missing: Option<MissingWait>,
    ) {
        let places = (first.as_ref().map(|site| site.place), second.place);
        let (steps, lines) = (&self.steps, &self.lines);
        self.found.add(scope, kind, places.0, places.1, || {
            let steps = steps.leading_to(first.as_ref(), &second);
            let mut streams: Vec<Arc<StreamInfo>> =
                first.iter().chain([&second]).map(|site| Arc::clone(&site.stream)).collect();
            let is_known = |number| streams.iter().any(|stream| stream.number == number);
            if steps.iter().any(|step| !is_known(step.stream)) {
                let is_shown = |number| steps.iter().any(|step| step.stream == number);
                let lines = lines.values().filter(|line| is_shown(line.info.number));
                streams.extend(lines.map(|line| Arc::clone(&line.info)));
            }
            streams.sort_by_key(|stream| stream.number);
            streams.dedup_by_key(|stream| stream.number);
            Finding { kind, second, first, missing, count: 1, streams, steps }
        });
    }
}

/// Returns the host as a stream of a report, with the device and the handle of the other stream.
fn host(device: Device, handle: usize, place: Place) -> Arc<StreamInfo> {
    Arc::new(StreamInfo { number: 0, name: "host".to_owned(), device, handle, created: place })
}

/// Returns `true` if all later accesses of a region are ordered after an access: the host knows that it is done, or code of
/// the program ran that comes after it, and the region is another allocation. That code may have freed the memory, for
/// instance as the destructor of a retained value, and the allocator may have used it again.
fn is_over(
    lines: &NumberMap<LineState>,
    noted_everything: u64,
    first: &Entry,
    region: &Region,
) -> bool {
    let Some(line) = lines.get(&first.line) else { return true };
    let is_noted = line.noted >= first.epoch || first.site.number <= noted_everything;
    line.host >= first.epoch || is_noted && first.region.allocation() != region.allocation()
}
