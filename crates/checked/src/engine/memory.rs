//! The latest accesses of each byte: [`Memory`].

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use gpu_stream_core::{Access, Region};

use super::clock::LineId;
use super::line::Flags;
use crate::finding::{FindingKind, Site};

/// The line of the host's own accesses. It is never open, so every later call happens after them.
pub(super) const HOST: LineId = 0;

/// An access that was declared.
#[derive(Debug)]
pub(super) struct Entry {
    /// The line that accesses the memory, or [`HOST`].
    pub(super) line: LineId,
    /// The line's epoch.
    pub(super) epoch: u64,
    /// What the access does.
    pub(super) access: Access,
    /// The memory.
    pub(super) region: Region,
    /// The call.
    pub(super) site: Site,
    /// Keeps the line while the entry is compared.
    pub(super) _flags: Option<Arc<Flags>>,
}

/// A range of bytes that have the same latest accesses.
#[derive(Clone, Default, Debug)]
struct Piece {
    /// The address after the last byte. The first one is the key of the map.
    end: usize,
    /// The last write.
    write: Option<Arc<Entry>>,
    /// The last read of each line since that write.
    reads: Vec<Arc<Entry>>,
    /// The last release of each allocation that was here.
    releases: Vec<Arc<Entry>>,
    /// The latest access is a release, and all others happen before it. An access that is not ordered after those is not
    /// ordered after the release either.
    is_settled: bool,
}

/// The latest accesses of each byte: an interval map by address.
#[derive(Default, Debug)]
pub(super) struct Memory {
    pieces: BTreeMap<usize, Piece>,
    /// Number of accesses since the last sweep.
    accesses: usize,
}

/// Number of releases that a piece keeps. A later access of an older allocation is not found.
const RELEASES: usize = 8;

/// Number of reads that a piece keeps. If more streams read the same memory, and nothing orders them, the oldest are
/// forgotten.
const READS: usize = 1 << 10;

/// Number of reads from which on a piece forgets those that a later read is ordered after.
const FEW_READS: usize = 1 << 4;

/// Number of pieces that are kept. If a program never waits on the host and never uses memory again, the oldest are
/// forgotten.
const PIECES: usize = 1 << 18;

/// Number of accesses for each piece between two sweeps, so that an access pays for a fraction of a piece.
const ACCESSES_PER_PIECE: usize = 4;

/// Number of pieces below which the number does not count.
const FEW_PIECES: usize = 1 << 8;

impl Memory {
    /// Adds an access. Returns the earlier ones that it is in conflict with, each once, and what is wrong.
    ///
    /// `is_ordered` tells whether an entry happens before the access. The host's own reads and writes are only compared:
    /// everything that is called later happens after them, and so after what they are ordered after.
    pub(super) fn access(
        &mut self,
        new: &Arc<Entry>,
        is_ordered: impl Fn(&Entry) -> bool,
    ) -> Vec<(FindingKind, Arc<Entry>)> {
        self.accesses += 1;
        let Range { start, end } = new.region.addresses();
        let mut found = Vec::new();
        if start >= end {
            return found;
        }
        if let Some(piece) = self.pieces.get_mut(&start)
            && piece.end == end
        {
            piece.compare(new, &is_ordered, &mut found);
            piece.add(new, &is_ordered);
            return found;
        }
        let mut last: Option<(usize, Piece)> = None;
        let mut at = start;
        for (from, mut piece) in self.take(start, end) {
            if at < from {
                self.add_next(
                    &mut last,
                    at,
                    Piece { end: from, ..Piece::default() },
                    new,
                    &is_ordered,
                );
            }
            at = piece.end;
            piece.compare(new, &is_ordered, &mut found);
            self.add_next(&mut last, from, piece, new, &is_ordered);
        }
        if at < end {
            self.add_next(&mut last, at, Piece { end, ..Piece::default() }, new, &is_ordered);
        }
        self.put(last);
        found
    }

