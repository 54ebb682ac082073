//! The last work of side streams, and what is ordered after it: [`SideWork`].

use super::super::SideWork;
use super::{Implicit, OrderBuilder, Step};
use crate::program::StreamKind;

/// What a call does on a queue.
#[derive(Clone)]
pub(super) enum CallKind {
    /// Submits work.
    Work(Step),
    /// Waits for a record of the queue `source`.
    Wait { source: usize },
    /// Records the queue, for an event or for a wait of another queue.
    Record,
    /// Asks or waits on the host for the queue's work.
    Host,
    /// Belongs to a capture.
    Captured,
    /// Has no effect.
    Nothing,
}

/// The calls of a program, by queue.
#[derive(Default)]
pub(super) struct Calls {
    /// For each call: its statement, the queue of its stream, and what it does.
    all: Vec<(usize, usize, CallKind)>,
    /// Queues of the streams that the backend creates, and so belong to the program.
    created: Vec<usize>,
}

impl OrderBuilder {
    /// Notes that a queue is that of a new stream.
    pub(super) fn note_created(&mut self, kind: StreamKind, queue: usize) {
        if matches!(kind, StreamKind::New | StreamKind::Blocking) {
            self.host_calls.created.push(queue);
        }
    }

    /// Notes a call on a queue, which may be that of a stream's calls in a capture.
    pub(super) fn note_call(&mut self, index: usize, queue: usize, kind: CallKind) {
        let kind = if self.capture_of(queue).is_some() { CallKind::Captured } else { kind };
        self.host_calls.all.push((index, self.stream_of(queue), kind));
    }

    /// Notes a call of the host about an event's record.
    pub(super) fn note_event_call(&mut self, index: usize, event: u8) {
        let event = self.events[usize::from(event)];
        if let Some(queue) = event.and_then(|event| self.queue_of_last(event)) {
            self.note_call(index, queue, CallKind::Host);
        }
    }

    /// Returns the last work of each side stream that nothing is ordered after. This is for serial programs.
    pub(in crate::order) fn side_works(&self) -> Vec<SideWork> {
        let created = self.host_calls.created.iter();
        created.filter_map(|queue| self.side_work(*queue)).collect()
    }

    fn side_work(&self, queue: usize) -> Option<SideWork> {
        let all = &self.host_calls.all;
        let own: Vec<_> = all.iter().filter(|(_, of, _)| *of == queue).collect();
        let (work, step) = own.iter().rev().find_map(|(index, _, kind)| match kind {
            CallKind::Work(step) => Some((*index, *step)),
            _ => None,
        })?;
        let waits = own.iter().filter_map(|(index, _, kind)| match kind {
            CallKind::Wait { source } => Some((*index, *source)),
            _ => None,
        });
        let waits: Vec<_> = waits.collect();
        if self.is_covered(queue, step) {
            return None;
        }
        let later = || all.iter().filter(|(index, ..)| *index > work);
        let is_parent =
            |of: &usize| waits.iter().any(|(wait, source)| *wait < work && source == of);
        later().find(|(_, of, _)| is_parent(of))?;
        // Without a doubt: the stream is only waited with and worked on, and the stream that it waited for last is used again.
        let is_plain = own
            .iter()
            .all(|(_, _, kind)| matches!(kind, CallKind::Work(_) | CallKind::Wait { .. }));
        let parent = waits.last().filter(|(wait, _)| *wait < work).map(|(_, source)| *source);
        let is_used = |parent: usize| {
            self.lives(parent)
                && later().any(|(_, of, kind)| {
                    *of == parent
                        && matches!(
                            kind,
                            CallKind::Work(_) | CallKind::Wait { .. } | CallKind::Record
                        )
                })
        };
        let is_certain = is_plain
            && self.implicit[queue].1 == Implicit::Never
            && parent.is_some_and(|parent| parent != queue && is_used(parent));
        Some(SideWork { queue, statement: work, is_certain })
    }

    /// Returns `true` if the work of another stream, the host or a live event comes after a step.
    fn is_covered(&self, queue: usize, step: Step) -> bool {
        let views = self.views.iter().flatten().enumerate();
        let mut others = views.filter(|(other, _)| *other != queue).map(|(_, view)| view);
        let live = self.events.iter().flatten();
        let mut records = live.filter_map(|event| self.clocks[*event].last());
        others.any(|view| step.is_in(view))
            || records.any(|record| step.is_in(record))
            || self.done.iter().any(|done| step.is_in(done))
    }
}
