//! Runs one program on a backend: [`Interpreter`].

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use gpu_stream_conformance::fixture::{EventOf, StreamOf};
use gpu_stream_conformance::outcome::check;
use gpu_stream_conformance::{Fixture, Outcome, Verdict};
use gpu_stream_core::{Backend, Device, Event, PerThread, Stream, StreamOwner};

use crate::clock::Clock;
use crate::order::{Name, Order};
use crate::program::Op;
use crate::run::{Counts, Failure};
use crate::watchdog::{Aborted, RunningProgram, lock};

mod checks;
mod statements;

/// Number in the memory of the fixture, and its value at the start of a program.
pub(crate) struct Number<F: Fixture> {
    pub(crate) data: F::Data,
    pub(crate) initial: u32,
}

/// State of one thread of a program.
pub(crate) struct ThreadState<F: Fixture> {
    thread: usize,
    /// Per-thread streams, which cannot leave the thread.
    own: Vec<(u8, PerThread<StreamOf<F>>)>,
    /// Work that query results have shown to be complete.
    learned: Clock,
}

impl<F: Fixture> ThreadState<F> {
    /// Creates the state of the thread with this number.
    pub(crate) fn new(thread: usize) -> Self {
        ThreadState { thread, own: Vec::new(), learned: Clock::default() }
    }
}

/// Owner of a foreign stream that reports its own drop.
struct TrackedOwner<F: Fixture> {
    foreign: F::Foreign,
    gone: Arc<AtomicBool>,
}

impl<F: Fixture> Drop for TrackedOwner<F> {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::SeqCst);
    }
}

// SAFETY: `raw_stream` returns the handle of `self.foreign`, which lives as long as `self`.
unsafe impl<F: Fixture> StreamOwner<F::Backend> for TrackedOwner<F> {
    fn raw_stream(&self) -> <F::Backend as Backend>::RawStream {
        self.foreign.raw_stream()
    }
}

/// Live value of a name.
type Slot<T> = Mutex<Option<Arc<T>>>;

/// Live wrapper, and its queue in the model.
struct Wrapper<F: Fixture> {
    stream: StreamOf<F>,
    queue: usize,
    /// Flag that the owner sets when it is dropped, if there is an owner.
    owner: Option<Arc<AtomicBool>>,
}

/// Run of one program.
pub(crate) struct Interpreter<'a, F: Fixture> {
    fixture: &'a F,
    devices: &'a [Device],
    running: Arc<RunningProgram<F>>,
    /// Device and number of each task, then those of the reads.
    numbers: Vec<(u8, Number<F>)>,
    /// For each task, the range of its reads in `numbers`.
    reads: Vec<Range<usize>>,
    /// Value that the tasks of this program store.
    value: u32,
    /// `true` if `Fixture::settle` is exact.
    exact: bool,
    /// `true` if a `synchronize` is preceded by a query that must be `true`.
    settle_first: bool,
    streams: Vec<Slot<Wrapper<F>>>,
    events: Vec<Slot<EventOf<F>>>,
    /// Flags of all owners.
    owners: Mutex<Vec<Arc<AtomicBool>>>,
    /// For each event, the flag of the owner of the last record's stream, if there is one.
    recorded: Vec<Mutex<Option<Arc<AtomicBool>>>>,
    /// Streams of raw wrappers. They outlive all wrappers and events.
    foreign: Mutex<Vec<F::Foreign>>,
    /// For each thread, the index of its current statement.
    positions: Vec<AtomicUsize>,
    counts: Mutex<Counts>,
}

/// Returns the live value of a name.
fn get<T>(slots: &[Slot<T>], name: u8) -> Option<Arc<T>> {
    slots.get(usize::from(name)).and_then(|slot| lock(slot).clone())
}

