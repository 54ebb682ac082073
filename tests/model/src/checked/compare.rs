//! Compares findings with the reference, one by one.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::Location;

use gpu_stream_checked::{CheckedStream, Finding, FindingKind, StreamInfo};
use gpu_stream_core::PlainHandles;

use super::machine::{Outcomes, identity};
use super::sites;
use crate::hazard::{self, Hazard, HazardKind, LostWait};
use crate::order::Order;
use crate::run::Failure;

pub(super) fn at(statement: Option<usize>, message: String) -> Failure {
    Failure { statement, message }
}

/// Returns an error for the first difference of two sets. `describe` returns a statement and the text.
pub(super) fn same<T: Ord>(
    found: &BTreeSet<T>,
    expected: &BTreeSet<T>,
    describe: impl Fn(&T) -> (usize, String),
) -> Result<(), Failure> {
    if let Some(wrong) = found.difference(expected).next() {
        let (statement, text) = describe(wrong);
        return Err(at(Some(statement), format!("false alarm: {text}")));
    }
    if let Some(lost) = expected.difference(found).next() {
        let (statement, text) = describe(lost);
        return Err(at(Some(statement), format!("not found: {text}")));
    }
    Ok(())
}

/// Describes a hazard.
pub(super) fn name(order: &Order, hazard: &Hazard) -> String {
    let Hazard { kind, first, second } = hazard;
    let [from, to] = [first, second].map(|index| &order.program.0[*index]);
    format!("{kind:?} of `{to}` (statement {}) and `{from}` (statement {})", second + 1, first + 1)
}

/// Returns the kind of the reference, if it is about accesses.
pub(super) fn kind_of(kind: FindingKind) -> Option<HazardKind> {
    match kind {
        FindingKind::ReadAfterWrite => Some(HazardKind::ReadAfterWrite),
        FindingKind::WriteAfterRead => Some(HazardKind::WriteAfterRead),
        FindingKind::WriteAfterWrite => Some(HazardKind::WriteAfterWrite),
        FindingKind::UseAfterRelease => Some(HazardKind::UseAfterRelease),
        _ => None,
    }
}

/// Returns `true` if the finding is a wait for an event that had no record.
pub(super) fn is_lost_wait(kind: FindingKind) -> bool {
    matches!(kind, FindingKind::UnrecordedWait | FindingKind::WaitBeforeRecord)
}

/// Describes a wait.
pub(super) fn name_wait(order: &Order, lost: &LostWait) -> String {
    let wait = &order.program.0[lost.wait];
    match lost.record {
        Some(record) => format!("`{wait}` waits before `{}`", order.program.0[record]),
        None => format!("`{wait}` waits for an event without a record"),
    }
}

/// Returns the statement of a place. `sites` has those of all places.
pub(super) fn statement_at<B: PlainHandles>(
    sites: &[usize],
    place: &Location<'_>,
) -> Option<usize> {
    sites.get(sites::site_of::<CheckedStream<B>>(place)?).copied()
}

/// Returns the two statements of a finding about accesses.
pub(super) fn statements_of<B: PlainHandles>(
    sites: &[usize],
    finding: &Finding,
    kind: HazardKind,
) -> Option<Hazard> {
    let first = statement_at::<B>(sites, finding.first.as_ref()?.place)?;
    let second = statement_at::<B>(sites, finding.second.place)?;
    Some(Hazard { kind, first, second })
}

/// Returns the statements of a finding about a wait without an effect.
pub(super) fn lost_wait_of<B: PlainHandles>(
    sites: &[usize],
    finding: &Finding,
) -> Option<LostWait> {
    let second = statement_at::<B>(sites, finding.second.place)?;
    Some(match &finding.first {
        Some(first) => {
            LostWait { wait: statement_at::<B>(sites, first.place)?, record: Some(second) }
        }
        None => LostWait { wait: second, record: None },
    })
}

/// Checks the streams of a finding and its missing wait. `numbers` has the number of each queue's stream so far.
pub(super) fn streams_agree(
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

/// Checks the work that was found to be joined by nothing. `found` has the statements.
///
/// That a stream is meant to be joined is a guess. So each finding must be possible, and one is due only where the guess is
/// certain.
pub(super) fn compare_side_works(order: &Order, found: &BTreeSet<usize>) -> Result<(), Failure> {
    let describe = |what: &str, statement: usize| {
        let text = &order.program.0[statement];
        at(Some(statement), format!("{what}: nothing is ordered after `{text}`"))
    };
    let is_possible =
        |statement: &&usize| order.side_works.iter().any(|work| work.statement == **statement);
    if let Some(wrong) = found.iter().find(|statement| !is_possible(statement)) {
        return Err(describe("false alarm", *wrong));
    }
    // A hazard of the stream's work names the wait that is missing.
    let hazards = hazard::latest(order);
    let is_named = |queue: usize| {
        hazards.iter().any(|hazard| {
            let mut accesses = order.accesses.iter();
            accesses.any(|it| it.statement == hazard.first && it.queue == Some(queue))
        })
    };
    let mut certain = order.side_works.iter().filter(|work| work.is_certain);
    match certain.find(|work| !found.contains(&work.statement) && !is_named(work.queue)) {
        Some(lost) => Err(describe("not found", lost.statement)),
        None => Ok(()),
    }
}
