//! Runs random programs with accesses on [`Checked`], and compares what it finds with the reference: [`run`].
//!
//! The check needs only the calls, so the programs access no memory. The calls of all threads are made in the order of the text, because the check follows the
//! order in which calls return.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use gpu_stream_checked::{Checked, CheckedStream, Finding, FindingKind, StreamInfo};
use gpu_stream_conformance::{Fixture, Verdict};
use gpu_stream_core::PlainHandles;
use proptest::strategy::ValueTree;

use crate::campaign::{Attempt, Campaign, FailingProgram, shrink};
use crate::check::{Limits, Schedule, check};
use crate::generate::mend::with_missing_wait;
use crate::hazard::{self, Hazard, HazardKind};
use crate::order::{AccessStep, Order};
use crate::program::Op;
use crate::run::Failure;
use crate::watchdog::lock;
use machine::{Outcomes, identity};
use stall::StallGuard;

pub mod harness;
mod machine;
pub mod mutation;
mod sites;
mod stall;

/// Maximum number of accesses of a program.
pub const ACCESSES: usize = sites::SITES;

/// Number of programs of each kind, and of what was compared.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Counts {
    /// Programs that agree with the reference.
    pub programs: u64,
    /// Of them, those with findings.
    pub flagged: u64,
    /// Of them, those with more than one thread.
    pub with_threads: u64,
    /// Of them, those with two devices.
    pub with_devices: u64,
    /// Accesses.
    pub accesses: u64,
    /// Findings of each kind, in the order of [`HazardKind`].
    pub findings: [u64; 4],
    /// Queries that returned `true`.
    pub answered: u64,
    /// Calls of `elapsed_since` that returned a time.
    pub measured: u64,
    /// Accesses of the host.
    pub by_host: u64,
    /// Findings that the missing wait removed.
    pub mended: u64,
}

/// Runs programs, one after another, on one fixture.
pub struct Runner<F> {
    fixture: F,
    devices: Vec<gpu_stream_core::Device>,
    limits: Limits,
    /// Findings about accesses that are in no program's report.
    outside: Arc<Mutex<Vec<String>>>,
    /// Counts so far.
    pub counts: Counts,
}

