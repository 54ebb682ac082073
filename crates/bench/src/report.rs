//! What came of a run: the types here are what `--json` writes.
//!
//! [`SCHEMA`] is 1. Fields may be added under that number; none is taken away or given another
//! meaning. There is no date in it and no name of a host.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Comparison, ContenderKind, Job, Plan, Spread};

/// The number of the form that the report has.
pub const SCHEMA: u32 = 1;

/// A whole run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Our version.
    pub gpu_stream: String,
    /// Whether the program was built with optimisation. If not, the figures mean nothing.
    pub optimized: bool,
    /// Where it ran.
    pub machine: Machine,
    /// How it was measured.
    pub settings: Settings,
    /// What was measured.
    pub backends: Vec<BackendReport>,
}

/// A machine.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// What it says of itself, as [`machine::facts`](crate::machine::facts).
    pub facts: BTreeMap<String, String>,
    /// How busy it was in the minute before, in threads, where the system says so.
    pub load_before: Option<f64>,
}

/// How it was measured.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Settings {
    /// Rounds, of one batch of each contender.
    pub rounds: u32,
    /// How long a batch lasts at the least, in milliseconds.
    pub batch_ms: f64,
    /// Rounds that are not counted.
    pub warm_up: u32,
    /// Whether it was only to see that everything runs. The figures mean nothing then.
    pub quick: bool,
}

impl Settings {
    /// Those of `plan`.
    pub fn of(plan: &Plan, quick: bool) -> Self {
        let batch_ms = plan.batch.as_secs_f64() * 1e3;
        Settings { rounds: plan.rounds, batch_ms, warm_up: plan.warm_up, quick }
    }
}

/// One backend, on one device.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct BackendReport {
    /// `cuda`, for instance.
    pub backend: String,
    /// Of the driver or runtime.
    pub version: String,
    /// `cuda:0`, for instance.
    pub device: String,
    /// What the driver calls it.
    pub device_name: String,
    /// What else is known.
    pub facts: Vec<Fact>,
    /// Others that were asked to take part.
    pub peers: Vec<Peer>,
    /// Each operation.
    pub operations: Vec<Operation>,
    /// Several threads at once.
    pub threads: Vec<ThreadRow>,
    /// More and more of everything.
    pub growth: Vec<GrowthRow>,
}

/// A name and a value.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Fact {
    /// Of what.
    pub name: String,
    /// As text.
    pub value: String,
}

/// Another library.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Peer {
    /// As in [`ContenderKind::Peer`].
    pub name: String,
    /// Its version, and those of what it stands on.
    pub version: String,
    /// Whether it ran in a process of its own, by a script.
    pub own_process: bool,
    /// Why it did not take part, if it did not.
    pub missing: Option<String>,
}

/// An operation.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Operation {
    /// Which.
    pub job: Job,
    /// In words.
    pub title: String,
    /// The bare driver's calls that do the same.
    pub bare_calls: Option<String>,
    /// What was measured.
    pub results: Vec<Measured>,
    /// Who failed, and is not in the results.
    pub failed: Vec<FailedOne>,
    /// Why nothing was measured, if the driver lacks what the operation needs.
    #[serde(default)]
    pub left_out: Option<String>,
}

/// Who failed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FailedOne {
    /// Which; `None` if it was nobody's batch.
    pub who: Option<ContenderKind>,
    /// In words.
    pub reason: String,
}

/// One contender at one operation.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Measured {
    /// Which.
    pub who: ContenderKind,
    /// Calls in each batch.
    pub calls_per_batch: u64,
    /// Nanoseconds a call.
    pub ns: Spread,
    /// It beside the bare driver, round by round.
    pub to_bare: Option<Comparison>,
    /// It beside ours, round by round.
    pub to_ours: Option<Comparison>,
    /// Ours through it, round by round.
    pub ours_through_it: Option<Spread>,
    /// What ours took in the same rounds, if these are not the rounds of the other results: one
    /// that runs in another process has rounds of its own.
    pub ours_ns: Option<Spread>,
}

impl Measured {
    /// For a contender whose call was so many calls.
    pub(crate) fn divide_by(&mut self, count: f64) {
        self.ns = self.ns.scaled(1.0 / count);
        for one in [&mut self.to_bare, &mut self.to_ours].into_iter().flatten() {
            one.difference = one.difference.scaled(1.0 / count);
        }
    }
}

/// `wait_stream` by several threads at once, each with a waiting stream of its own.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ThreadRow {
    /// How many.
    pub threads: usize,
    /// Whether all wait for the same stream, or each for one of its own.
    pub shared: bool,
    /// What was measured: nanoseconds of the wall clock for one call of each of the threads.
    pub results: Vec<Measured>,
    /// Who failed.
    pub failed: Vec<FailedOne>,
}

/// One operation among many streams, or in a long queue.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct GrowthRow {
    /// What grows.
    pub grows: Grows,
    /// How far it has grown.
    pub size: u64,
    /// The operation.
    pub job: Job,
    /// What was measured.
    pub results: Vec<Measured>,
    /// Who failed.
    pub failed: Vec<FailedOne>,
}

/// What grows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grows {
    /// Streams and events that are alive; the operation goes round all of them.
    Alive,
    /// Hops from one stream to another and back, submitted in a row. Nanoseconds a hop.
    Queue,
}

impl Grows {
    /// In words.
    pub const fn title(self) -> &'static str {
        match self {
            Grows::Alive => "streams and events alive",
            Grows::Queue => "hops submitted in a row",
        }
    }
}

/// The result of `who` among these.
pub fn result<'a>(results: &'a [Measured], who: &ContenderKind) -> Option<&'a Measured> {
    results.iter().find(|one| one.who == *who)
}

impl BackendReport {
    /// Whether something could not be measured.
    pub fn has_failed(&self) -> bool {
        let operations = self.operations.iter().map(|one| &one.failed);
        let threads = self.threads.iter().map(|one| &one.failed);
        let growth = self.growth.iter().map(|one| &one.failed);
        operations.chain(threads).chain(growth).any(|failed| !failed.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_divided_keeps_its_ratios() {
        let spread = Spread::of([100.0, 200.0, 300.0]).unwrap();
        let comparison = Comparison::of(&[100.0, 200.0, 300.0], &[50.0, 100.0, 150.0]);
        let mut measured = Measured {
            who: ContenderKind::Ours,
            calls_per_batch: 4,
            ns: spread,
            to_bare: comparison,
            to_ours: None,
            ours_through_it: Some(spread),
            ours_ns: None,
        };
        measured.divide_by(100.0);
        assert_eq!((measured.ns.median, measured.ns.max), (2.0, 3.0));
        let to_bare = measured.to_bare.unwrap();
        assert_eq!((to_bare.ratio.median, to_bare.difference.median), (2.0, 1.0));
        assert_eq!(measured.ours_through_it, Some(spread));
    }
}
