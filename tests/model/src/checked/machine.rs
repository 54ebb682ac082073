//! Runs one serial program on a checked backend: [`run`].

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use gpu_stream_checked::{Checked, CheckedEvent, CheckedStream, Report, Scope};
use gpu_stream_conformance::{Fixture, Outcome, Verdict};
use gpu_stream_core::{
    Access, Backend, Device, Error as _, ErrorKind, Event, EventOptions, EventStatus, HandleKind,
    PerThread, PlainHandles, RawHandle, Region, Stream, StreamOptions, StreamOwner,
};

use super::mutation::{Mutation, is};
use super::sites::{access_at, host_access_at};
use crate::order::Order;
use crate::program::{EventKind, Op, Program, Statement, StreamKind};
use crate::run::Failure;
use crate::watchdog::lock;

/// Bytes between the addresses of two programs. It is above the end of every region.
const SPAN: usize = 1 << 10;

/// Device and handle of a stream. Several per-thread streams have one.
pub(super) type Identity = (Device, usize);

/// Returns the identity of a stream. Both handles of a default stream are one.
pub(super) fn identity(device: Device, handle: usize) -> Identity {
    let is_default = HandleKind::of(handle) == HandleKind::Default;
    (device, if is_default { 0 } else { handle })
}

/// What a run has shown.
pub(super) struct Outcomes {
    /// Statements of the queries that returned `true`.
    pub(super) answered: Vec<usize>,
    /// For each queue, the device and handle of its stream.
    pub(super) identities: BTreeMap<usize, Identity>,
    /// What the check found.
    pub(super) report: Report,
}

/// State that the threads share.
struct Machine<'a, F: Fixture, B: PlainHandles> {
    fixture: &'a F,
    devices: &'a [Device],
    order: &'a Order,
    /// For each statement that is an access, its number among them.
    sites: Vec<usize>,
    /// Address of byte 0 of the program's regions.
    base: usize,
    streams: Mutex<BTreeMap<u8, Arc<CheckedStream<B>>>>,
    events: Mutex<BTreeMap<u8, Arc<CheckedEvent<B>>>>,
    /// For each event, the name of the stream of its last record.
    recorded: Mutex<BTreeMap<u8, u8>>,
    regions: Mutex<BTreeMap<u8, Region>>,
    gates: Mutex<Vec<F::Gate>>,
    /// Streams of raw wrappers. They outlive all wrappers.
    foreign: Mutex<Vec<F::Foreign>>,
    answered: Mutex<Vec<usize>>,
    identities: Mutex<BTreeMap<usize, Identity>>,
    /// The statement whose turn it is; `usize::MAX` after a failure.
    turn: Mutex<usize>,
    next: Condvar,
}

/// Wrappers of a thread's per-thread streams.
type Own<B> = Vec<(u8, PerThread<CheckedStream<B>>)>;

/// Evaluates an expression with the stream of a name, which can be a per-thread stream or a wrapper.
macro_rules! with {
    ($self:ident, $own:ident, $name:expr, |$stream:ident| $body:expr) => {
        match $own.iter().find(|(name, _)| *name == $name) {
            Some((_, $stream)) => $body,
            None => {
                let wrapper = $self.wrapper($name)?;
                let $stream = &*wrapper;
                $body
            }
        }
    };
}

/// Runs a program, and returns what the check found. Blocks until all of its work is done.
///
/// # Errors
/// The statement whose call failed.
pub(super) fn run<F, B>(fixture: &F, devices: &[Device], order: &Order) -> Result<Outcomes, Failure>
where
    F: Fixture<Backend = Checked<B>>,
    B: PlainHandles,
{
    static PROGRAMS: AtomicUsize = AtomicUsize::new(1 << 12);
    let accesses = order.program.0.iter().scan(0, |count, statement| {
        let site = *count;
        let is_access = matches!(statement.op, Op::Access { .. } | Op::HostAccess { .. });
        *count += usize::from(is_access);
        Some(site)
    });
    let machine: Machine<'_, F, B> = Machine {
        fixture,
        devices,
        order,
        sites: accesses.collect(),
        base: PROGRAMS.fetch_add(1, Ordering::Relaxed) * SPAN,
        streams: Mutex::default(),
        events: Mutex::default(),
        recorded: Mutex::default(),
        regions: Mutex::default(),
        gates: Mutex::default(),
        foreign: Mutex::default(),
        answered: Mutex::default(),
        identities: Mutex::default(),
        turn: Mutex::new(0),
        next: Condvar::new(),
    };
    let (result, report) = Checked::<B>::scope(|scope| {
        run_threads(&machine, scope)?;
        machine.end().map_err(|why| Failure { statement: None, message: why.reason().into() })
    });
    result?;
    let Machine { answered, identities, .. } = machine;
    let answered = answered.into_inner().unwrap_or_default();
    let identities = identities.into_inner().unwrap_or_default();
    Ok(Outcomes { answered, identities, report })
}

