//! Adds the waits that a program lacks: [`with_missing_wait`].

use super::Dice;
use crate::check::{Limits, repair};
use crate::hazard::{Hazard, latest, missing};
use crate::order::Order;
use crate::program::{Op, Program, Statement, StreamKind};

/// Maximum number of waits that are added to one program.
const MENDS: usize = 60;

/// First name of the events that are added with waits. The others are below.
const FIRST_EVENT: u8 = 32;

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
pub(super) fn mended(mut order: Order, dice: &mut Dice<'_>, limits: &Limits) -> Order {
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
        // `repair` has removed the wait, so the access is removed.
        if latest(&order).contains(&hazard) {
            order.program.0.remove(hazard.second);
            order = repair(&order.program, limits);
        }
    }
    order
}

/// Returns the allocation of a region again, for an access whose memory was released.
fn allocate_again(order: &Order, access: usize, region: u8) -> Vec<Statement> {
    let thread = order.program.0[access].thread;
    let mut earlier = order.program.0[..access].iter().rev();
    let allocation = earlier
        .find(|earlier| matches!(earlier.op, Op::Region { region: name, .. } if name == region));
    allocation.map(|earlier| Statement { thread, op: earlier.op.clone() }).into_iter().collect()
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
        return allocate_again(order, hazard.second, region);
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
    // A stream may cover another one without a call.
    let any = dice.of(&wrappers).filter(|any| any.home.is_none_or(|home| home == thread));
    // The host cannot wait for captured work.
    let is_captured = order
        .accesses
        .iter()
        .any(|access| access.statement == hazard.second && access.capture.is_some());
    let choice = if is_captured { 2 + dice.below(6) } else { dice.below(9) };
    let ops = match choice {
        8 if any.is_some() => {
            any.map(|any| (thread, Op::Sync { stream: any.name })).into_iter().collect()
        }
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
