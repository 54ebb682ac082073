//! The model: what comes before what, by the rules alone.
//!
//! Everything that a stream is given is a *step* of it: tasks, gates, records and waits. A clock says
//! how many steps of each chain come before something, where a chain is what one thread gives to one
//! stream. `views` holds, for each thread and stream, what the next step of that thread on that
//! stream comes after, as far as that thread can know.

use crate::clock::{Calls, Clock};
use crate::program::{Op, Program, Sort};

/// A set of gates, by their place in the program: the first is bit 0.
pub type Gates = u64;

/// A place in a chain: what comes after it has a clock of more than `number` for the chain.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    chain: usize,
    number: u16,
}

impl Step {
    /// Whether the step is among what `clock` counts.
    pub fn is_in(self, clock: &Clock) -> bool {
        clock.get(self.chain) > self.number
    }
}

/// A task.
#[derive(Clone, Debug)]
pub struct Task {
    /// Its number in the program's text.
    pub name: u8,
    /// The statement that submits it.
    pub statement: usize,
    /// The device of its stream.
    pub device: u8,
    /// Where it is.
    pub step: Step,
    /// What must come before it.
    pub after: Clock,
}

#[derive(Clone, Debug)]
struct GatePlace {
    shut_by: usize,
    opened_by: Option<usize>,
    step: Step,
}

/// What an event can be at some statement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Recorded {
    /// There was no record.
    Never,
    /// There was one.
    Yes,
    /// Another thread may be making the first.
    Unknown,
}

/// What is to be known of a statement, by what it names: the stream or event that is asked,
/// synchronized or dropped.
#[derive(Clone, Debug)]
pub struct Fact {
    /// What must come before the thing that is named; for a task, gate, record or wait, before it.
    pub clock: Clock,
    /// What the thread knows to be done, by its own calls of `synchronize` and those it has heard of.
    pub known: Clock,
    /// Whether the event was recorded.
    pub recorded: Recorded,
    /// The queue that is named or, in programs of one thread, on which the event was recorded last.
    pub queue: Option<usize>,
}

/// A wrapper or event at some statement, for `look`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Name {
    /// A wrapper of a stream.
    Stream(u8),
    /// An event.
    Event(u8),
}

/// A wrapper or event, what must come before it, and its queue as in [`Fact`].
pub type Seen = (Name, Clock, Option<usize>);

/// A lowered statement: a record of one queue, and a wait of another for it.
#[derive(Clone, Copy, Debug)]
enum Edge {
    /// A gate on a queue, by its place in the program.
    Gate { queue: usize, gate: usize },
    /// A queue waits for an event.
    Event { queue: usize, event: usize },
    /// A queue waits for what another has been given so far.
    Queue { queue: usize, other: usize },
}

/// A program and its order.
#[derive(Clone, Debug)]
pub struct Order {
    /// The program.
    pub program: Program,
    /// How its calls follow each other.
    pub calls: Calls,
    /// Its tasks, in the order of the text.
    pub tasks: Vec<Task>,
    /// What is to be known of each statement.
    pub facts: Vec<Fact>,
    /// For each `look`, the live wrappers and events.
    pub looks: Vec<(usize, Vec<Seen>)>,
    /// The queue of each wrapper, by the statement that makes it.
    pub queue_of: Vec<Option<usize>>,
    gates: Vec<GatePlace>,
    edges: Vec<(usize, Edge)>,
    /// The records of each event: the statement and the queue.
    records: Vec<Vec<(usize, usize)>>,
    /// What each statement names, as a queue or as an event.
    targets: Vec<Option<Target>>,
    queues: usize,
}

#[derive(Clone, Copy, Debug)]
enum Target {
    Queue(usize),
    Event(usize),
}

