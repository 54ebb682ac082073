//! One cell of the table in one round.

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
    /// The workload, as `--only` has it.
    pub group: &'static str,
    /// What stands above the column.
    pub title: &'static str,
    /// Whether a ratio to the first row says anything.
    pub compared: bool,
    /// Whether one round is enough.
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

/// What was measured.
pub struct Figure {
    /// In the column's unit.
    pub value: f64,
    /// Where single trips are timed: what 99 of 100 did not exceed.
    pub p99: Option<f64>,
}

/// A row of the table: a contender.
pub struct Row {
    /// What stands before the row.
    pub name: &'static str,
    measure: fn(Work, bool) -> Figure,
}

/// All rows; the first is what the others are compared with.
pub fn rows() -> [Row; 5] {
    fn row<C: Contender>() -> Row {
        Row { name: C::NAME, measure: measure::<C> }
    }
    [row::<StdChannel>(), row::<Crossbeam>(), row::<Rayon>(), row::<Tokio>(), row::<OnHost>()]
}

impl Column {
    /// Measures the cell of this column in the row with this number.
    pub fn figure(&self, rows: &[Row], row: usize, quick: bool) -> Figure {
        match self.work {
            Work::OneStreamMemory | Work::ManyStreamsThreads => self.in_own_process(row, quick),
            work => (rows[row].measure)(work, quick),
        }
    }

    /// Threads and memory belong to a process, and here the contenders share one.
    fn in_own_process(&self, row: usize, quick: bool) -> Figure {
        let myself = env::current_exe().expect("the system knows what it runs");
        let row = row.to_string();
        let mut command = Command::new(myself);
        command.args(["--footprint", self.title, &row]);
        if quick {
            command.arg("--quick");
        }
        let output = command.output().expect("what runs can be run again");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}, row {row}: {errors}", self.title);
        let text = String::from_utf8_lossy(&output.stdout);
        Figure { value: text.trim().parse().expect("a number"), p99: None }
    }
}

/// The footprint that the column with this title asks for, of the contender in this row. NaN where
/// the system does not say.
pub fn footprint(title: &str, row: usize, quick: bool) -> f64 {
    let column = COLUMNS.iter().find(|column| column.title == title);
    let row = rows().into_iter().nth(row);
    let (column, row) = column.zip(row).expect("the table names what it has");
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

/// The time of one run, by its units, in ns. A smaller run warms up: threads, allocator, caches.
/// The streams are new in both, so that the growth of their queues is part of the time, as it is of
/// a program's.
fn whole<C: Contender, L: Load<C>>(size: u64) -> Figure {
    let contender = C::start();
    ran::<C, L>(&contender, size.div_ceil(10));
    let mut load = L::new(&contender, size);
    let start = Instant::now();
    load.run();
    let time = start.elapsed();
    load.check();
    Figure { value: time.as_secs_f64() * 1e9 / load.units() as f64, p99: None }
}

/// The times of single runs, in µs: the median and the 99th of 100. One in ten more come first and
/// are not counted.
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

/// How much more memory the process had at the most, in MiB, because of one run.
fn growth<C: Contender, L: Load<C>>(size: u64) -> Figure {
    let contender = C::start();
    ran::<C, L>(&contender, 1);
    let peak = || status("VmHWM").unwrap_or(f64::NAN) / 1024.0;
    let before = peak();
    ran::<C, L>(&contender, size);
    Figure { value: peak() - before, p99: None }
}

/// How many threads the process has when a run ends, the caller's own included. No contender ends a
/// thread before its stream or itself is dropped, so this is the most that there were.
fn threads<C: Contender, L: Load<C>>(size: u64) -> Figure {
    let contender = C::start();
    let _load = ran::<C, L>(&contender, size);
    Figure { value: status("Threads").unwrap_or(f64::NAN), p99: None }
}

/// A load that has run once and did its work.
fn ran<C: Contender, L: Load<C>>(contender: &C, size: u64) -> L {
    let mut load = L::new(contender, size);
    load.run();
    load.check();
    load
}

/// The value in the middle.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
