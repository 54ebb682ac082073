//! What is forgotten, so that memory is bounded in long runs.

use std::collections::HashSet;

use super::clock::LineId;
use super::line::LineState;
use super::memory::Entry;
use super::state::State;

/// Number of lines below which there is no sweep.
const FEW_LINES: usize = 256;

impl State {
    /// Sweeps if there are many more lines than after the last time.
    pub(super) fn sweep_if_due(&mut self) {
        if self.lines.len() >= self.sweep_at.max(FEW_LINES) {
            self.sweep();
        }
    }

    /// Forgets the accesses that the host has waited for, and the lines that nothing refers to.
    pub(super) fn sweep(&mut self) {
        let mut used = HashSet::new();
        for memory in self.memory.values_mut() {
            let (lines, everything) = (&self.lines, self.host_everything);
            let is_over = |entry: &Entry| {
                entry.site.number <= everything
                    || lines.get(&entry.line).is_none_or(|line| line.host >= entry.epoch)
            };
            memory.sweep(is_over);
            used.extend(memory.entries().filter(|entry| !is_over(entry)).map(|entry| entry.line));
        }
        let mut unused: Vec<LineId> = self.lines.keys().copied().collect();
        unused.retain(|id| !used.contains(id));
        unused.sort_unstable();
        for id in unused {
            self.decide_dead(id);
            if self.is_forgettable(id)
                && let Some(line) = self.lines.remove(&id)
                && self.keys.get(&line.key) == Some(&id)
            {
                self.keys.remove(&line.key);
            }
        }
        self.version += 1;
        self.sweep_at = self.lines.len() * 2;
    }

    /// Decides about the last work of a line that has ended.
    fn decide_dead(&mut self, id: LineId) {
        if self.lines.get(&id).is_some_and(|line| line.is_destroyed && line.wrappers == 0) {
            self.decide_line(id, None);
        }
    }

    /// Returns `true` if forgetting the line changes nothing. No access of it is compared any more.
    fn is_forgettable(&self, id: LineId) -> bool {
        let Some(line) = self.lines.get(&id) else { return false };
        if line.wrappers > 0 || line.group != 0 {
            return false;
        }
        if line.is_destroyed {
            // A live event may still join the last work, or the stream that it waited for may be used again.
            return line.joining.covering == 0 && !(self.is_open(line) && self.has_parent(line));
        }
        // The owner of the stream may wrap it again. It must not have waited for what the host has not waited for.
        let mut awaited = line.clock.entries().iter();
        let is_over = line.joining.work.as_ref().is_none_or(|work| line.host >= work.epoch);
        is_over
            && line.clock.everything() <= self.host_everything
            && awaited.all(|(other, epoch)| self.is_over(*other, *epoch))
    }

    /// Returns `true` if the stream that the line waited for can be used again.
    fn has_parent(&self, line: &LineState) -> bool {
        let parent = line.joining.awaited.as_ref().and_then(|(parent, _)| self.lines.get(parent));
        parent.is_some_and(|parent| parent.wrappers > 0 || !parent.is_destroyed)
    }
}
