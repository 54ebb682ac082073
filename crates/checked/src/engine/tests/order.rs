//! Records and waits.

use super::*;

#[test]
fn accesses_of_one_stream_are_ordered() {
    let p = Program::new();
    let (a, r) = (p.stream(), region(64));
    a.writes(&r);
    a.reads(&r);
    a.writes(&r);
    p.nothing();
}

#[test]
fn each_pair_of_conflicting_accesses_is_found() {
    let p = Program::new();
    let (a, b) = (p.stream(), p.stream());
    let cases = [
        (Access::Write, Access::Read, Some(ReadAfterWrite)),
        (Access::Read, Access::Write, Some(WriteAfterRead)),
        (Access::Write, Access::Write, Some(WriteAfterWrite)),
        (Access::Read, Access::Read, None),
        (Access::Read, Access::Release, Some(UseAfterRelease)),
        (Access::Write, Access::Release, Some(UseAfterRelease)),
    ];
    for (first, second, kind) in cases {
        let r = region(64);
        p.engine.access(&a, first, &r, Location::caller());
        p.engine.access(&b, second, &r, Location::caller());
        assert_eq!(p.kinds(), Vec::from_iter(kind), "{first:?} {second:?}");
    }
}

#[test]
fn wait_for_a_record_orders_what_was_before_the_record() {
    let p = Program::new();
    let (a, b, e) = (p.stream(), p.stream(), p.event());
    let (before, after) = (region(64), region(64));
    a.writes(&before);
    a.record(&e);
    a.writes(&after);
    b.wait(&e);
    b.reads(&before);
    p.nothing();
    b.reads(&after);
    assert_eq!(p.kinds(), [ReadAfterWrite]);
}

#[test]
fn wait_does_not_order_earlier_work() {
    let p = Program::new();
    let (a, b, r) = (p.stream(), p.stream(), region(64));
    b.reads(&r);
    b.wait_stream(&a);
    a.writes(&r);
    assert_eq!(p.kinds(), [WriteAfterRead]);
}

#[test]
fn order_is_transitive() {
    let p = Program::new();
    let [a, b, c] = [p.stream(), p.stream(), p.stream()];
    let (r, e) = (region(64), p.event());
    a.writes(&r);
    b.wait_stream(&a);
    b.record(&e);
    drop(b);
    c.wait(&e);
    drop(e);
    c.writes(&r);
    p.nothing();
}

#[test]
fn second_record_replaces_the_first_for_later_waits_only() {
    let p = Program::new();
    let [a, b, c] = [p.stream(), p.stream(), p.stream()];
    let (r, e) = (region(64), p.event());
    a.record(&e);
    b.wait(&e);
    a.writes(&r);
    a.record(&e);
    c.wait(&e);
    c.reads(&r);
    p.nothing();
    b.reads(&r);
    assert_eq!(p.kinds(), [ReadAfterWrite]);
}

#[test]
fn wait_stream_is_a_snapshot_and_waits_for_other_streams_through_it() {
    let p = Program::new();
    let [a, b, c] = [p.stream(), p.stream(), p.stream()];
    let (r, later) = (region(64), region(64));
    a.writes(&r);
    b.wait_stream(&a);
    c.wait_stream(&b);
    a.writes(&later);
    c.reads(&r);
    p.nothing();
    c.reads(&later);
    assert_eq!(p.kinds(), [ReadAfterWrite]);
}

#[test]
fn stream_that_waits_for_itself_is_unchanged() {
    let p = Program::new();
    let (a, b, r) = (p.stream(), p.stream(), region(64));
    a.writes(&r);
    a.wait_stream(&a);
    b.reads(&r);
    assert_eq!(p.kinds(), [ReadAfterWrite]);
}

#[test]
fn new_stream_with_a_used_handle_has_no_order_with_the_old_one() {
    let p = Program::new();
    let r = region(64);
    let old = p.open(0x777, Origin::Created, false);
    old.writes(&r);
    drop(old);
    let new = p.open(0x777, Origin::Created, false);
    new.writes(&r);
    assert_eq!(p.kinds(), [WriteAfterWrite]);
}

#[test]
fn created_stream_ends_the_old_one_with_its_handle() {
    let p = Program::new();
    let old = p.open(0x7770, Origin::Foreign, false);
    let new = p.open(0x7770, Origin::Created, false);
    new.submit();
    p.nothing();
    old.submit();
    assert_eq!(p.kinds(), [FindingKind::UseAfterOwner]);
}

#[test]
fn wrappers_of_one_handle_are_one_stream() {
    let p = Program::new();
    let r = region(64);
    let first = p.open(0x888, Origin::Owner, false);
    first.writes(&r);
    let second = p.open(0x888, Origin::Foreign, false);
    second.writes(&r);
    drop((first, second));
    p.open(0x888, Origin::Owner, false).reads(&r);
    p.nothing();
}

#[test]
fn per_thread_streams_differ_by_thread() {
    let p = Program::new();
    let r = region(64);
    let device = Device::new(HOST, 0);
    let open = || {
        let key = StreamKey { device, handle: 2, thread: Some(std::thread::current().id()) };
        p.engine.open(key, Origin::PerThread, false, Location::caller())
    };
    open().writes(&r);
    open().writes(&r);
    p.nothing();
    let here = open();
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let _entered = p.scope.enter();
            open().reads(&r);
            assert_ne!(open().info().number, here.info().number);
        });
    });
    assert_eq!(p.kinds(), [ReadAfterWrite]);
}
