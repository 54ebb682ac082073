//! Checks which programs may run: [`check`], [`repair`].
//!
//! A program may run if the rules determine its outcome, at least in part. It must also keep the promises that the
//! cases of the conformance suite make to a fixture.

use std::collections::BTreeMap;

use crate::clock::CallOrder;
use crate::order::Order;
use crate::program::{Op, Program, Statement, StreamKind};

/// Limits of the backend and its fixture.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Number of devices.
    pub devices: usize,
    /// Maximum number of threads of a program.
    pub threads: usize,
    /// Number of streams that can be blocked while another makes progress: `Fixture::independent`.
    pub independent: usize,
    /// `Fixture::destroy_waits`.
    pub destroy_waits: bool,
    /// Order of the calls of a program's threads.
    pub schedule: Schedule,
    /// `true` if the engine has default streams and per-thread streams.
    pub default_streams: bool,
    /// `true` if the backend has captures. Only programs whose calls are made in the order of the text have them.
    pub captures: bool,
}

/// Order of the calls of a program's threads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Schedule {
    /// Only barriers and channels order the calls of two threads.
    Concurrent,
    /// The calls of all threads are made in the order of the text. Only such programs have accesses and blocking streams.
    Serial {
        /// `true` if a default stream and the blocking streams of its device wait for each other (R41).
        implicit: bool,
    },
}

/// Error for a program that may not run.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("statement {number}, `{statement}`: {why}")]
pub struct InvalidProgram {
    /// Number of the statement, counted from 1 without comments and empty lines.
    pub number: usize,
    /// Text of the statement.
    pub statement: String,
    /// Reason.
    pub why: &'static str,
}

/// Letter and number of a stream (`s`), event (`e`), task (`t`) or channel (`c`).
///
/// Three further letters exist only here: `h` for a received channel, and `d` and `o` for a device whose default
/// stream or per-thread stream the program uses.
type Key = (char, u8);

/// Definition of a name, and its uses.
#[derive(Default)]
struct Definition {
    /// The device of a stream or event.
    device: u8,
    /// `true` for a wrapper of the per-thread stream.
    is_own: bool,
    /// Thread that defined the name.
    thread: u8,
    /// Addresses of a region.
    addresses: (u8, u8),
    alive: bool,
    /// All statements that use the name. The first defines it.
    uses: Vec<usize>,
}

struct Checker<'a> {
    limits: &'a Limits,
    calls: CallOrder,
    /// Thread and index of the current statement.
    thread: u8,
    index: usize,
    names: BTreeMap<Key, Definition>,
    /// Each gate, and `true` while it is closed.
    gates: Vec<(u8, bool)>,
    threads: usize,
}

type Check = Result<(), &'static str>;

