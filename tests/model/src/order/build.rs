//! The way through a program that finds its order.

use super::{Edge, Expectation, GatePlace, Name, Order, Recorded, Step, Target, Task};
use crate::clock::{Calls, Clock};
use crate::program::{Op, Program, StreamKind};

const NAMES: usize = crate::text::NAMES as usize;

/// What is known at a place in the program.
pub(super) struct OrderBuilder {
    pub(super) order: Order,
    threads: usize,
    /// By thread, then by queue.
    views: Vec<Vec<Clock>>,
    done: Vec<Clock>,
    messages: Vec<Option<(Vec<Clock>, Clock)>>,
    /// The live wrappers and events: name in the text, and queue or event.
    streams: Vec<Option<(usize, u8)>>,
    events: Vec<Option<usize>>,
    /// The queues that exist without being made: of (own, device).
    default_queues: Vec<((bool, u8), usize)>,
    /// The length of each chain.
    lengths: Vec<u16>,
    /// The clocks of `order.records`.
    clocks: Vec<Vec<Clock>>,
    /// All records of each event, those to come included; only where there are threads.
    to_come: Vec<Vec<usize>>,
}

/// The records of each event, in the order in which the events are made.
fn all_records(program: &Program) -> Vec<Vec<usize>> {
    let mut events: Vec<Vec<usize>> = Vec::new();
    let mut names = vec![0; NAMES];
    for (index, statement) in program.0.iter().enumerate() {
        match statement.op {
            Op::Event { event, .. } => {
                names[usize::from(event)] = events.len();
                events.push(Vec::new());
            }
            Op::RecordNew { event, .. } => {
                names[usize::from(event)] = events.len();
                events.push(vec![index]);
            }
            Op::Record { event, .. } => events[names[usize::from(event)]].push(index),
            _ => {}
        }
    }
    events
}

impl OrderBuilder {
    /// The place before the first statement.
    pub(super) fn new(program: &Program) -> Self {
        let threads = program.threads();
        let calls = Calls::of(program);
        let statements = program.0.len();
        let to_come = if threads > 1 { all_records(program) } else { Vec::new() };
        let order = Order {
            calls,
            tasks: Vec::new(),
            facts: Vec::with_capacity(statements),
            looks: Vec::new(),
            queue_of: Vec::with_capacity(statements),
            gates: Vec::new(),
            edges: Vec::new(),
            records: Vec::new(),
            targets: Vec::with_capacity(statements),
            queues: 0,
            program: Program::default(),
        };
        OrderBuilder {
            order,
            threads,
            views: vec![Vec::new(); threads],
            done: vec![Clock::default(); threads],
            messages: Vec::new(),
            streams: vec![None; NAMES],
            events: vec![None; NAMES],
            default_queues: Vec::new(),
            lengths: Vec::new(),
            clocks: Vec::new(),
            to_come,
        }
    }

