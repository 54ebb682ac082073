//! The report of a run, as `--json` writes it.
//!
//! [`SCHEMA`] is 2. Fields may be added under that number. None is removed or changes its meaning. Under 1, the
//! contender `bare` checked for captures before queries, and there was no contender `careful`.
//! The report has no host name.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Comparison, ContenderKind, Job, Plan, Spread};

/// The version of the report's schema.
pub const SCHEMA: u32 = 2;

/// The report of a whole run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The schema version: [`SCHEMA`].
    pub schema: u32,
    /// The version of gpu-stream.
    pub gpu_stream: String,
    /// `true` if the program was built with optimization. If not, the figures mean nothing.
    pub optimized: bool,
    /// The day of the run in UTC, such as `2026-11-27`. `None` if the clock is not set.
    #[serde(default)]
    pub date: Option<String>,
    /// The command line, without the names of output files.
    #[serde(default)]
    pub command: Option<String>,
    /// The machine that the run was made on.
    pub machine: Machine,
    /// The environment variables that change what calls cost, and that the user has set. The command sets none.
    #[serde(default)]
    pub variables: Vec<SetVariable>,
    /// The settings of the run.
    pub settings: Settings,
    /// The results of each backend.
    pub backends: Vec<BackendReport>,
    /// What other environments change, measured in child processes.
    #[serde(default)]
    pub environments: Vec<EnvironmentReport>,
}

/// An environment variable that is set, and what it changes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SetVariable {
    /// The name.
    pub name: String,
    /// The value.
    pub value: String,
    /// What the variable changes.
    pub changes: String,
}

/// The operations of one backend in one environment, measured in child processes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct EnvironmentReport {
    /// The backend's name.
    pub backend: String,
    /// The variables that were set for the child process. Empty: the environment is the user's.
    pub set: BTreeMap<String, String>,
    /// The number of child processes. The figures are medians of their medians.
    pub processes: u32,
    /// The results of each operation.
    pub operations: Vec<EnvironmentOperation>,
    /// The reasons of the processes that failed.
    pub failed: Vec<String>,
}

/// The results of one operation in one environment, in nanoseconds per call.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct EnvironmentOperation {
    /// The measured job.
    pub job: Job,
    /// The time of the bare call.
    pub bare: Option<f64>,
    /// The time of the careful calls. `None` if they are the bare call.
    pub careful: Option<f64>,
    /// The time of gpu-stream.
    pub ours: Option<f64>,
    /// gpu-stream's time divided by that of the bare call.
    pub to_bare: Option<f64>,
    /// gpu-stream's time divided by that of the careful calls.
    pub to_careful: Option<f64>,
}

/// The machine that a run was made on.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// The facts that [`machine::facts`](crate::machine::facts) returns.
    pub facts: BTreeMap<String, String>,
    /// The load average of the minute before the run, in threads. `None` if the system has none.
    pub load_before: Option<f64>,
}

/// The settings of a run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Settings {
    /// The number of counted rounds, each with one batch per contender.
    pub rounds: u32,
    /// The minimum duration of a batch in milliseconds.
    pub batch_ms: f64,
    /// The number of warm-up rounds, which are not counted.
    pub warm_up: u32,
    /// `true` if the run only shows that everything runs. Its figures mean nothing.
    pub quick: bool,
}

impl Settings {
    /// Creates the settings that describe `plan`.
    pub fn of(plan: &Plan, quick: bool) -> Self {
        let batch_ms = plan.batch.as_secs_f64() * 1e3;
        Settings { rounds: plan.rounds, batch_ms, warm_up: plan.warm_up, quick }
    }
}

/// The results of one backend on one device.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct BackendReport {
    /// The backend's name, such as `cuda`.
    pub backend: String,
    /// The version of the driver or runtime.
    pub version: String,
    /// The device, such as `cuda:0`.
    pub device: String,
    /// The driver's name for the device.
    pub device_name: String,
    /// Further facts, such as the loaded library.
    pub facts: Vec<Fact>,
    /// The other libraries that were to be measured.
    pub peers: Vec<Peer>,
    /// The results of each operation.
    pub operations: Vec<Operation>,
    /// The results with several threads at once.
    pub threads: Vec<ThreadRow>,
    /// The results with growing numbers of streams and growing queues.
    pub growth: Vec<GrowthRow>,
    /// What each library's calls did beside a capture of another thread.
    #[serde(default)]
    pub captures: Vec<BesideCapture>,
    /// The reason if that could not be tried.
    #[serde(default)]
    pub captures_failed: Option<String>,
}

/// What a call of a library did beside a capture of another thread in the mode *global*.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BesideCapture {
    /// The library.
    #[serde(rename = "who")]
    pub contender: ContenderKind,
    /// The call.
    pub job: Job,
    /// The error of the call. `None` if it succeeded.
    pub error: Option<String>,
    /// The error of the capture's end. `None` if the capture was intact.
    pub capture_error: Option<String>,
}

/// A name and a value.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Fact {
    /// The name.
    pub name: String,
    /// The value, as text.
    pub value: String,
}

/// Another library that was to be measured.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Peer {
    /// The name, as in [`ContenderKind::Peer`].
    pub name: String,
    /// The versions of the library and of its dependencies.
    pub version: String,
    /// `true` if a script measured it in a separate process.
    pub own_process: bool,
    /// The reason if it was not measured.
    pub missing: Option<String>,
}

