//! Thread rendezvous of one program ([`Rendezvous`]), and the [`Watchdog`] that ends a program that hangs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use gpu_stream_conformance::Fixture;
use gpu_stream_conformance::runner::end_process;

use crate::order::Order;

/// Locks a mutex, also after a panic of another thread.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Barriers and channels of one program. All waits end once a thread has failed.
#[derive(Default)]
pub(crate) struct Rendezvous {
    state: Mutex<RendezvousState>,
    changed: Condvar,
}

#[derive(Default)]
struct RendezvousState {
    /// Threads that wait at the current barrier.
    arrived: usize,
    /// Number of completed barriers.
    generation: usize,
    /// Channels on which a thread has sent.
    messages: Vec<u8>,
    is_aborted: bool,
}

/// Error of a wait: another thread has failed, or the watchdog has aborted the program.
pub(crate) struct Aborted;

impl Rendezvous {
    /// Blocks until all threads have reached the barrier.
    pub(crate) fn barrier(&self, threads: usize) -> Result<(), Aborted> {
        let mut state = lock(&self.state);
        let current = state.generation;
        state.arrived += 1;
        if state.arrived == threads {
            state.arrived = 0;
            state.generation += 1;
            self.changed.notify_all();
        }
        self.until(state, |state| state.generation > current)
    }

    /// Sends on a channel. Does not block.
    pub(crate) fn send(&self, channel: u8) {
        lock(&self.state).messages.push(channel);
        self.changed.notify_all();
    }

    /// Blocks until a thread has sent on the channel.
    pub(crate) fn recv(&self, channel: u8) -> Result<(), Aborted> {
        self.until(lock(&self.state), |state| state.messages.contains(&channel))
    }

    /// Returns `true` once the program is aborted.
    pub(crate) fn is_aborted(&self) -> bool {
        lock(&self.state).is_aborted
    }

    /// Ends all waits, the later ones included.
    pub(crate) fn abort(&self) {
        lock(&self.state).is_aborted = true;
        self.changed.notify_all();
    }

    /// Blocks until `holds` returns `true`.
    fn until(
        &self,
        state: MutexGuard<'_, RendezvousState>,
        holds: impl Fn(&RendezvousState) -> bool,
    ) -> Result<(), Aborted> {
        let waits = |state: &mut RendezvousState| !state.is_aborted && !holds(state);
        let state = self.changed.wait_while(state, waits).unwrap_or_else(PoisonError::into_inner);
        if state.is_aborted { Err(Aborted) } else { Ok(()) }
    }
}

/// Program that is running, shared with the watchdog.
pub(crate) struct RunningProgram<F: Fixture> {
    pub(crate) order: Arc<Order>,
    pub(crate) rendezvous: Rendezvous,
    /// Gates in the order of the program, until the program ends.
    gates: Mutex<Vec<Arc<F::Gate>>>,
    is_hung: AtomicBool,
}

impl<F: Fixture> RunningProgram<F> {
    /// Creates the state of a program without gates.
    pub(crate) fn new(order: &Arc<Order>) -> Arc<Self> {
        Arc::new(RunningProgram {
            order: Arc::clone(order),
            rendezvous: Rendezvous::default(),
            gates: Mutex::default(),
            is_hung: AtomicBool::new(false),
        })
    }

    /// Adds the next gate of the program.
    pub(crate) fn add_gate(&self, gate: F::Gate) {
        lock(&self.gates).push(Arc::new(gate));
    }

    /// Returns the gate with this index.
    pub(crate) fn gate(&self, index: usize) -> Option<Arc<F::Gate>> {
        lock(&self.gates).get(index).cloned()
    }

    /// Opens all gates, in their order.
    pub(crate) fn open_all(&self, fixture: &F) {
        let gates = lock(&self.gates).clone();
        gates.iter().for_each(|gate| fixture.open(gate));
    }

    /// Returns `true` if the program exceeded its time limit.
    pub(crate) fn is_hung(&self) -> bool {
        self.is_hung.load(Ordering::SeqCst)
    }

