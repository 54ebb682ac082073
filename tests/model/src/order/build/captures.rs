//! Captures: which streams they include, and which calls are refused.
//!
//! - A capture begins on a stream, and includes each stream that waits for one of its records (R25).
//! - A captured stream's calls are nodes of the graph, which no call here executes. They are ordered by the records and waits
//!   of the same capture alone. So they are steps of a queue of their own, and no executed work happens before or after
//!   them.
//! - A captured stream cannot wait for a record outside of its capture (R33), nor for one of another capture (R34).
//! - A query or `synchronize` of a captured stream is refused (R23), and of an event whose record was captured, too. When
//!   the capture has ended, so is a wait for the event (R24).
//! - The default stream cannot be captured. While a blocking stream of its device is captured, its calls are refused.

use super::sides::CallKind;
use super::{Implicit, Order, OrderBuilder};

/// The captures of a program so far.
#[derive(Default)]
pub(super) struct Captures {
    all: Vec<Capture>,
    /// For each queue of the calls inside of a capture: the capture, and the stream's own queue.
    inside: Vec<Inside>,
    /// For each event, the capture of its current record.
    records: Vec<Option<usize>>,
    /// For each event, the waits before its first record: the number of the wait, and its chain.
    early_waits: Vec<Vec<(usize, usize)>>,
}

struct Capture {
    /// Queue of the stream on which it began.
    origin: usize,
    begun_by: usize,
    has_ended: bool,
}

struct Inside {
    capture: usize,
    /// Queue of the stream's calls in the capture.
    queue: usize,
    /// Queue of its other calls.
    stream: usize,
}

/// What the rules say about a wait.
pub(super) enum Rule {
    /// It is refused, and has no effect.
    Refused,
    /// It adds the waiting stream to the capture.
    Joins(usize),
    /// It is a wait.
    Waits,
}

impl Captures {
    pub(super) fn add_event(&mut self) {
        self.records.push(None);
        self.early_waits.push(Vec::new());
    }

    pub(super) fn recorded(&mut self, event: usize, capture: Option<usize>) {
        self.records[event] = capture;
    }

    /// Returns the capture of the event's current record.
    pub(super) fn of_record(&self, event: usize) -> Option<usize> {
        self.records[event]
    }

    pub(super) fn add_early_wait(&mut self, event: usize, wait: (usize, usize)) {
        self.early_waits[event].push(wait);
    }

    pub(super) fn early_waits_of(&self, event: usize) -> Vec<(usize, usize)> {
        self.early_waits[event].clone()
    }
}

impl OrderBuilder {
    /// Returns the queue of the stream's calls: while a capture includes the stream, that of its calls in the capture.
    pub(super) fn queue(&self, stream: u8) -> Option<usize> {
        let (queue, _) = self.streams[usize::from(stream)]?;
        let inside =
            self.captures.inside.iter().find(|inside| {
                inside.stream == queue && !self.captures.all[inside.capture].has_ended
            });
        Some(inside.map_or(queue, |inside| inside.queue))
    }

    /// Returns the capture of a queue's calls.
    pub(super) fn capture_of(&self, queue: usize) -> Option<usize> {
        let inside = self.captures.inside.iter().find(|inside| inside.queue == queue);
        inside.map(|inside| inside.capture)
    }

    /// Returns the stream's own queue.
    pub(super) fn stream_of(&self, queue: usize) -> usize {
        let inside = self.captures.inside.iter().find(|inside| inside.queue == queue);
        inside.map_or(queue, |inside| inside.stream)
    }

    /// Returns `true` if the event's current record was captured.
    pub(super) fn is_captured(&self, event: u8) -> bool {
        let event = self.events[usize::from(event)];
        event.is_some_and(|event| self.captures.records[event].is_some())
    }

    fn is_default(&self, queue: usize) -> bool {
        self.default_queues.iter().any(|((home, _), other)| home.is_none() && *other == queue)
    }

    /// Returns `true` if the queue is a default stream, and a capture includes a stream that it waits for without a call.
    pub(super) fn is_unusable(&self, queue: usize) -> bool {
        let (device, implicit) = self.implicit[queue];
        implicit == Implicit::Default
            && self.captures.inside.iter().any(|inside| {
                !self.captures.all[inside.capture].has_ended
                    && self.implicit[inside.stream] == (device, Implicit::Blocking)
                    && self.lives(inside.stream)
            })
    }

