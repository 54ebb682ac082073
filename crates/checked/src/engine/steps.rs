//! The latest calls: [`Steps`].

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Place;
use crate::finding::{Action, Site, Step};

/// Number of calls that are kept.
const KEPT: usize = 4096;

/// Number of calls in a finding.
const SHOWN: usize = 32;

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

    /// Returns the number of the latest call.
    pub(super) fn latest(&self) -> u64 {
        self.latest
    }

    /// Returns the first call on a stream after another call, if it is known.
    pub(super) fn first_after(&self, stream: u32, number: u64) -> Option<&Step> {
        self.steps.iter().find(|step| step.number > number && step.stream == stream)
    }

    /// Returns the calls of a finding: the two sites, the latest calls on these streams before the later site, and the
    /// records that they wait for.
    pub(super) fn leading_to(&self, first: Option<&Site>, second: &Site) -> Vec<Step> {
        let sites = first.into_iter().chain([second]);
        let mut shown: Vec<Step> = sites.clone().map(step_of).collect();
        let streams: Vec<u32> = sites.map(|site| site.stream.number).collect();
        // A wait brings the record that it waits for, and the waits before it on the record's stream.
        let (mut records, mut waits) = (Vec::new(), Vec::new());
        let last = shown.iter().map(|step| step.number).max().unwrap_or(0);
        for step in self.steps.iter().rev().skip_while(|step| step.number > last) {
            if shown.len() >= SHOWN {
                break;
            }
            let is_record = records.contains(&step.number);
            if is_record {
                waits.push(step.stream);
            }
            let is_wait = matches!(step.action, Action::Wait { .. });
            if is_record
                || streams.contains(&step.stream)
                || is_wait && waits.contains(&step.stream)
            {
                if let Action::Wait { record: Some(record) } = step.action {
                    records.push(record);
                }
                if !shown.iter().any(|known| known.number == step.number) {
                    shown.push(step.clone());
                }
            }
        }
        shown.sort_by_key(|step| step.number);
        shown.dedup_by_key(|step| step.number);
        shown
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
