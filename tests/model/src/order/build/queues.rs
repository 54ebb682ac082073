//! The queues of a program's streams, and the order of default streams and blocking streams.

use super::OrderBuilder;
use crate::check::Schedule;
use crate::clock::Clock;
use crate::program::{Op, StreamKind};

/// Device of a default stream, or of the per-thread stream of a thread.
pub(super) type DefaultQueue = (Option<u8>, u8);

/// Whether a queue and others of its device wait for each other without a call (R41).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Implicit {
    /// The default stream.
    Default,
    /// A blocking stream.
    Blocking,
    /// A stream that waits only where it is told to.
    Never,
}

impl OrderBuilder {
    pub(super) fn define_stream(&mut self, index: usize, op: &Op) {
        match op {
            Op::Stream { stream, kind, device } => {
                let queue = match kind {
                    StreamKind::Default => self.default_queue((None, *device)),
                    StreamKind::Own => self.default_queue((Some(self.home), *device)),
                    StreamKind::Blocking => self.new_queue(*device, Implicit::Blocking),
                    _ => self.new_queue(*device, Implicit::Never),
                };
                self.note_created(*kind, queue);
                self.wrapper(index, *stream, queue, *device);
            }
            Op::Clone { stream, of } => {
                if let Some((queue, device)) = self.streams[usize::from(*of)] {
                    self.wrapper(index, *stream, queue, device);
                }
            }
            _ => {}
        }
    }

    pub(super) fn new_queue(&mut self, device: u8, implicit: Implicit) -> usize {
        let queue = self.order.queues;
        self.order.queues += 1;
        let is_implicit = self.schedule == Schedule::Serial { implicit: true };
        self.implicit.push((device, if is_implicit { implicit } else { Implicit::Never }));
        self.lengths.resize((queue + 1) * self.threads, 0);
        queue
    }

    /// Returns the queue of a default stream or per-thread stream, and creates it on first use.
    fn default_queue(&mut self, key: DefaultQueue) -> usize {
        let known = self.default_queues.iter().find(|(known, _)| *known == key);
        if let Some((_, queue)) = known {
            return *queue;
        }
        let (home, device) = key;
        let implicit = if home.is_some() { Implicit::Blocking } else { Implicit::Default };
        let queue = self.new_queue(device, implicit);
        self.default_queues.push((key, queue));
        queue
    }

    /// Joins into the view of `queue` what its next step waits for without a call.
    pub(super) fn join_implicit(&mut self, thread: usize, queue: usize) {
        let awaited = match self.implicit[queue].1 {
            Implicit::Default => Implicit::Blocking,
            Implicit::Blocking => Implicit::Default,
            Implicit::Never => return,
        };
        let mut clock = self.view(thread, queue).clone();
        self.join_all(thread, (self.implicit[queue].0, awaited), &mut clock);
        *self.view(thread, queue) = clock;
    }

    /// Joins into `clock` what a query or `synchronize` of `queue` waits for beside its own work: that of a default stream
    /// includes the work of the blocking streams.
    pub(super) fn join_blocking(&mut self, thread: usize, queue: usize, clock: &mut Clock) {
        if let (device, Implicit::Default) = self.implicit[queue] {
            self.join_all(thread, (device, Implicit::Blocking), clock);
        }
    }

    /// Joins into `clock` the views of all queues of a device and kind.
    fn join_all(&mut self, thread: usize, awaited: (u8, Implicit), clock: &mut Clock) {
        for other in 0..self.implicit.len() {
            if self.implicit[other] == awaited {
                clock.join(&self.view(thread, other).clone());
            }
        }
    }

    /// Defines the name of a wrapper.
    fn wrapper(&mut self, index: usize, stream: u8, queue: usize, device: u8) {
        self.streams[usize::from(stream)] = Some((queue, device));
        self.order.queue_of[index] = Some(queue);
    }
}
