//! Computes the happens-before order of a program, statement by statement: [`OrderBuilder`].

use super::{
    AccessStep, EarlyWait, Edge, Expectation, GateSpan, Name, Order, Recorded, Step, Target, Task,
};
use crate::check::Schedule;
use crate::clock::{CallOrder, Clock};
use crate::program::{Op, Program};

mod captures;
mod queues;
mod sides;
mod waits;

use captures::Captures;
use queues::{DefaultQueue, Implicit};
use sides::{CallKind, Calls};

const NAMES: usize = crate::text::NAMES as usize;

/// State of the computation between two statements.
pub(super) struct OrderBuilder {
    pub(super) order: Order,
    schedule: Schedule,
    /// Statements of queries that have returned `true`.
    answered: Vec<usize>,
    /// Number of threads whose calls are not in the order of the text.
    threads: usize,
    /// Thread of the current statement. It selects the per-thread stream.
    home: u8,
    /// For each thread and queue, what happens before the next step of that thread on that queue.
    views: Vec<Vec<Clock>>,
    /// For each thread, the work that it knows to be complete.
    done: Vec<Clock>,
    /// For each channel, the views and the completed work of its sender.
    messages: Vec<Option<(Vec<Clock>, Clock)>>,
    /// For each name of a live wrapper: its queue and device.
    streams: Vec<Option<(usize, u8)>>,
    /// For each name of a live event: its index.
    events: Vec<Option<usize>>,
    /// Queues of default streams and per-thread streams.
    default_queues: Vec<(DefaultQueue, usize)>,
    /// For each queue: its device, and whether it waits for other queues without a call.
    implicit: Vec<(u8, Implicit)>,
    /// Length of each chain.
    lengths: Vec<u16>,
    captures: Captures,
    host_calls: Calls,
    /// Clocks of the records in `order.records`.
    clocks: Vec<Vec<Clock>>,
    /// All records of each event, the later ones included. Empty for a program of one thread.
    all_records: Vec<Vec<usize>>,
}