impl<'a, F: Fixture> Interpreter<'a, F> {
    /// Creates the state of a program before its first statement.
    pub(crate) fn new(
        fixture: &'a F,
        devices: &'a [Device],
        running: Arc<RunningProgram<F>>,
        numbers: Vec<(u8, Number<F>)>,
        value: u32,
        (exact, settle_first): (bool, bool),
    ) -> Self {
        let order = &running.order;
        let mut next = order.tasks.len();
        let reads = order.tasks.iter().map(|task| {
            let count = match &order.program.0[task.statement].op {
                Op::Task { reads, .. } => reads.len(),
                _ => 0,
            };
            next += count;
            next - count..next
        });
        let reads = reads.collect();
        let (mut streams, mut events) = (0, 0);
        for statement in &order.program.0 {
            match statement.op {
                Op::Stream { stream, .. } | Op::Clone { stream, .. } => {
                    streams = streams.max(usize::from(stream) + 1);
                }
                Op::Event { event, .. } | Op::RecordNew { event, .. } => {
                    events = events.max(usize::from(event) + 1);
                }
                _ => {}
            }
        }
        Interpreter {
            fixture,
            devices,
            numbers,
            reads,
            value,
            exact,
            settle_first,
            streams: (0..streams).map(|_| Mutex::new(None)).collect(),
            events: (0..events).map(|_| Mutex::new(None)).collect(),
            owners: Mutex::default(),
            recorded: (0..events).map(|_| Mutex::new(None)).collect(),
            foreign: Mutex::default(),
            positions: (0..order.program.threads()).map(|_| AtomicUsize::new(0)).collect(),
            counts: Mutex::default(),
            running,
        }
    }

    fn order(&self) -> &Order {
        &self.running.order
    }

    pub(crate) fn threads(&self) -> usize {
        self.positions.len()
    }

    /// Returns the first statement at which a thread was when the program was aborted.
    pub(crate) fn stuck_at(&self) -> Option<usize> {
        let positions = self.positions.iter().map(|position| position.load(Ordering::SeqCst));
        positions.filter(|position| *position < self.order().program.0.len()).min()
    }

