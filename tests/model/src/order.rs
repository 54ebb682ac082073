//! The model: computes the happens-before order of a program from the rules alone.
//!
//! Every task, gate, record and wait of a stream is a *step*. The steps that one thread submits to one stream form
//! a *chain*. A clock counts, for each chain, the steps that happen before something. `views` holds a clock for
//! each thread and stream: what happens before the next step of that thread on that stream, as far as that thread
//! can know.

use crate::check::Schedule;
use crate::clock::{CallOrder, Clock};
use crate::program::{Op, Program};

mod build;

use build::OrderBuilder;

/// Set of gates, in the order of the program: the first is bit 0.
pub type Gates = u64;

/// Position in a chain. What happens after it has a clock above `number` for the chain.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    chain: usize,
    number: u16,
}

impl Step {
    /// Returns `true` if `clock` includes the step.
    pub fn is_in(self, clock: &Clock) -> bool {
        clock.get(self.chain) > self.number
    }
}

/// Task of a program.
#[derive(Clone, Debug)]
pub struct Task {
    /// Number of the task in the program's text.
    pub name: u8,
    /// Statement that submits the task.
    pub statement: usize,
    /// Device of the stream.
    pub device: u8,
    /// Position in its chain.
    pub step: Step,
    /// Everything that must happen before the task.
    pub after: Clock,
}

/// Declared access of a program.
#[derive(Clone, Debug)]
pub struct AccessStep {
    /// Statement of the access.
    pub statement: usize,
    /// Queue of the stream. `None` for an access of the host itself.
    pub queue: Option<usize>,
    /// Capture that includes the access: it is a part of a graph, and is not executed.
    pub capture: Option<usize>,
    /// Position in its chain. `None` for an access of the host: all later calls happen after it.
    pub step: Option<Step>,
    /// Everything that must happen before the access.
    pub after: Clock,
}

/// Wait for an event that has no record yet, which has no effect (R15).
#[derive(Clone, Debug)]
pub struct EarlyWait {
    /// Statement of the wait.
    pub statement: usize,
    /// Queue of the stream.
    pub queue: usize,
    /// Statement of the first record after the wait.
    pub record: Option<usize>,
    /// The wait happens before that record.
    pub is_before: bool,
    /// The stream has waited for a record of the event later.
    pub is_repeated: bool,
    /// The stream and others wait for each other without a call. No rule tells whether they do so for a wait without an
    /// effect.
    pub is_implicit: bool,
}

/// Last work of a stream that the program has created, after a wait for another stream that is used again. No stream, host
/// or live event is ordered after the work.
#[derive(Clone, Debug)]
pub struct SideWork {
    /// Queue of the stream.
    pub queue: usize,
    /// Statement of the work.
    pub statement: usize,
    /// The stream is used in no other way. So it is certainly a side stream, which something has to wait for.
    pub is_certain: bool,
}

/// Statements between which a gate is closed.
#[derive(Clone, Debug)]
struct GateSpan {
    closed_by: usize,
    opened_by: Option<usize>,
    step: Step,
}

/// Whether an event has a record at some statement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Recorded {
    /// It has no record.
    Never,
    /// It has a record.
    Yes,
    /// Another thread may be making the first record.
    Unknown,
}

/// Expected state of the stream or event that a statement queries, synchronizes or drops.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// Everything that must happen before the stream's or event's completion. For a task, gate, record or wait:
    /// before that step.
    pub clock: Clock,
    /// Work that the thread knows to be complete, by `synchronize` calls that happen before.
    pub known: Clock,
    /// Whether the event has a record.
    pub recorded: Recorded,
    /// Queue of the stream or, in programs of one thread, of the last record of the event.
    pub queue: Option<usize>,
}

/// Name of a wrapper or event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Name {
    /// Wrapper of a stream.
    Stream(u8),
    /// Event.
    Event(u8),
}

/// Live wrapper or event: its name, its clock, and its queue as in [`Expectation`].
pub type LiveHandle = (Name, Clock, Option<usize>);