    /// Returns `true` if the stream lives: the drop of the last wrapper of a stream that the backend created destroys it.
    pub(super) fn lives(&self, queue: usize) -> bool {
        self.streams.iter().flatten().any(|(other, _)| *other == queue)
            || self.default_queues.iter().any(|(_, other)| *other == queue)
    }

    /// Returns what the rules say about a wait of `waiter` for a record in `capture`.
    pub(super) fn rule(&self, waiter: usize, capture: Option<usize>) -> Rule {
        let has_ended = capture.is_some_and(|capture| self.captures.all[capture].has_ended);
        match (self.capture_of(waiter), capture) {
            _ if has_ended || self.is_unusable(waiter) => Rule::Refused,
            (own, other) if own == other => Rule::Waits,
            (None, Some(capture)) if !self.is_default(waiter) => Rule::Joins(capture),
            _ => Rule::Refused,
        }
    }

    /// Adds a stream to a capture. Returns the queue of its calls in the capture.
    pub(super) fn join_capture(&mut self, index: usize, stream: usize, capture: usize) -> usize {
        self.order.joined[index] = true;
        let device = self.implicit[stream].0;
        let queue = self.new_queue(device, Implicit::Never);
        self.captures.inside.push(Inside { capture, queue, stream });
        self.order.captures[capture] += 1;
        queue
    }

    pub(super) fn begin_capture(&mut self, index: usize, thread: usize, stream: u8) {
        let Some(queue) = self.queue(stream) else { return };
        if self.is_default(queue) {
            return self.forbid(index, "the default stream cannot be captured");
        }
        if self.capture_of(queue).is_some() {
            return self.forbid(index, "the stream is in a capture");
        }
        // The program takes the stream's handle, and that counts as work.
        let (step, _) = self.push_step(index, thread, queue);
        self.note_call(index, queue, CallKind::Work(step));
        let capture = self.captures.all.len();
        self.captures.all.push(Capture { origin: queue, begun_by: index, has_ended: false });
        self.order.captures.push(0);
        self.join_capture(index, queue, capture);
    }

    pub(super) fn end_capture(&mut self, index: usize, thread: usize, stream: u8) {
        let Some(queue) = self.queue(stream) else { return };
        let origin = self.stream_of(queue);
        let capture = self.capture_of(queue).map(|capture| &mut self.captures.all[capture]);
        let Some(capture) = capture.filter(|capture| capture.origin == origin) else {
            return self.forbid(index, "no capture has begun on the stream");
        };
        capture.has_ended = true;
        self.push_step(index, thread, queue);
        self.note_call(index, queue, CallKind::Captured);
    }

    /// Notes that the captures do not allow the statement.
    pub(super) fn forbid(&mut self, index: usize, why: &'static str) {
        self.order.capture_errors[index] = Some(why);
    }

    /// Notes that the captures do not allow the statement if it needs a default stream that is refused now.
    pub(super) fn forbid_unusable(&mut self, index: usize, stream: u8) {
        if self.queue(stream).is_some_and(|queue| self.is_unusable(queue)) {
            self.forbid(
                index,
                "the default stream cannot be used while a blocking stream is captured",
            );
        }
    }

    /// Notes that the captures do not allow a wait for an event that a per-thread stream of another thread has recorded in a
    /// capture. Its handle names another stream here, so a backend cannot tell whether the capture has ended.
    pub(super) fn forbid_other_thread(&mut self, index: usize, event: usize) {
        let Some(queue) = self.queue_of_last(event).map(|queue| self.stream_of(queue)) else {
            return;
        };
        let mut homes = self.default_queues.iter().filter(|(_, own)| *own == queue);
        let home = homes.find_map(|((home, _), _)| *home);
        if self.captures.records[event].is_some() && home.is_some_and(|home| home != self.home) {
            self.forbid(index, "the event was captured on a per-thread stream of another thread");
        }
    }

    /// Ends the computation.
    pub(in crate::order) fn finish(mut self) -> Order {
        let open: Vec<usize> =
            self.captures.all.iter().filter(|it| !it.has_ended).map(|it| it.begun_by).collect();
        for index in open {
            self.forbid(index, "the capture is never ended");
        }
        self.order
    }
}