    /// Ends all waits of the program, and opens all gates.
    pub(crate) fn abort(&self, fixture: &F) {
        self.rendezvous.abort();
        self.open_all(fixture);
    }
}

/// Watchdog of one runner.
pub(crate) struct Watchdog<F: Fixture> {
    fixture: Arc<F>,
    state: Mutex<WatchState<F>>,
    changed: Condvar,
    /// Text that is printed with a program that hangs.
    label: Mutex<String>,
    /// Failure of the original program, while smaller programs are tried.
    finding: Mutex<Option<String>>,
}

/// Program under watch, and its time limit.
struct WatchState<F: Fixture> {
    running: Option<Arc<RunningProgram<F>>>,
    /// Number of programs that have begun, plus the number that have ended.
    epoch: u64,
    limit: Duration,
    is_closed: bool,
}

impl<F: Fixture> Watchdog<F> {
    /// Starts the watchdog thread, which runs until [`close`](Self::close).
    pub(crate) fn start(fixture: &Arc<F>, limit: Duration) -> std::io::Result<Arc<Self>> {
        let state = WatchState { running: None, epoch: 0, limit, is_closed: false };
        let watch = Arc::new(Watchdog {
            fixture: Arc::clone(fixture),
            state: Mutex::new(state),
            changed: Condvar::new(),
            label: Mutex::default(),
            finding: Mutex::default(),
        });
        let watcher = Arc::clone(&watch);
        thread::Builder::new().name("watchdog".into()).spawn(move || watcher.watch())?;
        Ok(watch)
    }

    /// Sets the text that is printed with a program that hangs.
    pub(crate) fn set_label(&self, text: String) {
        *lock(&self.label) = text;
    }

    /// Stores a failure, which is printed if the process ends before the failure can be returned.
    pub(crate) fn set_finding(&self, text: Option<String>) {
        *lock(&self.finding) = text;
    }

    /// Sets the time limit of a program.
    pub(crate) fn set_limit(&self, limit: Duration) {
        lock(&self.state).limit = limit;
    }

    /// Starts the watch of a program.
    pub(crate) fn begin(&self, running: &Arc<RunningProgram<F>>) {
        let mut state = lock(&self.state);
        state.epoch += 1;
        state.running = Some(Arc::clone(running));
    }

    /// Ends the watch of the current program.
    pub(crate) fn end(&self) {
        let mut state = lock(&self.state);
        state.epoch += 1;
        state.running = None;
    }

    /// Stops the watchdog thread.
    pub(crate) fn close(&self) {
        lock(&self.state).is_closed = true;
        self.changed.notify_all();
    }

    /// Runs the watchdog thread.
    fn watch(&self) {
        let (mut last, mut since) = (0, Instant::now());
        let mut state = lock(&self.state);
        while !state.is_closed {
            let interval = (state.limit / 8).min(Duration::from_millis(500));
            let wait = self.changed.wait_timeout(state, interval);
            state = wait.unwrap_or_else(PoisonError::into_inner).0;
            if state.epoch != last || state.running.is_none() {
                (last, since) = (state.epoch, Instant::now());
            }
            let Some(running) = state.running.clone().filter(|_| since.elapsed() > state.limit)
            else {
                continue;
            };
            since = Instant::now();
            drop(state);
            self.handle_hang(&running);
            state = lock(&self.state);
        }
    }

    /// Handles a hang. The first time, aborts the program and opens its gates, so that it may return.
    ///
    /// The second time, ends the process, because blocked threads cannot be stopped in another way.
    fn handle_hang(&self, running: &RunningProgram<F>) {
        if !running.is_hung.swap(true, Ordering::SeqCst) {
            return running.abort(&self.fixture);
        }
        eprintln!(
            "{}: a program hangs even with all gates open, so the process ends.\n----\n{}----",
            lock(&self.label),
            running.order.program
        );
        if let Some(finding) = &*lock(&self.finding) {
            eprintln!("That was one of the smaller programs. The original failure is:\n{finding}");
        }
        // The blocked threads are abandoned.
        end_process(101)
    }
}
