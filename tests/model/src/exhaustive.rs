//! Explicit-state exploration of tiny programs: [`Explorer`].
//!
//! It checks the model against a machine without clocks. The machine runs a program one step of one thread or
//! stream at a time, in every interleaving.

use std::collections::HashSet;

use crate::program::{Op, Program};

mod hazards;
mod machine;
mod tests;

use machine::{Blocked, Item, Machine};

/// Observations over all states.
#[derive(Default)]
struct Observed {
    machines: HashSet<Machine>,
    /// Pairs of tasks of which the second had run and the first had not.
    overtaken: HashSet<(u8, u8)>,
    /// Statements of queries, with a possible result.
    answers: HashSet<(usize, bool)>,
    /// Statements of event queries, with `true` if the event was recorded.
    recorded: HashSet<(usize, bool)>,
    /// Statements at which threads were in a state without successor (deadlock).
    stuck: HashSet<usize>,
}

/// Exploration of one program.
struct Explorer<'a> {
    program: &'a Program,
    /// Statements of each thread. A barrier belongs to all threads.
    lists: Vec<Vec<usize>>,
    tasks: Vec<u8>,
    gates: Vec<u8>,
    /// `true` if default streams and blocking streams wait for each other.
    is_implicit: bool,
    /// `true` if gates never block. Then an order across a gate comes only from other statements, and not from
    /// what the opening thread knows to be complete.
    ungated: bool,
    /// Statements of queries that return `true`: the thread waits until they do.
    answered: Vec<usize>,
    observed: Observed,
}

/// Limit of explored states. A program with more states is not tiny.
const MAX_STATES: usize = 20_000;

impl<'a> Explorer<'a> {
    /// Explores all states. Returns `None` if there are too many.
    fn explore(program: &'a Program, ungated: bool) -> Option<Observed> {
        let threads = program.threads();
        let statements_of = |thread: usize| {
            let all = program.0.iter().enumerate();
            let own = all.filter(|(_, statement)| {
                usize::from(statement.thread) == thread || statement.op == Op::Barrier
            });
            own.map(|(index, _)| index).collect()
        };
        let tasks = program.0.iter().filter_map(|statement| match statement.op {
            Op::Task { task, .. } => Some(task),
            _ => None,
        });
        let gates = program.0.iter().filter_map(|statement| match statement.op {
            Op::Gate { gate, .. } => Some(gate),
            _ => None,
        });
        let explorer = Explorer {
            program,
            lists: (0..threads).map(statements_of).collect(),
            tasks: tasks.collect(),
            gates: gates.collect(),
            is_implicit: false,
            ungated,
            answered: Vec::new(),
            observed: Observed::default(),
        };
        explorer.run()
    }

    /// Explores all states of a program whose calls are made in the order of the text, without gates. The queries at
    /// the statements `answered` return `true`.
    fn explore_serial(
        program: &'a Program,
        is_implicit: bool,
        answered: &[usize],
    ) -> Option<Observed> {
        let all = program.0.iter().enumerate();
        let accesses = all.filter(|(_, statement)| {
            matches!(statement.op, Op::Access { .. } | Op::HostAccess { .. })
        });
        let explorer = Explorer {
            program,
            lists: vec![(0..program.0.len()).collect()],
            tasks: accesses.map(|(index, _)| index as u8).collect(),
            gates: Vec::new(),
            is_implicit,
            ungated: true,
            answered: answered.to_vec(),
            observed: Observed::default(),
        };
        explorer.run()
    }

    /// Explores all states. Returns `None` if there are too many.
    fn run(mut self) -> Option<Observed> {
        let threads = self.lists.len();
        let first =
            Machine { pc: vec![0; threads], blocked: vec![None; threads], ..Machine::default() };
        let mut open = vec![first];
        while let Some(machine) = open.pop() {
            if self.observed.machines.len() > MAX_STATES {
                return None;
            }
            if self.observed.machines.contains(&machine) {
                continue;
            }
            self.observe(&machine);
            let next = self.successors(&machine);
            self.observed.machines.insert(machine);
            open.extend(next);
        }
        Some(self.observed)
    }

    /// Adds the pairs of tasks that this state shows to be unordered.
    fn observe(&mut self, machine: &Machine) {
        let mut done: Vec<u8> = machine
            .executed()
            .filter_map(|item| if let Item::Task(task) = item { Some(task) } else { None })
            .collect();
        done.extend(&machine.host);
        for second in &done {
            for first in self.tasks.iter().filter(|first| !done.contains(first)) {
                self.observed.overtaken.insert((*first, *second));
            }
        }
    }

    /// Returns the current statement of a thread.
    fn current(&self, machine: &Machine, thread: usize) -> Option<usize> {
        self.lists[thread].get(machine.pc[thread]).copied()
    }

    /// Returns all states that follow by one step.
    fn successors(&mut self, machine: &Machine) -> Vec<Machine> {
        let mut all = Vec::new();
        for queue in 0..machine.queues.len() {
            let Some(item) = machine.queues[queue].get(machine.heads[queue]) else { continue };
            let can_run = match item {
                Item::Task(_) | Item::Record(_) => true,
                Item::Gate(gate) => self.ungated || machine.open.contains(gate),
                Item::Wait(record) => machine.is_reached(*record),
                Item::Behind(other, length) => machine.heads[*other] >= *length,
            };
            if can_run {
                let mut next = machine.clone();
                next.heads[queue] += 1;
                all.push(next);
            }
        }
        for thread in 0..machine.pc.len() {
            all.extend(self.step_thread(machine, thread));
        }
        let threads = 0..machine.pc.len();
        if threads.clone().all(|thread| self.current(machine, thread).is_none()) {
            // At the end of a program, all gates are opened.
            let mut next = machine.clone();
            next.open = self.gates.clone();
            if next.open != machine.open {
                all.push(next);
            }
        }
        let waiting: Vec<_> = threads.filter_map(|thread| self.current(machine, thread)).collect();
        if all.is_empty() {
            self.observed.stuck.extend(waiting);
        }
        all
    }

