//! Random programs, and how a failing one is made smaller: a strategy of proptest.

use std::sync::Arc;

use proptest::strategy::{NewTree, Strategy, ValueTree};
use proptest::test_runner::{TestRng, TestRunner};
use rand_core::Rng;

use crate::check::{Limits, repair};
use crate::order::Order;
use crate::program::{EventKind, Op, Program, Statement, StreamKind};

/// Programs within limits.
#[derive(Clone, Debug)]
pub struct Programs {
    /// What the backend allows.
    pub limits: Limits,
    /// How many statements a program has at most.
    pub length: usize,
}

/// Most programs are about a few streams, where much happens between each two of them.
const STREAMS: u8 = 6;
const EVENTS: u8 = 5;
/// The number of gates must fit into [`crate::order::Gates`], of tasks into the names.
const GATES: u8 = 6;
const TASKS: u8 = 48;

struct Dice<'a>(&'a mut TestRng);

impl Dice<'_> {
    fn below(&mut self, count: usize) -> usize {
        // The bias is of no account for such small numbers.
        (self.0.next_u32() as usize) % count.max(1)
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> Option<T> {
        (!all.is_empty()).then(|| all[self.below(all.len())])
    }
}

/// What a program under construction has: whether each statement is sound is checked afterwards, so
/// this need not be exact.
struct Draft<'a> {
    dice: Dice<'a>,
    statements: Vec<Statement>,
    threads: usize,
    devices: usize,
    streams: Vec<(u8, u8, bool)>,
    events: Vec<(u8, u8)>,
    tasks: u8,
    gates: u8,
    opened: u8,
    channels: u8,
    /// Which of the default stream and the thread's own this program may have.
    own: bool,
}

impl Draft<'_> {
    fn say(&mut self, thread: usize, op: Op) {
        self.statements.push(Statement { thread: thread as u8, op });
    }

    fn device(&mut self) -> u8 {
        // One device more often than not: streams that have nothing to do with each other are dull.
        if self.devices > 1 && self.dice.one_in(3) { 1 } else { 0 }
    }

    fn stream(&mut self, thread: usize) {
        let free = (0..STREAMS).find(|name| self.streams.iter().all(|(taken, ..)| taken != name));
        let Some(stream) = free else { return };
        let plain: Vec<_> = self.streams.iter().copied().filter(|(.., own)| !own).collect();
        if self.dice.one_in(8)
            && let Some((of, device, _)) = self.dice.of(&plain)
        {
            self.streams.push((stream, device, false));
            return self.say(thread, Op::Clone { stream, of });
        }
        let sort = match self.dice.below(12) {
            0..5 => StreamKind::New,
            5..8 => StreamKind::Owner,
            8..10 => StreamKind::Raw,
            _ if self.own && self.threads == 1 => StreamKind::Own,
            _ => StreamKind::Default,
        };
        let device = self.device();
        self.streams.push((stream, device, sort == StreamKind::Own));
        self.say(thread, Op::Stream { stream, sort, device });
    }

    fn event(&mut self, thread: usize) {
        let free = (0..EVENTS).find(|name| self.events.iter().all(|(taken, _)| taken != name));
        let Some(event) = free else { return };
        if self.dice.one_in(2)
            && let Some((stream, device, _)) = self.any_stream()
        {
            self.events.push((event, device));
            return self.say(thread, Op::RecordNew { event, stream });
        }
        let sort = match self.dice.below(4) {
            0 => EventKind::Timed,
            1 => EventKind::Blocking,
            _ => EventKind::Plain,
        };
        let device = self.device();
        self.events.push((event, device));
        self.say(thread, Op::Event { event, sort, device });
    }

    fn any_stream(&mut self) -> Option<(u8, u8, bool)> {
        let streams = std::mem::take(&mut self.streams);
        let found = self.dice.of(&streams);
        self.streams = streams;
        found
    }

    fn any_event(&mut self) -> Option<u8> {
        let events = std::mem::take(&mut self.events);
        let found = self.dice.of(&events);
        self.events = events;
        found.map(|(event, _)| event)
    }

    fn branches(&mut self) -> Vec<u8> {
        let mut branches = Vec::new();
        for _ in 0..=self.dice.below(3) {
            branches.extend(self.any_stream().map(|(stream, ..)| stream));
        }
        branches
    }

    fn task(&mut self, thread: usize, stream: u8) {
        if self.tasks < TASKS {
            let task = self.tasks;
            self.tasks += 1;
            self.say(thread, Op::Task { stream, task, reads: Vec::new() });
        }
    }

    /// A record on some stream of the event's device.
    fn record(&mut self, thread: usize, event: u8) {
        let device = self.events.iter().find(|(name, _)| *name == event).map(|(_, device)| *device);
        let streams: Vec<_> =
            self.streams.iter().filter(|(_, other, _)| Some(*other) == device).copied().collect();
        if let Some((stream, ..)) = self.dice.of(&streams) {
            self.say(thread, Op::Record { stream, event });
        }
    }

    fn drop_event(&mut self, thread: usize, event: u8) {
        self.events.retain(|(name, _)| *name != event);
        self.say(thread, Op::DropEvent { event });
    }

    /// One act of a thread on something that is there.
    fn step(&mut self, thread: usize) {
        let Some((stream, ..)) = self.any_stream() else { return self.stream(thread) };
        let Some(event) = self.any_event() else { return self.event(thread) };
        match self.dice.below(100) {
            0..28 => self.task(thread, stream),
            28..38 => self.record(thread, event),
            38..50 => {
                self.say(thread, Op::Wait { stream, event });
                match self.dice.below(6) {
                    // The wait is for the record: neither of these changes it.
                    0 => self.drop_event(thread, event),
                    1 | 2 => self.record(thread, event),
                    _ => {}
                }
                self.task(thread, stream);
            }
            50..58 => {
                if let Some((other, ..)) = self.any_stream() {
                    self.say(thread, Op::WaitStream { stream, other });
                }
            }
            58..62 => {
                let branches = self.branches();
                self.say(thread, Op::Fork { stream, branches });
            }
            62..66 => {
                let branches = self.branches();
                self.say(thread, Op::Join { stream, branches });
            }
            66..71 => self.say(thread, Op::Query { stream }),
            71..76 => self.say(thread, Op::QueryEvent { event }),
            76..81 => self.say(thread, Op::Sync { stream }),
            81..86 => self.say(thread, Op::SyncEvent { event }),
            86..89 => {
                self.streams.retain(|(name, ..)| *name != stream);
                self.say(thread, Op::DropStream { stream });
            }
            89..93 => self.drop_event(thread, event),
            93..96 => self.stream(thread),
            _ => self.event(thread),
        }
    }

    fn gate(&mut self) {
        if let (Some((stream, ..)), true) = (self.any_stream(), self.gates < GATES) {
            let gate = self.gates;
            self.gates += 1;
            self.say(0, Op::Gate { stream, gate });
            self.task(0, stream);
        }
    }

    fn open(&mut self) {
        if self.opened < self.gates {
            let gate = self.opened;
            self.opened += 1;
            self.say(0, Op::Open { gate });
        }
    }

    fn meet(&mut self) {
        let (from, to) = (self.dice.below(self.threads), self.dice.below(self.threads));
        if from == to || self.channels >= 16 {
            return self.say(0, Op::Barrier);
        }
        let channel = self.channels;
        self.channels += 1;
        self.say(from, Op::Send { channel });
        // What the teller does meanwhile is not known to the listener.
        if self.dice.one_in(2) {
            self.step(from);
        }
        self.say(to, Op::Recv { channel });
    }
}

