//! Counts the bare driver's calls, to show that all contenders do the same job.

use super::*;
use crate::fake::{Counts, FakeFixture};
use crate::job::{BRANCHES, SIDES};

/// Returns the driver calls that one call of the contender makes.
///
/// Counts ten calls that follow two others, so that setup calls do not count.
fn calls_of(job: Job, kind: &ContenderKind) -> Counts {
    let fixture = FakeFixture::new(None);
    let all_streams: Vec<_> =
        (0..2 + BRANCHES).map(|_| BenchStream::new(&fixture).unwrap()).collect();
    let (main, other, branches) = (&all_streams[0], &all_streams[1], &all_streams[2..]);
    let streams = BenchStreams { fixture: &fixture, main, other, branches };
    let mut found = all(job, streams);
    let index = found.iter().position(|(name, _)| name == kind).expect("the contender exists");
    let contender = &mut found[index].1;
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

fn counts<const N: usize>(expected: [(&'static str, u64); N]) -> Counts {
    expected.into()
}

#[test]
fn bare_contender_makes_the_documented_calls() {
    assert_eq!(bare(Job::WrapChecked), counts([("check_device", 1)]));
    assert_eq!(bare(Job::WrapUnchecked), counts([]));
    assert_eq!(bare(Job::Query), counts([("query", 1)]));
    assert_eq!(bare(Job::Synchronize), counts([("synchronize", 1)]));
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
    assert_eq!(bare(Job::Id), counts([("id", 1)]));
    assert_eq!(bare(Job::ElapsedSince), counts([("elapsed", 1)]));
    assert_eq!(bare(Job::HostFunc), counts([("host_func", 1), ("synchronize", 1)]));
}

#[test]
fn bare_fork_records_once_and_bare_join_once_per_branch() {
    let many = BRANCHES as u64;
    assert_eq!(bare(Job::Fork), counts([("record", 1), ("wait_event", many)]));
    assert_eq!(bare(Job::Join), counts([("record", many), ("wait_event", many)]));
    // A wait for the caller's stream, a fork, a join, and the caller's wait for the result.
    let sides = SIDES as u64;
    let function = [("record", 1 + 1 + sides + 1), ("wait_event", 1 + sides + sides + 1)];
    assert_eq!(bare(Job::ShortLived), counts(function));
    let mut checked = counts(function);
    checked.insert("check_device", 1);
    assert_eq!(bare(Job::ShortLivedChecked), checked);
}

fn careful(job: Job) -> Counts {
    calls_of(job, &ContenderKind::Careful)
}

#[test]
fn careful_contender_makes_the_documented_calls() {
    let (check, mode, current) = (("capture_status", 1), ("exchange_mode", 2), ("get_current", 1));
    assert_eq!(careful(Job::Query), counts([check, mode, ("query_repeatedly", 1)]));
    let synchronize = ("synchronize_with_status", 1);
    assert_eq!(careful(Job::Synchronize), counts([check, mode, synchronize]));
    assert_eq!(careful(Job::Record), counts([check, ("record", 1), ("flush", 1)]));
    let event = [("event_create", 1), ("event_destroy", 1)];
    let mut record = counts(event);
    record.extend([check, current, ("record", 1), ("flush", 1)]);
    assert_eq!(careful(Job::RecordEvent), record);
    assert_eq!(careful(Job::EventQuery), counts([mode, ("event_query", 1)]));
    assert_eq!(careful(Job::EventSynchronize), counts([mode, ("event_synchronize", 1)]));
    assert_eq!(careful(Job::WaitEvent), counts([check, ("wait_event", 1)]));
    let wait = [check, ("record", 1), ("flush", 1), ("wait_event", 1)];
    assert_eq!(careful(Job::WaitStream), counts(wait));
    assert_eq!(careful(Job::NewStream), counts([current, ("stream_create", 1)]));
    assert_eq!(careful(Job::NewEvent), counts([current, event[0], event[1]]));
    assert_eq!(careful(Job::Id), counts([check, ("id", 1)]));
    let run = [("capture_status", 2), mode, ("host_func", 1), synchronize];
    assert_eq!(careful(Job::HostFunc), counts(run));
}

#[test]
fn careful_fork_checks_each_branch_and_careful_join_checks_once() {
    let many = BRANCHES as u64;
    let fork = [("record", 1), ("flush", 1), ("capture_status", many), ("wait_event", many)];
    assert_eq!(careful(Job::Fork), counts(fork));
    let join = [("record", many), ("flush", many), ("capture_status", 1), ("wait_event", many)];
    assert_eq!(careful(Job::Join), counts(join));
    let sides = SIDES as u64;
    let mut function = bare(Job::ShortLived);
    function.insert("capture_status", 1 + sides + 1 + 1);
    function.insert("flush", function["record"]);
    assert_eq!(careful(Job::ShortLived), function);
    function.insert("check_device", 1);
    assert_eq!(careful(Job::ShortLivedChecked), function);
}

#[test]
fn every_job_has_all_its_contenders() {
    let fixture = FakeFixture::new(None);
    let all_streams: Vec<_> =
        (0..2 + BRANCHES).map(|_| BenchStream::new(&fixture).unwrap()).collect();
    let streams = BenchStreams {
        fixture: &fixture,
        main: &all_streams[0],
        other: &all_streams[1],
        branches: &all_streams[2..],
    };
    for job in Job::ALL {
        let mut found = all(*job, streams);
        let has = |kind: ContenderKind| found.iter().any(|(name, _)| *name == kind);
        assert!(found[0].0 == ContenderKind::Bare && has(ContenderKind::Ours), "{}", job.name());
        let is_careful = matches!(
            job,
            Job::WrapChecked
                | Job::WrapUnchecked
                | Job::CaptureStatus
                | Job::Priority
                | Job::ElapsedSince
        );
        assert_eq!(has(ContenderKind::Careful), !is_careful, "{}", job.name());
        for (kind, contender) in &mut found {
            let done = contender(3);
            assert!(done.is_ok(), "{}, {}: {done:?}", job.name(), kind.label());
        }
        let has = |kind: ContenderKind| found.iter().any(|(name, _)| *name == kind);
        let is_short = matches!(job, Job::ShortLived | Job::ShortLivedChecked);
        assert_eq!(has(ContenderKind::Kept), is_short, "{}", job.name());
        if [Job::Query, Job::Record, Job::WaitEvent, Job::WaitStream].contains(job) {
            assert!(has(ContenderKind::ObjectSafe), "{}", job.name());
        }
    }
}

#[test]
fn contender_with_failed_setup_fails_at_its_first_batch() {
    let fixture = FakeFixture::new(Some("event_create"));
    let all_streams: Vec<_> = (0..2).map(|_| BenchStream::new(&fixture).unwrap()).collect();
    let streams = BenchStreams {
        fixture: &fixture,
        main: &all_streams[0],
        other: &all_streams[1],
        branches: &[],
    };
    let mut found = all(Job::Record, streams);
    assert_eq!(found[0].1(1), Err("event_create answered 700".into()));
    assert_eq!(found[1].1(1), Err("event_create answered 700".into()));
    assert!(found[2].1(1).is_ok());
}