    /// Runs the next statement of a thread. Returns `None` if the thread is blocked or finished.
    fn step_thread(&mut self, machine: &Machine, thread: usize) -> Option<Machine> {
        let index = self.current(machine, thread)?;
        let mut next = machine.clone();
        next.pc[thread] += 1;
        let streams = &machine.streams;
        match &self.program.0[index].op {
            Op::Stream { stream, kind, device } => {
                let thread = self.program.0[index].thread;
                let queue = next.queue_of_new(*kind, *device, thread);
                if !self.is_implicit {
                    next.implicit.clear();
                }
                next.streams.insert(*stream, queue);
            }
            Op::Clone { stream, of } => drop(next.streams.insert(*stream, streams[of])),
            Op::Event { event, .. } => drop(next.events.insert(*event, None)),
            Op::RecordNew { event, stream } | Op::Record { stream, event } => {
                next.submit(*stream, Item::Record((index, 0)));
                next.events.insert(*event, Some((index, 0)));
            }
            Op::Task { stream, task, .. } => next.submit(*stream, Item::Task(*task)),
            // The machine has no captures, and neither have its programs.
            Op::Region { .. } | Op::BeginCapture { .. } | Op::EndCapture { .. } => {}
            // An access is a task whose name is the number of its statement.
            Op::Access { stream, .. } => next.submit(*stream, Item::Task(index as u8)),
            Op::HostAccess { .. } => next.host.push(index as u8),
            Op::Gate { stream, gate } => next.submit(*stream, Item::Gate(*gate)),
            Op::Open { gate } => next.open.push(*gate),
            Op::Wait { stream, event } => {
                if let Some(record) = machine.events[event] {
                    next.submit(*stream, Item::Wait(record));
                }
            }
            Op::WaitStream { stream, other } => next.wait_stream(*stream, *other, (index, 0)),
            Op::Fork { stream, branches } => next.fork(*stream, branches, (index, 0)),
            Op::Join { stream, branches } => {
                for (number, other) in branches.iter().enumerate() {
                    next.wait_stream(*stream, *other, (index, number));
                }
            }
            Op::Query { .. } | Op::QueryEvent { .. } | Op::Elapsed { .. } => {
                self.ask(machine, index)?;
            }
            // No other thread submits work while this one waits.
            Op::Sync { stream } if self.is_implicit => {
                return machine.is_idle(streams[stream]).then_some(next);
            }
            Op::Sync { stream } => {
                let queue = streams[stream];
                let begin = Blocked::Queue(queue, machine.queues[queue].len());
                return self.block(machine, thread, begin);
            }
            Op::SyncEvent { event } => {
                return self.block(machine, thread, Blocked::Record(machine.events[event]));
            }
            Op::Check => {}
            Op::DropStream { stream } => drop(next.streams.remove(stream)),
            Op::DropEvent { event } => drop(next.events.remove(event)),
            Op::Barrier => return self.cross_barrier(machine, thread, index),
            Op::Send { channel } => next.messages.push(*channel),
            Op::Recv { channel } if machine.messages.contains(channel) => {}
            Op::Recv { .. } => return None,
        }
        Some(next)
    }

    /// Notes what a query sees. Returns `None` if it is one that returns `true`, and the work is pending.
    fn ask(&mut self, machine: &Machine, index: usize) -> Option<()> {
        let is_over = |event| machine.events[event].is_none_or(|record| machine.is_reached(record));
        let op = &self.program.0[index].op;
        let is_done = match op {
            Op::Query { stream } => machine.is_idle(machine.streams[stream]),
            Op::QueryEvent { event } => is_over(event),
            Op::Elapsed { event, start } => is_over(event) && is_over(start),
            _ => return Some(()),
        };
        if self.answered.contains(&index) && !is_done {
            return None;
        }
        if let Op::Query { .. } | Op::QueryEvent { .. } = op {
            self.observed.answers.insert((index, is_done));
        }
        if let Op::QueryEvent { event } = op {
            self.observed.recorded.insert((index, machine.events[event].is_some()));
        }
        Some(())
    }

    /// Moves all threads across a barrier. Returns `None` unless all have reached it.
    fn cross_barrier(&self, machine: &Machine, thread: usize, index: usize) -> Option<Machine> {
        let mut threads = 0..machine.pc.len();
        let is_here = |thread: usize| self.current(machine, thread) == Some(index);
        // One step for all threads, which counts as that of the first.
        if thread > 0 || !threads.all(is_here) {
            return None;
        }
        let mut next = machine.clone();
        next.pc.iter_mut().for_each(|pc| *pc += 1);
        Some(next)
    }

    /// Begins a blocking call, or ends it if its condition holds.
    fn block(&self, machine: &Machine, thread: usize, begin: Blocked) -> Option<Machine> {
        let mut next = machine.clone();
        let Some(blocked) = machine.blocked[thread] else {
            next.blocked[thread] = Some(begin);
            return Some(next);
        };
        let ends = match blocked {
            Blocked::Queue(queue, length) => machine.heads[queue] >= length,
            Blocked::Record(record) => record.is_none_or(|record| machine.is_reached(record)),
        };
        next.blocked[thread] = None;
        next.pc[thread] += 1;
        ends.then_some(next)
    }
}
