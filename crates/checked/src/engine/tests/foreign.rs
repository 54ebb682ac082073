//! Events and streams that others use, too.

use super::*;

#[test]
fn wait_for_a_foreign_event_is_after_everything_so_far() {
    let p = Program::new();
    let [a, b, c] = [p.stream(), p.stream(), p.stream()];
    let (r, later) = (region(64), region(64));
    let foreign = EventState::new(p.engine, true);
    a.writes(&r);
    b.wait(&foreign);
    a.writes(&later);
    c.wait_stream(&b);
    c.writes(&r);
    p.nothing();
    c.writes(&later);
    assert_eq!(p.kinds(), [WriteAfterWrite]);
}

#[test]
fn event_whose_handle_was_taken_may_have_any_record() {
    let p = Program::new();
    let [a, b, c] = [p.stream(), p.stream(), p.stream()];
    let (r, e) = (region(64), p.event());
    a.record(&e);
    p.engine.escaped(&e);
    a.record(&e);
    c.writes(&r);
    b.wait(&e);
    b.writes(&r);
    p.nothing();
    c.writes(&r);
    assert_eq!(p.kinds(), [WriteAfterWrite]);
}

#[test]
fn host_that_waits_for_a_foreign_event_waits_for_everything() {
    let p = Program::new();
    let (a, b, r) = (p.stream(), p.stream(), region(64));
    let foreign = EventState::new(p.engine, true);
    a.writes(&r);
    p.engine.host_waited(p.engine.mark_event(&foreign), Location::caller());
    b.writes(&r);
    p.nothing();
    a.writes(&r);
    assert_eq!(p.kinds(), [WriteAfterWrite]);
}

#[test]
fn host_that_waits_for_a_stream_waits_for_what_that_waited_for() {
    let p = Program::new();
    let [a, b, c] = [p.stream(), p.stream(), p.stream()];
    let r = region(64);
    a.writes(&r);
    b.wait(&EventState::new(p.engine, true));
    b.synchronize();
    c.writes(&r);
    p.nothing();
}

#[test]
fn stream_that_was_destroyed_is_used() {
    let p = Program::new();
    let ours = p.open(0x9990, Origin::Created, false);
    let raw = p.open(0x9990, Origin::Foreign, false);
    raw.submit();
    drop(ours);
    p.nothing();
    raw.synchronize();
    assert_eq!(p.kinds(), [FindingKind::UseAfterOwner]);
    // A new wrapper may wrap a new stream with the same handle.
    p.open(0x9990, Origin::Foreign, false).submit();
    p.nothing();
}

#[test]
fn wrapper_of_a_destroyed_handle_may_be_of_the_same_stream() {
    let p = Program::new();
    let r = region(64);
    let ours = p.open(0x99d0, Origin::Created, false);
    ours.writes(&r);
    drop(ours);
    p.open(0x99d0, Origin::Foreign, false).reads(&r);
    p.nothing();
    p.stream().reads(&r);
    assert_eq!(p.kinds(), [ReadAfterWrite]);
}

#[test]
fn use_is_reported_before_the_call_and_once() {
    let p = Program::new();
    let ours = p.open(0x99c0, Origin::Created, false);
    let raw = p.open(0x99c0, Origin::Foreign, false);
    let place = Location::caller();
    p.engine.used(&raw, place);
    drop(ours);
    p.nothing();
    p.engine.used(&raw, place);
    p.engine.submit(&raw, place);
    p.engine.used(&raw, place);
    let found = p.findings();
    assert_eq!((found.len(), found[0].kind, found[0].count), (1, FindingKind::UseAfterOwner, 2));
}

#[test]
fn clones_keep_a_stream() {
    let p = Program::new();
    let ours = p.open(0x99a0, Origin::Created, false);
    let (raw, clone) = (p.open(0x99a0, Origin::Foreign, false), ours.clone());
    drop(ours);
    raw.submit();
    p.nothing();
    drop(clone);
    raw.submit();
    assert_eq!(p.kinds(), [FindingKind::UseAfterOwner]);
}

#[test]
fn submission_after_a_fault_was_returned() {
    let p = Program::new();
    let (a, b) = (p.open(0x99b0, Origin::Foreign, false), p.stream());
    a.submit();
    p.engine.faulted(&a, Location::caller());
    p.nothing();
    b.submit();
    p.nothing();
    a.submit();
    let found = p.findings();
    assert_eq!(found[0].kind, FindingKind::BehindFault);
    assert!(found[0].first.is_some());
    drop(a);
    p.open(0x99b0, Origin::Foreign, false).submit();
    p.nothing();
}
