//! A backend measured: [`Bench`], [`BenchOf`].

use std::ffi::OsString;
use std::path::PathBuf;

use gpu_stream_core::{Backend, BackendKind};

use crate::compare::compare;
use crate::job::BRANCHES;
use crate::report::{BackendReport, Fact, FailedOne, Grows, Measured, Operation, Peer};
use crate::script::{Missing, Script};
use crate::{
    BenchFixture, BenchStream, BenchStreams, ContenderKind, Job, Library, Plan, contenders, growth,
    threads,
};

/// What is to be measured, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BenchConfig {
    /// How.
    pub plan: Plan,
    /// The operations.
    pub jobs: Vec<Job>,
    /// Whether several threads at once are measured.
    pub threads: bool,
    /// Whether growth is.
    pub growth: bool,
    /// The scripts of peers.
    pub scripts: Vec<PathBuf>,
    /// What runs the scripts.
    pub python: OsString,
}

/// A backend that can be measured, whatever its types.
pub trait Bench {
    /// Which.
    fn backend(&self) -> BackendKind;

    /// Measures it. `progress` is told what comes next. Blocks until all is measured.
    ///
    /// # Errors
    /// What the backend or the driver says, if not even streams can be had. What fails later stands
    /// in the report.
    fn run(
        &self,
        wanted: &BenchConfig,
        progress: &mut dyn FnMut(&str),
    ) -> Result<BackendReport, String>;
}

/// The backend of a ground.
pub struct BenchOf<G>(pub G);

impl<G: BenchFixture> Bench for BenchOf<G> {
    fn backend(&self) -> BackendKind {
        G::Backend::KIND
    }

    fn run(
        &self,
        wanted: &BenchConfig,
        progress: &mut dyn FnMut(&str),
    ) -> Result<BackendReport, String> {
        let BenchOf(fixture) = self;
        fixture.enter_thread()?;
        let mut report = empty(fixture)?;
        let (main, other) = (&BenchStream::new(fixture)?, &BenchStream::new(fixture)?);
        let branches =
            (0..BRANCHES).map(|_| BenchStream::new(fixture)).collect::<Result<Vec<_>, _>>()?;
        let stage = BenchStreams { fixture, main, other, branches: &branches };
        for job in &wanted.jobs {
            progress(job.name());
            report.operations.push(operation(stage, *job, &wanted.plan));
        }
        for shared in [false, true].into_iter().filter(|_| wanted.threads) {
            for count in threads::COUNTS {
                progress(&format!("{count} threads"));
                report.threads.push(threads::row(fixture, &wanted.plan, count, shared));
            }
        }
        if wanted.growth {
            for size in growth::ALIVE {
                progress(&format!("{size} {}", Grows::Alive.title()));
                report.growth.extend(growth::alive(fixture, &wanted.plan, size));
            }
            for size in growth::QUEUE {
                progress(&format!("{size} {}", Grows::Queue.title()));
                report.growth.push(growth::queue(fixture, &wanted.plan, size));
            }
        }
        // Last, since a second process on the device may change what it does for the first.
        for path in &wanted.scripts {
            progress(&format!("starting {}", path.display()));
            match Script::start(&wanted.python, path) {
                Ok(script) => beside(stage, script, wanted, &mut report, progress),
                Err(Missing { name, reason }) => report.peers.push(Peer {
                    name,
                    version: String::new(),
                    own_process: true,
                    missing: Some(reason),
                }),
            }
        }
        Ok(report)
    }
}

fn empty<G: BenchFixture>(fixture: &G) -> Result<BackendReport, String> {
    let info = G::Backend::probe().map_err(|error| error.to_string())?;
    let device = fixture.device();
    let named = info.devices.iter().find(|one| one.device == device);
    let peer = |library: &dyn Library<G>| Peer {
        name: library.name().into(),
        version: library.version(),
        own_process: false,
        missing: None,
    };
    Ok(BackendReport {
        backend: info.backend.name().into(),
        version: info.version.clone(),
        device: device.to_string(),
        device_name: named.map(|one| one.name.clone()).unwrap_or_default(),
        facts: fixture.facts().into_iter().map(|(name, value)| Fact { name, value }).collect(),
        peers: fixture.libraries().into_iter().map(peer).collect(),
        operations: Vec::new(),
        threads: Vec::new(),
        growth: Vec::new(),
    })
}

fn operation<G: BenchFixture>(stage: BenchStreams<'_, G>, job: Job, plan: &Plan) -> Operation {
    let left_out = stage.fixture.skip_reason(job);
    let (results, failed) = match left_out {
        None => compare(plan, contenders::all(job, stage), || stage.settle()),
        Some(_) => Default::default(),
    };
    Operation {
        job,
        title: job.title().into(),
        bare_calls: contenders::bare_calls(stage.fixture, job).map(str::to_owned),
        results,
        failed,
        left_out,
    }
}

