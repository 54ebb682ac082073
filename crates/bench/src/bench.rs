//! Runs all measurements of one backend: [`Bench`], [`BenchOf`].

use std::ffi::OsString;
use std::path::PathBuf;

use gpu_stream_core::{Backend, BackendKind};

use crate::compare::compare;
use crate::job::BRANCHES;
use crate::report::{BackendReport, Fact, FailedOne, Grows, Measured, Operation, Peer};
use crate::script::{Missing, Script};
use crate::{
    BenchFixture, BenchStream, BenchStreams, ContenderKind, Job, Library, Plan, captures,
    contenders, growth, threads,
};

/// The measurements to make.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BenchConfig {
    /// The number and the length of the batches.
    pub plan: Plan,
    /// The operations to measure.
    pub jobs: Vec<Job>,
    /// `true` to measure calls from several threads at once.
    pub threads: bool,
    /// `true` to try what the libraries' calls do beside a capture of another thread.
    pub captures: bool,
    /// `true` to measure only the bare driver and gpu-stream.
    pub only_pairs: bool,
    /// `true` to measure how costs grow with the number of streams and with the queue length.
    pub growth: bool,
    /// The peer scripts to run.
    pub scripts: Vec<PathBuf>,
    /// The Python interpreter that runs the scripts.
    pub python: OsString,
}

/// A backend that can be measured. The trait hides the backend's types.
pub trait Bench {
    /// Returns the backend's kind.
    fn backend(&self) -> BackendKind;

    /// Measures the backend. Blocks until all measurements are done.
    ///
    /// Calls `progress` with the name of each measurement before it starts.
    ///
    /// # Errors
    /// The error text of the backend or the driver if no streams can be created. Later failures are
    /// listed in the report instead.
    fn run(
        &self,
        config: &BenchConfig,
        progress: &mut dyn FnMut(&str),
    ) -> Result<BackendReport, String>;
}

/// Implements [`Bench`] for the backend of a [`BenchFixture`].
pub struct BenchOf<F>(pub F);

impl<F: BenchFixture> Bench for BenchOf<F> {
    fn backend(&self) -> BackendKind {
        F::Backend::KIND
    }

    fn run(
        &self,
        config: &BenchConfig,
        progress: &mut dyn FnMut(&str),
    ) -> Result<BackendReport, String> {
        let BenchOf(fixture) = self;
        fixture.enter_thread()?;
        let mut report = empty(fixture)?;
        let (main, other) = (&BenchStream::new(fixture)?, &BenchStream::new(fixture)?);
        let branches =
            (0..BRANCHES).map(|_| BenchStream::new(fixture)).collect::<Result<Vec<_>, _>>()?;
        let streams = BenchStreams { fixture, main, other, branches: &branches };
        for job in &config.jobs {
            progress(job.name());
            report.operations.push(operation(streams, *job, config));
        }
        for shared in [false, true].into_iter().filter(|_| config.threads) {
            for count in threads::COUNTS {
                progress(&format!("{count} threads"));
                report.threads.push(threads::row(fixture, &config.plan, count, shared));
            }
        }
        if config.growth {
            for size in growth::ALIVE {
                progress(&format!("{size} {}", Grows::Alive.title()));
                report.growth.extend(growth::alive(fixture, &config.plan, size));
            }
            for size in growth::QUEUE {
                progress(&format!("{size} {}", Grows::Queue.title()));
                report.growth.push(growth::queue(fixture, &config.plan, size));
            }
        }
        // Scripts run last: a second process on the device may change how the device serves the first.
        for path in &config.scripts {
            progress(&format!("starting {}", path.display()));
            match Script::start(&config.python, path) {
                Ok(script) => run_script(streams, script, config, &mut report, progress),
                Err(Missing { name, reason }) => report.peers.push(Peer {
                    name,
                    version: String::new(),
                    own_process: true,
                    missing: Some(reason),
                }),
            }
        }
        // After all measurements: a capture that breaks must not disturb them.
        if config.captures {
            progress("captures");
            match captures::beside_capture(streams) {
                Ok(found) => report.captures = found,
                Err(reason) => report.captures_failed = Some(reason),
            }
        }
        Ok(report)
    }
}

