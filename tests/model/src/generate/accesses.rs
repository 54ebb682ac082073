//! Generates serial programs with accesses: [`access_program`].

use gpu_stream_core::Access;
use proptest::test_runner::TestRng;

use super::{Dice, draft};
use crate::check::{Limits, Schedule, repair};
use crate::checked::ACCESSES;
use crate::hazard::{Hazard, HazardKind, latest, missing};
use crate::order::Order;
use crate::program::{EventKind, Op, Program, Statement, StreamKind};

/// Addresses of the regions. Some overlap: then the later one takes over the addresses of the earlier one.
const REGIONS: &[(u8, u8)] = &[(0, 16), (16, 24), (40, 42), (0, 16), (8, 20)];

/// Maximum number of waits that are added to one program.
const MENDS: usize = 60;

/// Names of the events that the time is measured between.
const TIMED: [u8; 2] = [30, 31];

/// First name of the events that are added with waits. The others are below.
const FIRST_EVENT: u8 = 32;

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
    let regions = &REGIONS[..1 + dice.below(REGIONS.len())];
    let allocate = |region: usize| {
        let (start, end) = regions[region];
        Op::Region { region: region as u8, start, end }
    };
    let mut all: Vec<Statement> =
        (0..regions.len()).map(|region| Statement { thread: 0, op: allocate(region) }).collect();
    // The wrappers of per-thread streams, each with its thread.
    let mut own: Vec<(u8, u8)> = Vec::new();
    for Statement { mut thread, mut op } in raw.0 {
        match &mut op {
            Op::Task { stream, .. } => {
                let stream = *stream;
                if dice.one_in(6) {
                    continue;
                }
                let region = dice.below(regions.len());
                if dice.one_in(12) {
                    all.push(Statement { thread, op: allocate(region) });
                }
                let bytes = regions[region].1 - regions[region].0;
                op = access(dice, stream, region as u8, bytes);
                if let (Op::Access { access, start, end, .. }, true) = (&op, dice.one_in(10)) {
                    let (access, start, end) = (*access, *start, *end);
                    op = Op::HostAccess { access, region: region as u8, start, end };
                }
            }
            Op::QueryEvent { .. } if dice.one_in(4) => {
                let [start, event] = TIMED;
                let (stream, device) = (dice.below(4) as u8, dice.below(limits.devices) as u8);
                let timed = |event| Op::Event { event, kind: EventKind::Timed, device };
                let record = |event| Op::Record { stream, event };
                let drop = |event| Op::DropEvent { event };
                let ops = [
                    timed(start),
                    record(start),
                    timed(event),
                    record(event),
                    Op::Elapsed { event, start },
                    drop(start),
                    drop(event),
                ];
                all.extend(ops.map(|op| Statement { thread, op }));
                continue;
            }
            Op::Gate { .. } | Op::Open { .. } if !is_gated => continue,
            Op::Check | Op::Barrier | Op::Send { .. } | Op::Recv { .. } => continue,
            Op::Stream { stream, kind, .. } => {
                own.retain(|(name, _)| name != stream);
                if *kind == StreamKind::Default && dice.one_in(3) {
                    *kind = StreamKind::Own;
                }
                let is_implicit = limits.schedule == Schedule::Serial { implicit: true };
                if *kind == StreamKind::New && is_implicit && dice.one_in(2) {
                    *kind = StreamKind::Blocking;
                }
                if *kind == StreamKind::Own {
                    own.push((*stream, thread));
                }
            }
            Op::Clone { stream, .. } => own.retain(|(name, _)| name != stream),
            _ => {}
        }
        // Only its own thread can use a per-thread stream.
        let of_another = streams_of(&op).into_iter().find_map(|stream| {
            own.iter().find(|(name, _)| *name == stream).map(|(_, thread)| *thread)
        });
        thread = of_another.unwrap_or(thread);
        let streams = streams_of(&op);
        all.push(Statement { thread, op });
        if let (Some(stream), true) = (dice.of(&streams), dice.one_in(3)) {
            thread =
                own.iter().find(|(name, _)| *name == stream).map_or(thread, |(_, thread)| *thread);
            let region = dice.below(regions.len());
            let op = access(dice, stream, region as u8, regions[region].1 - regions[region].0);
            all.push(Statement { thread, op });
        }
    }
    let mut accesses = 0;
    all.retain(|statement| {
        accesses += usize::from(is_access(statement));
        accesses <= ACCESSES || !is_access(statement)
    });
    Program(all)
}

fn is_access(statement: &Statement) -> bool {
    matches!(statement.op, Op::Access { .. } | Op::HostAccess { .. })
}

