//! The accesses that the order of a program does not cover: [`Hazard`].
//!
//! This is the reference for backends that check the order of accesses. It has nothing in common with them but the
//! rules: it takes the vector clocks of [`Order`], and compares the accesses byte by byte.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use gpu_stream_core::Access;

use crate::order::{AccessStep, Order};
use crate::program::Op;

#[cfg(test)]
mod tests;

/// Kind of a hazard.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum HazardKind {
    /// A read that is not ordered after a write.
    ReadAfterWrite,
    /// A write that is not ordered after a read.
    WriteAfterRead,
    /// A write that is not ordered after a write.
    WriteAfterWrite,
    /// An access that is not ordered before the release of its memory, or that is submitted after it.
    UseAfterRelease,
}

/// Two accesses of one byte, in the order of the text, which may run in the other order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Hazard {
    /// Kind.
    pub kind: HazardKind,
    /// Statement of the earlier access.
    pub first: usize,
    /// Statement of the later access.
    pub second: usize,
}

/// Access, with its memory.
struct Use<'a> {
    at: &'a AccessStep,
    access: Access,
    /// Statement that allocates the memory.
    allocation: usize,
    bytes: Range<usize>,
}

/// Returns all accesses of a program.
fn uses(order: &Order) -> Vec<Use<'_>> {
    let mut regions = BTreeMap::new();
    let mut steps = order.accesses.iter();
    let mut all = Vec::new();
    for (index, statement) in order.program.0.iter().enumerate() {
        match statement.op {
            Op::Region { region, start, .. } => {
                regions.insert(region, (index, usize::from(start)));
            }
            Op::Access { access, region, start, end, .. }
            | Op::HostAccess { access, region, start, end } => {
                let (Some(at), Some((allocation, base))) = (steps.next(), regions.get(&region))
                else {
                    continue;
                };
                let bytes = base + usize::from(start)..base + usize::from(end);
                all.push(Use { at, access, allocation: *allocation, bytes });
            }
            _ => {}
        }
    }
    all
}

/// Returns the hazard of two accesses that have a byte in common, if there is one.
fn between(first: &Use<'_>, second: &Use<'_>) -> Option<Hazard> {
    let is_ordered = first.at.step.is_none_or(|step| step.is_in(&second.at.after));
    let is_same = first.allocation == second.allocation;
    let kind = match (first.access, second.access) {
        // Memory is gone with its release, in whatever order.
        (Access::Release, _) if is_same => HazardKind::UseAfterRelease,
        _ if is_ordered => return None,
        // The allocator may give away the memory only behind the release.
        (Access::Release, Access::Read | Access::Write) => HazardKind::UseAfterRelease,
        (_, Access::Release) if is_same => HazardKind::UseAfterRelease,
        (_, Access::Release) | (Access::Read, Access::Read) => return None,
        (Access::Write, Access::Read) => HazardKind::ReadAfterWrite,
        (Access::Read, Access::Write) => HazardKind::WriteAfterRead,
        (Access::Write, Access::Write) => HazardKind::WriteAfterWrite,
    };
    Some(Hazard { kind, first: first.at.statement, second: second.at.statement })
}

/// Returns the hazards of all pairs of accesses.
pub fn all(order: &Order) -> BTreeSet<Hazard> {
    let uses = uses(order);
    let mut found = BTreeSet::new();
    for (number, second) in uses.iter().enumerate() {
        let overlaps = |first: &&Use<'_>| {
            first.at.capture == second.at.capture
                && first.bytes.start.max(second.bytes.start) < first.bytes.end.min(second.bytes.end)
        };
        let earlier = uses[..number].iter().filter(overlaps);
        found.extend(earlier.filter_map(|first| between(first, second)));
    }
    found
}

/// What is remembered of a byte: the numbers of uses.
#[derive(Clone, Default)]
struct Byte {
    write: Option<usize>,
    /// The last read of each queue since the write.
    reads: Vec<usize>,
    /// The last release of each allocation.
    releases: Vec<usize>,
}

/// Returns the hazards of each access with the latest earlier ones: for each byte, the last write, the last read of each
/// stream since that write, and the release.
///
/// A check that remembers only these must report exactly these. Each set is empty if [`all`] is.
pub fn latest(order: &Order) -> BTreeSet<Hazard> {
    let uses = uses(order);
    // When a graph runs is not known, so the accesses of a capture are only compared with each other.
    let mut memories: HashMap<Option<usize>, Vec<Byte>> = HashMap::new();
    let mut found = BTreeSet::new();
    for (number, second) in uses.iter().enumerate() {
        let bytes = memories.entry(second.at.capture);
        for byte in &mut bytes.or_insert_with(|| vec![Byte::default(); 256])[second.bytes.clone()] {
            let earlier = byte.write.iter().chain(&byte.reads).chain(&byte.releases);
            found.extend(earlier.filter_map(|first| between(&uses[*first], second)));
            match second.access {
                // All later calls happen after it.
                Access::Read | Access::Write if second.at.queue.is_none() => {}
                Access::Read => {
                    byte.reads.retain(|read| uses[*read].at.queue != second.at.queue);
                    byte.reads.push(number);
                }
                Access::Write => {
                    byte.write = Some(number);
                    byte.reads.clear();
                }
                Access::Release => {
                    byte.releases.retain(|other| uses[*other].allocation != second.allocation);
                    byte.releases.push(number);
                }
            }
        }
    }
    found
}

/// Wait for an event without a record, and the first record after it.
///
/// The wait has no effect (R15). It is a mistake unless the record happens after it, or the stream waits for the event
/// again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct LostWait {
    /// Statement of the wait.
    pub wait: usize,
    /// Statement of the record. `None` if the event is never recorded.
    pub record: Option<usize>,
}

/// Returns the waits without an effect that are mistakes.
pub fn lost_waits(order: &Order) -> BTreeSet<LostWait> {
    let early = order.early_waits.iter().filter(|wait| !wait.is_before && !wait.is_repeated);
    early.map(|wait| LostWait { wait: wait.statement, record: wait.record }).collect()
}

/// Returns the queues of the wait that would order the two accesses: the one that has to wait, or none if the host has to,
/// and the awaited one. `None` if no wait can mend the hazard, because memory is used after its own release.
pub fn missing(order: &Order, hazard: &Hazard) -> Option<(Option<usize>, usize)> {
    let uses = uses(order);
    let find = |statement| uses.iter().find(|other| other.at.statement == statement);
    let (first, second) = (find(hazard.first)?, find(hazard.second)?);
    let is_gone = first.access == Access::Release && first.allocation == second.allocation;
    let awaited = first.at.queue.filter(|_| !is_gone)?;
    Some((second.at.queue, awaited))
}
