//! Generates serial programs with accesses: [`access_program`].

use gpu_stream_core::Access;
use proptest::test_runner::TestRng;

use super::mend::mended;
use super::{Dice, draft};
use crate::check::{Limits, Schedule, repair};
use crate::checked::ACCESSES;
use crate::order::Order;
use crate::program::{EventKind, Op, Program, Statement, StreamKind};

/// Addresses of the regions. Some overlap: then the later one takes over the addresses of the earlier one.
const REGIONS: &[(u8, u8)] = &[(0, 16), (16, 24), (40, 42), (0, 16), (8, 20)];

/// Names of the events that the time is measured between.
const TIMED: [u8; 2] = [30, 31];

/// Generates a valid program. In half of the programs waits are added until no hazard is left. In some of these, one
/// wait is removed again.
pub fn access_program(rng: &mut TestRng, limits: &Limits, length: usize) -> Order {
    let raw = draft(rng, limits, length);
    let mut dice = Dice(rng);
    let order = repair(&with_accesses(raw, &mut dice, limits), limits);
    if dice.one_in(2) {
        return order;
    }
    let mut order = mended(order, &mut dice, limits);
    if dice.one_in(3) {
        let is_wait = |statement: &Statement| {
            matches!(
                statement.op,
                Op::Wait { .. }
                    | Op::WaitStream { .. }
                    | Op::Fork { .. }
                    | Op::Join { .. }
                    | Op::Sync { .. }
                    | Op::SyncEvent { .. }
                    | Op::Record { .. }
            )
        };
        let all = order.program.0.iter().enumerate();
        let waits: Vec<usize> =
            all.filter(|(_, statement)| is_wait(statement)).map(|(index, _)| index).collect();
        if let Some(wait) = dice.of(&waits) {
            order.program.0.remove(wait);
            order = repair(&order.program, limits);
        }
    }
    order
}

/// Replaces the tasks by accesses, and what only concurrent programs have by nothing.
fn with_accesses(raw: Program, dice: &mut Dice<'_>, limits: &Limits) -> Program {
    let is_gated = dice.one_in(4);
    let has_captures = limits.captures && dice.one_in(2);
    let regions = &REGIONS[..1 + dice.below(REGIONS.len())];
    let mut draft = AccessDraft {
        dice,
        limits,
        threads: raw.threads(),
        regions,
        own: Vec::new(),
        accesses: 0,
        captured: Vec::new(),
        all: Vec::new(),
    };
    (0..regions.len()).for_each(|region| draft.allocate(0, region));
    for Statement { thread, op } in raw.0 {
        match op {
            Op::Gate { .. } | Op::Open { .. } if !is_gated => {}
            Op::Check | Op::Barrier | Op::Send { .. } | Op::Recv { .. } => {}
            Op::Task { stream, .. } => draft.access(thread, stream),
            Op::QueryEvent { .. } if draft.dice.one_in(4) => draft.measure(thread),
            Op::Stream { stream, kind, device } => draft.stream(thread, stream, kind, device),
            op => draft.push(thread, op),
        }
        let streams = draft.all.last().map(|statement| streams_of(&statement.op));
        if let Some(stream) = draft.dice.of(&streams.unwrap_or_default())
            && draft.dice.one_in(3)
        {
            draft.access(thread, stream);
        }
        if has_captures {
            draft.capture(thread);
        }
    }
    while let Some((thread, stream)) = draft.captured.pop() {
        draft.push(thread, Op::EndCapture { stream });
    }
    Program(draft.all)
}

/// Program with accesses under construction.
struct AccessDraft<'a, 'b> {
    dice: &'a mut Dice<'b>,
    limits: &'a Limits,
    threads: usize,
    /// Addresses of the regions.
    regions: &'static [(u8, u8)],
    /// Wrappers of per-thread streams, each with its thread.
    own: Vec<(u8, u8)>,
    accesses: usize,
    /// Streams on which a capture has begun, and the threads.
    captured: Vec<(u8, u8)>,
    all: Vec<Statement>,
}

impl AccessDraft<'_, '_> {
    /// Adds a statement. Only its own thread can use a per-thread stream.
    fn push(&mut self, thread: u8, op: Op) {
        if let Op::Clone { stream, .. } = op {
            self.own.retain(|(name, _)| *name != stream);
        }
        let home = streams_of(&op).into_iter().find_map(|stream| {
            self.own.iter().find(|(name, _)| *name == stream).map(|(_, home)| *home)
        });
        self.all.push(Statement { thread: home.unwrap_or(thread), op });
    }

    /// Allocates the memory of a region, the first time or again.
    fn allocate(&mut self, thread: u8, region: usize) {
        let (start, end) = self.regions[region];
        self.push(thread, Op::Region { region: region as u8, start, end });
    }

