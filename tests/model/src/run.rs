//! Runs programs on a backend, and holds what is seen against the model.

use std::sync::Arc;
use std::time::Duration;

use gpu_stream_conformance::{Fixture, Verdict};
use gpu_stream_core::{Backend, Device, Stream, StreamOptions};

use crate::interpreter::{Interpreter, Number, ThreadState};
use crate::order::Order;
use crate::program::Op;
use crate::watch::{Running, Watch};

/// How programs are run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether `Fixture::settle` is exact: what no gate holds back has been done when it returns.
    /// Then progress is checked without waiting for it, and a stuck stream is found at once.
    pub exact: bool,
    /// How long a program may take before it is called hung: far more than any needs.
    pub limit: Duration,
    /// How many smaller programs are tried when one fails.
    pub candidates: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options { exact: false, limit: Duration::from_secs(60), candidates: 1_000 }
    }
}

/// What a program did that the model does not allow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The statement, by its place in the program; none for what is checked at the end.
    pub statement: Option<usize>,
    /// What was seen.
    pub seen: String,
}

/// How much was checked: numbers that must not stay 0 if the programs are worth anything.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Counts {
    /// Programs that came to their end.
    pub programs: u64,
    /// Of them, those with more than one thread.
    pub with_threads: u64,
    /// Of them, those with two devices.
    pub with_devices: u64,
    /// Statements.
    pub statements: u64,
    /// Tasks.
    pub tasks: u64,
    /// Numbers read by tasks that must be the new ones, since the other task comes before.
    pub read_new: u64,
    /// Numbers read by tasks that must be the old ones, since the other task comes after.
    pub read_old: u64,
    /// Numbers that a shut gate kept from changing.
    pub held: u64,
    /// Questions that must be answered with "not done".
    pub must_be_false: u64,
    /// Questions that must be answered with "done".
    pub must_be_true: u64,
    /// Calls of `synchronize` that returned while a gate was shut.
    pub beside_a_gate: u64,
}

impl Counts {
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

    pub(crate) fn add(&mut self, mut other: Counts) {
        self.all().into_iter().zip(other.all()).for_each(|(mine, theirs)| *mine += *theirs);
    }

    /// What has come since it was `before`.
    pub(crate) fn subtract(&mut self, mut before: Counts) {
        self.all().into_iter().zip(before.all()).for_each(|(mine, theirs)| *mine -= *theirs);
    }
}

/// Runs programs, one after the other, on one fixture.
pub struct Runner<F: Fixture> {
    fixture: Arc<F>,
    devices: Vec<Device>,
    options: Options,
    /// By device: numbers that programs use again and again, since some fixtures never free one.
    numbers: Vec<Vec<Number<F>>>,
    /// What the tasks of the last program stored.
    value: u32,
    watch: Arc<Watch<F>>,
    counts: Counts,
}

impl<F: Fixture> Runner<F> {
    /// A runner on `fixture`.
    ///
    /// # Errors
    /// What the backend says when it is asked for its devices, or that there is no thread for the
    /// watchdog.
    pub fn new(fixture: Arc<F>, options: Options) -> Result<Self, Verdict> {
        let devices = fixture.devices()?;
        let watch = Watch::start(&fixture, options.limit)?;
        let numbers = devices.iter().map(|_| Vec::new()).collect();
        let counts = Counts::default();
        Ok(Runner { fixture, devices, options, numbers, value: 0, watch, counts })
    }

    /// The fixture.
    pub fn fixture(&self) -> &Arc<F> {
        &self.fixture
    }

    /// How many devices there are.
    pub fn devices(&self) -> usize {
        self.devices.len()
    }

    /// Returns `true` if the backend makes a stream on each device, and answers for it.
    pub(crate) fn is_usable(&self) -> bool {
        let answers = |device: &Device| {
            let stream = F::Backend::new_stream(*device, StreamOptions::new());
            stream.and_then(|stream| stream.query()).is_ok()
        };
        self.devices.iter().all(answers)
    }

    /// What has been checked so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What the watchdog says beside a program that hangs.
    pub fn label(&self, text: String) {
        self.watch.label(format!("{}: {text}", F::Backend::KIND));
    }

    /// Keeps the failure that was found while smaller programs are tried; `None` when that is over.
    pub(crate) fn found(&self, text: Option<String>) {
        self.watch.found(text);
    }

    /// Another time limit, for the programs to come.
    pub fn limit(&mut self, limit: Duration) {
        self.watch.limit(limit);
    }

    /// Runs a program. Blocks until it ends, or has been given up.
    ///
    /// With `careful`, and where the options say that settling is exact, nothing is synchronized
    /// that has not been seen to be done: a backend that is stuck is found without a hang.
    ///
    /// If the program hangs and goes on hanging with all its gates open, the process ends, with a
    /// message.
    ///
    /// # Errors
    /// What was seen that the model does not allow.
    pub fn run(&mut self, order: &Arc<Order>, careful: bool) -> Result<(), Failure> {
        self.value = self.value.wrapping_add(1);
        let before = |seen: Verdict| Failure { statement: None, seen: seen.reason().into() };
        let numbers = self.take_numbers(order).map_err(before)?;
        let running = Running::new(order);
        self.watch.begin(&running);
        let careful = careful && self.options.exact && order.program.threads() == 1;
        let exact = self.options.exact;
        let scene = Interpreter::new(
            &*self.fixture,
            &self.devices,
            Arc::clone(&running),
            numbers,
            self.value,
            (exact, careful),
        );
        let result = play(&scene);
        let result = match result {
            Err(Failure { seen, .. }) if running.is_hung() => {
                let opened = "the program hangs, and went on only when all gates were opened";
                Err(Failure { statement: scene.stuck_at(), seen: format!("{opened}; {seen}") })
            }
            result => result,
        };
        if result.is_err() {
            running.end(&self.fixture);
        }
        let (numbers, counts) = scene.close();
        self.watch.end();
        if result.is_ok() {
            self.counts.add(counts);
            for (device, number) in numbers {
                self.numbers[usize::from(device)].push(number);
            }
        }
        result
    }

    /// The numbers of a program's tasks, then those of their reads, with the devices.
    fn take_numbers(&mut self, order: &Order) -> Result<Vec<(u8, Number<F>)>, Verdict> {
        let mut taken = Vec::new();
        let mut take = |device: u8| -> Result<(), Verdict> {
            let index = usize::from(device);
            let number = match self.numbers[index].pop() {
                Some(number) => number,
                None => Number { data: self.fixture.data(self.devices[index], 0)?, now: 0 },
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
        self.watch.close();
    }
}

/// All threads of the program, and what is checked when they are done.
fn play<F: Fixture>(scene: &Interpreter<'_, F>) -> Result<(), Failure> {
    let mut first = ThreadState::new(0);
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..scene.threads())
            .map(|thread| scope.spawn(move || scene.run_thread(&mut ThreadState::new(thread))))
            .collect();
        let mut result = scene.run_thread(&mut first);
        for other in others {
            let panicked = |_| Err(Failure { statement: None, seen: "a thread panicked".into() });
            let theirs = other.join().unwrap_or_else(panicked);
            // The thread that failed says why; the others were only sent home.
            if theirs.as_ref().is_err_and(|failure| failure.statement.is_some()) || result.is_ok() {
                result = result.and(theirs);
            }
        }
        result
    })?;
    scene.finish(first)
}
