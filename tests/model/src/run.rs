//! Runs programs on a backend, and compares the results with the model: [`Runner`].

use std::sync::Arc;
use std::time::Duration;

use gpu_stream_conformance::{Fixture, Verdict};
use gpu_stream_core::{Backend, Device, Error, ErrorKind, Stream, StreamOptions};

use crate::interpreter::{Interpreter, Number, ThreadState};
use crate::order::Order;
use crate::program::Op;
use crate::watchdog::{RunningProgram, Watchdog};

/// Options of a [`Runner`].
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// `true` if `Fixture::settle` is exact: it returns only when all work that no gate blocks is complete.
    ///
    /// Then progress is checked without a wait, and a stuck stream is detected at once.
    pub exact: bool,
    /// Time limit of a program. It is far above what any program needs, so only a hang exceeds it.
    pub limit: Duration,
    /// Maximum number of smaller programs that are tried after a failure.
    pub candidates: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options { exact: false, limit: Duration::from_secs(60), candidates: 1_000 }
    }
}

/// Deviation of a program from the model.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// Index of the statement. `None` for a check at the end of the program.
    pub statement: Option<usize>,
    /// Description of the deviation.
    pub message: String,
}

/// Number of checks of each kind. A kind that stays 0 is not tested.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Counts {
    /// Programs that passed.
    pub programs: u64,
    /// Of them, those with more than one thread.
    pub with_threads: u64,
    /// Of them, those with two devices.
    pub with_devices: u64,
    /// Statements.
    pub statements: u64,
    /// Tasks.
    pub tasks: u64,
    /// Reads that must return the new number, because the other task runs before.
    pub read_new: u64,
    /// Reads that must return the old number, because the other task runs after.
    pub read_old: u64,
    /// Numbers that must be unchanged, because a closed gate blocks their task.
    pub held: u64,
    /// Queries that must return `false`.
    pub must_be_false: u64,
    /// Queries that must return `true`.
    pub must_be_true: u64,
    /// Calls of `synchronize` that returned while a gate was closed.
    pub beside_a_gate: u64,
}

impl Counts {
    /// Returns all counts.
    fn all(&mut self) -> [&mut u64; 11] {
        [
            &mut self.programs,
            &mut self.with_threads,
            &mut self.with_devices,
            &mut self.statements,
            &mut self.tasks,
            &mut self.read_new,
            &mut self.read_old,
            &mut self.held,
            &mut self.must_be_false,
            &mut self.must_be_true,
            &mut self.beside_a_gate,
        ]
    }

    /// Adds the counts of a program.
    pub(crate) fn add(&mut self, mut other: Counts) {
        self.all().into_iter().zip(other.all()).for_each(|(own, other)| *own += *other);
    }

    /// Subtracts an earlier state, which leaves the counts since then.
    pub(crate) fn subtract(&mut self, mut before: Counts) {
        self.all().into_iter().zip(before.all()).for_each(|(own, other)| *own -= *other);
    }
}

/// Runs programs, one after another, on one fixture.
pub struct Runner<F: Fixture> {
    fixture: Arc<F>,
    devices: Vec<Device>,
    options: Options,
    /// For each device, free numbers. Programs reuse them, because some fixtures never free one.
    numbers: Vec<Vec<Number<F>>>,
    /// Value that the tasks of the last program stored.
    value: u32,
    watchdog: Arc<Watchdog<F>>,
    counts: Counts,
}

impl<F: Fixture> Runner<F> {
    /// Creates a runner on `fixture`.
    ///
    /// # Errors
    /// An error of the backend when it lists its devices, or of the system when the watchdog thread starts.
    pub fn new(fixture: Arc<F>, options: Options) -> Result<Self, Verdict> {
        let devices = fixture.devices()?;
        let watchdog = Watchdog::start(&fixture, options.limit)?;
        let numbers = devices.iter().map(|_| Vec::new()).collect();
        let counts = Counts::default();
        Ok(Runner { fixture, devices, options, numbers, value: 0, watchdog, counts })
    }

    /// Returns the fixture.
    pub fn fixture(&self) -> &Arc<F> {
        &self.fixture
    }

    /// Returns the number of devices.
    pub fn devices(&self) -> usize {
        self.devices.len()
    }

    /// Returns `true` if the engine has a default stream, which it may leave out.
    pub(crate) fn has_default_streams(&self) -> bool {
        let default = self.devices.first().map(|device| F::Backend::default_stream(*device));
        !matches!(default, Some(Err(error)) if error.kind() == ErrorKind::Unsupported)
    }