    /// Creates a stream. Some default streams become per-thread streams, and some new ones blocking.
    fn stream(&mut self, mut thread: u8, stream: u8, mut kind: StreamKind, device: u8) {
        self.own.retain(|(name, _)| *name != stream);
        let is_implicit = self.limits.schedule == Schedule::Serial { implicit: true };
        match kind {
            StreamKind::Default if self.dice.one_in(3) => kind = StreamKind::Own,
            StreamKind::New if is_implicit => {
                kind = match self.dice.below(6) {
                    0..3 => StreamKind::Blocking,
                    3 => StreamKind::Default,
                    _ => StreamKind::New,
                };
            }
            _ => {}
        }
        if kind == StreamKind::Own {
            thread = self.dice.below(self.threads) as u8;
            self.own.push((stream, thread));
        }
        self.all.push(Statement { thread, op: Op::Stream { stream, kind, device } });
    }

    /// Adds an access of a part of a region, by the stream or by the host. Sometimes the memory is allocated again before.
    fn access(&mut self, thread: u8, stream: u8) {
        if self.dice.one_in(6) || self.accesses == ACCESSES {
            return;
        }
        self.accesses += 1;
        let region = self.dice.below(self.regions.len());
        if self.dice.one_in(16) {
            self.allocate(thread, region);
        }
        let access = match self.dice.below(12) {
            0..6 => Access::Read,
            6..11 => Access::Write,
            _ => Access::Release,
        };
        let (first, last) = self.regions[region];
        let bytes = usize::from(last - first);
        let (start, end) = match self.dice.one_in(2) {
            true => (0, bytes),
            false => {
                let (one, other) = (self.dice.below(bytes + 1), self.dice.below(bytes + 1));
                (one.min(other), one.max(other))
            }
        };
        let (region, start, end) = (region as u8, start as u8, end as u8);
        let op = match self.dice.one_in(12) {
            true => Op::HostAccess { access, region, start, end },
            false => Op::Access { stream, access, region, start, end },
        };
        self.push(thread, op);
    }

    /// Sometimes begins a capture, adds a stream to one, or ends one.
    fn capture(&mut self, thread: u8) {
        let stream = self.dice.below(4) as u8;
        let Some((begun_by, origin)) = self.dice.of(&self.captured) else {
            if self.dice.one_in(6) {
                self.captured.push((thread, stream));
                self.push(thread, Op::BeginCapture { stream });
            }
            return;
        };
        match self.dice.below(24) {
            0..3 => {
                self.captured.retain(|(_, other)| *other != origin);
                self.push(begun_by, Op::EndCapture { stream: origin });
            }
            3..7 => {
                self.push(thread, Op::WaitStream { stream, other: origin });
                self.access(thread, stream);
            }
            7..9 => {
                self.push(thread, Op::Join { stream: origin, branches: vec![stream] });
                self.access(thread, origin);
            }
            9..11 => {
                self.push(thread, Op::Fork { stream: origin, branches: vec![stream, origin ^ 1] })
            }
            11 => {
                self.captured.push((thread, stream));
                self.push(thread, Op::BeginCapture { stream });
            }
            12..15 => self.access(thread, origin),
            _ => {}
        }
    }

    /// Measures the time between two records of a stream.
    fn measure(&mut self, thread: u8) {
        let [start, event] = TIMED;
        let (stream, device) =
            (self.dice.below(4) as u8, self.dice.below(self.limits.devices) as u8);
        let timed = |event| Op::Event { event, kind: EventKind::Timed, device };
        let record = |event| Op::Record { stream, event };
        let drop = |event| Op::DropEvent { event };
        let measure = Op::Elapsed { event, start };
        for op in [timed(start), record(start), timed(event), record(event), measure] {
            self.push(thread, op);
        }
        self.push(thread, drop(start));
        self.push(thread, drop(event));
    }
}

/// Returns the streams that an operation uses.
pub(crate) fn streams_of(op: &Op) -> Vec<u8> {
    match op {
        Op::Clone { of: stream, .. }
        | Op::RecordNew { stream, .. }
        | Op::Task { stream, .. }
        | Op::Gate { stream, .. }
        | Op::Record { stream, .. }
        | Op::Wait { stream, .. }
        | Op::Query { stream }
        | Op::Sync { stream }
        | Op::DropStream { stream }
        | Op::BeginCapture { stream }
        | Op::EndCapture { stream }
        | Op::Access { stream, .. } => vec![*stream],
        Op::WaitStream { stream, other } => vec![*stream, *other],
        Op::Fork { stream, branches } | Op::Join { stream, branches } => {
            let mut all = vec![*stream];
            all.extend(branches);
            all
        }
        _ => Vec::new(),
    }
}
