//! What answers say that the program was not told.

use std::panic::{AssertUnwindSafe, catch_unwind};

use gpu_stream_core::KnownWork;

use super::super::known::Known;
use super::*;

/// Returns what is known once `line` has said that it is done.
fn answer_of(p: &Program, line: &Line) -> KnownWork {
    let mut known = KnownWork::new();
    p.engine.answered(p.engine.mark(line), &mut known);
    known
}

fn host(p: &Program, access: Access, region: &Region) {
    p.engine.host_access(access, region, Location::caller());
}

#[test]
fn answer_is_known_to_the_code_that_is_run_and_to_no_other() {
    let p = Program::new();
    let [a, b] = [p.stream(), p.stream()];
    let regions = [region(64), region(64), region(64)];
    regions.iter().for_each(|region| a.writes(region));
    let known = answer_of(&p, &a);
    b.reads(&regions[0]);
    assert_eq!(p.kinds(), [ReadAfterWrite]);
    known.run(|| host(&p, Access::Release, &regions[1]));
    p.nothing();
    known.run(|| {
        std::thread::scope(|threads| {
            threads.spawn(|| {
                let _entered = p.scope.enter();
                b.reads(&regions[2]);
            });
        });
    });
    assert_eq!(p.kinds(), [ReadAfterWrite], "the destructor does not know another thread");
    b.reads(&regions[2]);
    assert_eq!(p.kinds(), [ReadAfterWrite], "the code has returned");
    known.order();
    b.reads(&regions[0]);
    b.reads(&regions[2]);
    p.nothing();
}

#[test]
fn answer_is_that_of_the_stream_and_of_what_it_waited_for() {
    let p = Program::new();
    let [a, b, c] = [p.stream(), p.stream(), p.stream()];
    let [before, asked, other] = [region(64), region(64), region(64)];
    a.writes(&before);
    b.wait_stream(&a);
    b.writes(&asked);
    c.writes(&other);
    answer_of(&p, &b).run(|| {
        host(&p, Access::Write, &before);
        host(&p, Access::Write, &asked);
        p.nothing();
        host(&p, Access::Write, &other);
    });
    assert_eq!(p.kinds(), [WriteAfterWrite]);
}

#[test]
fn work_after_the_question_is_not_known() {
    let p = Program::new();
    let (a, r) = (p.stream(), region(64));
    let known = answer_of(&p, &a);
    a.writes(&r);
    known.run(|| host(&p, Access::Write, &r));
    assert_eq!(p.kinds(), [WriteAfterWrite]);
}

#[test]
fn what_the_code_declares_orders_all_later_calls() {
    let p = Program::new();
    let [a, b] = [p.stream(), p.stream()];
    let [read, written, released] = [region(64), region(64), region(64)];
    a.reads(&read);
    a.writes(&written);
    a.released(&released);
    let next = Region::new("next", released.addresses().start, 64);
    answer_of(&p, &a).run(|| {
        for region in [&read, &written, &next] {
            host(&p, Access::Read, region);
        }
    });
    b.writes(&read);
    b.writes(&written);
    b.writes(&next);
    p.nothing();
    b.reads(&released);
    assert_eq!(p.kinds(), [UseAfterRelease], "its allocation is gone");
}

#[test]
fn what_the_code_submits_is_after_the_work() {
    let p = Program::new();
    let [a, b, c, d] = [p.stream(), p.stream(), p.stream(), p.stream()];
    let (r, event) = (region(64), p.event());
    a.writes(&r);
    answer_of(&p, &a).run(|| b.record(&event));
    c.wait(&event);
    c.reads(&r);
    p.nothing();
    p.engine.captured(&d, true);
    answer_of(&p, &a).run(|| d.submit());
    p.engine.captured(&d, false);
    d.reads(&r);
    assert_eq!(p.kinds(), [ReadAfterWrite], "a capture waits for no work outside of it");
}

#[test]
fn panic_of_the_code_ends_what_it_knows() {
    let p = Program::new();
    let (a, r) = (p.stream(), region(64));
    a.writes(&r);
    let known = answer_of(&p, &a);
    let run = || known.run(|| std::panic::resume_unwind(Box::new(())));
    assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
    host(&p, Access::Write, &r);
    assert_eq!(p.kinds(), [WriteAfterWrite]);
}

#[test]
fn code_inside_of_other_code_knows_both() {
    let p = Program::new();
    let [a, b] = [p.stream(), p.stream()];
    let [first, second] = [region(64), region(64)];
    a.writes(&first);
    b.writes(&second);
    let (outer, inner) = (answer_of(&p, &a), answer_of(&p, &b));
    outer.run(|| {
        inner.run(|| {
            host(&p, Access::Write, &first);
            host(&p, Access::Write, &second);
        });
        p.nothing();
        b.writes(&second);
        host(&p, Access::Write, &second);
    });
    assert_eq!(p.kinds(), [WriteAfterWrite]);
}

#[test]
fn memory_that_was_freed_by_the_code_can_be_allocated_again() {
    let p = Program::new();
    let [a, b] = [p.stream(), p.stream()];
    let (old, late) = (region(64), region(64));
    a.writes(&old);
    let known = answer_of(&p, &a);
    let again = |region: &Region| Region::new("again", region.addresses().start, 64);
    b.writes(&again(&old));
    assert_eq!(p.kinds(), [WriteAfterWrite], "no code ran");
    a.writes(&late);
    known.run(|| ());
    host(&p, Access::Write, &again(&late));
    assert_eq!(p.kinds(), [WriteAfterWrite], "it did not know this work");
    let (old, later) = (region(64), p.stream());
    a.writes(&old);
    answer_of(&p, &a).run(|| ());
    host(&p, Access::Write, &again(&old));
    later.writes(&again(&old));
    p.nothing();
}

#[test]
fn answer_of_a_foreign_event_is_about_everything_before() {
    let p = Program::new();
    let (a, r, late) = (p.stream(), region(64), region(64));
    let foreign = EventState::new(p.engine, true);
    a.writes(&r);
    let mut known = KnownWork::new();
    p.engine.event_answered(p.engine.mark_event(&foreign), &foreign, &mut known);
    a.writes(&late);
    known.run(|| {
        host(&p, Access::Write, &r);
        p.nothing();
        host(&p, Access::Write, &late);
    });
    assert_eq!(p.kinds(), [WriteAfterWrite]);
}

#[test]
fn told_program_has_waited_for_the_side_stream() {
    let p = Program::new();
    for is_told in [true, false] {
        let [main, side] = [p.stream(), p.stream()];
        side.wait_stream(&main);
        side.submit();
        let known = answer_of(&p, &side);
        if is_told {
            known.order();
        }
        main.submit();
        let expected: &[FindingKind] = if is_told { &[] } else { &[FindingKind::NotJoined] };
        assert_eq!(p.kinds(), expected);
    }
}

#[test]
fn what_is_known_stays_small() {
    let p = Program::new();
    let (kept, mut all) = (p.stream(), KnownWork::new());
    for _ in 0..2_000 {
        let side = p.stream();
        side.writes(&region(64));
        all.add(&answer_of(&p, &side));
        all.add(&answer_of(&p, &kept));
        side.synchronize();
    }
    assert!(all.of::<Known>().expect("of this check").len() < 10);
}
