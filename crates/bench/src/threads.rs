//! Measures calls from several threads at once.

use std::sync::Barrier;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::compare::compare;
use crate::report::{FailedOne, ThreadRow};
use crate::{BenchFixture, BenchStream, BenchStreams, Contender, ContenderKind, Plan, contenders};

/// The numbers of threads.
pub const COUNTS: [usize; 5] = [1, 2, 4, 8, 16];

/// The factor by which a batch is longer than in single-threaded measurements, so that the start of
/// the threads contributes little.
const BATCH_FACTOR: u32 = 10;

/// A request to a worker: the index of the contender, and the number of calls.
type BatchRequest = (usize, u64);

/// A worker's answer: the times at which its batch started and ended.
type BatchResult = Result<(Instant, Instant), String>;

/// The channels to and from the worker threads.
struct Workers {
    requests: Vec<Sender<BatchRequest>>,
    results: Receiver<BatchResult>,
}

impl Workers {
    /// Runs one batch on all workers. Returns the time from the first start to the last end.
    fn run(&self, request: BatchRequest) -> Result<Duration, String> {
        let gone = || "a thread has ended".to_owned();
        for thread in &self.requests {
            thread.send(request).map_err(|_| gone())?;
        }
        let mut times = Vec::new();
        let mut failed = None;
        for _ in &self.requests {
            match self.results.recv().map_err(|_| gone())? {
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

/// Measures `wait_stream` from several threads at once. Blocks until all contenders are measured.
///
/// Each thread has its own waiting stream. The contenders are the bare driver, the backend and the
/// libraries.
pub fn row<F: BenchFixture>(fixture: &F, plan: &Plan, threads: usize, shared: bool) -> ThreadRow {
    let mut row = ThreadRow { threads, shared, results: Vec::new(), failed: Vec::new() };
    let sources = if shared { 1 } else { threads };
    let make_streams =
        |count| (0..count).map(|_| BenchStream::new(fixture)).collect::<Result<Vec<_>, _>>();
    match make_streams(threads).and_then(|waiting| Ok((waiting, make_streams(sources)?))) {
        Ok((waiting, sources)) => measure(fixture, plan, &waiting, &sources, &mut row),
        Err(reason) => row.failed.push(FailedOne { contender: None, reason }),
    }
    row
}

/// Starts one worker for each waiting stream, and measures all contenders.
fn measure<F: BenchFixture>(
    fixture: &F,
    plan: &Plan,
    waiting: &[BenchStream<F>],
    sources: &[BenchStream<F>],
    row: &mut ThreadRow,
) {
    let start = Barrier::new(waiting.len());
    let (result_sender, results) = channel();
    let (ready, names) = channel();
    thread::scope(|scope| {
        let mut requests = Vec::new();
        for (index, main) in waiting.iter().enumerate() {
            let (request, inbox) = channel();
            requests.push(request);
            let (start, result_sender, ready) = (&start, result_sender.clone(), ready.clone());
            let other = &sources[index % sources.len()];
            let streams = BenchStreams { fixture, main, other, branches: &[] };
            scope.spawn(move || worker_loop(streams, start, &ready, &inbox, &result_sender));
        }
        // Each worker has its own clone, so the last worker that ends closes the channels.
        drop((result_sender, ready));
        let workers = Workers { requests, results };
        match waiting.iter().map(|_| names.recv()).last() {
            Some(Ok(names)) => {
                let contenders = names.into_iter().enumerate().map(|(index, kind)| {
                    let workers = &workers;
                    let run: Contender<'_> = Box::new(move |calls| workers.run((index, calls)));
                    (kind, run)
                });
                let settle = || sources.iter().chain(waiting).try_for_each(BenchStream::settle);
                let plan = Plan { batch: plan.batch * BATCH_FACTOR, ..*plan };
                (row.results, row.failed) = compare(&plan, contenders.collect(), settle);
            }
            _ => {
                row.failed.push(FailedOne { contender: None, reason: "a thread has ended".into() })
            }
        }
        // Dropping the request senders ends the workers.
    });
}

/// Runs the requested batches on one worker thread until the request channel closes.
fn worker_loop<F: BenchFixture>(
    streams: BenchStreams<'_, F>,
    start: &Barrier,
    ready: &Sender<Vec<ContenderKind>>,
    inbox: &Receiver<BatchRequest>,
    results: &Sender<BatchResult>,
) {
    let entered = streams.fixture.enter_thread();
    let mut contenders = contenders::waiting(streams);
    if ready.send(contenders.iter().map(|(kind, _)| kind.clone()).collect()).is_err() {
        return;
    }
    while let Ok((index, calls)) = inbox.recv() {
        start.wait();
        let begin = Instant::now();
        let done = entered.map_err(String::from).and_then(|()| contenders[index].1(calls));
        if results.send(done.map(|_| (begin, Instant::now()))).is_err() {
            return;
        }
    }
}
