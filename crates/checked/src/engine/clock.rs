//! Vector clocks of epochs: [`Clock`], [`Snapshot`].
//!
//! Epochs are those of FastTrack (Flanagan and Freund, PLDI 2009): an access is a line and a number, and it is compared
//! with a clock in one look-up.

use std::sync::Arc;

/// The number of a line, which is never used again.
pub(super) type LineId = u32;

/// What happens before something: for each line, the epochs up to a number. Lines that are missing have epoch 0.
#[derive(Clone, Default, Debug)]
pub(super) struct Clock {
    /// In the order of the lines.
    entries: Vec<(LineId, u64)>,
    /// All calls up to this number happen before, whatever their lines are.
    everything: u64,
    /// The version of the host's knowledge up to which the entries were pruned.
    pruned: u64,
}

impl Clock {
    /// Returns the epoch of a line up to which its work happens before.
    pub(super) fn get(&self, line: LineId) -> u64 {
        match self.entries.binary_search_by_key(&line, |entry| entry.0) {
            Ok(index) => self.entries.get(index).map_or(0, |entry| entry.1),
            Err(_) => 0,
        }
    }

    /// Returns the number of the call up to which all calls happen before.
    pub(super) fn everything(&self) -> u64 {
        self.everything
    }

    /// Returns the lines with their epochs.
    pub(super) fn entries(&self) -> &[(LineId, u64)] {
        &self.entries
    }

    /// Returns `true` if the clock has no entry that version `version` of the host's knowledge removes.
    pub(super) fn is_pruned(&self, version: u64) -> bool {
        self.pruned == version || self.entries.is_empty()
    }

    /// Adds the work of a line up to an epoch.
    pub(super) fn raise(&mut self, line: LineId, epoch: u64) {
        match self.entries.binary_search_by_key(&line, |entry| entry.0) {
            Ok(index) => {
                if let Some((_, old)) = self.entries.get_mut(index) {
                    *old = epoch.max(*old);
                }
            }
            Err(index) => self.entries.insert(index, (line, epoch)),
        }
    }

    /// Adds all calls up to a number.
    pub(super) fn raise_everything(&mut self, number: u64) {
        self.everything = self.everything.max(number);
    }

    /// Returns what happens before this or `other` (least upper bound).
    #[must_use]
    pub(super) fn joined(&self, other: &Clock) -> Clock {
        let everything = self.everything.max(other.everything);
        let (small, large) = match self.entries.len() < other.entries.len() {
            true => (self, other),
            false => (other, self),
        };
        let mut joined = Clock { everything, entries: Vec::new(), pruned: large.pruned };
        if !small.entries.is_empty() {
            joined.pruned = large.pruned.min(small.pruned);
        }
        if small.entries.len() * 8 < large.entries.len() {
            joined.entries = Vec::with_capacity(large.entries.len() + small.entries.len() + 1);
            joined.entries.extend_from_slice(&large.entries);
            small.entries.iter().for_each(|(line, epoch)| joined.raise(*line, *epoch));
        } else {
            joined.entries = merge(&small.entries, &large.entries);
        }
        joined
    }

    /// Removes the entries that `is_over` returns `true` for: those that a version of the host's knowledge covers.
    pub(super) fn prune(&mut self, version: u64, is_over: impl Fn(LineId, u64) -> bool) {
        self.entries.retain(|(line, epoch)| !is_over(*line, *epoch));
        self.pruned = version;
    }
}

/// Merges two lists that are in the order of the lines. The higher epoch of a line counts.
fn merge(left: &[(LineId, u64)], right: &[(LineId, u64)]) -> Vec<(LineId, u64)> {
    let mut merged = Vec::with_capacity(left.len() + right.len() + 1);
    let (mut i, mut j) = (0, 0);
    while let (Some(&own), Some(&other)) = (left.get(i), right.get(j)) {
        // Without branches: the lists are often the same but for a few lines.
        let (is_left, is_right) = (own.0 <= other.0, other.0 <= own.0);
        let epoch = if is_left { own.1 } else { 0 }.max(if is_right { other.1 } else { 0 });
        merged.push((own.0.min(other.0), epoch));
        i += usize::from(is_left);
        j += usize::from(is_right);
    }
    merged.extend_from_slice(left.get(i..).unwrap_or_default());
    merged.extend_from_slice(right.get(j..).unwrap_or_default());
    merged
}

/// All work of a line up to a point: what an event's record stands for.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    /// The line.
    pub(super) line: LineId,
    /// Its epoch at the point. Later work has a higher one.
    pub(super) epoch: u64,
    /// What happens before the point on other lines.
    pub(super) clock: Arc<Clock>,
}

#[cfg(test)]
mod tests {
    use super::Clock;

    fn clock(entries: &[(u32, u64)]) -> Clock {
        let mut clock = Clock::default();
        entries.iter().for_each(|(line, epoch)| clock.raise(*line, *epoch));
        clock
    }

    #[test]
    fn joins_take_the_higher_epoch_of_each_line() {
        let left = clock(&[(9, 1), (2, 7), (5, 3)]).joined(&clock(&[(5, 4), (2, 6), (1, 1)]));
        assert_eq!(left.entries(), [(1, 1), (2, 7), (5, 4), (9, 1)]);
        assert_eq!((left.get(5), left.get(4)), (4, 0));
    }

    #[test]
    fn small_and_large_joins_are_the_same() {
        let large: Vec<_> = (0..64).map(|line| (line * 2, 5)).collect();
        let small = clock(&[(3, 1), (4, 9)]);
        let joined = clock(&large).joined(&small);
        let other = small.joined(&clock(&large));
        assert_eq!(joined.entries(), other.entries());
        assert_eq!((joined.get(3), joined.get(4), joined.get(6)), (1, 9, 5));
    }

    #[test]
    fn everything_is_joined_too() {
        let mut right = clock(&[(1, 1)]);
        right.raise_everything(8);
        let joined = clock(&[(1, 2)]).joined(&right);
        assert_eq!((joined.everything(), joined.get(1)), (8, 2));
    }
}
