//! Scopes, counts, steps, the hook, and what is forgotten.

use std::sync::Mutex;

use super::*;
use crate::finding::Action;

#[test]
fn findings_of_one_kind_at_the_same_places_are_one() {
    let p = Program::new();
    let (a, b, r) = (p.stream(), p.stream(), region(64));
    for _ in 0..3 {
        a.writes(&r);
        b.reads(&r);
    }
    let found = p.findings();
    assert_eq!(found.len(), 2, "{found:#?}");
    assert_eq!((found[0].kind, found[0].count), (ReadAfterWrite, 3));
    assert_eq!((found[1].kind, found[1].count), (WriteAfterRead, 2));
}

#[test]
fn finding_names_places_streams_and_the_missing_wait() {
    let p = Program::new();
    let (a, b, r) = (p.stream(), p.stream(), region(64));
    a.writes(&r);
    b.reads(&r.part(0..8));
    let line = line!();
    let found = &p.findings()[0];
    let first = found.first.as_ref().expect("a write");
    assert_eq!((first.place.line(), found.second.place.line()), (line - 2, line - 1));
    assert_eq!(first.stream.number, a.info().number);
    assert_eq!(found.second.stream, b.info());
    assert!(first.number < found.second.number);
    let missing = found.missing.as_ref().expect("a wait mends it");
    assert_eq!(missing.waiter, Some(b.info()));
    assert_eq!(missing.awaited, a.info());
    assert_eq!(missing.before.line(), line - 1);
    assert_eq!(found.streams, [a.info(), b.info()]);
    let Action::Access(Access::Read, part) = &found.second.action else { panic!("{found:?}") };
    assert_eq!(part.addresses().len(), 8);
}

#[test]
fn steps_are_those_of_the_streams_and_the_records_that_they_wait_for() {
    let p = Program::new();
    let [a, b, c, d] = [p.stream(), p.stream(), p.stream(), p.stream()];
    let (r, e) = (region(64), p.event());
    a.submit(); // before the latest wait between the two
    b.wait_stream(&a);
    b.submit(); // before the first site
    c.record(&e);
    a.writes(&r);
    d.submit(); // no part of it
    c.wait_stream(&d);
    c.record(&e);
    b.wait(&e);
    b.reads(&r);
    a.submit(); // after it
    let found = &p.findings()[0];
    let numbers: Vec<u32> = found.steps.iter().map(|step| step.stream).collect();
    let expected = [&a, &b, &a, &d, &c, &c, &b, &b].map(|line| line.info().number);
    assert_eq!(numbers, expected, "{found:#?}");
    assert_eq!(found.streams.len(), 4);
}

#[test]
fn steps_of_a_host_access_include_the_last_wait_of_the_host() {
    let p = Program::new();
    let [a, b, c] = [p.stream(), p.stream(), p.stream()];
    let r = region(64);
    b.synchronize(); // before the first site
    a.writes(&r);
    b.synchronize();
    c.synchronize();
    p.engine.host_access(Access::Read, &r, Location::caller());
    let found = &p.findings()[0];
    let numbers: Vec<u32> = found.steps.iter().map(|step| step.stream).collect();
    assert_eq!(numbers, [a.info().number, c.info().number, 0], "{found:#?}");
    assert!(found.streams.iter().any(|stream| stream.number == c.info().number));
}

#[test]
fn steps_are_few_and_include_the_sites() {
    let p = Program::new();
    let (a, b, r) = (p.stream(), p.stream(), region(64));
    a.writes(&r);
    (0..5000).for_each(|_| p.stream().submit());
    let mut before_round = 0;
    for _ in 0..40 {
        before_round = p.engine.with(|state| state.steps.latest());
        b.submit();
        b.submit();
    }
    b.reads(&r);
    let found = &p.findings()[0];
    let numbers: Vec<u64> = found.steps.iter().map(|step| step.number).collect();
    let (first, second) =
        (found.first.as_ref().map_or(0, |first| first.number), found.second.number);
    // Other tests draw numbers, too.
    assert_eq!((numbers.len(), numbers[0], numbers[3]), (4, first, second), "{numbers:?}");
    assert!(numbers[1] > before_round, "the last round of the loop: {numbers:?}, {before_round}");
}

#[test]
fn scopes_are_nested_and_of_one_thread() {
    let p = Program::new();
    let race = || {
        let (a, b, r) = (p.stream(), p.stream(), region(64));
        a.writes(&r);
        b.reads(&r);
    };
    let inner = p.engine.scope();
    {
        let _entered = inner.enter();
        race();
    }
    race();
    std::thread::scope(|threads| threads.spawn(race).join().expect("no panic"));
    assert_eq!(p.findings().len(), 1);
    assert_eq!(inner.take().findings.len(), 1);
    assert_eq!(p.engine.take_report().findings.len(), 1);
    assert!(p.engine.take_report().is_empty());
}