impl Checker<'_> {
    /// Checks that all uses of a name are over before the statement at `index`.
    fn ensure_unused(&self, definition: &Definition, index: usize) -> Check {
        match definition.uses.iter().all(|other| self.calls.before(*other, index)) {
            true => Ok(()),
            false => Err("another thread may use the same name at this time"),
        }
    }

    /// Defines a stream or event. Its name must be free.
    fn define(&mut self, name: Key, device: u8, is_own: bool) -> Check {
        if usize::from(device) >= self.limits.devices {
            return Err("there is no such device");
        }
        let mut definition = self.names.remove(&name).unwrap_or_default();
        let result = match definition.alive {
            true => Err("the name is already in use"),
            false => self.ensure_unused(&definition, self.index),
        };
        if result.is_ok() {
            let (thread, uses) = (self.thread, vec![self.index]);
            definition =
                Definition { device, is_own, thread, alive: true, uses, ..Definition::default() };
        }
        self.names.insert(name, definition);
        result
    }

    /// Defines a name that a program can use only once.
    fn define_once(&mut self, name: Key) -> Check {
        if self.names.contains_key(&name) {
            return Err("the number is already in use");
        }
        let definition =
            Definition { alive: true, uses: vec![self.index], ..Definition::default() };
        self.names.insert(name, definition);
        Ok(())
    }

    /// Returns the live definition of a name, if it is over when this statement begins.
    fn find(&self, name: Key) -> Result<&Definition, &'static str> {
        let definition = self.names.get(&name).filter(|definition| definition.alive);
        let definition = definition.ok_or("the name is not defined here")?;
        if definition.is_own && definition.thread != self.thread {
            return Err("another thread cannot use the wrapper of a per-thread stream");
        }
        // The definition must be over; other uses may be concurrent.
        match self.calls.before(definition.uses[0], self.index) {
            true => Ok(definition),
            false => Err("another thread defines the name, possibly later"),
        }
    }

    /// Adds a use to each name. Call it when nothing else can reject the statement.
    fn add_uses(&mut self, names: &[Key]) {
        for name in names {
            if let Some(definition) = self.names.get_mut(name) {
                definition.uses.push(self.index);
            }
        }
    }

    /// Ends a definition.
    fn undefine(&mut self, name: Key) -> Check {
        self.ensure_unused(self.find(name)?, self.index)?;
        if let Some(definition) = self.names.get_mut(&name) {
            definition.alive = false;
            // A later definition must follow this statement, which follows all earlier uses.
            definition.uses = vec![self.index];
        }
        Ok(())
    }

    /// Checks that all names are defined, and adds a use to each.
    fn use_all(&mut self, names: &[Key]) -> Check {
        names.iter().try_for_each(|name| self.find(*name).map(drop))?;
        self.add_uses(names);
        Ok(())
    }

    fn is_serial(&self) -> bool {
        self.limits.schedule != Schedule::Concurrent
    }

    /// Checks one statement, and applies it if it is valid.
    fn apply(&mut self, statement: &Statement) -> Check {
        self.thread = statement.thread;
        match &statement.op {
            Op::Stream { stream, kind, device } => self.stream(*stream, *kind, *device),
            Op::Clone { stream, of } => self.clone(*stream, *of),
            Op::Event { event, device, .. } => self.define(('e', *event), *device, false),
            Op::RecordNew { event, stream } => self.record_new(*event, *stream),
            Op::Task { stream, task, .. } => self.task(*stream, *task),
            Op::Gate { .. } | Op::Open { .. } if statement.thread != 0 && !self.is_serial() => {
                Err("gates belong to thread 0, so that they have an order")
            }
            Op::Gate { stream, gate } => self.gate(*stream, *gate),
            Op::Open { gate } => self.open(*gate),
            Op::Record { stream, event } => self.record(*stream, *event),
            Op::Wait { stream, event } => self.use_all(&[('s', *stream), ('e', *event)]),
            Op::WaitStream { stream, other } => self.use_all(&[('s', *stream), ('s', *other)]),
            Op::Fork { stream, branches } | Op::Join { stream, branches } => {
                self.branches(*stream, branches)
            }
            Op::Query { stream } | Op::Sync { stream } => self.use_all(&[('s', *stream)]),
            Op::QueryEvent { event } | Op::SyncEvent { event } => self.use_all(&[('e', *event)]),
            Op::Check if statement.thread != 0 => Err("`check` belongs to thread 0"),
            Op::DropStream { stream } => self.undefine(('s', *stream)),
            Op::DropEvent { event } => self.undefine(('e', *event)),
            Op::Region { .. } | Op::Access { .. } | Op::HostAccess { .. } | Op::Elapsed { .. }
                if !self.is_serial() =>
            {
                Err("accesses are only for programs whose calls are made in the order of the text")
            }
            Op::BeginCapture { .. } | Op::EndCapture { .. }
                if !(self.is_serial() && self.limits.captures) =>
            {
                Err(
                    "captures are only for backends that have them, and for programs whose calls are made in the order \
                     of the text",
                )
            }
            Op::BeginCapture { stream } | Op::EndCapture { stream } => {
                self.use_all(&[('s', *stream)])
            }
            Op::Region { region, start, end } => {
                self.region(*region, *start, *end);
                Ok(())
            }
            Op::Access { stream, region, end, .. } => {
                self.part(*region, *end)?;
                self.use_all(&[('s', *stream)])
            }
            Op::HostAccess { region, end, .. } => self.part(*region, *end),
            Op::Elapsed { event, start } => self.use_all(&[('e', *event), ('e', *start)]),
            Op::Send { .. } | Op::Recv { .. } | Op::Barrier | Op::Check if self.is_serial() => {
                Err("it has no effect if the calls are made in the order of the text")
            }
            Op::Send { channel } => self.define_once(('c', *channel)),
            Op::Recv { channel } => self.recv(statement.thread, *channel),
            Op::Check | Op::Barrier => Ok(()),
        }
    }

    fn record_new(&mut self, event: u8, stream: u8) -> Check {
        let device = self.find(('s', stream))?.device;
        self.define(('e', event), device, false)?;
        self.add_uses(&[('s', stream)]);
        Ok(())
    }

    fn task(&mut self, stream: u8, task: u8) -> Check {
        self.find(('s', stream))?;
        self.define_once(('t', task))?;
        self.add_uses(&[('s', stream)]);
        Ok(())
    }

    fn record(&mut self, stream: u8, event: u8) -> Check {
        let (stream, event) = (('s', stream), ('e', event));
        if self.find(stream)?.device != self.find(event)?.device {
            return Err("the event belongs to another device");
        }
        self.use_all(&[stream, event])
    }

    fn stream(&mut self, stream: u8, kind: StreamKind, device: u8) -> Check {
        let is_own = kind == StreamKind::Own;
        if !self.limits.default_streams && (is_own || kind == StreamKind::Default) {
            return Err("the engine has no default streams and no per-thread streams");
        }
        if self.is_serial() {
            return self.define(('s', stream), device, is_own);
        }
        if kind == StreamKind::Blocking {
            return Err(
                "blocking streams are only for programs whose calls are made in the order of the text",
            );
        }
        if is_own && self.threads > 1 {
            return Err("the per-thread stream is only for programs of one thread");
        }
        // On CUDA and HIP these two wait for each other; on the host they do not.
        let (key, other) = match kind {
            StreamKind::Own => (Some('o'), 'd'),
            StreamKind::Default => (Some('d'), 'o'),
            _ => (None, ' '),
        };
        if key.is_some() && self.names.contains_key(&(other, device)) {
            return Err(
                "a program cannot use both the default stream and the per-thread stream of a device",
            );
        }
        self.define(('s', stream), device, is_own)?;
        if let Some(key) = key {
            self.names.entry((key, device)).or_default();
        }
        Ok(())
    }

    /// Defines a region. Its addresses are no longer those of an earlier one.
    fn region(&mut self, region: u8, start: u8, end: u8) {
        for (name, other) in &mut self.names {
            if name.0 == 'r' && other.addresses.0 < end && start < other.addresses.1 {
                other.alive = false;
            }
        }
        let uses = vec![self.index];
        let definition =
            Definition { addresses: (start, end), alive: true, uses, ..Definition::default() };
        self.names.insert(('r', region), definition);
    }

    /// Checks that the region has bytes up to `end`.
    fn part(&self, region: u8, end: u8) -> Check {
        let (first, last) = self.find(('r', region))?.addresses;
        if end > last - first {
            return Err("the part passes the end of the region");
        }
        Ok(())
    }

    fn clone(&mut self, stream: u8, of: u8) -> Check {
        let (device, is_own) = self.find(('s', of)).map(|of| (of.device, of.is_own))?;
        if is_own {
            return Err("the per-thread stream cannot be cloned");
        }
        if stream == of {
            return Err("the name is already in use");
        }
        self.define(('s', stream), device, false)?;
        self.add_uses(&[('s', of)]);
        Ok(())
    }

    fn gate(&mut self, stream: u8, gate: u8) -> Check {
        if self.gates.iter().any(|(other, _)| *other >= gate) {
            return Err("the number of a gate must be above those of all earlier gates");
        }
        self.use_all(&[('s', stream)])?;
        self.gates.push((gate, true));
        Ok(())
    }

    fn open(&mut self, gate: u8) -> Check {
        let closed = self.gates.iter_mut().find(|(_, is_closed)| *is_closed);
        match closed.filter(|(first, _)| *first == gate) {
            Some((_, is_closed)) => *is_closed = false,
            None => return Err("only the oldest closed gate can be opened"),
        }
        Ok(())
    }

    fn branches(&mut self, stream: u8, branches: &[u8]) -> Check {
        let mut names = vec![('s', stream)];
        for branch in branches {
            if self.find(('s', *branch))?.is_own {
                return Err("the per-thread stream has another type than the other branches");
            }
            names.push(('s', *branch));
        }
        self.use_all(&names)
    }

    fn recv(&mut self, thread: u8, channel: u8) -> Check {
        let send = self.names.get(&('c', channel)).filter(|_| self.threads > 1);
        let send = send.ok_or("no thread has sent on this channel before")?.uses[0];
        if self.calls.thread(send) == usize::from(thread) {
            return Err("a thread cannot receive its own message");
        }
        self.define_once(('h', channel))
    }
}