pub(crate) fn draft(rng: &mut TestRng, limits: &Limits, length: usize) -> Program {
    let mut dice = Dice(rng);
    let threads = if dice.one_in(4) { 1 + dice.below(limits.threads) } else { 1 };
    let devices = if dice.one_in(2) { limits.devices.min(2) } else { 1 };
    let statements = 6 + dice.below(length.saturating_sub(6));
    // Without gates nothing is held, and all is a race; with them much is known.
    let gates = if dice.one_in(4) { 0 } else { 4 + dice.below(8) };
    let (own, streams, events) = (dice.one_in(2), 2 + dice.below(3), 1 + dice.below(3));
    let mut draft = Draft {
        dice,
        statements: Vec::new(),
        threads,
        devices,
        streams: Vec::new(),
        events: Vec::new(),
        tasks: 0,
        gates: 0,
        opened: 0,
        channels: 0,
        own,
    };
    (0..streams).for_each(|_| draft.stream(0));
    (0..events).for_each(|_| draft.event(0));
    if gates > 0 && draft.dice.one_in(2) {
        draft.gate();
    }
    if threads > 1 {
        draft.say(0, Op::Barrier);
    }
    while draft.statements.len() < statements {
        let thread = draft.dice.below(threads);
        match draft.dice.below(if gates == 0 { 100 } else { 100 + gates * 2 }) {
            0..95 => draft.step(thread),
            95..100 if threads > 1 => draft.meet(),
            95..100 => draft.say(0, Op::Check),
            number if number % 5 < 2 => draft.gate(),
            number if number % 5 == 2 => draft.say(0, Op::Check),
            _ => draft.open(),
        }
    }
    if threads > 1 {
        draft.say(0, Op::Barrier);
        draft.say(0, Op::Check);
    }
    Program(draft.statements)
}

