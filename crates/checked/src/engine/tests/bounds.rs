//! What stays bounded if the host never waits.

use super::*;

/// Returns the number of lines that the engine knows.
fn lines(p: &Program) -> usize {
    p.engine.with(|state| state.lines.len())
}

#[test]
fn reads_that_a_later_read_is_ordered_after_are_forgotten() {
    let p = Program::new();
    p.scope.allow(FindingKind::NotJoined);
    let (main, weights) = (p.stream(), region(64));
    for _ in 0..2_000 {
        let side = p.stream();
        side.wait_stream(&main);
        side.reads(&weights);
        main.wait_stream(&side);
    }
    assert!(lines(&p) < 500, "{} lines", lines(&p));
    let [last, other] = [p.stream(), p.stream()];
    last.wait_stream(&main);
    last.writes(&weights);
    p.nothing();
    other.writes(&weights);
    assert_eq!(p.kinds(), [WriteAfterWrite]);
}

#[test]
fn unordered_read_is_found_among_many_that_are_ordered() {
    let p = Program::new();
    p.scope.allow(FindingKind::NotJoined);
    let [main, lost] = [p.stream(), p.stream()];
    let weights = region(64);
    lost.reads(&weights);
    for _ in 0..100 {
        let side = p.stream();
        side.wait_stream(&main);
        side.reads(&weights);
        main.wait_stream(&side);
    }
    main.writes(&weights);
    let found = p.findings();
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0].first.as_ref().map(|first| &first.stream), Some(&lost.info()));
}

#[test]
fn reads_without_any_order_are_bounded() {
    let p = Program::new();
    let weights = region(64);
    for _ in 0..5_000 {
        p.stream().reads(&weights);
    }
    assert!(lines(&p) < 4_000, "{} lines", lines(&p));
}

#[test]
fn captures_of_dropped_streams_are_forgotten() {
    let p = Program::new();
    for _ in 0..500 {
        let [origin, side] = [p.stream(), p.stream()];
        p.engine.captured(&origin, true);
        origin.writes(&region(64));
        side.wait_stream(&origin);
        drop(origin);
        side.writes(&region(64));
    }
    assert!(lines(&p) < 300, "{} lines", lines(&p));
    assert!(p.engine.with(|state| state.memory.len()) < 10);
}

#[test]
fn side_streams_of_scopes_that_ended_are_forgotten() {
    let p = Program::new();
    let main = p.stream();
    for _ in 0..100 {
        let scope = p.engine.scope();
        let _entered = scope.enter();
        let side = p.stream();
        side.wait_stream(&main);
        side.writes(&region(64));
        main.wait_stream(&side);
        drop(side);
        assert!(scope.take().is_empty());
    }
    assert_eq!(p.engine.with(|state| state.sides.len()), 0);
}