/// Returns the statements of `program` that are valid one by one, and calls `reject` for each of the others.
pub(crate) fn well_formed(
    program: &Program,
    limits: &Limits,
    mut reject: impl FnMut(usize, &'static str),
) -> Program {
    let threads = program.threads().min(limits.threads);
    let mut checker = Checker {
        limits,
        calls: CallOrder::new(if limits.schedule == Schedule::Concurrent { threads } else { 1 }),
        thread: 0,
        index: 0,
        names: BTreeMap::new(),
        gates: Vec::new(),
        threads,
    };
    let mut kept = Vec::new();
    for (number, statement) in program.0.iter().enumerate() {
        if usize::from(statement.thread) >= threads {
            reject(number, "the program has too many threads");
            continue;
        }
        let undo = checker.calls.push(statement);
        match checker.apply(statement) {
            Ok(()) => {
                kept.push(statement.clone());
                checker.index += 1;
            }
            Err(why) => {
                checker.calls.undo(undo);
                reject(number, why);
            }
        }
    }
    Program(kept)
}

/// Returns an error if the statement at `index` has no place in the program as a whole: it may block forever, or the
/// captures at this point do not allow it.
pub(crate) fn context_error(order: &Order, limits: &Limits, index: usize) -> Check {
    if let Some(why) = order.capture_error(index) {
        return Err(why);
    }
    match order.program.0[index].op {
        Op::Sync { .. } | Op::SyncEvent { .. } => {
            let unopened = order.unopened_at(index);
            if order.may_hold(index) & unopened != 0 {
                return Err("it may wait for a gate that is opened later, and would not return");
            }
            if unopened != 0 && order.held_queues(index, unopened) > limits.independent {
                return Err(
                    "more streams are blocked than the backend can block while another makes progress",
                );
            }
            Ok(())
        }
        Op::DropStream { .. } if limits.destroy_waits => {
            match order.may_hold(index) & order.unopened_at(index) {
                0 => Ok(()),
                _ => Err("this backend cannot destroy a stream that a gate blocks"),
            }
        }
        _ => Ok(()),
    }
}

/// Removes the statements that may not run, and reads of tasks that do not exist. Returns the order of the rest.
pub fn repair(program: &Program, limits: &Limits) -> Order {
    let mut program = program.clone();
    loop {
        let mut order = Order::of(well_formed(&program, limits, |_, _| ()), limits.schedule);
        let count = order.program.0.len();
        let keep: Vec<_> =
            (0..count).map(|index| context_error(&order, limits, index).is_ok()).collect();
        if keep.iter().all(|keep| *keep) {
            order.drop_invalid_reads();
            return order;
        }
        let mut keep = keep.into_iter();
        program = order.program;
        program.0.retain(|_| keep.next() == Some(true));
    }
}

/// Returns the program's order if the whole program may run.
///
/// # Errors
/// The first statement that may not run.
pub fn check(program: &Program, limits: &Limits) -> Result<Order, InvalidProgram> {
    let invalid = |index: usize, why| {
        let statement = program.0[index].to_string();
        InvalidProgram { number: index + 1, statement, why }
    };
    let mut first = None;
    well_formed(program, limits, |index, why| {
        first.get_or_insert_with(|| invalid(index, why));
    });
    if let Some(first) = first {
        return Err(first);
    }
    let order = Order::of(program.clone(), limits.schedule);
    for index in 0..program.0.len() {
        context_error(&order, limits, index).map_err(|why| invalid(index, why))?;
        if let Op::Task { reads, .. } = &program.0[index].op
            && let Some(why) = order.read_error(index, reads)
        {
            return Err(invalid(index, why));
        }
    }
    Ok(order)
}