/// Returns an access of a part of a region.
fn access(dice: &mut Dice<'_>, stream: u8, region: u8, bytes: u8) -> Op {
    let access = match dice.below(12) {
        0..6 => Access::Read,
        6..11 => Access::Write,
        _ => Access::Release,
    };
    let (start, end) = if dice.one_in(2) {
        (0, bytes)
    } else {
        let (one, other) = (dice.below(usize::from(bytes) + 1), dice.below(usize::from(bytes) + 1));
        (one.min(other) as u8, one.max(other) as u8)
    };
    Op::Access { stream, access, region, start, end }
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

/// Wrapper of a queue that lives at a statement.
#[derive(Clone, Copy, Debug)]
struct Wrapper {
    name: u8,
    queue: usize,
    /// Thread of a per-thread stream.
    home: Option<u8>,
}

/// Returns the wrappers that live at a statement.
fn wrappers_at(order: &Order, statement: usize) -> Vec<Wrapper> {
    let mut all: Vec<Wrapper> = Vec::new();
    for (index, earlier) in order.program.0[..statement].iter().enumerate() {
        match earlier.op {
            Op::Stream { stream: name, .. } | Op::Clone { stream: name, .. } => {
                let is_own = matches!(earlier.op, Op::Stream { kind: StreamKind::Own, .. });
                let home = is_own.then_some(earlier.thread);
                let queue = order.queue_of[index];
                all.extend(queue.map(|queue| Wrapper { name, queue, home }));
            }
            Op::DropStream { stream } => all.retain(|wrapper| wrapper.name != stream),
            _ => {}
        }
    }
    all
}

/// Returns the program with the wait that a hazard lacks, directly before its second access. `None` if no wait mends it,
/// or if there is no wrapper of the awaited stream that the thread can use.
pub fn with_missing_wait(order: &Order, hazard: &Hazard) -> Option<Program> {
    let (_, awaited) = missing(order, hazard)?;
    let second = &order.program.0[hazard.second];
    let other = wrappers_at(order, hazard.second).into_iter().find(|wrapper| {
        wrapper.queue == awaited && wrapper.home.is_none_or(|home| home == second.thread)
    })?;
    let op = match second.op {
        Op::Access { stream, .. } => Op::WaitStream { stream, other: other.name },
        _ => Op::Sync { stream: other.name },
    };
    let mut program = order.program.clone();
    program.0.insert(hazard.second, Statement { thread: second.thread, op });
    Some(program)
}

/// Adds waits until no hazard is left, and removes accesses that no wait can mend.
fn mended(mut order: Order, dice: &mut Dice<'_>, limits: &Limits) -> Order {
    for added in 0..MENDS {
        let first = latest(&order).into_iter().min_by_key(|hazard| (hazard.second, hazard.first));
        let Some(hazard) = first else { break };
        let event = FIRST_EVENT + (added % usize::from(crate::text::NAMES - FIRST_EVENT)) as u8;
        let mut program = order.program.clone();
        let statements = mend(&order, &hazard, event, dice);
        if statements.is_empty() {
            program.0.remove(hazard.second);
        } else {
            program.0.splice(hazard.second..hazard.second, statements);
        }
        order = repair(&program, limits);
        if added + 1 == MENDS || order.program == program {
            continue;
        }
        // The order of the calls did not allow it.
        if latest(&order).contains(&hazard) {
            order.program.0.remove(hazard.second);
            order = repair(&order.program, limits);
        }
    }
    order
}

/// Returns statements that order the second access of a hazard after the first one. `event` is a free name.
fn mend(order: &Order, hazard: &Hazard, event: u8, dice: &mut Dice<'_>) -> Vec<Statement> {
    let second = &order.program.0[hazard.second];
    let thread = second.thread;
    let (stream, region) = match second.op {
        Op::Access { stream, region, .. } => (Some(stream), region),
        Op::HostAccess { region, .. } => (None, region),
        _ => return Vec::new(),
    };
    let wrappers = wrappers_at(order, hazard.second);
    let Some((_, awaited)) = missing(order, hazard) else {
        // The memory was released: it is allocated again, unless the access is another release.
        let again = order.program.0[..hazard.second].iter().rev().find_map(|earlier| {
            matches!(earlier.op, Op::Region { region: name, .. } if name == region)
                .then(|| earlier.op.clone())
        });
        let op = again.filter(|_| hazard.kind == HazardKind::UseAfterRelease);
        return op.map(|op| Statement { thread, op }).into_iter().collect();
    };
    let all: Vec<Wrapper> =
        wrappers.iter().copied().filter(|wrapper| wrapper.queue == awaited).collect();
    let Some(other) = dice.of(&all) else { return Vec::new() };
    let is_own =
        |name| wrappers.iter().any(|wrapper| wrapper.name == name && wrapper.home.is_some());
    let is_here = other.home.is_none_or(|home| home == thread);
    let at = other.home.unwrap_or(thread);
    let other = other.name;
    let (record, drop) = (Op::RecordNew { event, stream: other }, Op::DropEvent { event });
    let Some(stream) = stream else {
        let op = |op| Statement { thread: at, op };
        return match dice.below(3) {
            0 => [record, Op::SyncEvent { event }, drop].map(op).to_vec(),
            1 => [record, Op::QueryEvent { event }, Op::SyncEvent { event }, drop].map(op).to_vec(),
            _ => vec![op(Op::Sync { stream: other })],
        };
    };
    let wait = Op::Wait { stream, event };
    let ops = match dice.below(8) {
        0 => vec![(at, Op::Sync { stream: other })],
        1 => vec![(at, record), (thread, Op::SyncEvent { event }), (thread, drop)],
        2 => vec![(at, record), (thread, wait), (thread, drop)],
        3 if is_here && !is_own(other) => {
            vec![(thread, Op::Join { stream, branches: vec![other] })]
        }
        4 if is_here && !is_own(stream) => {
            vec![(thread, Op::Fork { stream: other, branches: vec![stream] })]
        }
        5 if is_here => match dice.of(&wrappers).filter(|third| third.home.is_none()) {
            Some(Wrapper { name, .. }) => vec![
                (thread, Op::WaitStream { stream: name, other }),
                (thread, Op::WaitStream { stream, other: name }),
            ],
            None => vec![(thread, Op::WaitStream { stream, other })],
        },
        _ if is_here => vec![(thread, Op::WaitStream { stream, other })],
        _ => vec![(at, record), (thread, wait), (thread, drop)],
    };
    ops.into_iter().map(|(thread, op)| Statement { thread, op }).collect()
}
