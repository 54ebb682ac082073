//! What captures refuse, and waits for events that captures record.

use super::*;
use FindingKind::WaitBeforeRecord;

/// Returns a default stream, which nothing can capture.
fn default(p: &Program) -> Line {
    p.open(0, Origin::Default, true)
}

fn blocking(p: &Program, handle: usize) -> Line {
    p.open(handle, Origin::Created, true)
}

#[test]
fn default_stream_does_not_join_a_capture() {
    for is_join in [false, true] {
        let p = Program::new();
        let [a, b] = [p.stream(), p.stream()];
        let (r, e, default) = (region(64), p.event(), default(&p));
        p.engine.captured(&a, true);
        a.record(&e);
        b.wait(&e);
        // `a.fork([&default])` and `default.join([&a])` do so, and report one error for all branches.
        if is_join {
            default.wait_stream(&a);
        } else {
            default.wait(&e);
        }
        // As the next calls of the three.
        p.engine.captured(&default, false);
        p.engine.captured(&a, true);
        a.writes(&r);
        p.engine.captured(&b, true);
        b.writes(&r);
        assert_eq!(p.kinds(), [WriteAfterWrite], "the capture goes on");
    }
}

#[test]
fn wait_that_a_capture_refuses_is_no_call_on_the_other_stream() {
    let p = Program::new();
    let [a, b] = [p.stream(), p.stream()];
    let (default, other, r) = (default(&p), blocking(&p, 0x66c0), region(64));
    default.writes(&r);
    p.engine.captured(&a, true);
    a.wait_stream(&other); // as `a.join([&other])`
    other.synchronize();
    b.writes(&r);
    assert_eq!(p.kinds(), [WriteAfterWrite], "nothing has waited for the default stream");
}

#[test]
fn record_that_fails_orders_no_stream() {
    let p = Program::new();
    let [a, b] = [0x66d0, 0x66e0].map(|handle| blocking(&p, handle));
    let (default, r, e) = (default(&p), region(64), p.event());
    a.writes(&r);
    let recording = p.engine.begin_record(&default, &e, Location::caller());
    p.engine.end_record(&e, recording, false, Location::caller());
    b.writes(&r);
    assert_eq!(p.kinds(), [WriteAfterWrite], "the default stream got no work between the two");
}

#[test]
fn record_covers_what_its_stream_waits_for_without_a_call() {
    let p = Program::new();
    let (a, other) = (blocking(&p, 0x66f0), p.stream());
    let (default, r, e) = (default(&p), [region(64), region(64)], p.event());
    default.writes(&r[0]);
    a.record(&e);
    other.wait(&e);
    other.writes(&r[0]);
    a.writes(&r[1]);
    default.record(&e);
    other.wait(&e);
    other.writes(&r[1]);
    p.nothing();
}

#[test]
fn each_wait_without_a_record_is_decided_by_itself() {
    let p = Program::new();
    let [a, b] = [p.stream(), p.stream()];
    let e = p.event();
    a.wait(&e);
    b.wait_stream(&a);
    a.wait(&e); // the record does not happen after this one
    b.record(&e);
    let found = p.findings();
    assert_eq!(found.iter().map(|finding| finding.kind).collect::<Vec<_>>(), [WaitBeforeRecord]);
    let wait = found[0].first.as_ref().expect("a wait").place;
    assert_eq!(wait.line() + 1, found[0].second.place.line());
}

#[test]
fn wait_and_its_repetition_can_be_in_different_captures() {
    let p = Program::new();
    let [a, b] = [p.stream(), p.stream()];
    let e = p.event();
    b.wait(&e);
    p.engine.captured(&a, true);
    a.record(&e);
    b.wait(&e); // adds the stream to the capture
    p.nothing();
}

#[test]
fn wait_happens_before_records_of_its_own_stream_in_a_capture() {
    let p = Program::new();
    let (a, e) = (p.stream(), p.event());
    a.wait(&e);
    p.engine.captured(&a, true);
    a.record(&e);
    p.nothing();
}

#[test]
fn wait_in_a_capture_is_found_when_the_capture_is_over() {
    for is_own in [false, true] {
        let p = Program::new();
        let [a, b] = [p.stream(), p.stream()];
        let e = p.event();
        p.engine.captured(&a, true);
        a.wait(&e);
        p.engine.captured(&a, false);
        if is_own {
            a.record(&e);
            p.nothing();
        } else {
            b.record(&e);
            assert_eq!(p.kinds(), [WaitBeforeRecord]);
        }
    }
}

#[test]
fn wait_of_a_stream_that_is_gone_is_found_after_many_others() {
    let p = Program::new();
    let (b, e) = (p.stream(), p.event());
    p.stream().wait(&e);
    for _ in 0..1_000 {
        drop(p.stream());
    }
    b.record(&e);
    assert_eq!(p.kinds(), [WaitBeforeRecord]);
}