/// Reason why a queue may be blocked.
#[derive(Clone, Copy, Debug)]
enum Edge {
    /// Gate on a queue, by its index.
    Gate { queue: usize, gate: usize },
    /// A queue waits for an event.
    Event { queue: usize, event: usize },
    /// A queue waits for the earlier work of another queue.
    Queue { queue: usize, other: usize },
}

/// Program and its happens-before order.
#[derive(Clone, Debug)]
pub struct Order {
    /// The program.
    pub program: Program,
    /// Order of its calls.
    pub calls: CallOrder,
    /// Its tasks, in the order of the text.
    pub tasks: Vec<Task>,
    /// Its accesses, in the order of the text.
    pub accesses: Vec<AccessStep>,
    /// Expectation of each statement.
    pub expectations: Vec<Expectation>,
    /// For each `check` statement, the live wrappers and events.
    pub checks: Vec<(usize, Vec<LiveHandle>)>,
    /// Queue of each wrapper, by the statement that creates it.
    pub queue_of: Vec<Option<usize>>,
    /// For each statement, whether the rules about captures make a backend refuse its call (R23, R24, R33, R34).
    pub refused: Vec<bool>,
    /// For each statement, whether its wait adds a stream to a capture (R25).
    pub joined: Vec<bool>,
    /// Waits for events without a record, in the order of the text. Only of serial programs.
    pub early_waits: Vec<EarlyWait>,
    /// Last work of side streams that nothing is ordered after.
    pub side_works: Vec<SideWork>,
    /// For each capture, the number of streams that were part of it.
    pub captures: Vec<usize>,
    /// For each statement, why the captures do not allow it.
    capture_errors: Vec<Option<&'static str>>,
    gates: Vec<GateSpan>,
    edges: Vec<(usize, Edge)>,
    /// The records of each event: the statement and the queue.
    records: Vec<Vec<(usize, usize)>>,
    /// Queue or event that each statement uses.
    targets: Vec<Option<Target>>,
    queues: usize,
}

/// Queue or event that a statement uses.
#[derive(Clone, Copy, Debug)]
enum Target {
    Queue(usize),
    Event(usize),
}

impl Order {
    /// Computes the order of a well-formed program, but not its [`side_works`](Self::side_works).
    pub fn of(program: Program, schedule: Schedule) -> Self {
        let order = OrderBuilder::built(&program, schedule, &[]).finish();
        Order { program, ..order }
    }

    /// Computes the order of a run in which the queries at the statements `answered` have returned `true`.
    ///
    /// What is before such a query is complete, and so it happens before later work. This is for serial programs.
    pub fn of_run(program: Program, schedule: Schedule, answered: &[usize]) -> Self {
        let builder = OrderBuilder::built(&program, schedule, answered);
        let side_works = builder.side_works();
        Order { program, side_works, ..builder.finish() }
    }