impl<F, B> Runner<F>
where
    F: Fixture<Backend = Checked<B>>,
    B: PlainHandles,
{
    /// Creates a runner. `implicit` is `true` if a default stream of the backend and blocking streams wait for each
    /// other.
    ///
    /// # Errors
    /// An error of the backend when it lists its devices.
    pub fn new(fixture: F, implicit: bool) -> Result<Self, Verdict> {
        let devices = fixture.devices()?;
        let limits = Limits {
            devices: devices.len().min(2),
            threads: 3,
            independent: fixture.independent(),
            destroy_waits: fixture.destroy_waits(),
            schedule: Schedule::Serial { implicit },
            default_streams: true,
        };
        let outside: Arc<Mutex<Vec<String>>> = Arc::default();
        let of_hook = Arc::clone(&outside);
        Checked::<B>::set_hook(Some(Arc::new(move |finding| {
            if kind_of(finding.kind).is_some() {
                lock(&of_hook).push(format!("{finding:?}"));
            }
        })));
        Ok(Runner { fixture, devices, limits, outside, counts: Counts::default() })
    }

    /// Returns the limits of programs.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Runs a program, and compares the findings with the reference: the kinds, the statements, the streams and the
    /// missing wait. Then adds one of the missing waits and runs it again. Blocks until the work is done.
    ///
    /// # Errors
    /// The first difference.
    pub fn run(&mut self, order: &Order, number: u64) -> Result<(), Failure> {
        let (hazards, answered) = self.compare(order)?;
        if let Some(hazard) = hazards.iter().nth(number as usize % hazards.len().max(1)) {
            self.run_mended(order, hazard)?;
        }
        let (counts, program) = (&mut self.counts, &order.program);
        counts.programs += 1;
        counts.flagged += u64::from(!hazards.is_empty());
        counts.with_threads += u64::from(program.threads() > 1);
        counts.with_devices += u64::from(program.devices() > 1);
        counts.accesses += order.accesses.len() as u64;
        let is_elapsed = |index: &&usize| matches!(program.0[**index].op, Op::Elapsed { .. });
        counts.measured += answered.iter().filter(is_elapsed).count() as u64;
        counts.answered += answered.iter().filter(|index| !is_elapsed(index)).count() as u64;
        let is_by_host = |access: &&AccessStep| access.queue.is_none();
        counts.by_host += order.accesses.iter().filter(is_by_host).count() as u64;
        for hazard in &hazards {
            counts.findings[hazard.kind as usize] += 1;
        }
        Ok(())
    }

    /// Runs a program with the missing wait of a hazard, which must then not be found.
    fn run_mended(&mut self, order: &Order, hazard: &Hazard) -> Result<(), Failure> {
        let Some(program) = with_missing_wait(order, hazard) else { return Ok(()) };
        // The wait may let a later `sync` wait for a closed gate: then the program may not run.
        let Ok(mended) = check(&program, &self.limits) else { return Ok(()) };
        let failed = |message| {
            at(Some(hazard.second), format!("with the missing wait before it: {message}"))
        };
        let (left, _) = self.compare(&mended).map_err(|failure| failed(failure.message))?;
        if left.contains(&Hazard { second: hazard.second + 1, ..*hazard }) {
            return Err(failed("the finding is still there".into()));
        }
        self.counts.mended += 1;
        Ok(())
    }

    /// Runs a program once, and compares the findings. Returns them, and the queries that returned `true`.
    fn compare(&self, order: &Order) -> Result<(BTreeSet<Hazard>, Vec<usize>), Failure> {
        let outcomes = machine::run(&self.fixture, &self.devices, order)?;
        let order = Order::of_run(order.program.clone(), self.limits.schedule, &outcomes.answered);
        let expected = hazard::latest(&order);
        let mut found = BTreeSet::new();
        let mut numbers = BTreeMap::new();
        for finding in &outcomes.report.findings {
            let Some(kind) = kind_of(finding.kind) else { continue };
            let hazard = statements_of::<B>(&order, finding, kind)
                .ok_or_else(|| at(None, format!("a finding at unknown places: {finding:?}")))?;
            streams_agree(&order, &outcomes, finding, &hazard, &mut numbers)
                .map_err(|message| at(Some(hazard.second), message))?;
            if !found.insert(hazard) {
                return Err(at(Some(hazard.second), format!("{} twice", name(&order, &hazard))));
            }
        }
        if let Some(finding) = lock(&self.outside).pop() {
            return Err(at(None, format!("a finding outside of the program's report: {finding}")));
        }
        if let Some(wrong) = found.difference(&expected).next() {
            let message = format!("false alarm: {}", name(&order, wrong));
            return Err(at(Some(wrong.second), message));
        }
        if let Some(lost) = expected.difference(&found).next() {
            let message = format!("not found: {}", name(&order, lost));
            return Err(at(Some(lost.second), message));
        }
        Ok((found, outcomes.answered))
    }
}

fn at(statement: Option<usize>, message: String) -> Failure {
    Failure { statement, message }
}

/// Describes a hazard.
fn name(order: &Order, hazard: &Hazard) -> String {
    let Hazard { kind, first, second } = hazard;
    let [from, to] = [first, second].map(|index| &order.program.0[*index]);
    format!("{kind:?} of `{to}` (statement {}) and `{from}` (statement {})", second + 1, first + 1)
}

/// Returns the kind of the reference, if it is about accesses.
fn kind_of(kind: FindingKind) -> Option<HazardKind> {
    match kind {
        FindingKind::ReadAfterWrite => Some(HazardKind::ReadAfterWrite),
        FindingKind::WriteAfterRead => Some(HazardKind::WriteAfterRead),
        FindingKind::WriteAfterWrite => Some(HazardKind::WriteAfterWrite),
        FindingKind::UseAfterRelease => Some(HazardKind::UseAfterRelease),
        _ => None,
    }
}