    /// Returns `true` if the backend can create and query a stream on each device.
    pub(crate) fn is_usable(&self) -> bool {
        let works = |device: &Device| {
            let stream = F::Backend::new_stream(*device, StreamOptions::new());
            stream.and_then(|stream| stream.query()).is_ok()
        };
        self.devices.iter().all(works)
    }

    /// Returns the counts so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Sets the text that the watchdog prints with a program that hangs.
    pub fn label(&self, text: String) {
        self.watchdog.set_label(format!("{}: {text}", F::Backend::KIND));
    }

    /// Stores the original failure while smaller programs are tried. `None` clears it.
    pub(crate) fn set_finding(&self, text: Option<String>) {
        self.watchdog.set_finding(text);
    }

    /// Sets the time limit of later programs.
    pub fn limit(&mut self, limit: Duration) {
        self.watchdog.set_limit(limit);
    }

    /// Runs a program. Blocks until it ends or is aborted.
    ///
    /// With `settle_first`, and if settling is exact, every `synchronize` is preceded by a query that must be `true`.
    /// So a stuck backend is detected without a hang.
    ///
    /// If the program hangs even with all its gates open, the process exits with a message.
    ///
    /// # Errors
    /// The first deviation from the model.
    pub fn run(&mut self, order: &Arc<Order>, settle_first: bool) -> Result<(), Failure> {
        self.value = self.value.wrapping_add(1);
        let before =
            |message: Verdict| Failure { statement: None, message: message.reason().into() };
        let numbers = self.take_numbers(order).map_err(before)?;
        let running = RunningProgram::new(order);
        self.watchdog.begin(&running);
        let settle_first = settle_first && self.options.exact && order.program.threads() == 1;
        let exact = self.options.exact;
        let interpreter = Interpreter::new(
            &*self.fixture,
            &self.devices,
            Arc::clone(&running),
            numbers,
            self.value,
            (exact, settle_first),
        );
        let result = run_threads(&interpreter);
        let result = match result {
            Err(Failure { message, .. }) if running.is_hung() => {
                let hang = "the program hangs, and continued only after all gates were opened";
                Err(Failure {
                    statement: interpreter.stuck_at(),
                    message: format!("{hang}; {message}"),
                })
            }
            result => result,
        };
        if result.is_err() {
            running.abort(&self.fixture);
        }
        let (numbers, counts) = interpreter.close();
        self.watchdog.end();
        if result.is_ok() {
            self.counts.add(counts);
            for (device, number) in numbers {
                self.numbers[usize::from(device)].push(number);
            }
        }
        result
    }

    /// Takes the numbers of a program's tasks, then those of their reads, each with its device.
    fn take_numbers(&mut self, order: &Order) -> Result<Vec<(u8, Number<F>)>, Verdict> {
        let mut taken = Vec::new();
        let mut take = |device: u8| -> Result<(), Verdict> {
            let index = usize::from(device);
            let number = match self.numbers[index].pop() {
                Some(number) => number,
                None => Number { data: self.fixture.data(self.devices[index], 0)?, initial: 0 },
            };
            taken.push((device, number));
            Ok(())
        };
        for task in &order.tasks {
            take(task.device)?;
        }
        for task in &order.tasks {
            if let Op::Task { reads, .. } = &order.program.0[task.statement].op {
                reads.iter().try_for_each(|_| take(task.device))?;
            }
        }
        Ok(taken)
    }
}

impl<F: Fixture> Drop for Runner<F> {
    fn drop(&mut self) {
        self.watchdog.close();
    }
}

/// Runs all threads of the program, and then the final checks.
fn run_threads<F: Fixture>(interpreter: &Interpreter<'_, F>) -> Result<(), Failure> {
    let mut first = ThreadState::new(0);
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..interpreter.threads())
            .map(|thread| {
                scope.spawn(move || interpreter.run_thread(&mut ThreadState::new(thread)))
            })
            .collect();
        let mut result = interpreter.run_thread(&mut first);
        for other in others {
            let panicked =
                |_| Err(Failure { statement: None, message: "a thread panicked".into() });
            let outcome = other.join().unwrap_or_else(panicked);
            // Report the thread that failed, not those that were aborted because of it.
            if outcome.as_ref().is_err_and(|failure| failure.statement.is_some()) || result.is_ok()
            {
                result = result.and(outcome);
            }
        }
        result
    })?;
    interpreter.finish(first)
}
