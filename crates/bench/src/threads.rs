//! Several threads at once.

use std::sync::Barrier;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::compare::compare;
use crate::report::{FailedOne, ThreadRow};
use crate::{BenchFixture, BenchStream, BenchStreams, Contender, ContenderKind, Plan, contenders};

/// How many threads.
pub const COUNTS: [usize; 5] = [1, 2, 4, 8, 16];

/// How much longer a batch is than that of one thread, so that getting everybody to start counts
/// for little.
const LONGER: u32 = 10;

/// What a thread is told: which contender, and how many calls.
type Order = (usize, u64);

/// What a thread answers: when it began and ended.
type Answer = Result<(Instant, Instant), String>;

/// The threads, as the one that commands them sees them.
struct Crew {
    orders: Vec<Sender<Order>>,
    answers: Receiver<Answer>,
}

impl Crew {
    /// One batch of all threads: from the first that begins to the last that ends.
    fn run(&self, order: Order) -> Result<Duration, String> {
        let gone = || "a thread has ended".to_owned();
        for thread in &self.orders {
            thread.send(order).map_err(|_| gone())?;
        }
        let mut times = Vec::new();
        let mut failed = None;
        for _ in &self.orders {
            match self.answers.recv().map_err(|_| gone())? {
                Ok(time) => times.push(time),
                Err(reason) => failed = Some(reason),
            }
        }
        if let Some(reason) = failed {
            return Err(reason);
        }
        let begin = times.iter().map(|(begin, _)| *begin).min();
        let end = times.iter().map(|(_, end)| *end).max();
        Ok(begin.zip(end).map_or(Duration::ZERO, |(begin, end)| end - begin))
    }
}

/// `wait_stream` by so many threads, each with a waiting stream of its own: the bare driver, ours,
/// and the libraries. Blocks until all is measured.
pub fn row<G: BenchFixture>(fixture: &G, plan: &Plan, threads: usize, shared: bool) -> ThreadRow {
    let mut row = ThreadRow { threads, shared, results: Vec::new(), failed: Vec::new() };
    let sources = if shared { 1 } else { threads };
    let lanes =
        |count| (0..count).map(|_| BenchStream::new(fixture)).collect::<Result<Vec<_>, _>>();
    match lanes(threads).and_then(|waiting| Ok((waiting, lanes(sources)?))) {
        Ok((waiting, sources)) => measure(fixture, plan, &waiting, &sources, &mut row),
        Err(reason) => row.failed.push(FailedOne { who: None, reason }),
    }
    row
}

fn measure<G: BenchFixture>(
    fixture: &G,
    plan: &Plan,
    waiting: &[BenchStream<G>],
    sources: &[BenchStream<G>],
    row: &mut ThreadRow,
) {
    let start = Barrier::new(waiting.len());
    let (say, answers) = channel();
    let (ready, names) = channel();
    thread::scope(|scope| {
        let mut orders = Vec::new();
        for (index, main) in waiting.iter().enumerate() {
            let (order, ordered) = channel();
            orders.push(order);
            let (start, say, ready) = (&start, say.clone(), ready.clone());
            let other = &sources[index % sources.len()];
            let stage = BenchStreams { fixture, main, other, branches: &[] };
            scope.spawn(move || work(stage, start, &ready, &ordered, &say));
        }
        // Each thread has its own, and the last to end closes the channel.
        drop((say, ready));
        let crew = Crew { orders, answers };
        match waiting.iter().map(|_| names.recv()).last() {
            Some(Ok(names)) => {
                let contenders = names.into_iter().enumerate().map(|(place, who)| {
                    let crew = &crew;
                    let run: Contender<'_> = Box::new(move |calls| crew.run((place, calls)));
                    (who, run)
                });
                let settle = || sources.iter().chain(waiting).try_for_each(BenchStream::settle);
                let plan = Plan { batch: plan.batch * LONGER, ..*plan };
                (row.results, row.failed) = compare(&plan, contenders.collect(), settle);
            }
            _ => row.failed.push(FailedOne { who: None, reason: "a thread has ended".into() }),
        }
        // Dropping the orders ends the threads.
    });
}

/// What one thread does.
fn work<G: BenchFixture>(
    stage: BenchStreams<'_, G>,
    start: &Barrier,
    ready: &Sender<Vec<ContenderKind>>,
    ordered: &Receiver<Order>,
    say: &Sender<Answer>,
) {
    let entered = stage.fixture.enter_thread();
    let mut contenders = contenders::waiting(stage);
    if ready.send(contenders.iter().map(|(who, _)| who.clone()).collect()).is_err() {
        return;
    }
    while let Ok((place, calls)) = ordered.recv() {
        start.wait();
        let begin = Instant::now();
        let done = entered.map_err(String::from).and_then(|()| contenders[place].1(calls));
        if say.send(done.map(|_| (begin, Instant::now()))).is_err() {
            return;
        }
    }
}