#[test]
fn allowed_kinds_are_left_out() {
    let p = Program::new();
    let (a, e) = (p.stream(), p.event());
    p.scope.allow(FindingKind::UnrecordedWait);
    a.wait(&e);
    p.nothing();
}

#[test]
fn hook_is_called_once_for_each_finding_and_may_call_the_engine() {
    let engine = Engine::new(HOST);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let hook = {
        let seen = Arc::clone(&seen);
        Arc::new(move |finding: &Finding| {
            seen.lock().expect("no panic").push(finding.kind);
            drop(engine.take_report());
        })
    };
    engine.set_hook(Some(hook));
    let open = |handle| {
        let key = StreamKey { device: Device::new(HOST, 0), handle, thread: None };
        engine.open(key, Origin::Created, false, Location::caller())
    };
    let (a, b, r) = (open(0x10), open(0x20), region(64));
    for _ in 0..3 {
        a.writes(&r);
        b.reads(&r);
    }
    assert_eq!(*seen.lock().expect("no panic"), [ReadAfterWrite, WriteAfterRead]);
}

#[test]
fn nothing_is_found_later_for_a_scope_that_was_dropped() {
    let p = Program::new();
    let inner = p.engine.scope();
    let (a, e) = (p.stream(), p.event());
    {
        let _entered = inner.enter();
        a.wait(&e);
    }
    drop(inner);
    drop(e); // decides about the wait
    assert!(p.findings().is_empty());
    assert!(p.engine.take_report().is_empty());
}

#[test]
fn side_stream_of_a_scope_that_was_dropped_is_not_reported_later() {
    let p = Program::new();
    let (inner, caller) = (p.engine.scope(), p.stream());
    {
        let _entered = inner.enter();
        let side = p.stream();
        side.wait_stream(&caller);
        side.submit();
    }
    assert!(inner.take().is_empty());
    drop(inner);
    caller.submit();
    (0..1_000).for_each(|_| drop(p.stream())); // the sweep decides about ended streams
    p.nothing();
    assert!(p.engine.take_report().is_empty());
}

#[test]
fn short_lived_streams_and_memory_are_forgotten() {
    let p = Program::new();
    let main = p.stream();
    for round in 0..10_000 {
        let (side, r) = (p.stream(), region(64));
        side.wait_stream(&main);
        side.writes(&r);
        main.wait_stream(&side);
        main.released(&r);
        if round % 100 == 0 {
            main.synchronize();
        }
    }
    p.nothing();
    p.engine.with(|state| {
        assert!(state.lines.len() < 1_000, "{} lines", state.lines.len());
        let clocks = state.lines.values().map(|line| line.clock.entries().len()).max();
        assert!(clocks < Some(1_000), "{clocks:?} entries");
    });
}

#[test]
fn streams_that_the_host_never_waits_for_are_forgotten_once_their_memory_is_used_again() {
    let p = Program::new();
    let (main, r) = (p.stream(), region(64));
    for _ in 0..10_000 {
        let side = p.stream();
        side.wait_stream(&main);
        side.writes(&r);
        main.wait_stream(&side);
    }
    p.nothing();
    p.engine.with(|state| {
        assert!(state.lines.len() < 1_000, "{} lines", state.lines.len());
        assert_eq!(state.memory.values().map(super::super::memory::Memory::len).sum::<usize>(), 1);
        let clocks = state.lines.values().map(|line| line.clock.entries().len()).max();
        assert!(clocks < Some(1_000), "{clocks:?} entries");
    });
}

#[test]
fn ended_streams_are_kept_while_their_accesses_are_compared() {
    let p = Program::new();
    let (written, read) = (region(64), region(64));
    p.stream().writes(&written);
    p.stream().reads(&read);
    (0..1_000).for_each(|_| p.stream().writes(&read.part(0..1)));
    assert!(p.engine.with(|state| state.lines.len()) < 200);
    p.findings();
    let late = p.stream();
    late.reads(&written);
    late.writes(&read.part(1..64));
    assert_eq!(p.kinds(), [ReadAfterWrite, WriteAfterRead]);
}

#[test]
fn foreign_streams_are_forgotten_only_with_their_order() {
    let p = Program::new();
    let (main, r) = (p.stream(), region(64));
    main.writes(&r);
    p.open(0x4_0000, Origin::Foreign, false).wait_stream(&main);
    for handle in 1..1_000 {
        p.open(0x4_0000 + handle * 16, Origin::Foreign, false).submit();
        if handle == 500 {
            main.synchronize();
            main.writes(&r);
            p.open(0x4_0000, Origin::Foreign, false).wait_stream(&main);
        }
    }
    p.open(0x4_0000, Origin::Foreign, false).reads(&r);
    p.nothing();
}
