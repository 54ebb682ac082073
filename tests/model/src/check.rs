//! Which programs may be run: those whose outcome the rules say something about, and that keep the
//! promises which the cases of the conformance suite make to a fixture.

use std::collections::BTreeMap;

use crate::clock::Calls;
use crate::order::Order;
use crate::program::{Op, Program, Statement, StreamKind};

/// What the backend and its fixture allow.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many devices there are.
    pub devices: usize,
    /// How many threads a program may have.
    pub threads: usize,
    /// How many streams can be held back while another goes on: `Fixture::independent`.
    pub independent: usize,
    /// `Fixture::destroy_waits`.
    pub destroy_waits: bool,
}

/// A program that may not be run.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("statement {number}, `{statement}`: {why}")]
pub struct Refused {
    /// Counted from 1, without comments and empty lines.
    pub number: usize,
    /// Its text.
    pub statement: String,
    /// What is wrong.
    pub why: &'static str,
}

/// The place in the program where something was made, used or dropped.
#[derive(Default)]
struct Thing {
    /// The device of a stream or event.
    device: u8,
    /// Which of these wrappers is the thread's own stream.
    is_own: bool,
    alive: bool,
    /// All statements that name it.
    uses: Vec<usize>,
}

struct Checker<'a> {
    limits: &'a Limits,
    calls: Calls,
    index: usize,
    things: BTreeMap<(char, u8), Thing>,
    gates: Vec<(u8, bool)>,
    threads: usize,
}

type Answer = Result<(), &'static str>;

