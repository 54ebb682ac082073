//! Captures: a captured stream's calls are on a line of the capture.
//!
//! Captured work runs when its graph is launched. Its order with work outside is not known, so accesses are compared
//! only within one capture.

use std::sync::Arc;

use super::clock::LineId;
use super::line::LineState;
use super::state::State;

impl State {
    /// Returns the line that a stream's calls are on: that of the capture which includes the stream, or its own.
    pub(super) fn current(&self, id: LineId) -> LineId {
        let capture = self.lines.get(&id).and_then(|line| line.capture);
        capture.filter(|line| self.lines.contains_key(line)).unwrap_or(id)
    }

    /// Notes whether a capture includes a stream.
    pub(super) fn captured(&mut self, id: LineId, is_captured: bool) {
        let current = self.current(id);
        if let Some(line) = self.lines.get(&id) {
            line.flags.set_captured(is_captured);
        }
        if is_captured && current == id {
            self.last_group += 1;
            self.enter_capture(id, self.last_group);
        } else if !is_captured && current != id {
            // The capture is over, for all its streams.
            if let Some(group) = self.lines.get(&current).map(|line| line.group) {
                self.forget_capture(group);
            }
        }
    }

    /// Forgets the capture that includes a destroyed stream if all its streams are destroyed: no call tells its end.
    pub(super) fn end_capture_of_destroyed(&mut self, id: LineId) {
        let current = self.current(id);
        if current == id {
            return;
        }
        let Some(group) = self.lines.get(&current).map(|line| line.group) else { return };
        // A line of a capture has the flags of its stream.
        let mut streams = self.lines.values().filter(|line| line.group == group);
        if streams.all(|line| line.flags.is_destroyed()) {
            self.forget_capture(group);
        }
    }

    fn forget_capture(&mut self, group: u32) {
        let mut ended = Vec::new();
        self.lines.retain(|id, line| {
            let is_kept = line.group != group;
            if !is_kept {
                ended.push(*id);
            }
            is_kept
        });
        for line in self.lines.values_mut() {
            line.capture.take_if(|capture| ended.contains(capture));
        }
        self.memory.remove(&group);
        self.version += 1;
    }

    /// Returns `true` if a backend refuses a wait of one line for another: a captured stream waits only within its capture,
    /// and the default stream cannot be captured.
    ///
    /// `fork` and `join` make the waits that are not refused, and do not tell which.
    pub(super) fn is_refused(&self, waiter: LineId, source: LineId) -> bool {
        let group = |id: LineId| self.lines.get(&id).map_or(0, |line| line.group);
        let is_default = |id: LineId| self.lines.get(&id).is_some_and(LineState::is_default);
        group(waiter) != group(source) && (group(waiter) != 0 || is_default(waiter))
    }

    /// Adds a line to the capture that `other` belongs to, unless a capture includes it already. Returns the line of its
    /// calls.
    pub(super) fn join_capture(&mut self, id: LineId, other: LineId) -> LineId {
        let group = |id: LineId| self.lines.get(&id).map_or(0, |line| line.group);
        match (group(id), group(other)) {
            (0, other) if other != 0 => self.enter_capture(id, other),
            _ => id,
        }
    }

    /// Adds a line of a capture for a stream.
    fn enter_capture(&mut self, id: LineId, group: u32) -> LineId {
        let capture = self.next_line();
        let Some(line) = self.lines.get_mut(&id) else { return id };
        line.capture = Some(capture);
        let mut captured = LineState::new(line.key, Arc::clone(&line.info), false);
        captured.group = group;
        captured.flags = Arc::clone(&line.flags);
        captured.flags.set_captured(true);
        self.lines.insert(capture, captured);
        capture
    }
}
