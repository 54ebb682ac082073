//! What the host waits for, and what it accesses itself.

use super::*;

fn host_access(p: &Program, access: Access, region: &Region) {
    p.engine.host_access(access, region, Location::caller());
}

#[test]
fn what_the_host_waited_for_is_before_all_later_calls() {
    let p = Program::new();
    let [a, b, c] = [p.stream(), p.stream(), p.stream()];
    let r = region(64);
    a.writes(&r);
    b.wait_stream(&a);
    b.writes(&r);
    b.synchronize();
    c.writes(&r);
    p.nothing();
}

#[test]
fn mark_is_taken_before_the_call() {
    let p = Program::new();
    let (a, b) = (p.stream(), p.stream());
    let (before, after) = (region(64), region(64));
    a.writes(&before);
    let mark = p.engine.mark(&a);
    a.writes(&after);
    p.engine.host_waited(mark, Location::caller());
    b.reads(&before);
    p.nothing();
    b.reads(&after);
    assert_eq!(p.kinds(), [ReadAfterWrite]);
}

#[test]
fn host_waits_for_an_event() {
    let p = Program::new();
    let (a, b, e) = (p.stream(), p.stream(), p.event());
    let (before, after) = (region(64), region(64));
    p.engine.host_waited(p.engine.mark_event(&e), Location::caller());
    a.writes(&before);
    a.record(&e);
    a.writes(&after);
    p.engine.host_waited(p.engine.mark_event(&e), Location::caller());
    b.reads(&before);
    p.nothing();
    b.reads(&after);
    assert_eq!(p.kinds(), [ReadAfterWrite]);
}

#[test]
fn wait_for_a_record_that_the_host_waited_for_orders_nothing_more() {
    let p = Program::new();
    let [a, b, c] = [p.stream(), p.stream(), p.stream()];
    let (r, late, e) = (region(64), region(64), p.event());
    a.writes(&r);
    a.record(&e);
    a.writes(&late);
    a.synchronize();
    c.wait(&e);
    c.reads(&r);
    b.writes(&late);
    p.nothing();
    c.reads(&late);
    assert_eq!(p.kinds(), [ReadAfterWrite]);
}

#[test]
fn accesses_of_the_host_are_compared_with_work_that_it_has_not_waited_for() {
    let p = Program::new();
    let (a, r) = (p.stream(), region(64));
    a.reads(&r);
    host_access(&p, Access::Read, &r);
    p.nothing();
    host_access(&p, Access::Write, &r);
    let found = p.findings();
    assert_eq!(found[0].kind, WriteAfterRead);
    assert_eq!((found[0].second.stream.number, found[0].second.stream.name.as_str()), (0, "host"));
    let missing = found[0].missing.as_ref().expect("the host has to wait");
    assert!(missing.waiter.is_none());
    assert_eq!(missing.awaited.number, a.info().number);
    a.synchronize();
    host_access(&p, Access::Write, &r);
    a.writes(&r);
    p.nothing();
    host_access(&p, Access::Read, &r);
    host_access(&p, Access::Write, &r);
    assert_eq!(p.kinds(), [ReadAfterWrite, WriteAfterWrite]);
}

#[test]
fn access_of_the_host_hides_no_earlier_one() {
    let p = Program::new();
    let (a, b, r) = (p.stream(), p.stream(), region(64));
    a.reads(&r);
    host_access(&p, Access::Write, &r);
    assert_eq!(p.kinds(), [WriteAfterRead]);
    b.writes(&r);
    assert_eq!(p.kinds(), [WriteAfterRead]);
}

#[test]
fn memory_that_the_host_frees_is_gone() {
    let p = Program::new();
    let r = region(64);
    host_access(&p, Access::Release, &r);
    host_access(&p, Access::Read, &r);
    let a = p.stream();
    a.reads(&r);
    assert_eq!(p.kinds(), [UseAfterRelease, UseAfterRelease]);
    a.writes(&Region::new("again", r.addresses().start, 64));
    assert_eq!(p.kinds(), [WriteAfterRead; 0]);
}