impl Checker<'_> {
    fn ordered(&self, thing: &Thing, index: usize) -> Answer {
        match thing.uses.iter().all(|place| self.calls.before(*place, index)) {
            true => Ok(()),
            false => Err("another thread may use the same name at this time"),
        }
    }

    fn make(&mut self, name: (char, u8), device: u8, is_own: bool) -> Answer {
        if usize::from(device) >= self.limits.devices {
            return Err("there is no such device");
        }
        let mut thing = self.things.remove(&name).unwrap_or_default();
        let answer = match thing.alive {
            true => Err("the name is taken"),
            false => self.ordered(&thing, self.index),
        };
        if answer.is_ok() {
            thing = Thing { device, is_own, alive: true, uses: vec![self.index] };
        }
        self.things.insert(name, thing);
        answer
    }

    fn one(&mut self, name: (char, u8)) -> Answer {
        if self.things.contains_key(&name) {
            return Err("the number is taken");
        }
        let thing = Thing { alive: true, uses: vec![self.index], ..Thing::default() };
        self.things.insert(name, thing);
        Ok(())
    }

    fn find(&self, name: (char, u8)) -> Result<&Thing, &'static str> {
        let thing = self.things.get(&name).filter(|thing| thing.alive);
        let thing = thing.ok_or("there is no such thing at this place")?;
        // The making must be over; other uses may be at the same time.
        match self.calls.before(thing.uses[0], self.index) {
            true => Ok(thing),
            false => Err("another thread makes it, and may not have done so yet"),
        }
    }

    /// Notes a use. Call it when nothing else can refuse the statement.
    fn touch(&mut self, names: &[(char, u8)]) {
        for name in names {
            if let Some(thing) = self.things.get_mut(name) {
                thing.uses.push(self.index);
            }
        }
    }

    fn end(&mut self, name: (char, u8)) -> Answer {
        self.ordered(self.find(name)?, self.index)?;
        if let Some(thing) = self.things.get_mut(&name) {
            thing.alive = false;
            // A name that is made again begins with its end: nothing earlier is asked for.
            thing.uses = vec![self.index];
        }
        Ok(())
    }

    fn used(&mut self, names: &[(char, u8)]) -> Answer {
        names.iter().try_for_each(|name| self.find(*name).map(drop))?;
        self.touch(names);
        Ok(())
    }

    fn branches(&mut self, stream: u8, branches: &[u8]) -> Answer {
        let mut names = vec![('s', stream)];
        for branch in branches {
            if self.find(('s', *branch))?.is_own {
                return Err("a thread's own stream has another type than the other branches");
            }
            names.push(('s', *branch));
        }
        self.used(&names)
    }

    fn admit(&mut self, statement: &Statement) -> Answer {
        match &statement.op {
            Op::Stream { stream, sort, device } => {
                let is_own = *sort == StreamKind::Own;
                if is_own && self.threads > 1 {
                    return Err("a thread's own stream is for programs of one thread");
                }
                let other = match sort {
                    StreamKind::Own => Some(StreamKind::Default),
                    StreamKind::Default => Some(StreamKind::Own),
                    _ => None,
                };
                // On CUDA and HIP these two wait for each other, and on the host they do not.
                let key = |sort| if sort == StreamKind::Own { 'o' } else { 'd' };
                if let Some(other) = other
                    && self.things.contains_key(&(key(other), *device))
                {
                    return Err(
                        "the default stream and a thread's own, on one device, are not for one program",
                    );
                }
                self.make(('s', *stream), *device, is_own)?;
                if other.is_some() {
                    self.things.entry((key(*sort), *device)).or_default();
                }
                Ok(())
            }
            Op::Clone { stream, of } => {
                let of_name = ('s', *of);
                let (device, is_own) = self.find(of_name).map(|of| (of.device, of.is_own))?;
                if is_own {
                    return Err("a thread's own stream has no clones");
                }
                if stream == of {
                    return Err("the name is taken");
                }
                self.make(('s', *stream), device, false)?;
                self.touch(&[of_name]);
                Ok(())
            }
            Op::Event { event, device, .. } => self.make(('e', *event), *device, false),
            Op::RecordNew { event, stream } => {
                let device = self.find(('s', *stream))?.device;
                self.make(('e', *event), device, false)?;
                self.touch(&[('s', *stream)]);
                Ok(())
            }
            Op::Task { stream, task, .. } => {
                self.find(('s', *stream))?;
                self.one(('t', *task))?;
                self.touch(&[('s', *stream)]);
                Ok(())
            }
            Op::Gate { stream, gate } => {
                if statement.thread != 0 {
                    return Err("gates are for thread 0, so that they have an order");
                }
                if self.gates.iter().any(|(other, _)| other >= gate) {
                    return Err("gates have rising numbers");
                }
                self.used(&[('s', *stream)])?;
                self.gates.push((*gate, true));
                Ok(())
            }
            Op::Open { gate } => {
                if statement.thread != 0 {
                    return Err("gates are for thread 0, so that they have an order");
                }
                let shut = self.gates.iter_mut().find(|(_, shut)| *shut);
                match shut.filter(|(first, _)| first == gate) {
                    Some((_, shut)) => *shut = false,
                    None => return Err("it is not the gate that was shut first and is still shut"),
                }
                Ok(())
            }
            Op::Record { stream, event } => {
                let (stream, event) = (('s', *stream), ('e', *event));
                if self.find(stream)?.device != self.find(event)?.device {
                    return Err("the event is of another device");
                }
                self.used(&[stream, event])
            }
            Op::Wait { stream, event } => self.used(&[('s', *stream), ('e', *event)]),
            Op::WaitStream { stream, other } => self.used(&[('s', *stream), ('s', *other)]),
            Op::Fork { stream, branches } | Op::Join { stream, branches } => {
                self.branches(*stream, branches)
            }
            Op::Query { stream } | Op::Sync { stream } => self.used(&[('s', *stream)]),
            Op::QueryEvent { event } | Op::SyncEvent { event } => self.used(&[('e', *event)]),
            Op::Check if statement.thread != 0 => Err("only thread 0 looks"),
            Op::DropStream { stream } => self.end(('s', *stream)),
            Op::DropEvent { event } => self.end(('e', *event)),
            Op::Send { channel } => self.one(('c', *channel)),
            Op::Recv { channel } => {
                let messages = self.things.get(&('c', *channel)).filter(|_| self.threads > 1);
                let messages = messages.ok_or("nobody has told this before")?.uses[0];
                if self.calls.thread(messages) == usize::from(statement.thread) {
                    return Err("a thread does not listen to itself");
                }
                self.one(('h', *channel))
            }
            Op::Check | Op::Barrier => Ok(()),
        }
    }
}

