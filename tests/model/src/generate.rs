//! Generates random programs: [`Programs`], a proptest strategy.

use proptest::strategy::{NewTree, Strategy};
use proptest::test_runner::{TestRng, TestRunner};
use rand_core::Rng;

use crate::check::{Limits, repair};
use crate::order::Order;
use crate::program::{EventKind, Op, Program, Statement, StreamKind};
use crate::shrink::ShrinkTree;

pub mod accesses;
pub mod mend;

/// Strategy that generates valid programs.
#[derive(Clone, Debug)]
pub struct Programs {
    /// Limits of the backend.
    pub limits: Limits,
    /// Maximum number of statements.
    pub length: usize,
}

/// Maximum number of live streams. It is small, so that much happens between each two of them.
const STREAMS: u8 = 6;
const EVENTS: u8 = 5;
/// Maximum number of gates. It must fit into [`crate::order::Gates`].
const GATES: u8 = 6;
/// Maximum number of tasks. It must fit into the names.
const TASKS: u8 = 48;

/// Random choices.
struct Dice<'a>(&'a mut TestRng);

impl Dice<'_> {
    /// Returns a number below `count`.
    fn below(&mut self, count: usize) -> usize {
        // The bias is negligible for such small numbers.
        (self.0.next_u32() as usize) % count.max(1)
    }

    /// Returns `true` with a probability of 1 in `count`.
    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    /// Returns a random element.
    fn of<T: Copy>(&mut self, all: &[T]) -> Option<T> {
        (!all.is_empty()).then(|| all[self.below(all.len())])
    }
}

/// Program under construction. Its statements are checked afterwards, so this state need not be exact.
struct Draft<'a> {
    dice: Dice<'a>,
    statements: Vec<Statement>,
    threads: usize,
    devices: usize,
    /// Live streams: name, device, and `true` for the per-thread stream.
    streams: Vec<(u8, u8, bool)>,
    /// Live events: name and device.
    events: Vec<(u8, u8)>,
    tasks: u8,
    gates: u8,
    opened: u8,
    channels: u8,
    /// `true` if the program uses the per-thread stream instead of the default stream.
    own: bool,
}

