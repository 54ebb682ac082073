//! Measures one cell of the table in one round.

use std::env;
use std::process::Command;
use std::time::{Duration, Instant};

use super::machine::status;
use super::workloads::{
    Contender, Crossbeam, Join, Load, ManyStreams, OnHost, OneStream, OwnStreams, Rayon,
    SharedStream, StdChannel, TakingTurns, Tokio, rest,
};

/// A column of the table.
pub struct Column {
    /// The workload, as named by `--only`.
    pub group: &'static str,
    /// The heading of the column.
    pub title: &'static str,
    /// `true` if a ratio to the first row is meaningful.
    pub compared: bool,
    /// `true` if one round is enough.
    pub once: bool,
    work: Work,
}

#[derive(Clone, Copy)]
enum Work {
    OneStream,
    OneStreamMemory,
    SharedStream,
    ManyStreams,
    ManyStreamsThreads,
    OwnStreams,
    TakingTurns,
    RoundTrip,
    RestedRoundTrip,
    Join,
}

/// All columns.
pub const COLUMNS: [Column; 10] = [
    timed("W1", "W1 ns/task", Work::OneStream),
    Column { compared: false, ..timed("W1", "W1 memory MiB", Work::OneStreamMemory) },
    timed("W1p", "W1p ns/task", Work::SharedStream),
    timed("W2", "W2 ns/task", Work::ManyStreams),
    Column { compared: false, once: true, ..timed("W2", "W2 threads", Work::ManyStreamsThreads) },
    timed("W2p", "W2p ns/task", Work::OwnStreams),
    timed("W3", "W3 ns/hop", Work::TakingTurns),
    timed("W4", "W4 µs median / p99", Work::RoundTrip),
    timed("W4i", "W4i µs median / p99", Work::RestedRoundTrip),
    timed("W5", "W5 µs/round", Work::Join),
];

const fn timed(group: &'static str, title: &'static str, work: Work) -> Column {
    Column { group, title, compared: true, once: false, work }
}

/// A measured figure.
pub struct Figure {
    /// The figure in the column's unit.
    pub value: f64,
    /// The 99th percentile, if single round trips are timed.
    pub p99: Option<f64>,
}

/// A row of the table, for one contender.
pub struct Row {
    /// The name of the row.
    pub name: &'static str,
    measure: fn(Work, bool) -> Figure,
}

/// Returns all rows. The first is the baseline.
pub fn rows() -> [Row; 5] {
    fn row<C: Contender>() -> Row {
        Row { name: C::NAME, measure: measure::<C> }
    }
    [row::<StdChannel>(), row::<Crossbeam>(), row::<Rayon>(), row::<Tokio>(), row::<OnHost>()]
}

impl Column {
    /// Measures the cell of this column in row `row`.
    pub fn figure(&self, rows: &[Row], row: usize, quick: bool) -> Figure {
        match self.work {
            Work::OneStreamMemory | Work::ManyStreamsThreads => self.in_own_process(row, quick),
            work => (rows[row].measure)(work, quick),
        }
    }

    /// Measures the cell in a new process: the contenders share this one, and with it threads and
    /// memory.
    fn in_own_process(&self, row: usize, quick: bool) -> Figure {
        let executable = env::current_exe().expect("the path of this executable");
        let row = row.to_string();
        let mut command = Command::new(executable);
        command.args(["--footprint", self.title, &row]);
        if quick {
            command.arg("--quick");
        }
        let output = command.output().expect("this executable can be started again");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}, row {row}: {errors}", self.title);
        let text = String::from_utf8_lossy(&output.stdout);
        Figure { value: text.trim().parse().expect("a number"), p99: None }
    }
}

/// Measures the memory or the threads of the contender in row `row`, for the column with this
/// title. Returns NaN if the system does not tell.
pub fn footprint(title: &str, row: usize, quick: bool) -> f64 {
    let column = COLUMNS.iter().find(|column| column.title == title);
    let row = rows().into_iter().nth(row);
    let (column, row) = column.zip(row).expect("the table passes a title and a row of its own");
    (row.measure)(column.work, quick).value
}

fn measure<C: Contender>(work: Work, quick: bool) -> Figure {
    let size = |full: u64| if quick { full.div_ceil(50) } else { full };
    let rest = Duration::from_micros(200);
    match work {
        Work::OneStream => whole::<C, OneStream<C>>(size(1_000_000)),
        Work::OneStreamMemory => growth::<C, OneStream<C>>(size(1_000_000)),
        Work::SharedStream => whole::<C, SharedStream<C>>(size(1_000_000)),
        Work::OwnStreams => whole::<C, OwnStreams<C>>(size(1_000)),
        Work::ManyStreams => whole::<C, ManyStreams<C>>(size(1_000)),
        Work::ManyStreamsThreads => threads::<C, ManyStreams<C>>(size(1_000)),
        Work::TakingTurns => whole::<C, TakingTurns<C>>(size(20_000)),
        Work::RoundTrip => each::<C, OneStream<C>>(size(5_000), Duration::ZERO),
        Work::RestedRoundTrip => each::<C, OneStream<C>>(size(1_000), rest),
        Work::Join => Figure { p99: None, ..each::<C, Join<C>>(size(500), Duration::ZERO) },
    }
}

/// Measures the time of one run in ns for each unit.
///
/// A smaller run warms up threads, allocator and caches. Both use new streams, so that the growth
/// of their queues is part of the time, as in a program.
fn whole<C: Contender, L: Load<C>>(size: u64) -> Figure {
    let contender = C::start();
    run_once::<C, L>(&contender, size.div_ceil(10));
    let mut load = L::new(&contender, size);
    let start = Instant::now();
    load.run();
    let time = start.elapsed();
    load.check();
    Figure { value: time.as_secs_f64() * 1e9 / load.units() as f64, p99: None }
}

/// Measures the times of single runs in µs: their median and 99th percentile. A tenth as many runs
/// come first and are not counted.
fn each<C: Contender, L: Load<C>>(runs: u64, before: Duration) -> Figure {
    let contender = C::start();
    let mut load = L::new(&contender, 1);
    let warmup = runs.div_ceil(10);
    let mut times: Vec<_> = (0..warmup + runs)
        .map(|_| {
            rest(before);
            let start = Instant::now();
            load.run();
            let time = start.elapsed();
            load.check();
            time.as_secs_f64() * 1e6
        })
        .skip(warmup as usize)
        .collect();
    times.sort_by(f64::total_cmp);
    let p99 = times[(times.len() - 1) * 99 / 100];
    Figure { value: median(times), p99: Some(p99) }
}

/// Measures how much one run raises the peak memory of the process, in MiB.
fn growth<C: Contender, L: Load<C>>(size: u64) -> Figure {
    let contender = C::start();
    run_once::<C, L>(&contender, 1);
    let peak = || status("VmHWM").unwrap_or(f64::NAN) / 1024.0;
    let before = peak();
    run_once::<C, L>(&contender, size);
    Figure { value: peak() - before, p99: None }
}

/// Measures the number of threads of the process when a run ends, the caller's own included.
///
/// No contender ends a thread before its stream or itself is dropped, so this is the maximum.
fn threads<C: Contender, L: Load<C>>(size: u64) -> Figure {
    let contender = C::start();
    let _load = run_once::<C, L>(&contender, size);
    Figure { value: status("Threads").unwrap_or(f64::NAN), p99: None }
}

/// Runs a load once, checks its work, and returns it.
fn run_once<C: Contender, L: Load<C>>(contender: &C, size: u64) -> L {
    let mut load = L::new(contender, size);
    load.run();
    load.check();
    load
}

/// Returns the median.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