/// The statements of `program` that are sound one by one; `refuse` hears of the others.
pub(crate) fn sound(
    program: &Program,
    limits: &Limits,
    mut refuse: impl FnMut(usize, &'static str),
) -> Program {
    let threads = program.threads().min(limits.threads);
    let mut checker = Checker {
        limits,
        calls: Calls::new(threads),
        index: 0,
        things: BTreeMap::new(),
        gates: Vec::new(),
        threads,
    };
    let mut kept = Vec::new();
    for (number, statement) in program.0.iter().enumerate() {
        if usize::from(statement.thread) >= threads {
            refuse(number, "the program has more threads than are allowed");
            continue;
        }
        let mark = checker.calls.push(statement);
        match checker.admit(statement) {
            Ok(()) => {
                kept.push(statement.clone());
                checker.index += 1;
            }
            Err(why) => {
                checker.calls.undo(mark);
                refuse(number, why);
            }
        }
    }
    Program(kept)
}

/// What about the whole of a program forbids the statement at `index`.
pub(crate) fn unbearable(order: &Order, limits: &Limits, index: usize) -> Answer {
    match order.program.0[index].op {
        Op::Sync { .. } | Op::SyncEvent { .. } => {
            let shut = order.unopened_at(index);
            if order.may_hold(index) & shut != 0 {
                return Err(
                    "it may wait for a gate that is shut until later, and would not return",
                );
            }
            if shut != 0 && order.held_queues(index, shut) > limits.independent {
                return Err(
                    "more streams are held back than the backend can hold while others go on",
                );
            }
            Ok(())
        }
        Op::DropStream { .. } if limits.destroy_waits => {
            match order.may_hold(index) & order.unopened_at(index) {
                0 => Ok(()),
                _ => Err("a stream that a gate holds back is not destroyed on this backend"),
            }
        }
        _ => Ok(()),
    }
}

/// Leaves out the statements that may not be in the program, and reads of tasks that are not there.
pub fn repair(program: &Program, limits: &Limits) -> Order {
    let mut program = program.clone();
    loop {
        let mut order = Order::of(sound(&program, limits, |_, _| ()));
        let count = order.program.0.len();
        let keep: Vec<_> =
            (0..count).map(|index| unbearable(&order, limits, index).is_ok()).collect();
        if keep.iter().all(|keep| *keep) {
            order.drop_unreadable();
            return order;
        }
        let mut keep = keep.into_iter();
        program = order.program;
        program.0.retain(|_| keep.next() == Some(true));
    }
}

/// The program's order, if all of it may be run.
///
/// # Errors
/// The first statement that may not.
pub fn check(program: &Program, limits: &Limits) -> Result<Order, Refused> {
    let refused = |index: usize, why| {
        let statement = program.0[index].to_string();
        Refused { number: index + 1, statement, why }
    };
    let mut first = None;
    sound(program, limits, |index, why| {
        first.get_or_insert_with(|| refused(index, why));
    });
    if let Some(first) = first {
        return Err(first);
    }
    let order = Order::of(program.clone());
    for index in 0..program.0.len() {
        unbearable(&order, limits, index).map_err(|why| refused(index, why))?;
        if let Op::Task { reads, .. } = &program.0[index].op
            && let Some(why) = order.unreadable(index, reads)
        {
            return Err(refused(index, why));
        }
    }
    Ok(order)
}