/// The script's jobs, in rounds of their own: the bare driver, ours, and the script.
fn beside<G: BenchFixture>(
    stage: BenchStreams<'_, G>,
    mut script: Script,
    wanted: &BenchConfig,
    report: &mut BackendReport,
    progress: &mut dyn FnMut(&str),
) {
    let who = ContenderKind::Peer(script.name.clone());
    report.peers.push(Peer {
        name: script.name.clone(),
        version: script.versions.clone(),
        own_process: true,
        missing: None,
    });
    for operation in report.operations.iter_mut().filter(|one| one.left_out.is_none()) {
        let Some(contender) = script.contender(operation.job) else { continue };
        progress(&format!("{} beside {}", operation.job.name(), who.label()));
        let mut contenders = contenders::pair(operation.job, stage);
        contenders.push((who.clone(), contender));
        let (results, failed) = compare(&wanted.plan, contenders, || stage.settle());
        let ours = crate::report::result(&results, &ContenderKind::Ours).map(|ours| ours.ns);
        let its = results.into_iter().find(|one| one.who == who);
        operation.results.extend(its.map(|one| Measured { ours_ns: ours, ..one }));
        let its = failed.into_iter().filter(|one| one.who.as_ref() == Some(&who));
        operation.failed.extend(its.collect::<Vec<FailedOne>>());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeGround;
    use crate::report::result;

    fn run(broken: Option<&'static str>, jobs: &[Job]) -> BackendReport {
        run_on(FakeGround::new(broken), jobs)
    }

    fn run_on(fixture: FakeGround, jobs: &[Job]) -> BackendReport {
        let wanted = BenchConfig {
            plan: Plan { limit: std::time::Duration::ZERO, ..Plan::QUICK },
            jobs: jobs.to_vec(),
            threads: true,
            growth: false,
            scripts: Vec::new(),
            python: "python3".into(),
        };
        let mut told = Vec::new();
        let bench = BenchOf(fixture);
        let report = bench.run(&wanted, &mut |what| told.push(what.to_owned())).unwrap();
        assert_eq!(told.len(), jobs.len() + 2 * threads::COUNTS.len());
        report
    }

    #[test]
    fn every_operation_has_a_figure_of_ours_beside_the_bare_drivers() {
        let report = run(None, Job::ALL);
        assert!(!report.has_failed(), "{:?}", crate::tables::not_measured(&report));
        let jobs: Vec<_> = report.operations.iter().map(|one| one.job).collect();
        assert_eq!(jobs, Job::ALL);
        for one in &report.operations {
            let ours = result(&one.results, &ContenderKind::Ours).expect("ours");
            assert!(ours.to_bare.is_some() && ours.ns.count >= Plan::FEWEST);
            assert_eq!(one.bare_calls.as_deref(), Some(one.job.name()));
        }
        let rows: Vec<_> = report.threads.iter().map(|row| (row.shared, row.threads)).collect();
        let all = |shared| threads::COUNTS.map(|count| (shared, count));
        assert_eq!(rows, [all(false), all(true)].concat());
        for row in &report.threads {
            let who: Vec<_> = row.results.iter().map(|one| &one.who).collect();
            assert_eq!(who, [&ContenderKind::Bare, &ContenderKind::Ours]);
        }
    }

    #[test]
    fn a_driver_that_fails_is_named_and_ours_is_measured_alone() {
        let report = run(Some("wait_event"), &[Job::WaitEvent, Job::Query]);
        assert!(report.has_failed());
        let [wait, query] = &report.operations[..] else { panic!() };
        assert_eq!(wait.failed[0].who, Some(ContenderKind::Bare));
        assert_eq!(wait.failed[0].reason, "wait_event answered 700");
        assert!(
            result(&wait.results, &ContenderKind::Ours).is_some_and(|ours| ours.to_bare.is_none())
        );
        assert!(query.failed.is_empty() && result(&query.results, &ContenderKind::Bare).is_some());
        // The threads, which wait too, say so each and do not hang.
        assert!(report.threads.iter().all(|row| row.failed.len() == 1 && row.results.len() == 1));
    }

    /// It is no failure, and nothing of it is called.
    #[test]
    fn what_the_driver_lacks_is_left_out_with_a_word() {
        let mut fixture = FakeGround::new(Some("id"));
        fixture.lacks = Some(Job::Id);
        let report = run_on(fixture, &[Job::Id, Job::Query]);
        assert!(!report.has_failed());
        let [id, query] = &report.operations[..] else { panic!() };
        assert!(id.results.is_empty() && query.left_out.is_none() && !query.results.is_empty());
        let said = crate::tables::not_measured(&report);
        assert_eq!(said, ["id: this driver has no such call"]);
    }

    #[test]
    fn growth_goes_round_and_in_rows() {
        let fixture = FakeGround::new(None);
        let plan = Plan { limit: std::time::Duration::ZERO, ..Plan::QUICK };
        for row in growth::alive(&fixture, &plan, 3) {
            assert!(row.failed.is_empty() && row.results.len() == 2, "{row:?}");
        }
        let row = growth::queue(&fixture, &plan, 100);
        assert!(row.failed.is_empty() && row.results.len() == 2, "{row:?}");
        // Only whole queues are submitted.
        fixture.bare.take();
        growth::queue(&fixture, &plan, 7);
        let counts = fixture.bare.take();
        assert_eq!(counts["record"] % 7, 0);
        assert_eq!(counts["record"], counts["wait_event"]);
    }
}