/// Gives the tasks something to read: where an order is known, a wrong one shows in the number.
fn add_reads(order: &mut Order, dice: &mut Dice<'_>) {
    for at in 0..order.tasks.len() {
        let (tasks, reader) = (&order.tasks, &order.tasks[at]);
        let same = |other: &usize| *other != at && tasks[*other].device == reader.device;
        let earlier: Vec<_> = (0..tasks.len())
            .filter(same)
            .filter(|&other| tasks[other].step.is_in(&reader.after))
            .collect();
        let later: Vec<_> = (0..tasks.len())
            .filter(same)
            .filter(|&other| reader.step.is_in(&tasks[other].after))
            .collect();
        let near = |dice: &mut Dice<'_>, all: &[usize], last: bool| {
            let count = all.len().min(3);
            let part = if last { &all[all.len() - count..] } else { &all[..count] };
            dice.of(part)
        };
        let mut reads = Vec::new();
        reads.extend(near(dice, &earlier, true));
        if dice.one_in(2) {
            reads.extend(dice.of(&earlier));
        }
        if dice.one_in(2) {
            reads.extend(near(dice, &later, false));
        }
        let mut names: Vec<u8> = reads.into_iter().map(|other| tasks[other].name).collect();
        names.sort_unstable();
        names.dedup();
        let statement = reader.statement;
        if let Op::Task { reads, .. } = &mut order.program.0[statement].op {
            *reads = names;
        }
    }
}

impl Strategy for Programs {
    type Tree = Smaller;
    type Value = Program;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        let raw = draft(runner.rng(), &self.limits, self.length);
        let mut order = repair(&raw, &self.limits);
        add_reads(&mut order, &mut Dice(runner.rng()));
        Ok(Smaller::new(order, self.limits))
    }
}

/// A program, and the programs that come of leaving something out.
#[derive(Debug)]
pub struct Smaller {
    limits: Limits,
    best: Program,
    order: Arc<Order>,
    /// How many statements are left out at a time; 0 when single words are changed.
    chunk: usize,
    at: usize,
    /// Whether this round has made it smaller.
    gained: bool,
}

impl Smaller {
    fn new(order: Order, limits: Limits) -> Self {
        let best = order.program.clone();
        let chunk = best.0.len().div_ceil(2);
        Smaller { limits, best, order: Arc::new(order), chunk, at: 0, gained: false }
    }

    /// A tree for a program from somewhere else.
    pub fn of(order: Order, limits: Limits) -> Self {
        Smaller::new(order, limits)
    }

    /// The order of [`current`](ValueTree::current).
    pub fn order(&self) -> &Arc<Order> {
        &self.order
    }

    /// The next candidate that is another program than the best.
    fn next(&mut self) -> bool {
        loop {
            let candidate = match self.chunk {
                0 => self.change_a_word(),
                chunk => {
                    let mut statements = self.best.0.clone();
                    // From the end: what comes last is needed by nothing.
                    let end = statements.len().checked_sub(self.at);
                    end.filter(|end| *end > 0).map(|end| {
                        statements.drain(end.saturating_sub(chunk)..end);
                        Program(statements)
                    })
                }
            };
            let Some(candidate) = candidate else {
                match (self.chunk, self.gained) {
                    (0, false) => return false,
                    (0, true) => (self.chunk, self.gained) = (1, false),
                    (1, true) => self.gained = false,
                    (chunk, _) => self.chunk = chunk / 2,
                }
                self.at = 0;
                continue;
            };
            let order = repair(&candidate, &self.limits);
            if order.program != self.best {
                self.order = Arc::new(order);
                return true;
            }
            self.at += self.chunk.max(1);
        }
    }

    /// Changes number `at`: leaves one read or branch out, or gives a statement to thread 0.
    fn change_a_word(&self) -> Option<Program> {
        let mut number = self.at;
        for (index, statement) in self.best.0.iter().enumerate() {
            let list = match &statement.op {
                Op::Task { reads, .. } => reads.len(),
                Op::Fork { branches, .. } | Op::Join { branches, .. } => branches.len(),
                _ => 0,
            };
            if number > list {
                number -= list + 1;
                continue;
            }
            let mut program = self.best.clone();
            match &mut program.0[index] {
                statement if number == list => statement.thread = 0,
                Statement { op: Op::Task { reads: all, .. }, .. }
                | Statement { op: Op::Fork { branches: all, .. }, .. }
                | Statement { op: Op::Join { branches: all, .. }, .. } => drop(all.remove(number)),
                _ => {}
            }
            return Some(program);
        }
        None
    }
}

impl ValueTree for Smaller {
    type Value = Program;

    fn current(&self) -> Program {
        self.order.program.clone()
    }

    /// The current program fails: keep it, and leave more out.
    fn simplify(&mut self) -> bool {
        if self.order.program != self.best {
            self.gained = true;
            self.best = self.order.program.clone();
        }
        self.next()
    }

    /// The current program passes: go back, and leave something else out.
    fn complicate(&mut self) -> bool {
        self.at += self.chunk.max(1);
        if self.next() {
            return true;
        }
        self.order = Arc::new(repair(&self.best, &self.limits));
        false
    }
}