    pub(super) fn statement(&mut self, index: usize, thread: usize, op: &Op) {
        let known = self.done[thread].clone();
        let fact =
            Expectation { clock: Clock::default(), known, recorded: Recorded::Yes, queue: None };
        self.order.facts.push(fact);
        self.order.targets.push(None);
        self.order.queue_of.push(None);
        match op {
            Op::Stream { stream, sort, device } => {
                let queue = match sort {
                    StreamKind::Default => self.default_queues(false, *device),
                    StreamKind::Own => self.default_queues(true, *device),
                    _ => self.new_queue(),
                };
                self.wrapper(index, *stream, queue, *device);
            }
            Op::Clone { stream, of } => {
                if let Some((queue, device)) = self.streams[usize::from(*of)] {
                    self.wrapper(index, *stream, queue, device);
                }
            }
            Op::Event { event, .. } => self.new_event(*event),
            Op::RecordNew { event, stream } => {
                self.new_event(*event);
                self.record(index, thread, *stream, *event);
            }
            Op::Record { stream, event } => self.record(index, thread, *stream, *event),
            Op::Task { stream, task, .. } => {
                let Some((queue, device)) = self.streams[usize::from(*stream)] else { return };
                let (step, after) = self.step(index, thread, queue);
                let task = Task { name: *task, statement: index, device, step, after };
                self.order.tasks.push(task);
            }
            Op::Gate { stream, .. } => {
                let Some((queue, _)) = self.streams[usize::from(*stream)] else { return };
                let (step, _) = self.step(index, thread, queue);
                let gate = self.order.gates.len();
                self.order.gates.push(GatePlace { shut_by: index, opened_by: None, step });
                self.order.edges.push((index, Edge::Gate { queue, gate }));
            }
            Op::Open { .. } => {
                // They are opened in the order in which they were shut.
                let shut = self.order.gates.iter_mut().find(|gate| gate.opened_by.is_none());
                if let Some(gate) = shut {
                    gate.opened_by = Some(index);
                }
            }
            Op::Wait { stream, event } => {
                let Some((queue, _)) = self.streams[usize::from(*stream)] else { return };
                let Some(event) = self.events[usize::from(*event)] else { return };
                let (clock, _) = self.current(index, event);
                self.order.edges.push((index, Edge::Event { queue, event }));
                self.view(thread, queue).join(&clock);
                self.step(index, thread, queue);
            }
            Op::WaitStream { stream, other } => {
                self.wait_stream(index, thread, *stream, *other);
            }
            Op::Join { stream, branches } => {
                for branch in branches {
                    self.wait_stream(index, thread, *stream, *branch);
                }
            }
            Op::Fork { stream, branches } => {
                let Some((source, _)) = self.streams[usize::from(*stream)] else { return };
                let queues = branches.iter().map(|branch| self.streams[usize::from(*branch)]);
                let queues: Vec<_> = queues.flatten().map(|(queue, _)| queue).collect();
                let queues: Vec<_> = queues.into_iter().filter(|queue| *queue != source).collect();
                if queues.is_empty() {
                    return;
                }
                // One record for all.
                self.step(index, thread, source);
                for queue in queues {
                    self.after(index, thread, queue, source);
                }
            }
            Op::Query { stream } | Op::DropStream { stream } => {
                self.ask_stream(index, thread, *stream);
                if matches!(op, Op::DropStream { .. }) {
                    self.streams[usize::from(*stream)] = None;
                }
            }
            Op::Sync { stream } => {
                let clock = self.ask_stream(index, thread, *stream);
                self.done[thread].join(&clock);
            }
            Op::QueryEvent { event } | Op::DropEvent { event } => {
                self.ask_event(index, *event);
                if matches!(op, Op::DropEvent { .. }) {
                    self.events[usize::from(*event)] = None;
                }
            }
            Op::SyncEvent { event } => {
                let clock = self.ask_event(index, *event);
                self.done[thread].join(&clock);
            }
            Op::Check => self.check(index, thread),
            Op::Barrier => {
                let queues = 0..self.lengths.len() / self.threads;
                let all: Vec<Clock> = queues.map(|queue| self.everybody(queue)).collect();
                let mut done = Clock::default();
                self.done.iter().for_each(|other| done.join(other));
                self.views.fill(all);
                self.done.fill(done);
            }
            Op::Send { channel } => {
                let channel = usize::from(*channel);
                self.messages.resize(self.messages.len().max(channel + 1), None);
                self.messages[channel] =
                    Some((self.views[thread].clone(), self.done[thread].clone()));
            }
            Op::Recv { channel } => {
                let messages = self.messages.get(usize::from(*channel)).cloned().flatten();
                let Some((views, done)) = messages else { return };
                for (queue, view) in views.iter().enumerate() {
                    self.view(thread, queue).join(view);
                }
                self.done[thread].join(&done);
            }
        }
    }

    fn new_queue(&mut self) -> usize {
        let queue = self.order.queues;
        self.order.queues += 1;
        self.lengths.resize((queue + 1) * self.threads, 0);
        queue
    }

    fn default_queues(&mut self, own: bool, device: u8) -> usize {
        let known = self.default_queues.iter().find(|(key, _)| *key == (own, device));
        if let Some((_, queue)) = known {
            return *queue;
        }
        let queue = self.new_queue();
        self.default_queues.push(((own, device), queue));
        queue
    }

    fn wrapper(&mut self, index: usize, stream: u8, queue: usize, device: u8) {
        self.streams[usize::from(stream)] = Some((queue, device));
        self.order.queue_of[index] = Some(queue);
    }

    fn new_event(&mut self, event: u8) {
        self.events[usize::from(event)] = Some(self.clocks.len());
        self.clocks.push(Vec::new());
        self.order.records.push(Vec::new());
    }

    fn view(&mut self, thread: usize, queue: usize) -> &mut Clock {
        let views = &mut self.views[thread];
        if views.len() <= queue {
            views.resize(queue + 1, Clock::default());
        }
        &mut views[queue]
    }

    fn everybody(&mut self, queue: usize) -> Clock {
        let mut all = Clock::default();
        for thread in 0..self.threads {
            let view = self.view(thread, queue).clone();
            all.join(&view);
        }
        all
    }