struct Walk {
    order: Order,
    threads: usize,
    /// By thread, then by queue.
    views: Vec<Vec<Clock>>,
    done: Vec<Clock>,
    told: Vec<Option<(Vec<Clock>, Clock)>>,
    /// The live wrappers and events: name in the text, and queue or event.
    streams: Vec<Option<(usize, u8)>>,
    events: Vec<Option<usize>>,
    /// The queues that exist without being made: of (own, device).
    standing: Vec<((bool, u8), usize)>,
    /// The length of each chain.
    lengths: Vec<u16>,
    /// The clocks of `order.records`.
    clocks: Vec<Vec<Clock>>,
    /// All records of each event, those to come included; only where there are threads.
    to_come: Vec<Vec<usize>>,
}

const NAMES: usize = crate::text::NAMES as usize;

impl Order {
    /// The order of a program whose statements are sound.
    pub fn of(program: Program) -> Self {
        let threads = program.threads();
        let calls = Calls::of(&program);
        let statements = program.0.len();
        let to_come = if threads > 1 { all_records(&program) } else { Vec::new() };
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
        let mut walk = Walk {
            order,
            threads,
            views: vec![Vec::new(); threads],
            done: vec![Clock::default(); threads],
            told: Vec::new(),
            streams: vec![None; NAMES],
            events: vec![None; NAMES],
            standing: Vec::new(),
            lengths: Vec::new(),
            clocks: Vec::new(),
            to_come,
        };
        for (index, statement) in program.0.iter().enumerate() {
            walk.statement(index, usize::from(statement.thread), &statement.op);
        }
        walk.order.program = program;
        walk.order
    }

    /// The gates that are shut at a statement by the order of the text.
    pub fn shut_at(&self, statement: usize) -> Gates {
        self.gates_where(|gate| {
            gate.shut_by < statement && gate.opened_by.is_none_or(|opened| opened > statement)
        })
    }

    /// The gates that are not yet opened at a statement by the order of the text: those that are
    /// shut, and those that another thread may shut meanwhile.
    pub fn unopened_at(&self, statement: usize) -> Gates {
        self.gates_where(|gate| gate.opened_by.is_none_or(|opened| opened > statement))
    }

    /// The gates among what `clock` counts that are shut when a statement begins, and stay so until
    /// it is over or, if it opens one itself, does so, whatever the other threads do.
    pub fn holding(&self, clock: &Clock, statement: usize) -> Gates {
        self.gates_where(|gate| {
            gate.step.is_in(clock)
                && gate.opened_by.is_none_or(|opened| {
                    opened == statement || self.calls.before(statement, opened)
                })
        })
    }

    /// The gate that the statement shuts or opens.
    pub fn gate_at(&self, statement: usize) -> Option<usize> {
        self.gates
            .iter()
            .position(|gate| gate.shut_by == statement || gate.opened_by == Some(statement))
    }

    /// The gates for which the stream or event that a statement names may wait, whichever way the
    /// threads' calls fall.
    pub fn may_hold(&self, statement: usize) -> Gates {
        let Some(target) = self.targets[statement] else { return 0 };
        if self.program.threads() == 1 {
            return self.gates_where(|gate| gate.step.is_in(&self.facts[statement].clock));
        }
        let mut search = Search { order: self, seen: Vec::new(), gates: 0 };
        match target {
            Target::Queue(queue) => search.queue(queue, statement),
            Target::Event(event) => search.event(event, statement),
        }
        search.gates
    }

    /// How many queues one of the gates may hold back at a statement.
    pub fn held_queues(&self, statement: usize, gates: Gates) -> usize {
        let held = |queue: &usize| {
            let mut search = Search { order: self, seen: Vec::new(), gates: 0 };
            search.queue(*queue, statement);
            search.gates & gates != 0
        };
        (0..self.queues).filter(held).count()
    }

    /// The task of this name.
    pub fn task(&self, name: u8) -> Option<&Task> {
        self.tasks.iter().find(|task| task.name == name)
    }