/// The results of one operation.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Operation {
    /// The measured job.
    pub job: Job,
    /// The description of the job.
    pub title: String,
    /// The bare driver's calls that do the same job.
    pub bare_calls: Option<String>,
    /// The careful calls, which give the guarantees of gpu-stream as well. `None` if they are the bare calls.
    #[serde(default)]
    pub careful_calls: Option<String>,
    /// The results, one for each contender.
    pub results: Vec<Measured>,
    /// The contenders that failed, which have no result.
    pub failed: Vec<FailedOne>,
    /// The reason if the driver lacks a function that the operation needs, and nothing was measured.
    #[serde(default)]
    pub left_out: Option<String>,
}

/// A contender that failed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FailedOne {
    /// The contender. `None` if the failure was outside all batches.
    #[serde(rename = "who")]
    pub contender: Option<ContenderKind>,
    /// The error text.
    pub reason: String,
}

/// The result of one contender at one operation.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Measured {
    /// The contender.
    #[serde(rename = "who")]
    pub contender: ContenderKind,
    /// The number of calls in each batch.
    pub calls_per_batch: u64,
    /// Nanoseconds per call.
    pub ns: Spread,
    /// The contender compared with the bare call, round by round.
    pub to_bare: Option<Comparison>,
    /// The contender compared with the careful calls, round by round. Compared with the bare call if that is what
    /// a careful program makes.
    #[serde(default)]
    pub to_careful: Option<Comparison>,
    /// The contender compared with gpu-stream, round by round.
    pub to_ours: Option<Comparison>,
    /// gpu-stream's time divided by the contender's, round by round.
    #[serde(rename = "ours_through_it")]
    pub ours_to_it: Option<Spread>,
    /// gpu-stream's time in the contender's own rounds.
    ///
    /// Set only for a contender in a separate process, whose rounds are not those of the other
    /// results.
    pub ours_ns: Option<Spread>,
}

impl Measured {
    /// Divides the times by `count`, for a contender whose call makes `count` calls.
    pub(crate) fn divide_by(&mut self, count: f64) {
        self.ns = self.ns.scaled(1.0 / count);
        let compared = [&mut self.to_bare, &mut self.to_careful, &mut self.to_ours];
        for one in compared.into_iter().flatten() {
            one.difference = one.difference.scaled(1.0 / count);
        }
    }
}

/// The results of `wait_stream` from several threads at once, each with a waiting stream of its own.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ThreadRow {
    /// The number of threads.
    pub threads: usize,
    /// `true` if all threads share one source stream, `false` if each thread has its own.
    pub shared: bool,
    /// The results: wall-clock nanoseconds in which each of the threads makes one call.
    pub results: Vec<Measured>,
    /// The contenders that failed.
    pub failed: Vec<FailedOne>,
}

/// The results of one operation with many live streams, or with a long queue.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct GrowthRow {
    /// The quantity that grows.
    pub grows: Grows,
    /// The value of that quantity.
    pub size: u64,
    /// The measured operation.
    pub job: Job,
    /// The results, one for each contender.
    pub results: Vec<Measured>,
    /// The contenders that failed.
    pub failed: Vec<FailedOne>,
}

/// The quantity that grows in a [`GrowthRow`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grows {
    /// The number of live streams and events. The calls use all of them in a cycle.
    Alive,
    /// The number of hops submitted in a row, from one stream to another and back. The results are
    /// nanoseconds per hop.
    Queue,
}

impl Grows {
    /// Returns a description.
    pub const fn title(self) -> &'static str {
        match self {
            Grows::Alive => "live streams and events",
            Grows::Queue => "hops submitted in a row",
        }
    }
}

/// Returns the result of one contender.
pub fn result<'a>(results: &'a [Measured], kind: &ContenderKind) -> Option<&'a Measured> {
    results.iter().find(|one| one.contender == *kind)
}

impl BackendReport {
    /// Returns `true` if a contender failed in any measurement.
    pub fn has_failed(&self) -> bool {
        let operations = self.operations.iter().map(|one| &one.failed);
        let threads = self.threads.iter().map(|one| &one.failed);
        let growth = self.growth.iter().map(|one| &one.failed);
        operations.chain(threads).chain(growth).any(|failed| !failed.is_empty())
            || self.captures_failed.is_some()
    }
}

impl Report {
    /// Returns `true` if a contender or a child process failed.
    pub fn has_failed(&self) -> bool {
        self.backends.iter().any(BackendReport::has_failed)
            || self.environments.iter().any(|one| !one.failed.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dividing_times_keeps_the_ratios() {
        let spread = Spread::of([100.0, 200.0, 300.0]).unwrap();
        let comparison = Comparison::of(&[100.0, 200.0, 300.0], &[50.0, 100.0, 150.0]);
        let mut measured = Measured {
            contender: ContenderKind::Ours,
            calls_per_batch: 4,
            ns: spread,
            to_bare: comparison,
            to_careful: comparison,
            to_ours: None,
            ours_to_it: Some(spread),
            ours_ns: None,
        };
        measured.divide_by(100.0);
        assert_eq!((measured.ns.median, measured.ns.max), (2.0, 3.0));
        let to_bare = measured.to_bare.unwrap();
        assert_eq!((to_bare.ratio.median, to_bare.difference.median), (2.0, 1.0));
        assert_eq!(measured.to_careful, measured.to_bare);
        assert_eq!(measured.ours_to_it, Some(spread));
    }
}