    /// Gives `queue` something: where that is, and what comes before it.
    fn step(&mut self, index: usize, thread: usize, queue: usize) -> (Step, Clock) {
        let chain = queue * self.threads + thread;
        let number = self.lengths[chain];
        self.lengths[chain] += 1;
        // What the thread has waited for is over, whichever stream did it.
        let done = self.done[thread].clone();
        let view = self.view(thread, queue);
        view.join(&done);
        let after = view.clone();
        view.set(chain, number + 1);
        self.order.facts[index].clock.clone_from(&after);
        self.order.facts[index].queue = Some(queue);
        self.order.targets[index] = Some(Target::Queue(queue));
        (Step { chain, number }, after)
    }

    fn record(&mut self, index: usize, thread: usize, stream: u8, event: u8) {
        let Some((queue, _)) = self.streams[usize::from(stream)] else { return };
        let Some(event) = self.events[usize::from(event)] else { return };
        self.step(index, thread, queue);
        let clock = self.view(thread, queue).clone();
        self.clocks[event].push(clock);
        self.order.records[event].push((index, queue));
    }

    /// What comes before the event's record that is current at a statement.
    fn current(&self, index: usize, event: usize) -> (Clock, Recorded) {
        if self.threads == 1 {
            let last = self.clocks[event].last();
            let recorded = if last.is_some() { Recorded::Yes } else { Recorded::Never };
            return (last.cloned().unwrap_or_default(), recorded);
        }
        let calls = &self.order.calls;
        let over = |place: usize| calls.before(place, index);
        let all = &self.to_come[event];
        let candidates: Vec<usize> = all
            .iter()
            .copied()
            .filter(|&place| place != index && !calls.before(index, place))
            .filter(|&place| !all.iter().any(|&next| calls.before(place, next) && over(next)))
            .collect();
        if candidates.is_empty() {
            return (Clock::default(), Recorded::Never);
        }
        if !all.iter().any(|&place| over(place)) {
            return (Clock::default(), Recorded::Unknown);
        }
        // Of a record that another thread makes, and that comes later in the text, nothing is known.
        let clock_of = |place: &usize| {
            let at = self.order.records[event].iter().position(|(record, _)| record == place);
            at.map(|at| self.clocks[event][at].clone()).unwrap_or_default()
        };
        let mut clocks = candidates.iter().map(clock_of);
        let mut least = clocks.next().unwrap_or_default();
        clocks.for_each(|clock| least.meet(&clock));
        (least, Recorded::Yes)
    }

    fn wait_stream(&mut self, index: usize, thread: usize, stream: u8, other: u8) {
        let Some((queue, _)) = self.streams[usize::from(stream)] else { return };
        let Some((other, _)) = self.streams[usize::from(other)] else { return };
        if queue != other {
            self.step(index, thread, other);
            self.after(index, thread, queue, other);
        }
    }

    /// `queue` waits for a record that was just made on `other`.
    fn after(&mut self, index: usize, thread: usize, queue: usize, other: usize) {
        let clock = self.view(thread, other).clone();
        self.view(thread, queue).join(&clock);
        self.order.edges.push((index, Edge::Queue { queue, other }));
        self.step(index, thread, queue);
    }

    fn ask_stream(&mut self, index: usize, thread: usize, stream: u8) -> Clock {
        let Some((queue, _)) = self.streams[usize::from(stream)] else { return Clock::default() };
        let clock = self.view(thread, queue).clone();
        self.order.facts[index].clock.clone_from(&clock);
        self.order.facts[index].queue = Some(queue);
        self.order.targets[index] = Some(Target::Queue(queue));
        clock
    }

    fn ask_event(&mut self, index: usize, event: u8) -> Clock {
        let Some(event) = self.events[usize::from(event)] else { return Clock::default() };
        let (clock, recorded) = self.current(index, event);
        self.order.facts[index].clock.clone_from(&clock);
        self.order.facts[index].recorded = recorded;
        self.order.facts[index].queue = self.queue_of_last(event);
        self.order.targets[index] = Some(Target::Event(event));
        clock
    }

    fn queue_of_last(&self, event: usize) -> Option<usize> {
        self.order.records[event].last().map(|(_, queue)| *queue)
    }

    fn check(&mut self, index: usize, thread: usize) {
        let mut all = Vec::new();
        for name in 0..crate::text::NAMES {
            if let Some((queue, _)) = self.streams[usize::from(name)] {
                all.push((Name::Stream(name), self.view(thread, queue).clone(), Some(queue)));
            }
            if let Some(event) = self.events[usize::from(name)] {
                let queue = self.queue_of_last(event);
                all.push((Name::Event(name), self.current(index, event).0, queue));
            }
        }
        self.order.looks.push((index, all));
    }
}
