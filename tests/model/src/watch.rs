//! The watchdog: a program that does not come to its end is a failure that names the program.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use gpu_stream_conformance::Fixture;
use gpu_stream_conformance::runner::end_process;

use crate::order::Order;

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where the threads of one program meet, unless one of them has failed.
#[derive(Default)]
pub(crate) struct Meeting {
    state: Mutex<Met>,
    changed: Condvar,
}

#[derive(Default)]
struct Met {
    arrived: usize,
    rounds: usize,
    messages: Vec<u8>,
    is_over: bool,
}

/// Another thread has failed, or the watchdog has given the program up.
pub(crate) struct Over;

impl Meeting {
    pub(crate) fn barrier(&self, threads: usize) -> Result<(), Over> {
        let mut state = lock(&self.state);
        let round = state.rounds;
        state.arrived += 1;
        if state.arrived == threads {
            state.arrived = 0;
            state.rounds += 1;
            self.changed.notify_all();
        }
        self.until(state, |state| state.rounds > round)
    }

    pub(crate) fn tell(&self, channel: u8) {
        lock(&self.state).messages.push(channel);
        self.changed.notify_all();
    }

    pub(crate) fn hear(&self, channel: u8) -> Result<(), Over> {
        self.until(lock(&self.state), |state| state.messages.contains(&channel))
    }

    pub(crate) fn is_over(&self) -> bool {
        lock(&self.state).is_over
    }

    /// Sends everybody home.
    pub(crate) fn end(&self) {
        lock(&self.state).is_over = true;
        self.changed.notify_all();
    }

    fn until(&self, state: MutexGuard<'_, Met>, holds: impl Fn(&Met) -> bool) -> Result<(), Over> {
        let waits = |state: &mut Met| !state.is_over && !holds(state);
        let state = self.changed.wait_while(state, waits).unwrap_or_else(PoisonError::into_inner);
        if state.is_over { Err(Over) } else { Ok(()) }
    }
}

/// The program that is running, for the watchdog.
pub(crate) struct Running<F: Fixture> {
    pub(crate) order: Arc<Order>,
    pub(crate) meeting: Meeting,
    /// The gates by their place in the program, until they are opened or the program is over.
    gates: Mutex<Vec<Arc<F::Gate>>>,
    is_hung: AtomicBool,
}

impl<F: Fixture> Running<F> {
    pub(crate) fn new(order: &Arc<Order>) -> Arc<Self> {
        Arc::new(Running {
            order: Arc::clone(order),
            meeting: Meeting::default(),
            gates: Mutex::default(),
            is_hung: AtomicBool::new(false),
        })
    }

    pub(crate) fn shut(&self, gate: F::Gate) {
        lock(&self.gates).push(Arc::new(gate));
    }

    pub(crate) fn gate(&self, index: usize) -> Option<Arc<F::Gate>> {
        lock(&self.gates).get(index).cloned()
    }

    /// Opens all gates, in their order.
    pub(crate) fn open_all(&self, fixture: &F) {
        let gates = lock(&self.gates).clone();
        gates.iter().for_each(|gate| fixture.open(gate));
    }

    pub(crate) fn is_hung(&self) -> bool {
        self.is_hung.load(Ordering::SeqCst)
    }

    /// Gives the program up.
    pub(crate) fn end(&self, fixture: &F) {
        self.meeting.end();
        self.open_all(fixture);
    }
}

/// Watches one runner.
pub(crate) struct Watch<F: Fixture> {
    fixture: Arc<F>,
    state: Mutex<State<F>>,
    changed: Condvar,
    /// What to say beside the program.
    label: Mutex<String>,
    /// The failure that was found first, while smaller programs are tried.
    found: Mutex<Option<String>>,
}

struct State<F: Fixture> {
    running: Option<Arc<Running<F>>>,
    /// How many programs have begun or ended.
    beat: u64,
    limit: Duration,
    is_closed: bool,
}

impl<F: Fixture> Watch<F> {
    /// Starts watching, on a thread that ends when the runner closes it.
    pub(crate) fn start(fixture: &Arc<F>, limit: Duration) -> std::io::Result<Arc<Self>> {
        let state = State { running: None, beat: 0, limit, is_closed: false };
        let watch = Arc::new(Watch {
            fixture: Arc::clone(fixture),
            state: Mutex::new(state),
            changed: Condvar::new(),
            label: Mutex::default(),
            found: Mutex::default(),
        });
        let watching = Arc::clone(&watch);
        thread::Builder::new().name("watchdog".into()).spawn(move || watching.watch())?;
        Ok(watch)
    }

    pub(crate) fn label(&self, text: String) {
        *lock(&self.label) = text;
    }

    /// Keeps the failure that was found, for a process that ends before it can be returned.
    pub(crate) fn found(&self, text: Option<String>) {
        *lock(&self.found) = text;
    }

    pub(crate) fn limit(&self, limit: Duration) {
        lock(&self.state).limit = limit;
    }

    pub(crate) fn begin(&self, running: &Arc<Running<F>>) {
        let mut state = lock(&self.state);
        state.beat += 1;
        state.running = Some(Arc::clone(running));
    }

    pub(crate) fn end(&self) {
        let mut state = lock(&self.state);
        state.beat += 1;
        state.running = None;
    }

    pub(crate) fn close(&self) {
        lock(&self.state).is_closed = true;
        self.changed.notify_all();
    }

    fn watch(&self) {
        let (mut seen, mut since) = (0, Instant::now());
        let mut state = lock(&self.state);
        while !state.is_closed {
            let nap = (state.limit / 8).min(Duration::from_millis(500));
            let woken = self.changed.wait_timeout(state, nap);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
            if state.beat != seen || state.running.is_none() {
                (seen, since) = (state.beat, Instant::now());
            }
            let Some(running) = state.running.clone().filter(|_| since.elapsed() > state.limit)
            else {
                continue;
            };
            since = Instant::now();
            drop(state);
            self.give_up(&running);
            state = lock(&self.state);
        }
    }

    /// The first time, opens the gates: what hung may then return, and the runner can go on and look
    /// for a smaller program. The second time, nothing can be done in this process.
    fn give_up(&self, running: &Running<F>) {
        if !running.is_hung.swap(true, Ordering::SeqCst) {
            return running.end(&self.fixture);
        }
        eprintln!(
            "{}: a program hangs, even with all gates open; nothing more can be done in this \
             process.\n----\n{}----",
            lock(&self.label),
            running.order.program
        );
        if let Some(found) = &*lock(&self.found) {
            eprintln!(
                "That was one of the smaller programs. This is what was found first:\n{found}"
            );
        }
        // The threads that hang are left behind.
        end_process(101)
    }
}