/// Creates a report that describes the backend and has no results.
fn empty<F: BenchFixture>(fixture: &F) -> Result<BackendReport, String> {
    let info = F::Backend::probe().map_err(|error| error.to_string())?;
    let device = fixture.device();
    let named = info.devices.iter().find(|one| one.device == device);
    let peer = |library: &dyn Library<F>| Peer {
        name: library.name().into(),
        version: library.version(),
        own_process: false,
        missing: None,
    };
    let missing = fixture.missing_libraries().into_iter().map(|(name, reason)| Peer {
        name,
        version: String::new(),
        own_process: false,
        missing: Some(reason),
    });
    Ok(BackendReport {
        backend: info.backend.name().into(),
        version: info.version.clone(),
        device: device.to_string(),
        device_name: named.map(|one| one.name.clone()).unwrap_or_default(),
        facts: fixture.facts().into_iter().map(|(name, value)| Fact { name, value }).collect(),
        peers: fixture.libraries().into_iter().map(peer).chain(missing).collect(),
        operations: Vec::new(),
        threads: Vec::new(),
        growth: Vec::new(),
        captures: Vec::new(),
        captures_failed: None,
    })
}

/// Measures all contenders of one job.
fn operation<F: BenchFixture>(
    streams: BenchStreams<'_, F>,
    job: Job,
    config: &BenchConfig,
) -> Operation {
    let left_out = streams.fixture.skip_reason(job);
    let contenders = || match config.only_pairs {
        true => contenders::pair(job, streams),
        false => contenders::all(job, streams),
    };
    let (results, failed) = match left_out {
        None => compare(&config.plan, contenders(), || streams.settle()),
        Some(_) => Default::default(),
    };
    Operation {
        job,
        title: job.title().into(),
        bare_calls: contenders::bare_calls(streams.fixture, job).map(str::to_owned),
        careful_calls: contenders::careful_calls(streams.fixture, job),
        results,
        failed,
        left_out,
    }
}