/// Runs all threads of a program in the scope.
fn run_threads<F, B>(machine: &Machine<'_, F, B>, scope: &Scope) -> Result<(), Failure>
where
    F: Fixture<Backend = Checked<B>>,
    B: PlainHandles,
{
    let threads = machine.order.program.threads();
    if threads == 1 {
        return machine.run_thread(None, &mut Vec::new());
    }
    std::thread::scope(|spawn| {
        let others: Vec<_> = (1..threads)
            .map(|thread| {
                spawn.spawn(move || {
                    let _entered = scope.enter();
                    machine.run_thread(Some(thread), &mut Vec::new())
                })
            })
            .collect();
        let mut result = machine.run_thread(Some(0), &mut Vec::new());
        for other in others {
            let panicked =
                |_| Err(Failure { statement: None, message: "a thread panicked".into() });
            result = result.and(other.join().unwrap_or_else(panicked));
        }
        result
    })
}

impl<F, B> Machine<'_, F, B>
where
    F: Fixture<Backend = Checked<B>>,
    B: PlainHandles,
{
    /// Runs the statements of a thread, or all. Waits for the turn of each, if there are several threads.
    fn run_thread(&self, thread: Option<usize>, own: &mut Own<B>) -> Result<(), Failure> {
        let program: &Program = &self.order.program;
        for (index, statement) in program.0.iter().enumerate() {
            if thread.is_some_and(|thread| thread != usize::from(statement.thread)) {
                continue;
            }
            if thread.is_some() {
                let turn = self.next.wait_while(lock(&self.turn), |turn| *turn < index);
                if turn.is_ok_and(|turn| *turn > index) {
                    return Ok(());
                }
            }
            let outcome = self.statement(own, index, statement);
            if thread.is_some() {
                *lock(&self.turn) = if outcome.is_ok() { index + 1 } else { usize::MAX };
                self.next.notify_all();
            }
            outcome.map_err(|verdict| Failure {
                statement: Some(index),
                message: verdict.reason().into(),
            })?;
        }
        // All gates must be open before the thread waits for its own streams.
        let length = program.0.len();
        if thread.is_some() {
            drop(self.next.wait_while(lock(&self.turn), |turn| *turn < length));
        }
        self.open_all();
        for (_, stream) in own.iter() {
            let waited = stream.synchronize().map_err(Verdict::from);
            waited.map_err(|why| Failure { statement: None, message: why.reason().into() })?;
        }
        Ok(())
    }

    fn open_all(&self) {
        lock(&self.gates).iter().for_each(|gate| self.fixture.open(gate));
    }

    /// Opens all gates, waits for all streams, and drops everything.
    fn end(&self) -> Outcome {
        self.open_all();
        for stream in lock(&self.streams).values() {
            stream.synchronize()?;
        }
        lock(&self.events).clear();
        lock(&self.streams).clear();
        lock(&self.foreign).clear();
        Ok(())
    }

    fn wrapper(&self, name: u8) -> Result<Arc<CheckedStream<B>>, Verdict> {
        let found = lock(&self.streams).get(&name).cloned();
        found.ok_or_else(|| Verdict::failed(format_args!("the program has no s{name} here")))
    }

    fn event(&self, name: u8) -> Result<Arc<CheckedEvent<B>>, Verdict> {
        let found = lock(&self.events).get(&name).cloned();
        found.ok_or_else(|| Verdict::failed(format_args!("the program has no e{name} here")))
    }

    fn region(&self, name: u8) -> Result<Region, Verdict> {
        let found = lock(&self.regions).get(&name).copied();
        found.ok_or_else(|| Verdict::failed(format_args!("the program has no r{name} here")))
    }

    /// Remembers the device and handle of a queue.
    fn identify(&self, index: usize, stream: &CheckedStream<B>) {
        if let Some(queue) = self.order.queue_of[index] {
            let identity = identity(stream.device(), RawHandle::to_bits(stream.raw_to_compare()));
            lock(&self.identities).insert(queue, identity);
        }
    }

    fn insert(&self, name: u8, index: usize, stream: CheckedStream<B>) {
        self.identify(index, &stream);
        lock(&self.streams).insert(name, Arc::new(stream));
    }

    /// Runs one statement.
    fn statement(&self, own: &mut Own<B>, index: usize, statement: &Statement) -> Outcome {
        match &statement.op {
            Op::Stream { stream, kind, device } => {
                return self.create_stream(own, index, *stream, *kind, *device);
            }
            Op::Clone { stream, of } => {
                let of = self.wrapper(*of)?;
                let clone = if is(Mutation::CloneIsAnother) {
                    Checked::<B>::new_stream(of.device(), StreamOptions::new())?
                } else {
                    CheckedStream::clone(&of)
                };
                self.insert(*stream, index, clone);
            }
            Op::Event { event, kind, device } => {
                let options = match kind {
                    EventKind::Plain => EventOptions::new(),
                    EventKind::Timed => EventOptions::timed(),
                    EventKind::Blocking => EventOptions::builder().blocking(true).build()?,
                };
                let new = Checked::<B>::new_event(self.devices[usize::from(*device)], options)?;
                lock(&self.events).insert(*event, Arc::new(new));
            }
            Op::RecordNew { event, stream } => {
                let new = with!(self, own, *stream, |stream| stream.record_event())?;
                lock(&self.recorded).insert(*event, *stream);
                lock(&self.events).insert(*event, Arc::new(new));
            }
            Op::Region { region, start, end } => {
                let start = self.base + usize::from(*start);
                let bytes = self.base + usize::from(*end) - start;
                let new = Region::new("region", start, bytes);
                let mut regions = lock(&self.regions);
                let old = regions.get(region).filter(|old| old.addresses() == new.addresses());
                let kept = old.copied().filter(|_| is(Mutation::AllocationKept));
                regions.insert(*region, kept.unwrap_or(new));
            }
            Op::Access { stream, access, region, start, end } => {
                let bytes = usize::from(*start)..usize::from(*end);
                if let Some((access, part)) = mutated(*access, self.region(*region)?, bytes) {
                    let site = self.sites[index];
                    with!(self, own, *stream, |stream| access_at(site, stream, access, &part));
                }
            }
            Op::HostAccess { access, region, start, end } => {
                let bytes = usize::from(*start)..usize::from(*end);
                if let Some((access, part)) = mutated(*access, self.region(*region)?, bytes) {
                    host_access_at::<CheckedStream<B>>(self.sites[index], access, &part);
                }
            }
            Op::Gate { stream, .. } => {
                let gate = with!(self, own, *stream, |stream| self.fixture.gate(stream))?;
                lock(&self.gates).push(gate);
            }
            Op::Open { .. } => {
                let gate = self.order.gate_at(index);
                let gates = lock(&self.gates);
                if let Some(gate) = gate.and_then(|gate| gates.get(gate)) {
                    self.fixture.open(gate);
                }
            }
            Op::DropStream { stream } => match own.iter().position(|(name, _)| name == stream) {
                Some(position) => drop(own.swap_remove(position)),
                None => drop(lock(&self.streams).remove(stream)),
            },
            Op::DropEvent { event } => drop(lock(&self.events).remove(event)),
            op => return self.order_call(own, index, op),
        }
        Ok(())
    }

    /// Runs a record, a wait or a query.
    fn order_call(&self, own: &mut Own<B>, index: usize, op: &Op) -> Outcome {
        match op {
            Op::Record { .. } if is(Mutation::RecordLost) => {}
            Op::Record { stream, event } => {
                lock(&self.recorded).insert(*event, *stream);
                let event = self.event(*event)?;
                with!(self, own, *stream, |stream| stream.record(&event))?;
            }
            Op::Wait { stream, event } if !is(Mutation::WaitLost) => {
                let recorded = lock(&self.recorded).get(event).copied();
                let event = self.event(*event)?;
                if let Some(Ok(late)) = recorded.map(|name| self.wrapper(name))
                    && is(Mutation::RecordIsOfTheWait)
                {
                    // Fails if the name has moved on to a stream of another device.
                    drop(late.record(&event));
                }
                with!(self, own, *stream, |stream| stream.wait_event(&event))?;
            }
            Op::WaitStream { stream, other } if !is(Mutation::WaitStreamLost) => {
                let turned = is(Mutation::WaitStreamTurned);
                with!(self, own, *stream, |stream| with!(self, own, *other, |other| {
                    if turned { other.wait_stream(stream) } else { stream.wait_stream(other) }
                }))?;
            }
            Op::Fork { stream, branches } | Op::Join { stream, branches } => {
                let wrappers = branches.iter().map(|branch| self.wrapper(*branch));
                let wrappers = wrappers.collect::<Result<Vec<_>, _>>()?;
                let all = wrappers.iter().map(|wrapper| &**wrapper);
                let is_fork = matches!(op, Op::Fork { .. });
                if is_fork && is(Mutation::ForkLost) {
                    return Ok(());
                }
                let count = match is_fork {
                    true if is(Mutation::ForkFirstOnly) => 1,
                    false if is(Mutation::JoinFirstOnly) => 1,
                    _ => usize::MAX,
                };
                with!(self, own, *stream, |stream| match is_fork {
                    true => stream.fork(all.take(count)),
                    false => stream.join(all.take(count)),
                })?;
            }
            // Without a gate, nothing is left to be done.
            Op::Query { .. } if is(Mutation::QueryLost) => self.answer(index, true),
            Op::QueryEvent { .. } if is(Mutation::QueryEventLost) => self.answer(index, true),
            Op::Query { stream } => {
                let is_done = with!(self, own, *stream, |stream| stream.query())?;
                self.answer(index, is_done);
            }
            Op::QueryEvent { event } => {
                let event = self.event(*event)?;
                let is_done = event.query()?;
                self.answer(index, is_done || event.status()? == EventStatus::Complete);
            }
            Op::Elapsed { event, start } => {
                let (event, start) = (self.event(*event)?, self.event(*start)?);
                // An error says that an event is not timed, not recorded or not complete. Without a gate it will be.
                let mut tries = if lock(&self.gates).is_empty() { 1_000 } else { 1 };
                let is_measured = loop {
                    match event.elapsed_since(&start) {
                        Err(error) if error.kind() == ErrorKind::EventPending && tries > 0 => {
                            tries -= 1;
                            std::thread::yield_now();
                        }
                        elapsed => break elapsed.is_ok(),
                    }
                };
                self.answer(index, is_measured);
            }
            Op::Sync { stream } if !is(Mutation::SyncLost) => {
                with!(self, own, *stream, |stream| stream.synchronize())?;
            }
            Op::SyncEvent { event } if !is(Mutation::SyncEventLost) => {
                self.event(*event)?.synchronize()?
            }
            _ => {}
        }
        Ok(())
    }

    /// Remembers the result of a query.
    fn answer(&self, index: usize, is_done: bool) {
        if is_done {
            lock(&self.answered).push(index);
        }
    }

    /// Creates or wraps a stream.
    fn create_stream(
        &self,
        own: &mut Own<B>,
        index: usize,
        name: u8,
        kind: StreamKind,
        device: u8,
    ) -> Outcome {
        let device = self.devices[usize::from(device)];
        let options = StreamOptions::new().blocking(match kind {
            StreamKind::Blocking => !is(Mutation::BlockingLost),
            _ => is(Mutation::AllAreBlocking),
        });
        let stream = match kind {
            StreamKind::New | StreamKind::Blocking => Checked::<B>::new_stream(device, options)?,
            StreamKind::Default => Checked::<B>::default_stream(device)?,
            StreamKind::Own => {
                let stream = Checked::<B>::per_thread_stream(device)?;
                if let Some(queue) = self.order.queue_of[index] {
                    let identity = identity(device, RawHandle::to_bits(stream.raw_to_compare()));
                    lock(&self.identities).insert(queue, identity);
                }
                own.push((name, stream));
                return Ok(());
            }
            StreamKind::Owner => {
                let owner = Arc::new(self.fixture.foreign(device, options)?);
                Checked::<B>::stream_from_owner(owner, None)?
            }
            StreamKind::Raw => {
                let foreign = self.fixture.foreign(device, options)?;
                let raw = foreign.raw_stream();
                lock(&self.foreign).push(foreign);
                // SAFETY: `raw` is the handle of `foreign`, which `self.foreign` keeps alive. `end` destroys it after all
                // wrappers and events.
                unsafe { Checked::<B>::stream_from_raw(raw, Some(device)) }?
            }
        };
        self.insert(name, index, stream);
        Ok(())
    }
}

/// Returns the access that is declared for an access of the program. `None` if a mutation loses it.
fn mutated(access: Access, whole: Region, bytes: Range<usize>) -> Option<(Access, Region)> {
    let part = whole.part(bytes.clone());
    match access {
        _ if is(Mutation::WholeRegion) => Some((access, whole)),
        _ if is(Mutation::FirstByte) => Some((access, whole.part(bytes.start..bytes.start + 1))),
        Access::Read if is(Mutation::ReadIsWrite) => Some((Access::Write, part)),
        Access::Write if is(Mutation::WriteIsRead) => Some((Access::Read, part)),
        Access::Release if is(Mutation::ReleaseLost) => None,
        _ => Some((access, part)),
    }
}