    /// Adds the access to a piece, and joins the piece to the one before it if both are the same.
    fn add_next(
        &mut self,
        last: &mut Option<(usize, Piece)>,
        start: usize,
        mut piece: Piece,
        new: &Arc<Entry>,
        is_ordered: &impl Fn(&Entry) -> bool,
    ) {
        piece.add(new, is_ordered);
        match last {
            Some((_, before)) if before.is_same(&piece) => before.end = piece.end,
            _ => self.put(last.replace((start, piece))),
        }
    }

    fn put(&mut self, piece: Option<(usize, Piece)>) {
        if let Some((start, piece)) = piece
            && !piece.is_empty()
        {
            self.pieces.insert(start, piece);
        }
    }

    /// Takes out the pieces of a range, cut to it.
    fn take(&mut self, start: usize, end: usize) -> Vec<(usize, Piece)> {
        let before = self.pieces.range_mut(..start).next_back();
        let mut taken = Vec::new();
        if let Some((_, piece)) = before
            && piece.end > start
        {
            taken.push((start, piece.clone()));
            piece.end = start;
        }
        let inside: Vec<usize> = self.pieces.range(start..end).map(|(from, _)| *from).collect();
        taken.extend(inside.into_iter().filter_map(|from| self.pieces.remove_entry(&from)));
        if let Some((_, piece)) = taken.last_mut()
            && piece.end > end
        {
            self.pieces.insert(end, piece.clone());
            piece.end = end;
        }
        taken
    }

    /// Returns `true` if a sweep is worth its cost.
    pub(super) fn is_due(&self) -> bool {
        self.accesses >= self.pieces.len().max(FEW_PIECES) * ACCESSES_PER_PIECE
    }

    /// Forgets the accesses that every later call happens after. The latest release stays: a later access of its
    /// allocation is a mistake, whatever its order is.
    pub(super) fn sweep(&mut self, is_over: impl Fn(&Entry) -> bool) {
        self.pieces.retain(|_, piece| {
            piece.write.take_if(|entry| piece.is_settled || is_over(entry));
            piece.reads.retain(|entry| !piece.is_settled && !is_over(entry));
            let latest = piece.releases.pop();
            piece.releases.retain(|entry| !is_over(entry));
            piece.releases.extend(latest);
            !piece.is_empty()
        });
        // Pieces that only hold what is over are worth less, so fewer of them stay.
        self.forget_oldest(PIECES / 4, |piece| {
            piece.releases.iter().all(|entry| is_over(entry)) && piece.only_released()
        });
        self.forget_oldest(PIECES, |_| true);
        self.accesses = 0;
    }

    /// Forgets the older half of the pieces for which `is_of_sort` returns `true`, if there are more than `limit`.
    fn forget_oldest(&mut self, limit: usize, is_of_sort: impl Fn(&Piece) -> bool) {
        let mut ages: Vec<u64> =
            self.pieces.values().filter(|piece| is_of_sort(piece)).map(Piece::latest).collect();
        if ages.len() > limit {
            let middle = ages.len() / 2;
            let (_, oldest_kept, _) = ages.select_nth_unstable(middle);
            let oldest_kept = *oldest_kept;
            self.pieces.retain(|_, piece| piece.latest() >= oldest_kept || !is_of_sort(piece));
        }
    }

    /// Returns the number of pieces.
    pub(super) fn len(&self) -> usize {
        self.pieces.len()
    }
}

impl Piece {
    fn is_empty(&self) -> bool {
        self.only_released() && self.releases.is_empty()
    }

    fn only_released(&self) -> bool {
        self.write.is_none() && self.reads.is_empty()
    }

    /// Returns the number of the latest access.
    fn latest(&self) -> u64 {
        let all = self.write.iter().chain(&self.reads).chain(&self.releases);
        all.map(|entry| entry.site.number).max().unwrap_or(0)
    }

