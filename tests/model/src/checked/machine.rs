//! Runs one serial program on a checked backend: [`run`].

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use gpu_stream_checked::{Checked, CheckedEvent, CheckedStream, Report, Scope};
use gpu_stream_conformance::{Fixture, Outcome, Verdict};
use gpu_stream_core::{Device, HandleKind, PerThread, PlainHandles, RawHandle, Region, Stream};

use crate::checked::sites::{SITES, statements};
use crate::order::Order;
use crate::program::Program;
use crate::run::Failure;
use crate::watchdog::lock;

mod statements;

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
    /// For each statement, its place: see [`statements`].
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
    /// Set when the program's report was taken.
    is_reported: Mutex<bool>,
    reported: Condvar,
}

/// Wrappers of a thread's per-thread streams.
type Own<B> = Vec<(u8, PerThread<CheckedStream<B>>)>;

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
    let mut sites = vec![SITES; order.program.0.len()];
    for (site, statement) in statements(order).into_iter().enumerate() {
        sites[statement] = site;
    }
    let machine: Machine<'_, F, B> = Machine {
        fixture,
        devices,
        order,
        sites,
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
        is_reported: Mutex::default(),
        reported: Condvar::new(),
    };
    let (result, report) = run_threads(&machine);
    // Outside of the scope: the host waits for everything here, and the program has not.
    let ended = machine.end();
    result?;
    ended.map_err(|why| Failure { statement: None, message: why.reason().into() })?;
    let Machine { answered, identities, .. } = machine;
    let answered = answered.into_inner().unwrap_or_default();
    let identities = identities.into_inner().unwrap_or_default();
    Ok(Outcomes { answered, identities, report })
}

/// Runs all threads of a program in a scope. Returns what was found in it, until the last statement.
fn run_threads<F, B>(machine: &Machine<'_, F, B>) -> (Result<(), Failure>, Report)
where
    F: Fixture<Backend = Checked<B>>,
    B: PlainHandles,
{
    let threads = machine.order.program.threads();
    std::thread::scope(|spawn| {
        let (mut own, mut others) = (Vec::new(), Vec::new());
        let (mut result, report) = Checked::<B>::scope(|scope| {
            for thread in 1..threads {
                let scope = scope.clone();
                others.push(spawn.spawn(move || machine.run_other(thread, scope)));
            }
            let result = machine.run_thread((threads > 1).then_some(0), &mut own);
            machine.wait_for_statements();
            result
        });
        *lock(&machine.is_reported) = true;
        machine.reported.notify_all();
        result = result.and(machine.end_own(&own));
        for other in others {
            let panicked =
                |_| Err(Failure { statement: None, message: "a thread panicked".into() });
            result = result.and(other.join().unwrap_or_else(panicked));
        }
        (result, report)
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
            let outcome = self.checked_statement(own, index, statement);
            if thread.is_some() {
                *lock(&self.turn) = if outcome.is_ok() { index + 1 } else { usize::MAX };
                self.next.notify_all();
            }
            outcome.map_err(|verdict| Failure {
                statement: Some(index),
                message: verdict.reason().into(),
            })?;
        }
        Ok(())
    }

    /// Runs the statements of a thread in the scope. Then waits until the scope is over, because the host waits for the
    /// thread's streams at its end.
    fn run_other(&self, thread: usize, scope: Scope) -> Result<(), Failure> {
        let mut own = Vec::new();
        let entered = scope.enter();
        let result = self.run_thread(Some(thread), &mut own);
        drop(entered);
        drop(scope);
        drop(self.reported.wait_while(lock(&self.is_reported), |is_reported| !*is_reported));
        result.and(self.end_own(&own))
    }

    /// Waits until all statements have run, or one has failed.
    fn wait_for_statements(&self) {
        let length = self.order.program.0.len();
        if self.order.program.threads() > 1 {
            drop(self.next.wait_while(lock(&self.turn), |turn| *turn < length));
        }
    }

    /// Waits for the per-thread streams of this thread. Opens all gates before.
    fn end_own(&self, own: &Own<B>) -> Result<(), Failure> {
        self.open_all();
        for (_, stream) in own {
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
}
