//! Findings that a later call can excuse.

use super::*;
use FindingKind::{NotJoined, UnrecordedWait, WaitBeforeRecord};

#[test]
fn wait_for_an_event_that_is_never_recorded() {
    let p = Program::new();
    let (a, e) = (p.stream(), p.event());
    a.wait(&e);
    a.wait(&e);
    assert_eq!(p.kinds(), [UnrecordedWait, UnrecordedWait]);
    p.nothing();
    a.wait(&e);
    drop(e);
    assert_eq!(p.kinds(), [UnrecordedWait]);
}

#[test]
fn wait_before_the_record_that_was_meant() {
    let p = Program::new();
    let [a, b] = [p.stream(), p.stream()];
    let e = p.event();
    b.wait(&e);
    a.record(&e);
    b.submit();
    let found = p.findings();
    assert_eq!(found[0].kind, WaitBeforeRecord);
    let missing = found[0].missing.as_ref().expect("the wait comes too early");
    assert_eq!(missing.waiter.as_ref().map(|waiter| waiter.number), Some(b.info().number));
    assert_eq!(missing.awaited.number, a.info().number);
    assert_eq!(missing.before.line(), found[0].second.place.line() + 1);
}

#[test]
fn stream_that_waits_again_has_waited_on_purpose() {
    let p = Program::new();
    let [a, b] = [p.stream(), p.stream()];
    let e = p.event();
    b.wait(&e);
    a.record(&e);
    b.wait(&e);
    p.nothing();
}

#[test]
fn first_rounds_of_double_buffering_wait_for_events_without_records() {
    let p = Program::new();
    let (copy, compute) = (p.stream(), p.stream());
    let buffers = [(region(64), p.event(), p.event()), (region(64), p.event(), p.event())];
    for (buffer, copied, free) in &buffers {
        copy.wait(free);
        copy.writes(buffer);
        copy.record(copied);
        compute.wait(copied);
        compute.reads(buffer);
        compute.record(free);
    }
    // No buffer is used a second time: the record is after the wait, so the wait is not meant for it.
    p.nothing();
}

#[test]
fn event_that_others_record_is_not_reported() {
    let p = Program::new();
    let (a, e) = (p.stream(), p.event());
    a.wait(&e);
    p.engine.escaped(&e);
    p.nothing();
}

#[test]
fn side_stream_that_is_not_joined() {
    let p = Program::new();
    let (caller, side, r) = (p.open(0xaa00, Origin::Foreign, false), p.stream(), region(64));
    caller.writes(&r);
    side.wait_stream(&caller);
    side.writes(&r);
    p.nothing();
    caller.submit();
    let found = p.findings();
    assert_eq!(found[0].kind, NotJoined);
    let missing = found[0].missing.as_ref().expect("the caller has to wait");
    assert_eq!(missing.waiter.as_ref().map(|waiter| waiter.number), Some(caller.info().number));
    assert_eq!(missing.awaited.number, side.info().number);
    assert_eq!(missing.before.line(), found[0].second.place.line() + 2);
    p.nothing();
}

#[test]
fn side_stream_that_is_dropped_is_not_joined() {
    let p = Program::new();
    let caller = p.open(0xaa10, Origin::Foreign, false);
    let side = p.stream();
    side.wait_stream(&caller);
    side.submit();
    drop(side);
    caller.submit();
    assert_eq!(p.kinds(), [NotJoined]);
}

/// Runs a side stream, and something that joins it.
fn side_with(join: impl FnOnce(&Program, &Line, &Line)) {
    let p = Program::new();
    let (caller, side) = (p.stream(), p.stream());
    side.wait_stream(&caller);
    side.submit();
    join(&p, &caller, &side);
    drop(side);
    caller.submit();
    p.nothing();
}

#[test]
fn side_stream_that_is_joined_is_not_reported() {
    side_with(|_, caller, side| caller.wait_stream(side));
    side_with(|p, _, side| p.stream().wait_stream(side));
    side_with(|_, _, side| side.synchronize());
    side_with(|p, _, side| {
        let event = p.event();
        side.record(&event);
        p.engine.host_waited(p.engine.mark_event(&event), Location::caller());
    });
    side_with(|p, caller, _| caller.wait(&EventState::new(p.engine, true)));
    side_with(|p, _, side| {
        let event = p.event();
        side.record(&event);
        p.engine.escaped(&event);
    });
}

#[test]
fn event_that_lives_can_still_join() {
    let p = Program::new();
    let (caller, side, event) = (p.stream(), p.stream(), p.event());
    side.wait_stream(&caller);
    side.submit();
    side.record(&event);
    drop(side);
    caller.submit();
    p.nothing();
    drop(event);
    assert_eq!(p.kinds(), [NotJoined]);
}

#[test]
fn record_before_the_last_work_does_not_join_it() {
    let p = Program::new();
    let (caller, side, event) = (p.stream(), p.stream(), p.event());
    side.wait_stream(&caller);
    side.submit();
    side.record(&event);
    side.submit();
    caller.wait(&event);
    caller.submit();
    assert_eq!(p.kinds(), [NotJoined]);
}

#[test]
fn stream_that_its_side_streams_wait_for_is_not_a_side_stream() {
    let p = Program::new();
    let (main, side) = (p.stream(), p.stream());
    for _ in 0..3 {
        side.wait_stream(&main);
        side.submit();
        main.wait_stream(&side);
        main.submit();
    }
    side.submit(); // not after a wait for main's latest work
    assert_eq!(p.kinds(), []);
}

#[test]
fn side_stream_is_known_also_if_the_host_has_waited() {
    let p = Program::new();
    let [main, side, other] = [p.stream(), p.stream(), p.stream()];
    side.wait_stream(&main);
    other.wait_stream(&main);
    other.submit();
    other.synchronize();
    side.wait_stream(&other); // forgets what it knows of main
    side.submit();
    main.wait_stream(&side);
    main.submit();
    side.submit();
    side.synchronize();
    p.nothing();
}

#[test]
fn consumer_that_the_host_waits_for_is_not_a_side_stream() {
    let p = Program::new();
    let (producer, consumer) = (p.stream(), p.stream());
    for _ in 0..3 {
        producer.submit();
        consumer.wait_stream(&producer);
        consumer.submit();
        consumer.synchronize();
    }
    consumer.submit();
    producer.submit();
    p.nothing();
}

#[test]
fn wait_that_an_error_names_is_not_reported_twice() {
    let p = Program::new();
    let (caller, side, r) = (p.stream(), p.stream(), region(64));
    side.wait_stream(&caller);
    side.writes(&r);
    caller.reads(&r);
    assert_eq!(p.kinds(), [ReadAfterWrite]);
}