/// Measures the script's jobs against the bare driver and the backend, in rounds of their own.
fn run_script<F: BenchFixture>(
    streams: BenchStreams<'_, F>,
    mut script: Script,
    config: &BenchConfig,
    report: &mut BackendReport,
    progress: &mut dyn FnMut(&str),
) {
    let kind = ContenderKind::Peer(script.name.clone());
    report.peers.push(Peer {
        name: script.name.clone(),
        version: script.versions.clone(),
        own_process: true,
        missing: None,
    });
    for operation in report.operations.iter_mut().filter(|one| one.left_out.is_none()) {
        let Some(contender) = script.contender(operation.job) else { continue };
        progress(&format!("{} beside {}", operation.job.name(), kind.label()));
        let mut contenders = contenders::pair(operation.job, streams);
        contenders.push((kind.clone(), contender));
        let (results, failed) = compare(&config.plan, contenders, || streams.settle());
        let ours = crate::report::result(&results, &ContenderKind::Ours).map(|ours| ours.ns);
        let its = results.into_iter().find(|one| one.contender == kind);
        operation.results.extend(its.map(|one| Measured { ours_ns: ours, ..one }));
        let its = failed.into_iter().filter(|one| one.contender.as_ref() == Some(&kind));
        operation.failed.extend(its.collect::<Vec<FailedOne>>());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeFixture;
    use crate::report::result;

    fn run(broken: Option<&'static str>, jobs: &[Job]) -> BackendReport {
        run_on(FakeFixture::new(broken), jobs)
    }

    fn run_on(fixture: FakeFixture, jobs: &[Job]) -> BackendReport {
        let config = BenchConfig {
            plan: Plan { limit: std::time::Duration::ZERO, ..Plan::QUICK },
            jobs: jobs.to_vec(),
            threads: true,
            captures: true,
            only_pairs: false,
            growth: false,
            scripts: Vec::new(),
            python: "python3".into(),
        };
        let mut messages = Vec::new();
        let bench = BenchOf(fixture);
        let report = bench.run(&config, &mut |name| messages.push(name.to_owned())).unwrap();
        assert_eq!(messages.len(), jobs.len() + 2 * threads::COUNTS.len() + 1);
        report
    }

    #[test]
    fn every_operation_is_compared_with_the_bare_driver() {
        let report = run(None, Job::ALL);
        assert!(!report.has_failed(), "{:?}", crate::tables::not_measured(&report));
        let jobs: Vec<_> = report.operations.iter().map(|one| one.job).collect();
        assert_eq!(jobs, Job::ALL);
        for one in &report.operations {
            let ours = result(&one.results, &ContenderKind::Ours).expect("ours");
            assert!(ours.to_bare.is_some() && ours.ns.count >= Plan::FEWEST);
            assert!(ours.to_careful.is_some(), "{}", one.job.name());
            assert_eq!(one.bare_calls.as_deref(), Some(one.job.name()));
        }
        let rows: Vec<_> = report.threads.iter().map(|row| (row.shared, row.threads)).collect();
        let all = |shared| threads::COUNTS.map(|count| (shared, count));
        assert_eq!(rows, [all(false), all(true)].concat());
        for row in &report.threads {
            let kind: Vec<_> = row.results.iter().map(|one| &one.contender).collect();
            let expected = [&ContenderKind::Bare, &ContenderKind::Careful, &ContenderKind::Ours];
            assert_eq!(kind, expected);
        }
    }

    #[test]
    fn failing_driver_call_is_reported_and_the_backend_is_measured_alone() {
        let report = run(Some("wait_event"), &[Job::WaitEvent, Job::Query]);
        assert!(report.has_failed());
        let [wait, query] = &report.operations[..] else { panic!() };
        let failed: Vec<_> = wait.failed.iter().map(|one| one.contender.clone()).collect();
        assert_eq!(failed, [Some(ContenderKind::Bare), Some(ContenderKind::Careful)]);
        assert_eq!(wait.failed[0].reason, "wait_event answered 700");
        assert!(
            result(&wait.results, &ContenderKind::Ours).is_some_and(|ours| ours.to_bare.is_none())
        );
        assert!(query.failed.is_empty() && result(&query.results, &ContenderKind::Bare).is_some());
        // The thread measurements call `wait_event` too: each reports the failure and none hangs.
        assert!(report.threads.iter().all(|row| row.failed.len() == 2 && row.results.len() == 1));
    }

    /// A missing driver function is no failure, and the contenders never call it.
    #[test]
    fn job_that_the_driver_lacks_is_skipped_with_a_reason() {
        let mut fixture = FakeFixture::new(Some("id"));
        fixture.missing = Some(Job::Id);
        let report = run_on(fixture, &[Job::Id, Job::Query]);
        assert!(!report.has_failed());
        let [id, query] = &report.operations[..] else { panic!() };
        assert!(id.results.is_empty() && query.left_out.is_none() && !query.results.is_empty());
        let lines = crate::tables::not_measured(&report);
        assert_eq!(lines, ["id: this driver has no such call"]);
    }

    #[test]
    fn growth_measures_all_streams_and_whole_queues() {
        let fixture = FakeFixture::new(None);
        let plan = Plan { limit: std::time::Duration::ZERO, ..Plan::QUICK };
        for row in growth::alive(&fixture, &plan, 3) {
            let expected = if row.job == Job::WrapChecked { 2 } else { 3 };
            assert!(row.failed.is_empty() && row.results.len() == expected, "{row:?}");
        }
        let row = growth::queue(&fixture, &plan, 100);
        assert!(row.failed.is_empty() && row.results.len() == 3, "{row:?}");
        // Each call submits a whole queue.
        fixture.bare.take();
        growth::queue(&fixture, &plan, 7);
        let counts = fixture.bare.take();
        assert_eq!(counts["record"] % 7, 0);
        assert_eq!(counts["record"], counts["wait_event"]);
    }
}
