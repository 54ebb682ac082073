//! Measures how costs grow with the number of live streams, and with the length of a queue.

use std::time::{Duration, Instant};

use gpu_stream_core::{Backend, EventOptions, Stream};

use crate::compare::compare;
use crate::contenders;
use crate::fixture::EventOf;
use crate::measure::calling;
use crate::report::{FailedOne, Grows, GrowthRow};
use crate::{Bare, BenchFixture, BenchStream, Contender, ContenderKind, Job, Plan};

/// The numbers of live streams and events.
pub const ALIVE: [u64; 5] = [1, 10, 100, 1_000, 10_000];

/// The numbers of hops submitted in a row.
pub const QUEUE: [u64; 6] = [1, 10, 100, 1_000, 10_000, 100_000];

/// The jobs measured with many live streams.
pub const JOBS: [Job; 4] = [Job::WrapChecked, Job::Query, Job::Record, Job::WaitStream];

/// Returns a plan with fewer rounds, because a long queue keeps the device busy for seconds.
fn plan(plan: &Plan) -> Plan {
    Plan { rounds: plan.rounds.min(11), limit: plan.limit.min(Duration::from_secs(8)), ..*plan }
}

/// The live streams, the events of the backend and of the driver, and a waiting stream.
struct LiveObjects<F: BenchFixture> {
    sources: Vec<BenchStream<F>>,
    ours: Vec<EventOf<F>>,
    bare: Vec<<F::Bare as Bare>::Event>,
    waiting: BenchStream<F>,
}

impl<F: BenchFixture> LiveObjects<F> {
    fn new(fixture: &F, size: u64) -> Result<Self, String> {
        let event = || F::Backend::new_event(fixture.device(), EventOptions::new());
        let mut objects = LiveObjects {
            sources: Vec::new(),
            ours: Vec::new(),
            bare: Vec::new(),
            waiting: BenchStream::new(fixture)?,
        };
        for _ in 0..size {
            objects.sources.push(BenchStream::new(fixture)?);
            objects.ours.push(event().map_err(|error| error.to_string())?);
            objects.bare.extend(fixture.bare().map(|bare| bare.new_event(false)).transpose()?);
        }
        Ok(objects)
    }

    fn settle(&self) -> Result<(), String> {
        self.sources.iter().try_for_each(BenchStream::settle)?;
        self.waiting.settle()
    }
}

/// Returns a closure that counts from 0 to `size - 1` in a cycle.
fn cycle(size: usize) -> impl FnMut() -> usize {
    let mut next = 0;
    move || {
        let now = next;
        next = if now + 1 == size { 0 } else { now + 1 };
        now
    }
}

/// Measures each of [`JOBS`] over `size` live streams in a cycle. Blocks until all are measured.
pub fn alive<F: BenchFixture>(fixture: &F, full_plan: &Plan, size: u64) -> Vec<GrowthRow> {
    let row = |job| {
        let (results, failed) = (Vec::new(), Vec::new());
        GrowthRow { grows: Grows::Alive, size, job, results, failed }
    };
    let objects = match LiveObjects::new(fixture, size) {
        Ok(objects) => objects,
        Err(reason) => {
            let failed = vec![FailedOne { contender: None, reason }];
            return vec![GrowthRow { failed, ..row(Job::NewStream) }];
        }
    };
    let measured = JOBS.map(|job| {
        let mut contenders = Vec::new();
        if let Some(bare) = fixture.bare() {
            contenders.push((ContenderKind::Bare, bare_round(bare, job, &objects)));
            let careful = careful_round(bare, job, &objects);
            contenders.extend(careful.map(|contender| (ContenderKind::Careful, contender)));
        }
        contenders.push((ContenderKind::Ours, our_round(fixture, job, &objects)));
        let (results, failed) = compare(&plan(full_plan), contenders, || objects.settle());
        GrowthRow { results, failed, ..row(job) }
    });
    measured.into()
}

/// Creates the backend's contender: each call does `job` on the next stream.
fn our_round<'a, F: BenchFixture>(
    fixture: &'a F,
    job: Job,
    objects: &'a LiveObjects<F>,
) -> Contender<'a> {
    let (sources, events, waiting) = (&objects.sources, &objects.ours, &objects.waiting);
    let mut next = cycle(sources.len());
    match job {
        Job::WrapChecked => {
            contenders::wrap_checked::<F>(fixture.device(), move || sources[next()].foreign())
        }
        Job::Query => calling(move || sources[next()].ours().query()),
        Job::Record => calling(move || {
            let index = next();
            sources[index].ours().record(&events[index])
        }),
        _ => calling(move || waiting.ours().wait_stream(sources[next()].ours())),
    }
}

