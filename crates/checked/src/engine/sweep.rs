//! What is forgotten, so that memory is bounded in long runs.

use std::sync::Arc;

use super::clock::LineId;
use super::line::LineState;
use super::memory::{Entry, Memory};
use super::state::State;

/// Number of lines without wrappers below which there is no sweep.
const FEW_LINES: usize = 64;

impl State {
    /// Sweeps the lines without wrappers if there are many more than after the last time.
    pub(super) fn sweep_if_due(&mut self) {
        if self.ending.len() < self.sweep_at.max(FEW_LINES) {
            return;
        }
        self.sweep_lines();
        let pieces: usize = self.memory.values().map(Memory::len).sum();
        if self.ending.len() >= FEW_LINES && self.ending.len() >= pieces / 16 {
            self.sweep_memory();
            self.sweep_lines();
        }
        self.sweep_at = self.ending.len() * 2;
    }

    /// Forgets the accesses that the host has waited for.
    pub(super) fn sweep_memory(&mut self) {
        for memory in self.memory.values_mut() {
            memory.sweep(|entry: &Entry| {
                entry.site.number <= self.host_everything
                    || self.lines.get(&entry.line).is_none_or(|line| line.host >= entry.epoch)
            });
        }
    }

    /// Forgets the lines without wrappers that nothing refers to.
    fn sweep_lines(&mut self) {
        let mut kept = Vec::new();
        for id in std::mem::take(&mut self.ending) {
            if self
                .lines
                .get(&id)
                .is_some_and(|line| line.flags.is_destroyed() && line.wrappers == 0)
            {
                self.decide_line(id, None);
            }
            let is_forgettable = self.is_forgettable(id);
            let Some(line) = self.lines.get_mut(&id) else { continue };
            if line.wrappers > 0 {
                line.is_ending = false; // the stream was wrapped again
            } else if !is_forgettable {
                kept.push(id);
            } else if let Some(line) = self.lines.remove(&id) {
                self.version += 1;
                self.sides.remove(&id);
                for lines in [&mut self.keys, &mut self.destroyed] {
                    if lines.get(&line.key) == Some(&id) {
                        lines.remove(&line.key);
                    }
                }
            }
        }
        self.ending = kept;
    }

    /// Returns `true` if nothing changes when a line without wrappers is forgotten.
    fn is_forgettable(&self, id: LineId) -> bool {
        let Some(line) = self.lines.get(&id) else { return false };
        if self.unrecorded.has_line(id) {
            return false;
        }
        let is_over = line.joining.work.as_ref().is_none_or(|work| line.host >= work.epoch);
        if line.flags.is_destroyed() {
            // A live event may still join the last work, or the stream that it waited for may be used again.
            let is_undecided = self.is_candidate(line) && self.has_parent(line);
            let is_compared = Arc::strong_count(&line.flags) > 1;
            return !is_undecided && (is_over || !is_compared);
        }
        // The owner of the stream may wrap it again. It must not have waited for what the host has not waited for.
        let mut awaited = line.clock.entries().iter();
        is_over
            && line.capture.is_none()
            && line.clock.everything() <= self.host_everything
            && awaited.all(|(other, epoch)| self.is_over(*other, *epoch))
    }

    /// Returns `true` if the stream that the line waited for can be used again.
    fn has_parent(&self, line: &LineState) -> bool {
        let parent = line.joining.awaited.as_ref().and_then(|(parent, _)| self.lines.get(parent));
        parent.is_some_and(|parent| parent.wrappers > 0 || !parent.flags.is_destroyed())
    }
}