    /// Returns the reason why the captures do not allow the statement, if they do not.
    pub(crate) fn capture_error(&self, statement: usize) -> Option<&'static str> {
        self.capture_errors[statement]
    }

    /// Returns the gates that are closed at a statement in the order of the text.
    pub fn closed_at(&self, statement: usize) -> Gates {
        self.gates_where(|gate| {
            gate.closed_by < statement && gate.opened_by.is_none_or(|opened| opened > statement)
        })
    }

    /// Returns the gates that are not yet opened at a statement in the order of the text.
    ///
    /// Includes gates that another thread may close concurrently.
    pub fn unopened_at(&self, statement: usize) -> Gates {
        self.gates_where(|gate| gate.opened_by.is_none_or(|opened| opened > statement))
    }

    /// Returns the gates that happen before `clock` and are closed during the statement in every interleaving.
    ///
    /// A gate that the statement itself opens counts.
    pub fn holding(&self, clock: &Clock, statement: usize) -> Gates {
        self.gates_where(|gate| {
            gate.step.is_in(clock)
                && gate.opened_by.is_none_or(|opened| {
                    opened == statement || self.calls.before(statement, opened)
                })
        })
    }

    /// Returns the index of the gate that the statement closes or opens.
    pub fn gate_at(&self, statement: usize) -> Option<usize> {
        self.gates
            .iter()
            .position(|gate| gate.closed_by == statement || gate.opened_by == Some(statement))
    }

    /// Returns the gates that may block the stream or event of a statement in some interleaving.
    pub fn may_hold(&self, statement: usize) -> Gates {
        let Some(target) = self.targets[statement] else { return 0 };
        if self.calls.threads() == 1 {
            return self.gates_where(|gate| gate.step.is_in(&self.expectations[statement].clock));
        }
        let mut search = Search { order: self, visited: Vec::new(), gates: 0 };
        match target {
            Target::Queue(queue) => search.queue(queue, statement),
            Target::Event(event) => search.event(event, statement),
        }
        search.gates
    }

    /// Returns the number of queues that one of the gates may block at a statement.
    pub fn held_queues(&self, statement: usize, gates: Gates) -> usize {
        let is_held = |queue: &usize| {
            let mut search = Search { order: self, visited: Vec::new(), gates: 0 };
            search.queue(*queue, statement);
            search.gates & gates != 0
        };
        (0..self.queues).filter(is_held).count()
    }

    /// Returns the task with this name.
    pub fn task(&self, name: u8) -> Option<&Task> {
        self.tasks.iter().find(|task| task.name == name)
    }

    /// Returns the first reason why the task at `statement` cannot read one of `reads`.
    pub(crate) fn read_error(&self, statement: usize, reads: &[u8]) -> Option<&'static str> {
        let reader = self.tasks.iter().find(|task| task.statement == statement)?;
        reads.iter().find_map(|read| match self.task(*read) {
            None => Some("it reads a task that does not exist"),
            Some(task) if task.device != reader.device => Some("it reads a task of another device"),
            Some(task) if task.name == reader.name => Some("a task cannot read itself"),
            Some(_) => None,
        })
    }

    /// Removes the reads that are not possible.
    pub(crate) fn drop_invalid_reads(&mut self) {
        for reader in &self.tasks {
            if let Op::Task { reads, .. } = &mut self.program.0[reader.statement].op {
                reads.retain(|read| {
                    let task = self.tasks.iter().find(|task| task.name == *read);
                    *read != reader.name && task.is_some_and(|task| task.device == reader.device)
                });
            }
        }
    }

    fn gates_where(&self, holds: impl Fn(&GateSpan) -> bool) -> Gates {
        let bits = self.gates.iter().enumerate().filter(|(_, gate)| holds(gate));
        bits.fold(0, |gates, (index, _)| gates | 1 << index)
    }
}

/// Depth-first search for the gates that may block a queue or event in some interleaving.
struct Search<'a> {
    order: &'a Order,
    visited: Vec<(usize, usize)>,
    gates: Gates,
}

impl Search<'_> {
    /// Adds the gates that may block the queue before the statement.
    fn queue(&mut self, queue: usize, statement: usize) {
        if self.visited.contains(&(queue, statement)) {
            return;
        }
        self.visited.push((queue, statement));
        for (earlier, edge) in &self.order.edges {
            if *earlier == statement || self.order.calls.before(statement, *earlier) {
                continue;
            }
            match *edge {
                Edge::Gate { queue: of, gate } if of == queue => self.gates |= 1 << gate,
                Edge::Event { queue: of, event } if of == queue => self.event(event, *earlier),
                Edge::Queue { queue: of, other } if of == queue => self.queue(other, *earlier),
                _ => {}
            }
        }
    }

    /// Adds the gates that may block a record that may be current at the statement.
    fn event(&mut self, event: usize, statement: usize) {
        let (records, calls) = (&self.order.records[event], &self.order.calls);
        for (other, queue) in records {
            let is_past = records
                .iter()
                .any(|(next, _)| calls.before(*other, *next) && calls.before(*next, statement));
            if *other != statement && !calls.before(statement, *other) && !is_past {
                self.queue(*queue, *other);
            }
        }
    }
}