/// Creates the bare driver's contender: each call does `job` on the next stream.
fn bare_round<'a, F: BenchFixture>(
    bare: &'a F::Bare,
    job: Job,
    objects: &'a LiveObjects<F>,
) -> Contender<'a> {
    let (sources, events, waiting) = (&objects.sources, &objects.bare, &objects.waiting);
    let mut next = cycle(sources.len());
    match job {
        Job::WrapChecked => calling(move || bare.check_device(sources[next()].foreign())),
        Job::Query => calling(move || bare.query(sources[next()].foreign())),
        Job::Record => calling(move || {
            let index = next();
            bare.record(&events[index], sources[index].foreign())
        }),
        _ => calling(move || {
            let index = next();
            let (event, source) = (&events[index], sources[index].foreign());
            contenders::bare_wait_stream::<F>(bare, event, waiting.foreign(), source)
        }),
    }
}

/// Creates the contender of the careful calls: each call does `job` on the next stream. `None` if they are the
/// bare calls.
fn careful_round<'a, F: BenchFixture>(
    bare: &'a F::Bare,
    job: Job,
    objects: &'a LiveObjects<F>,
) -> Option<Contender<'a>> {
    let (sources, events, waiting) = (&objects.sources, &objects.bare, &objects.waiting);
    let mut next = cycle(sources.len());
    Some(match job {
        Job::WrapChecked => return None,
        Job::Query => calling(move || contenders::careful_query(bare, sources[next()].foreign())),
        Job::Record => calling(move || {
            let index = next();
            bare.refuse_captured(sources[index].foreign())?;
            bare.record(&events[index], sources[index].foreign())
        }),
        _ => calling(move || {
            let index = next();
            let (event, source) = (&events[index], sources[index].foreign());
            contenders::careful_wait_stream::<F>(bare, event, waiting.foreign(), source)
        }),
    })
}

/// Measures `size` hops in a row, in nanoseconds per hop. Blocks until all are measured.
///
/// A hop makes one of two streams wait for the other, in alternating direction, so the device cannot
/// reorder them. Only the submission is timed.
pub fn queue<F: BenchFixture>(fixture: &F, full_plan: &Plan, size: u64) -> GrowthRow {
    let (results, failed) = (Vec::new(), Vec::new());
    let mut row = GrowthRow { grows: Grows::Queue, size, job: Job::WaitStream, results, failed };
    let sources = BenchStream::new(fixture).and_then(|one| Ok([one, BenchStream::new(fixture)?]));
    let sources = match sources {
        Ok(sources) => sources,
        Err(reason) => {
            row.failed.push(FailedOne { contender: None, reason });
            return row;
        }
    };
    let [one, other] = &sources;
    let mut contenders = Vec::new();
    if let Some(bare) = fixture.bare() {
        for kind in [ContenderKind::Bare, ContenderKind::Careful] {
            let is_careful = kind == ContenderKind::Careful;
            let event = bare.new_event(false);
            let hop = move |from: &BenchStream<F>, to: &BenchStream<F>| {
                let event = event.as_ref().map_err(|failed| failed.to_string())?;
                if is_careful {
                    bare.refuse_captured(to.foreign())?;
                }
                contenders::bare_wait_stream::<F>(bare, event, to.foreign(), from.foreign())
                    .map_err(String::from)
            };
            contenders.push((kind, hops(size, one, other, hop)));
        }
    }
    let hop = |from: &BenchStream<F>, to: &BenchStream<F>| {
        to.ours().wait_stream(from.ours()).map_err(|error| error.to_string())
    };
    contenders.push((ContenderKind::Ours, hops(size, one, other, hop)));
    let settle = || one.settle().and_then(|()| other.settle());
    (row.results, row.failed) = compare(&plan(full_plan), contenders, settle);
    row.results.iter_mut().for_each(|one| one.divide_by(size as f64));
    row
}

/// Creates a contender whose call submits `size` hops. Waiting for their completion is not timed.
fn hops<'a, F: BenchFixture>(
    size: u64,
    one: &'a BenchStream<F>,
    other: &'a BenchStream<F>,
    hop: impl Fn(&BenchStream<F>, &BenchStream<F>) -> Result<(), String> + 'a,
) -> Contender<'a> {
    Box::new(move |queues| {
        let mut time = Duration::ZERO;
        for _ in 0..queues {
            let since = Instant::now();
            for step in 0..size {
                let (from, to) = if step % 2 == 0 { (one, other) } else { (other, one) };
                hop(from, to)?;
            }
            time += since.elapsed();
            one.settle()?;
            other.settle()?;
        }
        Ok(time)
    })
}