/// Returns the statements that record each event, in the order in which the events are created.
fn find_all_records(program: &Program) -> Vec<Vec<usize>> {
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
    /// Returns the state after the last statement.
    pub(super) fn built(program: &Program, schedule: Schedule, answered: &[usize]) -> Self {
        let mut builder = OrderBuilder::new(program, schedule, answered);
        for (index, statement) in program.0.iter().enumerate() {
            builder.statement(index, usize::from(statement.thread), &statement.op);
        }
        builder
    }

    /// Creates the state before the first statement.
    fn new(program: &Program, schedule: Schedule, answered: &[usize]) -> Self {
        let (threads, calls) = match schedule {
            Schedule::Concurrent => (program.threads(), CallOrder::of(program)),
            Schedule::Serial { .. } => (1, CallOrder::new(1)),
        };
        let statements = program.0.len();
        let all_records = if threads > 1 { find_all_records(program) } else { Vec::new() };
        let order = Order {
            calls,
            tasks: Vec::new(),
            accesses: Vec::new(),
            expectations: Vec::with_capacity(statements),
            checks: Vec::new(),
            queue_of: Vec::with_capacity(statements),
            refused: vec![false; statements],
            joined: vec![false; statements],
            early_waits: Vec::new(),
            side_works: Vec::new(),
            captures: Vec::new(),
            capture_errors: vec![None; statements],
            gates: Vec::new(),
            edges: Vec::new(),
            records: Vec::new(),
            targets: Vec::with_capacity(statements),
            queues: 0,
            program: Program::default(),
        };
        OrderBuilder {
            order,
            schedule,
            answered: answered.to_vec(),
            threads,
            home: 0,
            views: vec![Vec::new(); threads],
            done: vec![Clock::default(); threads],
            messages: Vec::new(),
            streams: vec![None; NAMES],
            events: vec![None; NAMES],
            default_queues: Vec::new(),
            implicit: Vec::new(),
            lengths: Vec::new(),
            captures: Captures::default(),
            host_calls: Calls::default(),
            clocks: Vec::new(),
            all_records,
        }
    }

    /// Adds a statement: its expectation, and its effect on the clocks.
    fn statement(&mut self, index: usize, thread: usize, op: &Op) {
        let (home, thread) = match self.schedule {
            Schedule::Concurrent => (0, thread),
            Schedule::Serial { .. } => (thread, 0),
        };
        self.home = home as u8;
        let known = self.done[thread].clone();
        let expectation =
            Expectation { clock: Clock::default(), known, recorded: Recorded::Yes, queue: None };
        self.order.expectations.push(expectation);
        self.order.targets.push(None);
        self.order.queue_of.push(None);
        if let Op::QueryEvent { event } | Op::SyncEvent { event } = op {
            self.note_event_call(index, *event);
        }
        if let Op::Elapsed { event, start } = op {
            self.note_event_call(index, *event);
            self.note_event_call(index, *start);
        }
        match op {
            Op::Stream { .. } | Op::Clone { .. } => self.define_stream(index, op),
            Op::Event { event, .. } => self.new_event(*event),
            Op::RecordNew { event, stream } => {
                self.new_event(*event);
                self.forbid_unusable(index, *stream);
                self.record(index, thread, *stream, *event);
            }
            Op::Record { stream, event } => self.record(index, thread, *stream, *event),
            Op::Task { stream, task, .. } => self.task(index, thread, *stream, *task),
            Op::Gate { stream, .. } => self.gate(index, thread, *stream),
            Op::Open { .. } => {
                // Gates are opened in the order in which they were closed.
                let closed = self.order.gates.iter_mut().find(|gate| gate.opened_by.is_none());
                if let Some(gate) = closed {
                    gate.opened_by = Some(index);
                }
            }
            Op::Wait { stream, event } => self.wait_event(index, thread, *stream, *event),
            Op::WaitStream { stream, other } => self.wait_stream(index, thread, *stream, *other),
            Op::Join { stream, branches } => self.join(index, thread, *stream, branches),
            Op::Fork { stream, branches } => self.fork(index, thread, *stream, branches),
            Op::Query { stream } => {
                let clock = self.expect_stream(index, thread, *stream);
                self.answer(index, thread, &clock);
            }
            Op::DropStream { stream } => {
                self.expect_drop(index, thread, *stream);
                self.streams[usize::from(*stream)] = None;
            }
            Op::Sync { stream } => {
                let clock = self.expect_stream(index, thread, *stream);
                self.done[thread].join(&clock);
            }
            Op::QueryEvent { event } | Op::SyncEvent { event } if self.is_captured(*event) => {
                self.order.refused[index] = true;
            }
            Op::QueryEvent { event } => {
                let clock = self.expect_event(index, *event);
                self.answer(index, thread, &clock);
            }
            Op::DropEvent { event } => {
                self.expect_event(index, *event);
                self.events[usize::from(*event)] = None;
            }
            Op::SyncEvent { event } => {
                let clock = self.expect_event(index, *event);
                self.done[thread].join(&clock);
            }
            Op::Region { .. } => {}
            Op::Access { stream, .. } => self.access(index, thread, *stream),
            Op::HostAccess { .. } => {
                let after = self.done[thread].clone();
                let access =
                    AccessStep { statement: index, queue: None, capture: None, step: None, after };
                self.order.accesses.push(access);
            }
            Op::Elapsed { event, start } => {
                for event in [event, start] {
                    let clock = self.expect_event(index, *event);
                    self.answer(index, thread, &clock);
                }
            }
            Op::BeginCapture { stream } => self.begin_capture(index, thread, *stream),
            Op::EndCapture { stream } => self.end_capture(index, thread, *stream),
            Op::Check => self.check(index, thread),
            Op::Barrier => self.barrier(),
            Op::Send { channel } => self.send(thread, *channel),
            Op::Recv { channel } => self.recv(thread, *channel),
        }
    }

    fn task(&mut self, index: usize, thread: usize, stream: u8, task: u8) {
        let Some((queue, device)) = self.streams[usize::from(stream)] else { return };
        let (step, after) = self.push_step(index, thread, queue);
        let task = Task { name: task, statement: index, device, step, after };
        self.order.tasks.push(task);
    }

    fn access(&mut self, index: usize, thread: usize, stream: u8) {
        let Some(queue) = self.queue(stream) else { return };
        let (step, after) = self.push_step(index, thread, queue);
        self.note_call(index, queue, CallKind::Work(step));
        let (capture, queue, step) =
            (self.capture_of(queue), Some(self.stream_of(queue)), Some(step));
        self.order.accesses.push(AccessStep { statement: index, queue, capture, step, after });
    }

    fn gate(&mut self, index: usize, thread: usize, stream: u8) {
        let Some(queue) = self.queue(stream) else { return };
        self.forbid_unusable(index, stream);
        if self.capture_of(queue).is_some() {
            self.forbid(index, "a gate cannot be captured");
        }
        let (step, _) = self.push_step(index, thread, queue);
        let gate = self.order.gates.len();
        self.order.gates.push(GateSpan { closed_by: index, opened_by: None, step });
        self.order.edges.push((index, Edge::Gate { queue, gate }));
    }

    /// Gives every thread what each of them knew before the barrier.
    fn barrier(&mut self) {
        let queues = 0..self.lengths.len() / self.threads;
        let all: Vec<Clock> = queues.map(|queue| self.merged_view(queue)).collect();
        let mut done = Clock::default();
        self.done.iter().for_each(|other| done.join(other));
        self.views.fill(all);
        self.done.fill(done);
    }

    fn send(&mut self, thread: usize, channel: u8) {
        let channel = usize::from(channel);
        self.messages.resize(self.messages.len().max(channel + 1), None);
        self.messages[channel] = Some((self.views[thread].clone(), self.done[thread].clone()));
    }

    /// Gives the thread what the sender knew.
    fn recv(&mut self, thread: usize, channel: u8) {
        let message = self.messages.get(usize::from(channel)).cloned().flatten();
        let Some((views, done)) = message else { return };
        for (queue, view) in views.iter().enumerate() {
            self.view(thread, queue).join(view);
        }
        self.done[thread].join(&done);
    }

    /// Adds to what the thread knows to be complete, if the query has returned `true`.
    fn answer(&mut self, index: usize, thread: usize, clock: &Clock) {
        if self.answered.contains(&index) {
            self.done[thread].join(clock);
        }
    }

    fn new_event(&mut self, event: u8) {
        self.events[usize::from(event)] = Some(self.clocks.len());
        self.clocks.push(Vec::new());
        self.captures.add_event();
        self.order.records.push(Vec::new());
    }

    /// Returns what happens before the thread's next step on the queue.
    fn view(&mut self, thread: usize, queue: usize) -> &mut Clock {
        let views = &mut self.views[thread];
        if views.len() <= queue {
            views.resize(queue + 1, Clock::default());
        }
        &mut views[queue]
    }

    /// Returns the union of all threads' views of a queue.
    fn merged_view(&mut self, queue: usize) -> Clock {
        let mut all = Clock::default();
        for thread in 0..self.threads {
            let view = self.view(thread, queue).clone();
            all.join(&view);
        }
        all
    }

    /// Appends a step to the thread's chain on `queue`. Returns the step, and what happens before it.
    fn push_step(&mut self, index: usize, thread: usize, queue: usize) -> (Step, Clock) {
        self.join_implicit(thread, queue);
        let chain = queue * self.threads + thread;
        let number = self.lengths[chain];
        self.lengths[chain] += 1;
        // Work that the thread has waited for is complete, on whichever stream it ran.
        let done = self.done[thread].clone();
        let view = self.view(thread, queue);
        view.join(&done);
        let after = view.clone();
        view.set(chain, number + 1);
        self.order.expectations[index].clock.clone_from(&after);
        self.order.expectations[index].queue = Some(queue);
        self.order.targets[index] = Some(Target::Queue(queue));
        (Step { chain, number }, after)
    }

    fn record(&mut self, index: usize, thread: usize, stream: u8, event: u8) {
        let Some(queue) = self.queue(stream) else { return };
        let Some(event) = self.events[usize::from(event)] else { return };
        self.note_call(index, queue, CallKind::Record);
        if self.is_unusable(queue) {
            self.order.refused[index] = true;
            return;
        }
        self.push_step(index, thread, queue);
        let clock = self.view(thread, queue).clone();
        self.captures.recorded(event, self.capture_of(queue));
        self.note_first_record(index, queue, event, &clock);
        self.clocks[event].push(clock);
        self.order.records[event].push((index, queue));
    }

    /// Returns what happens before the event's current record at a statement.
    ///
    /// If several records may be current, returns what happens before all of them.
    fn current_record(&self, index: usize, event: usize) -> (Clock, Recorded) {
        if self.threads == 1 {
            let last = self.clocks[event].last();
            let recorded = if last.is_some() { Recorded::Yes } else { Recorded::Never };
            return (last.cloned().unwrap_or_default(), recorded);
        }
        let calls = &self.order.calls;
        let is_over = |record: usize| calls.before(record, index);
        let all = &self.all_records[event];
        let candidates: Vec<usize> = all
            .iter()
            .copied()
            .filter(|&record| record != index && !calls.before(index, record))
            .filter(|&record| !all.iter().any(|&next| calls.before(record, next) && is_over(next)))
            .collect();
        if candidates.is_empty() {
            return (Clock::default(), Recorded::Never);
        }
        if !all.iter().any(|&record| is_over(record)) {
            return (Clock::default(), Recorded::Unknown);
        }
        // The clock of a concurrent record that is later in the text is not known yet.
        let clock_of = |record: &usize| {
            let position = self.order.records[event].iter().position(|(other, _)| other == record);
            position.map(|position| self.clocks[event][position].clone()).unwrap_or_default()
        };
        let mut clocks = candidates.iter().map(clock_of);
        let mut common = clocks.next().unwrap_or_default();
        clocks.for_each(|clock| common.meet(&clock));
        (common, Recorded::Yes)
    }

    /// Sets the expectation of a query or `synchronize` of a stream. Returns what it waits for: nothing, if the call is
    /// refused.
    fn expect_stream(&mut self, index: usize, thread: usize, stream: u8) -> Clock {
        let Some(queue) = self.queue(stream) else { return Clock::default() };
        self.note_call(index, queue, CallKind::Host);
        if self.capture_of(queue).is_some() || self.is_unusable(queue) {
            self.order.refused[index] = true;
            return Clock::default();
        }
        self.expect_drop(index, thread, stream)
    }

    /// Sets the expectation of the drop of a wrapper. Returns the clock of all executed work.
    fn expect_drop(&mut self, index: usize, thread: usize, stream: u8) -> Clock {
        let Some((queue, _)) = self.streams[usize::from(stream)] else { return Clock::default() };
        let mut clock = self.view(thread, queue).clone();
        self.join_blocking(thread, queue, &mut clock);
        self.order.expectations[index].clock.clone_from(&clock);
        self.order.expectations[index].queue = Some(queue);
        self.order.targets[index] = Some(Target::Queue(queue));
        clock
    }

    /// Sets the expectation of a statement on an event. Returns its clock.
    fn expect_event(&mut self, index: usize, event: u8) -> Clock {
        let Some(event) = self.events[usize::from(event)] else { return Clock::default() };
        let (clock, recorded) = self.current_record(index, event);
        self.order.expectations[index].clock.clone_from(&clock);
        self.order.expectations[index].recorded = recorded;
        self.order.expectations[index].queue = self.queue_of_last(event);
        self.order.targets[index] = Some(Target::Event(event));
        clock
    }

    /// Returns the queue of the last record in the text.
    fn queue_of_last(&self, event: usize) -> Option<usize> {
        self.order.records[event].last().map(|(_, queue)| *queue)
    }

    /// Adds the expectations of all live wrappers and events.
    fn check(&mut self, index: usize, thread: usize) {
        let mut all = Vec::new();
        for name in 0..crate::text::NAMES {
            if let Some((queue, _)) = self.streams[usize::from(name)] {
                all.push((Name::Stream(name), self.view(thread, queue).clone(), Some(queue)));
            }
            if let Some(event) = self.events[usize::from(name)] {
                let queue = self.queue_of_last(event);
                all.push((Name::Event(name), self.current_record(index, event).0, queue));
            }
        }
        self.order.checks.push((index, all));
    }
}