impl Draft<'_> {
    /// Adds a statement.
    fn push(&mut self, thread: usize, op: Op) {
        self.statements.push(Statement { thread: thread as u8, op });
    }

    /// Returns a random device.
    fn device(&mut self) -> u8 {
        // Mostly device 0, because streams of different devices interact less.
        if self.devices > 1 && self.dice.one_in(3) { 1 } else { 0 }
    }

    /// Creates a stream, or clones one.
    fn stream(&mut self, thread: usize) {
        let free = (0..STREAMS).find(|name| self.streams.iter().all(|(taken, ..)| taken != name));
        let Some(stream) = free else { return };
        let plain: Vec<_> = self.streams.iter().copied().filter(|(.., own)| !own).collect();
        if self.dice.one_in(8)
            && let Some((of, device, _)) = self.dice.of(&plain)
        {
            self.streams.push((stream, device, false));
            return self.push(thread, Op::Clone { stream, of });
        }
        let kind = match self.dice.below(12) {
            0..5 => StreamKind::New,
            5..8 => StreamKind::Owner,
            8..10 => StreamKind::Raw,
            _ if self.own && self.threads == 1 => StreamKind::Own,
            _ => StreamKind::Default,
        };
        let device = self.device();
        self.streams.push((stream, device, kind == StreamKind::Own));
        self.push(thread, Op::Stream { stream, kind, device });
    }

    /// Creates an event, half of them by a record.
    fn event(&mut self, thread: usize) {
        let free = (0..EVENTS).find(|name| self.events.iter().all(|(taken, _)| taken != name));
        let Some(event) = free else { return };
        if self.dice.one_in(2)
            && let Some((stream, device, _)) = self.any_stream()
        {
            self.events.push((event, device));
            return self.push(thread, Op::RecordNew { event, stream });
        }
        let kind = match self.dice.below(4) {
            0 => EventKind::Timed,
            1 => EventKind::Blocking,
            _ => EventKind::Plain,
        };
        let device = self.device();
        self.events.push((event, device));
        self.push(thread, Op::Event { event, kind, device });
    }

    /// Returns a random live stream.
    fn any_stream(&mut self) -> Option<(u8, u8, bool)> {
        let streams = std::mem::take(&mut self.streams);
        let found = self.dice.of(&streams);
        self.streams = streams;
        found
    }

    /// Returns a random live event.
    fn any_event(&mut self) -> Option<u8> {
        let events = std::mem::take(&mut self.events);
        let found = self.dice.of(&events);
        self.events = events;
        found.map(|(event, _)| event)
    }

    /// Returns one to three random streams.
    fn branches(&mut self) -> Vec<u8> {
        let mut branches = Vec::new();
        for _ in 0..=self.dice.below(3) {
            branches.extend(self.any_stream().map(|(stream, ..)| stream));
        }
        branches
    }

    /// Submits a task, unless there are too many.
    fn task(&mut self, thread: usize, stream: u8) {
        if self.tasks < TASKS {
            let task = self.tasks;
            self.tasks += 1;
            self.push(thread, Op::Task { stream, task, reads: Vec::new() });
        }
    }

    /// Records the event on a random stream of its device.
    fn record(&mut self, thread: usize, event: u8) {
        let device = self.events.iter().find(|(name, _)| *name == event).map(|(_, device)| *device);
        let streams: Vec<_> =
            self.streams.iter().filter(|(_, other, _)| Some(*other) == device).copied().collect();
        if let Some((stream, ..)) = self.dice.of(&streams) {
            self.push(thread, Op::Record { stream, event });
        }
    }

    /// Drops an event.
    fn drop_event(&mut self, thread: usize, event: u8) {
        self.events.retain(|(name, _)| *name != event);
        self.push(thread, Op::DropEvent { event });
    }

    /// Adds a random operation of a thread on existing streams and events.
    fn step(&mut self, thread: usize) {
        let Some((stream, ..)) = self.any_stream() else { return self.stream(thread) };
        let Some(event) = self.any_event() else { return self.event(thread) };
        match self.dice.below(100) {
            0..28 => self.task(thread, stream),
            28..38 => self.record(thread, event),
            38..50 => {
                self.push(thread, Op::Wait { stream, event });
                match self.dice.below(6) {
                    // The wait binds to the record, so neither of these changes it.
                    0 => self.drop_event(thread, event),
                    1 | 2 => self.record(thread, event),
                    _ => {}
                }
                self.task(thread, stream);
            }
            50..58 => {
                if let Some((other, ..)) = self.any_stream() {
                    self.push(thread, Op::WaitStream { stream, other });
                }
            }
            58..62 => {
                let branches = self.branches();
                self.push(thread, Op::Fork { stream, branches });
            }
            62..66 => {
                let branches = self.branches();
                self.push(thread, Op::Join { stream, branches });
            }
            66..71 => self.push(thread, Op::Query { stream }),
            71..76 => self.push(thread, Op::QueryEvent { event }),
            76..81 => self.push(thread, Op::Sync { stream }),
            81..86 => self.push(thread, Op::SyncEvent { event }),
            86..89 => {
                self.streams.retain(|(name, ..)| *name != stream);
                self.push(thread, Op::DropStream { stream });
            }
            89..93 => self.drop_event(thread, event),
            93..96 => self.stream(thread),
            _ => self.event(thread),
        }
    }

    /// Closes a gate on a random stream, with a task after it.
    fn gate(&mut self) {
        if let (Some((stream, ..)), true) = (self.any_stream(), self.gates < GATES) {
            let gate = self.gates;
            self.gates += 1;
            self.push(0, Op::Gate { stream, gate });
            self.task(0, stream);
        }
    }

    /// Opens the oldest closed gate.
    fn open(&mut self) {
        if self.opened < self.gates {
            let gate = self.opened;
            self.opened += 1;
            self.push(0, Op::Open { gate });
        }
    }

    /// Synchronizes two threads by a channel, or all of them by a barrier.
    fn sync_threads(&mut self) {
        let (from, to) = (self.dice.below(self.threads), self.dice.below(self.threads));
        if from == to || self.channels >= 16 {
            return self.push(0, Op::Barrier);
        }
        let channel = self.channels;
        self.channels += 1;
        self.push(from, Op::Send { channel });
        // The receiver does not know what the sender does after the send.
        if self.dice.one_in(2) {
            self.step(from);
        }
        self.push(to, Op::Recv { channel });
    }
}

/// Generates a program whose statements are not all valid; [`repair`] removes the others.
pub(crate) fn draft(rng: &mut TestRng, limits: &Limits, length: usize) -> Program {
    let mut dice = Dice(rng);
    let threads = if dice.one_in(4) { 1 + dice.below(limits.threads) } else { 1 };
    let devices = if dice.one_in(2) { limits.devices.min(2) } else { 1 };
    let statements = 6 + dice.below(length.saturating_sub(6));
    // Without gates every result is a race; with gates, many results are determined.
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
        draft.push(0, Op::Barrier);
    }
    while draft.statements.len() < statements {
        let thread = draft.dice.below(threads);
        match draft.dice.below(if gates == 0 { 100 } else { 100 + gates * 2 }) {
            0..95 => draft.step(thread),
            95..100 if threads > 1 => draft.sync_threads(),
            95..100 => draft.push(0, Op::Check),
            number if number % 5 < 2 => draft.gate(),
            number if number % 5 == 2 => draft.push(0, Op::Check),
            _ => draft.open(),
        }
    }
    if threads > 1 {
        draft.push(0, Op::Barrier);
        draft.push(0, Op::Check);
    }
    Program(draft.statements)
}

/// Adds reads to the tasks. Where the order is known, a read detects a wrong one.
fn add_reads(order: &mut Order, dice: &mut Dice<'_>) {
    for index in 0..order.tasks.len() {
        let (tasks, reader) = (&order.tasks, &order.tasks[index]);
        let same = |other: &usize| *other != index && tasks[*other].device == reader.device;
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
    type Tree = ShrinkTree;
    type Value = Program;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        let raw = draft(runner.rng(), &self.limits, self.length);
        let mut order = repair(&raw, &self.limits);
        add_reads(&mut order, &mut Dice(runner.rng()));
        Ok(ShrinkTree::new(order, self.limits))
    }
}
