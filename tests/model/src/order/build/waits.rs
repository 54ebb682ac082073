//! Waits of streams for events and for other streams.

use super::captures::Rule;
use super::sides::CallKind;
use super::{EarlyWait, Edge, Implicit, OrderBuilder, Recorded};
use crate::check::Schedule;
use crate::clock::Clock;

impl OrderBuilder {
    pub(super) fn wait_event(&mut self, index: usize, thread: usize, stream: u8, event: u8) {
        let Some(queue) = self.queue(stream) else { return };
        let Some(event) = self.events[usize::from(event)] else { return };
        self.forbid_other_thread(index, event);
        let rule = self.rule(queue, self.captures.of_record(event));
        let (clock, recorded) = self.current_record(index, event);
        if recorded == Recorded::Never && self.schedule != Schedule::Concurrent {
            // It has no effect (R15): it does not even count as work of a default stream.
            match self.is_unusable(queue) {
                true => self.order.refused[index] = true,
                false => self.early_wait(index, thread, queue, event),
            }
            return;
        }
        let queue = match rule {
            Rule::Refused => return self.order.refused[index] = true,
            Rule::Joins(capture) => self.join_capture(index, queue, capture),
            Rule::Waits => queue,
        };
        self.order.edges.push((index, Edge::Event { queue, event }));
        self.view(thread, queue).join(&clock);
        self.push_step(index, thread, queue);
        let stream = self.stream_of(queue);
        if let Some(source) = self.queue_of_last(event) {
            self.note_call(index, queue, CallKind::Wait { source });
        }
        let of_event = self.captures.early_waits_of(event);
        for wait in of_event.iter().map(|(wait, _)| *wait) {
            let wait = &mut self.order.early_waits[wait];
            wait.is_repeated |= wait.queue == stream;
        }
    }

    /// Adds a wait for an event that has no record. What happens after it is told by a chain of its own.
    fn early_wait(&mut self, index: usize, thread: usize, queue: usize, event: usize) {
        self.note_call(index, queue, CallKind::Nothing);
        let mark = self.new_queue(0, Implicit::Never);
        self.view(thread, queue).set(mark, 1);
        let stream = self.stream_of(queue);
        let is_implicit = self.implicit[stream].1 != Implicit::Never;
        self.captures.add_early_wait(event, (self.order.early_waits.len(), mark));
        self.order.early_waits.push(EarlyWait {
            statement: index,
            queue: stream,
            record: None,
            is_before: false,
            is_repeated: false,
            is_implicit,
        });
    }

    /// Notes a record for the earlier waits for its event. A wait on a stream happens before the later calls on that stream.
    pub(super) fn note_first_record(
        &mut self,
        index: usize,
        queue: usize,
        event: usize,
        clock: &Clock,
    ) {
        let stream = self.stream_of(queue);
        for (wait, mark) in self.captures.early_waits_of(event) {
            let wait = &mut self.order.early_waits[wait];
            if wait.record.is_none() {
                wait.record = Some(index);
                wait.is_before = wait.queue == stream || clock.get(mark) > 0;
            }
        }
    }

    pub(super) fn wait_stream(&mut self, index: usize, thread: usize, stream: u8, other: u8) {
        let Some(queue) = self.queue(stream) else { return };
        let Some(other) = self.queue(other) else { return };
        if queue == other {
            return;
        }
        if self.is_unusable(other) {
            self.order.refused[index] = true;
            return;
        }
        let queue = match self.rule(queue, self.capture_of(other)) {
            Rule::Refused => return self.order.refused[index] = true,
            Rule::Joins(capture) => self.join_capture(index, queue, capture),
            Rule::Waits => queue,
        };
        self.push_step(index, thread, other);
        self.note_call(index, other, CallKind::Record);
        self.wait_queue(index, thread, queue, other);
    }

    /// Waits for all branches that the stream can wait for.
    pub(super) fn join(&mut self, index: usize, thread: usize, stream: u8, branches: &[u8]) {
        self.forbid_unusable(index, stream);
        for branch in branches {
            self.forbid_unusable(index, *branch);
            self.wait_stream(index, thread, stream, *branch);
        }
    }

    pub(super) fn fork(&mut self, index: usize, thread: usize, stream: u8, branches: &[u8]) {
        let Some(source) = self.queue(stream) else { return };
        let is_other = |branch: &&u8| self.queue(**branch).is_some_and(|queue| queue != source);
        let others: Vec<u8> = branches.iter().filter(is_other).copied().collect();
        if others.is_empty() {
            return;
        }
        for stream in [stream].iter().chain(&others) {
            self.forbid_unusable(index, *stream);
        }
        // One record for all branches.
        self.push_step(index, thread, source);
        self.note_call(index, source, CallKind::Record);
        let mut is_any = false;
        for branch in others {
            let Some(queue) = self.queue(branch) else { continue };
            let queue = match self.rule(queue, self.capture_of(source)) {
                Rule::Refused => {
                    self.order.refused[index] = true;
                    continue;
                }
                Rule::Joins(capture) => self.join_capture(index, queue, capture),
                Rule::Waits => queue,
            };
            is_any = true;
            self.wait_queue(index, thread, queue, source);
        }
        if !is_any {
            self.forbid(
                index,
                "all branches are refused, and it is not known whether the stream was recorded",
            );
        }
    }

    /// Makes `queue` wait for the latest step of `other`.
    fn wait_queue(&mut self, index: usize, thread: usize, queue: usize, other: usize) {
        let clock = self.view(thread, other).clone();
        self.view(thread, queue).join(&clock);
        self.order.edges.push((index, Edge::Queue { queue, other }));
        self.push_step(index, thread, queue);
        self.note_call(index, queue, CallKind::Wait { source: other });
    }
}