/// Returns the two statements of a finding.
fn statements_of<B: PlainHandles>(
    order: &Order,
    finding: &Finding,
    kind: HazardKind,
) -> Option<Hazard> {
    let statement = |place| {
        let site = sites::site_of::<CheckedStream<B>>(place)?;
        order.accesses.get(site).map(|access| access.statement)
    };
    let (first, second) = (finding.first.as_ref()?.place, finding.second.place);
    Some(Hazard { kind, first: statement(first)?, second: statement(second)? })
}

/// Checks the streams of a finding and its missing wait. `numbers` has the number of each queue's stream so far.
fn streams_agree(
    order: &Order,
    outcomes: &Outcomes,
    finding: &Finding,
    hazard: &Hazard,
    numbers: &mut BTreeMap<usize, u32>,
) -> Result<(), String> {
    let mut is_queue = |stream: &StreamInfo, queue: Option<usize>| {
        let Some(queue) = queue else { return stream.number == 0 && stream.name == "host" };
        let identity = identity(stream.device, stream.handle);
        let known = *numbers.entry(queue).or_insert(stream.number);
        let is_unique =
            numbers.iter().all(|(other, number)| *other == queue || *number != stream.number);
        outcomes.identities.get(&queue) == Some(&identity) && known == stream.number && is_unique
    };
    let queue_of = |statement| {
        let access = order.accesses.iter().find(|access| access.statement == statement);
        access.and_then(|access| access.queue)
    };
    let (first, second) = (queue_of(hazard.first), queue_of(hazard.second));
    let first_site = finding.first.as_ref().ok_or("there is no first place")?;
    if !is_queue(&first_site.stream, first) || !is_queue(&finding.second.stream, second) {
        return Err(format!("the streams are wrong: {:?}", finding.streams));
    }
    let expected = hazard::missing(order, hazard);
    match (&finding.missing, expected) {
        (None, None) => Ok(()),
        (Some(missing), Some((waiter, awaited))) => {
            let is_waiter = match &missing.waiter {
                Some(stream) => waiter.is_some() && is_queue(stream, waiter),
                None => waiter.is_none(),
            };
            if is_waiter
                && is_queue(&missing.awaited, Some(awaited))
                && missing.before == finding.second.place
            {
                Ok(())
            } else {
                Err(format!("the missing wait is wrong: {missing:?}"))
            }
        }
        (missing, expected) => {
            Err(format!("the missing wait is {missing:?}, but must be {expected:?}"))
        }
    }
}

/// Runs the programs of a campaign until one differs from the reference, and shrinks that program.
///
/// # Errors
/// The program.
pub fn run<F, B>(
    runner: &mut Runner<F>,
    campaign: &Campaign,
    candidates: usize,
) -> Result<(), Box<FailingProgram>>
where
    F: Fixture<Backend = Checked<B>>,
    B: PlainHandles,
{
    let guard = StallGuard::start();
    for number in campaign.first..campaign.first + campaign.programs {
        let tree = campaign.access_program(number, &runner.limits);
        guard.begin(format!("program {number} of seed {}", campaign.seed), tree.order());
        if let Err(failure) = runner.run(tree.order(), number) {
            let program = tree.current();
            let (smallest, smallest_failure) =
                shrink(tree, failure.clone(), candidates, |order: &Arc<Order>| {
                    guard.begin(format!("a smaller program than {number}"), order);
                    match runner.run(order, number) {
                        Ok(()) => Attempt::Passes,
                        Err(failure) => Attempt::Fails(failure),
                    }
                });
            let found = FailingProgram::new(
                (B::KIND, campaign.seed, number),
                (program, failure),
                (smallest, smallest_failure),
            );
            return Err(Box::new(found));
        }
    }
    Ok(())
}
