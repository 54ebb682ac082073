//! What is compared does the same: the bare driver's calls, counted.

use super::*;
use crate::fake::{Counts, FakeGround};
use crate::job::{BRANCHES, SIDES};

/// What one call of the bare driver's contender is made of, measured by the difference of two and
/// twelve: what the contender does once, to get ready, is in both.
fn calls_of(job: Job, who: &ContenderKind) -> Counts {
    let fixture = FakeGround::new(None);
    let lanes: Vec<_> = (0..2 + BRANCHES).map(|_| BenchStream::new(&fixture).unwrap()).collect();
    let (main, other, branches) = (&lanes[0], &lanes[1], &lanes[2..]);
    let stage = BenchStreams { fixture: &fixture, main, other, branches };
    let mut found = all(job, stage);
    let place = found.iter().position(|(name, _)| name == who).expect("it takes part");
    let contender = &mut found[place].1;
    contender(2).unwrap();
    fixture.bare.take();
    contender(10).unwrap();
    let counts = fixture.bare.take();
    counts
        .into_iter()
        .map(|(name, count)| {
            assert_eq!(count % 10, 0, "{name} is called {count} times in ten calls");
            (name, count / 10)
        })
        .collect()
}

fn bare(job: Job) -> Counts {
    calls_of(job, &ContenderKind::Bare)
}

fn counts<const N: usize>(wanted: [(&'static str, u64); N]) -> Counts {
    wanted.into()
}

#[test]
fn the_bare_driver_does_each_job_with_these_calls() {
    assert_eq!(bare(Job::WrapChecked), counts([("check_device", 1)]));
    assert_eq!(bare(Job::WrapUnchecked), counts([]));
    assert_eq!(bare(Job::Query), counts([("capture_status", 1), ("query", 1)]));
    assert_eq!(bare(Job::Synchronize), counts([("capture_status", 1), ("synchronize", 1)]));
    assert_eq!(bare(Job::Record), counts([("record", 1)]));
    let made = [("event_create", 1), ("event_destroy", 1), ("record", 1)];
    assert_eq!(bare(Job::RecordEvent), counts(made));
    assert_eq!(bare(Job::EventQuery), counts([("event_query", 1)]));
    assert_eq!(bare(Job::EventSynchronize), counts([("event_synchronize", 1)]));
    assert_eq!(bare(Job::WaitEvent), counts([("wait_event", 1)]));
    assert_eq!(bare(Job::WaitStream), counts([("record", 1), ("wait_event", 1)]));
    assert_eq!(bare(Job::NewStream), counts([("stream_create", 1)]));
    assert_eq!(bare(Job::NewEvent), counts([("event_create", 1), ("event_destroy", 1)]));
    assert_eq!(bare(Job::CaptureStatus), counts([("capture_status", 1)]));
    assert_eq!(bare(Job::Priority), counts([("priority", 1)]));
    assert_eq!(bare(Job::Id), counts([("capture_status", 1), ("id", 1)]));
    assert_eq!(bare(Job::ElapsedSince), counts([("elapsed", 1)]));
    let run = [("capture_status", 1), ("host_func", 1), ("synchronize", 1)];
    assert_eq!(bare(Job::HostFunc), counts(run));
}

#[test]
fn a_fork_is_one_record_and_a_join_is_one_for_each() {
    let many = BRANCHES as u64;
    assert_eq!(bare(Job::Fork), counts([("record", 1), ("wait_event", many)]));
    assert_eq!(bare(Job::Join), counts([("record", many), ("wait_event", many)]));
    // A wait there, a fork, a join and a wait back.
    let sides = SIDES as u64;
    let function = [("record", 1 + 1 + sides + 1), ("wait_event", 1 + sides + sides + 1)];
    assert_eq!(bare(Job::ShortLived), counts(function));
    let mut checked = counts(function);
    checked.insert("check_device", 1);
    assert_eq!(bare(Job::ShortLivedChecked), checked);
}

#[test]
fn without_the_look_there_is_none() {
    assert_eq!(calls_of(Job::Query, &ContenderKind::BareOnly), counts([("query", 1)]));
    assert_eq!(calls_of(Job::Synchronize, &ContenderKind::BareOnly), counts([("synchronize", 1)]));
}

#[test]
fn everybody_takes_part_who_can() {
    let fixture = FakeGround::new(None);
    let lanes: Vec<_> = (0..2 + BRANCHES).map(|_| BenchStream::new(&fixture).unwrap()).collect();
    let stage = BenchStreams {
        fixture: &fixture,
        main: &lanes[0],
        other: &lanes[1],
        branches: &lanes[2..],
    };
    for job in Job::ALL {
        let mut found = all(*job, stage);
        assert_eq!(
            (&found[0].0, &found[1].0),
            (&ContenderKind::Bare, &ContenderKind::Ours),
            "{}",
            job.name()
        );
        for (who, contender) in &mut found {
            let done = contender(3);
            assert!(done.is_ok(), "{}, {}: {done:?}", job.name(), who.label());
        }
        let has = |who: ContenderKind| found.iter().any(|(name, _)| *name == who);
        let is_short = matches!(job, Job::ShortLived | Job::ShortLivedChecked);
        assert_eq!(has(ContenderKind::Kept), is_short, "{}", job.name());
        assert_eq!(has(ContenderKind::BareOnly), matches!(job, Job::Query | Job::Synchronize));
        if [Job::Query, Job::Record, Job::WaitEvent, Job::WaitStream].contains(job) {
            assert!(has(ContenderKind::ObjectSafe), "{}", job.name());
        }
    }
}

#[test]
fn who_cannot_get_ready_fails_at_the_first_batch() {
    let fixture = FakeGround::new(Some("event_create"));
    let lanes: Vec<_> = (0..2).map(|_| BenchStream::new(&fixture).unwrap()).collect();
    let stage =
        BenchStreams { fixture: &fixture, main: &lanes[0], other: &lanes[1], branches: &[] };
    let mut found = all(Job::Record, stage);
    assert_eq!(found[0].1(1), Err("event_create answered 700".into()));
    assert!(found[1].1(1).is_ok());
}
