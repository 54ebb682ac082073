//! Calls of other threads while a thread records an event: between the beginning of the call and its end.

use super::*;
use crate::engine::Recording;

/// Begins to record `event` on `line`, as a wrapper does before it calls the backend.
fn begin(line: &Line, event: &EventState) -> Recording {
    line.engine().begin_record(line, event, Location::caller())
}

fn end(event: &EventState, recording: Recording, is_recorded: bool) {
    event.engine().end_record(event, recording, is_recorded, Location::caller());
}

/// Finds `event` complete, in a call that began when `mark` was taken.
fn completed(event: &EventState, mark: crate::engine::Mark) {
    event.engine().event_completed(mark, event, Location::caller());
}

#[test]
fn wait_of_another_thread_sees_the_record_before_the_call_returns() {
    let p = Program::new();
    let (a, b, r, e) = (p.stream(), p.stream(), region(64), p.event());
    a.writes(&r);
    let recording = begin(&a, &e);
    b.wait(&e);
    end(&e, recording, true);
    b.reads(&r);
    p.nothing();
}

#[test]
fn wait_of_another_thread_may_see_the_last_record_too() {
    for is_recorded in [true, false] {
        let p = Program::new();
        let [a, b, c] = [p.stream(), p.stream(), p.stream()];
        let (first, second, e) = (region(64), region(64), p.event());
        a.writes(&first);
        a.record(&e);
        c.writes(&second);
        let recording = begin(&c, &e);
        b.wait(&e);
        end(&e, recording, is_recorded);
        b.reads(&first);
        b.reads(&second);
        p.nothing();
    }
}

#[test]
fn thread_that_finds_the_event_complete_has_waited_for_the_record() {
    let p = Program::new();
    let [a, b] = [p.stream(), p.stream()];
    let (r, e) = (region(64), p.event());
    a.writes(&r);
    let mark = p.engine.mark_event(&e); // the other thread asks for the status
    let recording = begin(&a, &e);
    completed(&e, mark);
    b.writes(&r);
    end(&e, recording, true);
    p.nothing();
}

#[test]
fn work_after_the_beginning_is_not_in_the_record() {
    let p = Program::new();
    let (a, b, r, e) = (p.stream(), p.stream(), region(64), p.event());
    let recording = begin(&a, &e);
    a.writes(&r);
    end(&e, recording, true);
    b.wait(&e);
    b.reads(&r);
    assert_eq!(p.kinds(), [ReadAfterWrite]);
}

#[test]
fn record_that_failed_leaves_the_event_as_it_was() {
    let p = Program::new();
    let [a, b, c] = [p.stream(), p.stream(), p.stream()];
    let (first, second, e) = (region(64), region(64), p.event());
    a.writes(&first);
    a.record(&e);
    c.writes(&second);
    end(&e, begin(&c, &e), false);
    b.wait(&e);
    b.reads(&first);
    p.nothing();
    b.reads(&second);
    let found = p.findings();
    assert_eq!(found.iter().map(|found| found.kind).collect::<Vec<_>>(), [ReadAfterWrite]);
    let is_record = |step: &&crate::finding::Step| {
        step.stream == c.info().number
            && matches!(step.action, crate::finding::Action::Record { .. })
    };
    assert!(found[0].steps.iter().find(is_record).is_none(), "{found:#?}");
}

#[test]
fn record_is_kept_if_a_later_one_fails() {
    let p = Program::new();
    let [a, b, c] = [p.stream(), p.stream(), p.stream()];
    let (r, e) = (region(64), p.event());
    a.writes(&r);
    let (first, second) = (begin(&a, &e), begin(&c, &e));
    end(&e, first, true);
    end(&e, second, false);
    b.wait(&e);
    b.reads(&r);
    p.nothing();
}

#[test]
fn later_record_replaces_the_one_that_was_made_meanwhile() {
    let p = Program::new();
    let [a, b, c] = [p.stream(), p.stream(), p.stream()];
    let (r, e) = (region(64), p.event());
    a.writes(&r);
    let (first, second) = (begin(&a, &e), begin(&c, &e));
    end(&e, first, true);
    end(&e, second, true);
    b.wait(&e);
    b.reads(&r);
    assert_eq!(p.kinds(), [ReadAfterWrite]);
}