    /// Changes the counts.
    fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut lock(&self.counts));
    }

    /// Runs all statements of the thread.
    pub(crate) fn run_thread(&self, state: &mut ThreadState<F>) -> Result<(), Failure> {
        let all = self.order().program.0.iter().enumerate();
        for (index, statement) in all {
            let is_own = usize::from(statement.thread) == state.thread;
            if !is_own && statement.op != Op::Barrier {
                continue;
            }
            self.positions[state.thread].store(index, Ordering::SeqCst);
            if self.running.rendezvous.is_aborted() {
                return Err(Failure { statement: None, message: "another thread failed".into() });
            }
            let outcome = match self.sync_threads(&statement.op) {
                Some(Ok(())) => continue,
                Some(Err(Aborted)) => {
                    return Err(Failure {
                        statement: None,
                        message: "another thread failed".into(),
                    });
                }
                None => self.statement(state, index, &statement.op),
            };
            if let Err(verdict) = outcome {
                // Other threads may wait for this thread, or for a gate that it would open.
                self.running.abort(self.fixture);
                return Err(Failure { statement: Some(index), message: verdict.reason().into() });
            }
        }
        self.positions[state.thread].store(usize::MAX, Ordering::SeqCst);
        Ok(())
    }

    /// Runs a barrier, send or receive. Returns `None` for any other operation.
    fn sync_threads(&self, op: &Op) -> Option<Result<(), Aborted>> {
        let rendezvous = &self.running.rendezvous;
        match op {
            Op::Barrier => Some(rendezvous.barrier(self.threads())),
            Op::Send { channel } => {
                rendezvous.send(*channel);
                Some(Ok(()))
            }
            Op::Recv { channel } => Some(rendezvous.recv(*channel)),
            _ => None,
        }
    }

    fn wrapper(&self, name: u8) -> Result<Arc<Wrapper<F>>, Verdict> {
        get(&self.streams, name).ok_or_else(|| missing('s', name))
    }

    fn event(&self, name: u8) -> Result<Arc<EventOf<F>>, Verdict> {
        get(&self.events, name).ok_or_else(|| missing('e', name))
    }

    /// Returns all live wrappers.
    fn wrappers(&self) -> Vec<Arc<Wrapper<F>>> {
        self.streams.iter().filter_map(|slot| lock(slot).clone()).collect()
    }

    /// Waits until all unblocked work is complete, if the fixture can.
    fn settle(&self) {
        let wrappers = self.wrappers();
        let streams: Vec<_> = wrappers.iter().map(|wrapper| &wrapper.stream).collect();
        self.fixture.settle(&streams);
    }

    /// Completes all work, and runs the final checks.
    pub(crate) fn finish(&self, mut state: ThreadState<F>) -> Result<(), Failure> {
        self.check_final(&mut state).map_err(|verdict| {
            self.running.abort(self.fixture);
            Failure { statement: None, message: verdict.reason().into() }
        })
    }

    fn check_final(&self, state: &mut ThreadState<F>) -> Outcome {
        self.check_tasks(self.order().program.0.len())?;
        self.running.open_all(self.fixture);
        if self.settle_first {
            self.settle();
            for wrapper in self.wrappers() {
                let done = wrapper.stream.query()?;
                check(done, "a stream is stuck at the end, with all gates open")?;
            }
        }
        for wrapper in self.wrappers() {
            wrapper.stream.synchronize()?;
        }
        for (_, own) in &state.own {
            own.synchronize()?;
        }
        // The streams of these tasks may be dropped, so only the numbers show completion.
        for (task, (_, number)) in self.order().tasks.iter().zip(&self.numbers) {
            let name = task.name;
            self.wait_until(
                || Ok(self.fixture.load(&number.data)? == self.value),
                format_args!("task t{name} was never complete"),
            )?;
        }
        for event in self.events.iter().filter_map(|slot| lock(slot).clone()) {
            event.synchronize()?;
            check(event.query()?, "query of an event is false at the end")?;
        }
        self.check_reads()?;
        self.check_owners()?;
        for foreign in lock(&self.foreign).iter() {
            self.fixture.foreign_works(foreign)?;
        }
        state.own.clear();
        self.drop_all();
        let owners = lock(&self.owners).clone();
        owners.iter().try_for_each(|gone| {
            let is_gone = || Ok(gone.load(Ordering::SeqCst));
            self.wait_until(
                is_gone,
                format_args!("an owner is still alive after all handles were dropped"),
            )
        })
    }

    /// Blocks until `holds` returns `true`. Fails with `otherwise` if the program hangs.
    fn wait_until(
        &self,
        holds: impl Fn() -> Result<bool, Verdict>,
        otherwise: std::fmt::Arguments<'_>,
    ) -> Outcome {
        while !holds()? {
            if self.running.is_hung() {
                return Err(Verdict::failed(otherwise));
            }
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Drops all wrappers and events.
    fn drop_all(&self) {
        self.streams.iter().for_each(|slot| *lock(slot) = None);
        self.events.iter().for_each(|slot| *lock(slot) = None);
    }

    /// Drops everything. Returns the numbers with their current values, and the counts.
    pub(crate) fn close(mut self) -> (Vec<(u8, Number<F>)>, Counts) {
        self.drop_all();
        lock(&self.foreign).clear();
        for (_, number) in &mut self.numbers {
            number.initial = self.fixture.load(&number.data).unwrap_or(number.initial);
        }
        let counts = *lock(&self.counts);
        (self.numbers, counts)
    }
}

/// Creates the failure for a name that has no live value.
fn missing(letter: char, name: u8) -> Verdict {
    Verdict::failed(format_args!("the program has no {letter}{name} here"))
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Name::Stream(stream) => write!(f, "s{stream}"),
            Name::Event(event) => write!(f, "e{event}"),
        }
    }
}