    /// The first reason why the task at `statement` cannot read one of `reads`.
    pub(crate) fn unreadable(&self, statement: usize, reads: &[u8]) -> Option<&'static str> {
        let reader = self.tasks.iter().find(|task| task.statement == statement)?;
        reads.iter().find_map(|read| match self.task(*read) {
            None => Some("there is no such task to read"),
            Some(task) if task.device != reader.device => Some("it reads a task of another device"),
            Some(task) if task.name == reader.name => Some("a task does not read itself"),
            Some(_) => None,
        })
    }

    /// Leaves out what tasks cannot read.
    pub(crate) fn drop_unreadable(&mut self) {
        for reader in &self.tasks {
            if let Op::Task { reads, .. } = &mut self.program.0[reader.statement].op {
                reads.retain(|read| {
                    let task = self.tasks.iter().find(|task| task.name == *read);
                    *read != reader.name && task.is_some_and(|task| task.device == reader.device)
                });
            }
        }
    }

    fn gates_where(&self, holds: impl Fn(&GatePlace) -> bool) -> Gates {
        let bits = self.gates.iter().enumerate().filter(|(_, gate)| holds(gate));
        bits.fold(0, |gates, (index, _)| gates | 1 << index)
    }
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

impl Walk {
    fn statement(&mut self, index: usize, thread: usize, op: &Op) {
        let known = self.done[thread].clone();
        let fact = Fact { clock: Clock::default(), known, recorded: Recorded::Yes, queue: None };
        self.order.facts.push(fact);
        self.order.targets.push(None);
        self.order.queue_of.push(None);
        match op {
            Op::Stream { stream, sort, device } => {
                let queue = match sort {
                    Sort::Default => self.standing(false, *device),
                    Sort::Own => self.standing(true, *device),
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
            Op::Look => self.look(index, thread),
            Op::Barrier => {
                let queues = 0..self.lengths.len() / self.threads;
                let all: Vec<Clock> = queues.map(|queue| self.everybody(queue)).collect();
                let mut done = Clock::default();
                self.done.iter().for_each(|other| done.join(other));
                self.views.fill(all);
                self.done.fill(done);
            }
            Op::Tell { channel } => {
                let channel = usize::from(*channel);
                self.told.resize(self.told.len().max(channel + 1), None);
                self.told[channel] = Some((self.views[thread].clone(), self.done[thread].clone()));
            }
            Op::Hear { channel } => {
                let told = self.told.get(usize::from(*channel)).cloned().flatten();
                let Some((views, done)) = told else { return };
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

    fn standing(&mut self, own: bool, device: u8) -> usize {
        let known = self.standing.iter().find(|(key, _)| *key == (own, device));
        if let Some((_, queue)) = known {
            return *queue;
        }
        let queue = self.new_queue();
        self.standing.push(((own, device), queue));
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
        // A record that is being made may take the place of the one that is known, and what it
        // comes after is not known here.
        if !candidates.iter().all(|&place| over(place)) {
            return (Clock::default(), Recorded::Yes);
        }
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

    fn look(&mut self, index: usize, thread: usize) {
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

/// Looks for the gates for which something may wait, whichever way the threads' calls fall.
struct Search<'a> {
    order: &'a Order,
    seen: Vec<(usize, usize)>,
    gates: Gates,
}

impl Search<'_> {
    fn queue(&mut self, queue: usize, statement: usize) {
        if self.seen.contains(&(queue, statement)) {
            return;
        }
        self.seen.push((queue, statement));
        for (place, edge) in &self.order.edges {
            if *place == statement || self.order.calls.before(statement, *place) {
                continue;
            }
            match *edge {
                Edge::Gate { queue: of, gate } if of == queue => self.gates |= 1 << gate,
                Edge::Event { queue: of, event } if of == queue => self.event(event, *place),
                Edge::Queue { queue: of, other } if of == queue => self.queue(other, *place),
                _ => {}
            }
        }
    }

    fn event(&mut self, event: usize, statement: usize) {
        let (records, calls) = (&self.order.records[event], &self.order.calls);
        for (place, queue) in records {
            let is_past = records
                .iter()
                .any(|(next, _)| calls.before(*place, *next) && calls.before(*next, statement));
            if *place != statement && !calls.before(statement, *place) && !is_past {
                self.queue(*queue, *place);
            }
        }
    }
}
