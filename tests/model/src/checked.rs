//! Runs random programs with accesses on [`Checked`], and compares what it finds with the reference: [`run`].
//!
//! The check needs only the calls, so the programs access no memory. The calls of all threads are made in the order of the text, because the check follows the
//! order in which calls return.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use gpu_stream_checked::{Checked, FindingKind};
use gpu_stream_conformance::{CaptureMode, Fixture, Verdict};
use gpu_stream_core::{Backend, Device, PlainHandles, StreamOptions};
use proptest::strategy::ValueTree;

use crate::campaign::{Attempt, Campaign, FailingProgram, shrink};
use crate::check::{Limits, Schedule, check};
use crate::generate::mend::with_missing_wait;
use crate::hazard::{self, Hazard, LostWait};
use crate::order::{AccessStep, Order};
use crate::program::Op;
use crate::run::Failure;
use crate::watchdog::lock;
use compare::{
    at, compare_side_works, is_lost_wait, kind_of, lost_wait_of, name, name_wait, same,
    statement_at, statements_of, streams_agree,
};
use counts::Counts;
use stall::StallGuard;

mod compare;
pub mod counts;
pub mod harness;
mod machine;
pub mod mutation;
mod sites;
mod stall;

/// Maximum number of accesses of a program.
pub const ACCESSES: usize = 64;

/// Runs programs, one after another, on one fixture.
pub struct Runner<F> {
    fixture: F,
    devices: Vec<Device>,
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
        let captures = match devices.first() {
            Some(device) => has_captures(&fixture, *device)?,
            None => false,
        };
        let limits = Limits {
            devices: devices.len().min(2),
            threads: 3,
            independent: fixture.independent(),
            destroy_waits: fixture.destroy_waits(),
            schedule: Schedule::Serial { implicit },
            default_streams: true,
            captures,
        };
        let outside: Arc<Mutex<Vec<String>>> = Arc::default();
        let of_hook = Arc::clone(&outside);
        Checked::<B>::set_hook(Some(Arc::new(move |finding| {
            if kind_of(finding.kind).is_some() || is_lost_wait(finding.kind) {
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
        let Compared { hazards, lost_waits, unjoined, answered } = self.compare(order)?;
        if let Some(hazard) = hazards.iter().nth(number as usize % hazards.len().max(1)) {
            self.run_mended(order, hazard)?;
        }
        let (counts, program) = (&mut self.counts, &order.program);
        counts.programs += 1;
        counts.flagged += u64::from(!hazards.is_empty());
        for wait in &lost_waits {
            counts.lost_waits[usize::from(wait.record.is_some())] += 1;
        }
        for (count, new) in counts.unjoined.iter_mut().zip(unjoined) {
            *count += new;
        }
        counts.captures.add(order, &hazards);
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
        // A capture may not hold the wait.
        if mended.refused[hazard.second] {
            return Ok(());
        }
        let failed = |message| {
            at(Some(hazard.second), format!("with the missing wait before it: {message}"))
        };
        let left = self.compare(&mended).map_err(|failure| failed(failure.message))?;
        if left.hazards.contains(&Hazard { second: hazard.second + 1, ..*hazard }) {
            return Err(failed("the finding is still there".into()));
        }
        self.counts.mended += 1;
        Ok(())
    }

    /// Runs a program once, and compares the findings.
    fn compare(&self, order: &Order) -> Result<Compared, Failure> {
        let outcomes = machine::run(&self.fixture, &self.devices, order)?;
        let order = Order::of_run(order.program.clone(), self.limits.schedule, &outcomes.answered);
        let mut found = BTreeSet::new();
        let (mut found_waits, mut unjoined) = (BTreeSet::new(), BTreeSet::new());
        let mut numbers = BTreeMap::new();
        let sites = sites::statements(&order);
        for finding in &outcomes.report.findings {
            let unknown = || at(None, format!("a finding at unknown places: {finding:?}"));
            if is_lost_wait(finding.kind) {
                let wait = lost_wait_of::<B>(&sites, finding).ok_or_else(unknown)?;
                if !found_waits.insert(wait) {
                    return Err(at(Some(wait.wait), format!("{} twice", name_wait(&order, &wait))));
                }
                continue;
            }
            if finding.kind == FindingKind::NotJoined {
                // Work without a place of its own is a handle that was taken.
                unjoined.extend(statement_at::<B>(&sites, finding.second.place));
                continue;
            }
            let Some(kind) = kind_of(finding.kind) else { continue };
            let hazard = statements_of::<B>(&sites, finding, kind).ok_or_else(unknown)?;
            streams_agree(&order, &outcomes, finding, &hazard, &mut numbers)
                .map_err(|message| at(Some(hazard.second), message))?;
            if !found.insert(hazard) {
                return Err(at(Some(hazard.second), format!("{} twice", name(&order, &hazard))));
            }
        }
        if let Some(finding) = lock(&self.outside).pop() {
            return Err(at(None, format!("a finding outside of the program's report: {finding}")));
        }
        let describe = |hazard: &Hazard| (hazard.second, name(&order, hazard));
        same(&found, &hazard::latest(&order), describe)?;
        let unclear = order.early_waits.iter().filter(|wait| wait.is_implicit);
        let unclear: BTreeSet<usize> = unclear.map(|wait| wait.statement).collect();
        let is_clear = |wait: &LostWait| !unclear.contains(&wait.wait);
        let mut lost_waits = hazard::lost_waits(&order);
        found_waits.retain(is_clear);
        lost_waits.retain(is_clear);
        same(&found_waits, &lost_waits, |wait| (wait.wait, name_wait(&order, wait)))?;
        compare_side_works(&order, &unjoined)?;
        let certain = order.side_works.iter().filter(|work| work.is_certain);
        let certain = certain.filter(|work| unjoined.contains(&work.statement)).count();
        let unjoined = [unjoined.len() as u64, certain as u64];
        Ok(Compared { hazards: found, lost_waits, unjoined, answered: outcomes.answered })
    }
}

/// What was found in a program, as the reference has it, and the queries that returned `true`.
struct Compared {
    hazards: BTreeSet<Hazard>,
    lost_waits: BTreeSet<LostWait>,
    /// Findings of work that nothing joins, and the certain ones.
    unjoined: [u64; 2],
    answered: Vec<usize>,
}

/// Returns `true` if the fixture can capture a stream of its backend.
fn has_captures<F, B>(fixture: &F, device: Device) -> Result<bool, Verdict>
where
    F: Fixture<Backend = Checked<B>>,
    B: PlainHandles,
{
    let stream = Checked::<B>::new_stream(device, StreamOptions::new())?;
    if fixture.begin_capture(&stream, CaptureMode::Relaxed).is_err() {
        return Ok(false);
    }
    fixture.end_capture(&stream, false)?;
    Ok(true)
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
