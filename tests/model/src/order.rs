//! The model: what comes before what, by the rules alone.
//!
//! Everything that a stream is given is a *step* of it: tasks, gates, records and waits. A clock says
//! how many steps of each chain come before something, where a chain is what one thread gives to one
//! stream. `views` holds, for each thread and stream, what the next step of that thread on that
//! stream comes after, as far as that thread can know.

use crate::clock::{Calls, Clock};
use crate::program::{Op, Program};

mod build;

use build::OrderBuilder;

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
pub struct Expectation {
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

/// A wrapper or event, what must come before it, and its queue as in [`Expectation`].
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
    pub facts: Vec<Expectation>,
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

impl Order {
    /// The order of a program whose statements are sound.
    pub fn of(program: Program) -> Self {
        let mut walk = OrderBuilder::new(&program);
        for (index, statement) in program.0.iter().enumerate() {
            walk.statement(index, usize::from(statement.thread), &statement.op);
        }
        Order { program, ..walk.order }
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
