//! How costs grow.

use std::time::{Duration, Instant};

use gpu_stream_core::{Backend, EventOptions, Stream};

use crate::compare::compare;
use crate::contenders;
use crate::fixture::EventOf;
use crate::measure::calling;
use crate::report::{FailedOne, Grows, GrowthRow};
use crate::{Bare, BenchFixture, BenchStream, Contender, ContenderKind, Job, Plan};

/// How many streams and events are alive.
pub const ALIVE: [u64; 5] = [1, 10, 100, 1_000, 10_000];

/// How many hops are submitted in a row.
pub const QUEUE: [u64; 6] = [1, 10, 100, 1_000, 10_000, 100_000];

/// What is done among many streams.
pub const JOBS: [Job; 4] = [Job::WrapChecked, Job::Query, Job::Record, Job::WaitStream];

/// Fewer rounds than usual: a long queue takes the device seconds.
fn plan(plan: &Plan) -> Plan {
    Plan { rounds: plan.rounds.min(11), limit: plan.limit.min(Duration::from_secs(8)), ..*plan }
}

/// So many streams and events of each kind, and one stream more.
struct Crowd<G: BenchFixture> {
    lanes: Vec<BenchStream<G>>,
    ours: Vec<EventOf<G>>,
    bare: Vec<<G::Bare as Bare>::Event>,
    waiting: BenchStream<G>,
}

impl<G: BenchFixture> Crowd<G> {
    fn new(fixture: &G, size: u64) -> Result<Self, String> {
        let event = || G::Backend::new_event(fixture.device(), EventOptions::new());
        let mut crowd = Crowd {
            lanes: Vec::new(),
            ours: Vec::new(),
            bare: Vec::new(),
            waiting: BenchStream::new(fixture)?,
        };
        for _ in 0..size {
            crowd.lanes.push(BenchStream::new(fixture)?);
            crowd.ours.push(event().map_err(|error| error.to_string())?);
            crowd.bare.extend(fixture.bare().map(|bare| bare.new_event(false)).transpose()?);
        }
        Ok(crowd)
    }

    fn settle(&self) -> Result<(), String> {
        self.lanes.iter().try_for_each(BenchStream::settle)?;
        self.waiting.settle()
    }
}

/// Goes round and round from 0 to `size`.
fn round(size: usize) -> impl FnMut() -> usize {
    let mut next = 0;
    move || {
        let now = next;
        next = if now + 1 == size { 0 } else { now + 1 };
        now
    }
}

/// The operations of [`JOBS`], each going round so many streams. Blocks until all is measured.
pub fn alive<G: BenchFixture>(fixture: &G, usual: &Plan, size: u64) -> Vec<GrowthRow> {
    let row = |job| {
        let (results, failed) = (Vec::new(), Vec::new());
        GrowthRow { grows: Grows::Alive, size, job, results, failed }
    };
    let crowd = match Crowd::new(fixture, size) {
        Ok(crowd) => crowd,
        Err(reason) => {
            let failed = vec![FailedOne { who: None, reason }];
            return vec![GrowthRow { failed, ..row(Job::NewStream) }];
        }
    };
    let measured = JOBS.map(|job| {
        let mut contenders = Vec::new();
        if let Some(bare) = fixture.bare() {
            contenders.push((ContenderKind::Bare, bare_round(bare, job, &crowd)));
        }
        contenders.push((ContenderKind::Ours, our_round(fixture, job, &crowd)));
        let (results, failed) = compare(&plan(usual), contenders, || crowd.settle());
        GrowthRow { results, failed, ..row(job) }
    });
    measured.into()
}

fn our_round<'a, G: BenchFixture>(fixture: &'a G, job: Job, crowd: &'a Crowd<G>) -> Contender<'a> {
    let (lanes, events, waiting) = (&crowd.lanes, &crowd.ours, &crowd.waiting);
    let mut next = round(lanes.len());
    match job {
        Job::WrapChecked => {
            contenders::wrap_checked::<G>(fixture.device(), move || lanes[next()].foreign())
        }
        Job::Query => calling(move || lanes[next()].ours().query()),
        Job::Record => calling(move || {
            let index = next();
            lanes[index].ours().record(&events[index])
        }),
        _ => calling(move || waiting.ours().wait_stream(lanes[next()].ours())),
    }
}

fn bare_round<'a, G: BenchFixture>(
    bare: &'a G::Bare,
    job: Job,
    crowd: &'a Crowd<G>,
) -> Contender<'a> {
    let (lanes, events, waiting) = (&crowd.lanes, &crowd.bare, &crowd.waiting);
    let mut next = round(lanes.len());
    match job {
        Job::WrapChecked => calling(move || bare.check_device(lanes[next()].foreign())),
        Job::Query => calling(move || bare.query(lanes[next()].foreign())),
        Job::Record => calling(move || {
            let index = next();
            bare.record(&events[index], lanes[index].foreign())
        }),
        _ => calling(move || {
            let index = next();
            let (event, source) = (&events[index], lanes[index].foreign());
            contenders::bare_wait_stream::<G>(bare, event, waiting.foreign(), source)
        }),
    }
}

/// So many hops in a row, from one stream to another and back: each lets the one wait for the
/// other, so that the device cannot overtake. What counts is how long submitting them takes.
/// Nanoseconds a hop. Blocks until all is measured.
pub fn queue<G: BenchFixture>(fixture: &G, usual: &Plan, size: u64) -> GrowthRow {
    let (results, failed) = (Vec::new(), Vec::new());
    let mut row = GrowthRow { grows: Grows::Queue, size, job: Job::WaitStream, results, failed };
    let lanes = BenchStream::new(fixture).and_then(|one| Ok([one, BenchStream::new(fixture)?]));
    let lanes = match lanes {
        Ok(lanes) => lanes,
        Err(reason) => {
            row.failed.push(FailedOne { who: None, reason });
            return row;
        }
    };
    let [one, other] = &lanes;
    let mut contenders = Vec::new();
    if let Some(bare) = fixture.bare() {
        let event = bare.new_event(false);
        let hop = move |from: &BenchStream<G>, to: &BenchStream<G>| {
            let event = event.as_ref().map_err(|failed| failed.to_string())?;
            contenders::bare_wait_stream::<G>(bare, event, to.foreign(), from.foreign())
                .map_err(String::from)
        };
        contenders.push((ContenderKind::Bare, hops(size, one, other, hop)));
    }
    let hop = |from: &BenchStream<G>, to: &BenchStream<G>| {
        to.ours().wait_stream(from.ours()).map_err(|error| error.to_string())
    };
    contenders.push((ContenderKind::Ours, hops(size, one, other, hop)));
    let settle = || one.settle().and_then(|()| other.settle());
    (row.results, row.failed) = compare(&plan(usual), contenders, settle);
    row.results.iter_mut().for_each(|one| one.divide_by(size as f64));
    row
}

/// A contender whose call is a whole queue; waiting for its end does not count.
fn hops<'a, G: BenchFixture>(
    size: u64,
    one: &'a BenchStream<G>,
    other: &'a BenchStream<G>,
    hop: impl Fn(&BenchStream<G>, &BenchStream<G>) -> Result<(), String> + 'a,
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