    /// Returns `true` if the latest accesses are the same ones.
    fn is_same(&self, other: &Piece) -> bool {
        fn are_same<'a>(
            mut left: impl Iterator<Item = &'a Arc<Entry>>,
            mut right: impl Iterator<Item = &'a Arc<Entry>>,
        ) -> bool {
            loop {
                match (left.next(), right.next()) {
                    (None, None) => return true,
                    (Some(left), Some(right)) if Arc::ptr_eq(left, right) => {}
                    _ => return false,
                }
            }
        }
        self.is_settled == other.is_settled
            && are_same(self.write.iter(), other.write.iter())
            && are_same(self.reads.iter(), other.reads.iter())
            && are_same(self.releases.iter(), other.releases.iter())
    }

    /// Finds the earlier accesses that `new` is in conflict with.
    fn compare(
        &mut self,
        new: &Entry,
        is_ordered: &impl Fn(&Entry) -> bool,
        found: &mut Vec<(FindingKind, Arc<Entry>)>,
    ) {
        for entry in self.write.iter().chain(&self.reads).chain(&self.releases) {
            if let Some(kind) = conflict(entry, new, is_ordered)
                && !found.iter().any(|(_, known)| Arc::ptr_eq(known, entry))
            {
                found.push((kind, Arc::clone(entry)));
            }
        }
        self.is_settled = new.access == Access::Release
            && self.write.iter().chain(&self.reads).all(|entry| is_ordered(entry));
    }

    /// Forgets the accesses that happen before one of the host, since all later calls happen after them. A later access of an
    /// allocation that was released stays a mistake.
    fn settle(&mut self, is_ordered: &impl Fn(&Entry) -> bool) {
        self.write.take_if(|entry| is_ordered(entry));
        self.reads.retain(|entry| !is_ordered(entry));
        for entry in self.releases.iter_mut().filter(|entry| is_ordered(entry)) {
            let Entry { epoch, access, region, .. } = **entry;
            let site = entry.site.clone();
            *entry = Arc::new(Entry { line: HOST, epoch, access, region, site, _flags: None });
        }
    }

    /// Adds an access.
    fn add(&mut self, new: &Arc<Entry>, is_ordered: &impl Fn(&Entry) -> bool) {
        if new.line == HOST {
            self.settle(is_ordered);
        }
        match new.access {
            Access::Read | Access::Write if new.line == HOST => {}
            Access::Read => {
                self.reads.retain(|entry| entry.line != new.line);
                if self.reads.len() >= FEW_READS && self.reads.len().is_power_of_two() {
                    // What is ordered after the new read is ordered after these, too.
                    self.reads.retain(|entry| !is_ordered(entry));
                }
                if self.reads.len() >= READS {
                    self.reads.remove(0);
                }
                self.reads.push(Arc::clone(new));
            }
            Access::Write => {
                self.write = Some(Arc::clone(new));
                self.reads.clear();
            }
            Access::Release => {
                self.releases.retain(|entry| entry.region.allocation() != new.region.allocation());
                if self.releases.len() >= RELEASES {
                    self.releases.remove(0);
                }
                self.releases.push(Arc::clone(new));
            }
        }
    }
}

/// Returns what is wrong with an access after an earlier one of the same memory.
fn conflict(
    first: &Entry,
    second: &Entry,
    is_ordered: impl Fn(&Entry) -> bool,
) -> Option<FindingKind> {
    let is_same = first.region.allocation() == second.region.allocation();
    match (first.access, second.access) {
        (Access::Release, _) if is_same => Some(FindingKind::UseAfterRelease),
        (Access::Read, Access::Read) => None,
        (_, Access::Release) if !is_same => None,
        _ if is_ordered(first) => None,
        // The allocator gave the memory away before the release was over.
        (Access::Release, _) | (_, Access::Release) => Some(FindingKind::UseAfterRelease),
        (Access::Write, Access::Read) => Some(FindingKind::ReadAfterWrite),
        (Access::Read, Access::Write) => Some(FindingKind::WriteAfterRead),
        (Access::Write, Access::Write) => Some(FindingKind::WriteAfterWrite),
    }
}
