//! The latest calls: [`Steps`].

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Place;
use crate::finding::{Action, Site, Step};

/// Number of calls that are kept.
const KEPT: usize = 4096;

/// Number of calls in a finding of two streams.
const SHOWN: usize = 32;

/// Number of calls in a finding of one call.
const SHOWN_OF_ONE: usize = 4;

/// Number of calls before the earlier site among which a wait between the two streams is searched.
const BEFORE: u64 = 256;

/// The number of the host where a step has that of a stream.
const HOST: u32 = 0;

/// The latest calls, in order.
#[derive(Default)]
pub(super) struct Steps {
    steps: VecDeque<Step>,
    latest: u64,
}

impl Steps {
    /// Adds a call. Returns its number.
    pub(super) fn push(&mut self, stream: u32, place: Place, action: Action) -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        if self.steps.len() >= KEPT {
            self.steps.pop_front();
        }
        self.steps.push_back(Step { number, place, stream, action });
        self.latest = number;
        number
    }

    /// Removes a call that had no effect, if it is among the latest.
    pub(super) fn remove(&mut self, number: u64) {
        if let Ok(index) = self.steps.binary_search_by_key(&number, |step| step.number) {
            self.steps.remove(index);
        }
    }

    /// Returns the number of the latest call.
    pub(super) fn latest(&self) -> u64 {
        self.latest
    }

    /// Returns the first call on a stream after another call, if it is known.
    pub(super) fn first_after(&self, stream: u32, number: u64) -> Option<&Step> {
        self.steps.iter().find(|step| step.number > number && step.stream == stream)
    }

    /// Returns the calls of a finding, from the earlier site to the later one: those of the two streams, and the records
    /// that they wait for. Before them stands the latest wait between the two streams, with its record. If the later site is
    /// the host's, the calls include its last wait between the sites, for whichever stream.
    pub(super) fn leading_to(&self, first: Option<&Site>, second: &Site) -> Vec<Step> {
        let sites = first.into_iter().chain([second]);
        let mut shown: Vec<Step> = sites.clone().map(step_of).collect();
        let streams: Vec<u32> = sites.map(|site| site.stream.number).collect();
        let begin = first.map_or(0, |first| first.number.min(second.number));
        let end = first.map_or(0, |first| first.number).max(second.number);
        let limit = if first.is_some() { SHOWN } else { SHOWN_OF_ONE };
        // A wait brings the record that it waits for, and the waits before it on the record's stream.
        let (mut records, mut waits, mut between) = (Vec::new(), Vec::new(), None);
        let mut has_host_wait = second.stream.number != HOST;
        for step in self.steps.iter().rev().skip_while(|step| step.number > end) {
            if shown.len() >= limit || step.number.saturating_add(BEFORE) < begin {
                break;
            }
            let awaited = match step.action {
                Action::Wait { record } => record,
                _ => None,
            };
            let is_record = records.contains(&step.number);
            let is_host_wait = !has_host_wait && matches!(step.action, Action::HostWait);
            has_host_wait |= is_host_wait;
            let is_shown = if step.number < begin {
                if between.is_none() && self.is_between(step, awaited, &streams) {
                    between = awaited;
                }
                is_record || between.is_some() && between == awaited
            } else {
                is_record
                    || is_host_wait
                    || streams.contains(&step.stream)
                    || awaited.is_some() && waits.contains(&step.stream)
            };
            let is_again = |known: &Step| {
                known.number == step.number
                    || !is_record && (known.stream, known.place) == (step.stream, step.place)
            };
            // Of a loop, the last round is enough. The sites are shown already, and may be waits.
            let is_site = [begin, end].contains(&step.number);
            if !is_shown || shown.iter().any(is_again) && !is_site {
                continue;
            }
            if is_record {
                waits.push(step.stream);
            }
            records.extend(awaited);
            if !is_site {
                shown.push(step.clone());
            }
            if between == Some(step.number) {
                break; // what was before the wait between the streams does not matter
            }
        }
        shown.sort_by_key(|step| step.number);
        shown.dedup_by_key(|step| step.number);
        shown
    }

    /// Returns `true` if the step is a wait of one of the streams for another one.
    fn is_between(&self, step: &Step, awaited: Option<u64>, streams: &[u32]) -> bool {
        let Some(record) = awaited.filter(|_| streams.contains(&step.stream)) else { return false };
        let record = self.steps.binary_search_by_key(&record, |step| step.number);
        let record = record.ok().and_then(|index| self.steps.get(index));
        record.is_some_and(|record| streams.contains(&record.stream))
    }
}

/// Returns the step of a site.
fn step_of(site: &Site) -> Step {
    Step {
        number: site.number,
        place: site.place,
        stream: site.stream.number,
        action: site.action.clone(),
    }
}
