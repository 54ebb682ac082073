//! The order of default streams with blocking streams, and captures.

use super::*;

fn default(p: &Program, handle: usize) -> Line {
    p.open(handle, Origin::Default, true)
}

#[test]
fn default_stream_and_blocking_streams_wait_for_each_other() {
    let p = Program::new();
    let (blocking, r) = (p.open(0x5550, Origin::Created, true), region(64));
    let default = default(&p, 0);
    for _ in 0..2 {
        blocking.writes(&r);
        default.writes(&r);
    }
    p.nothing();
}

#[test]
fn both_handles_are_one_default_stream() {
    let p = Program::new();
    let r = region(64);
    default(&p, 0).writes(&r);
    default(&p, 1).writes(&r);
    p.nothing();
}

#[test]
fn blocking_streams_wait_for_each_other_only_through_the_default_stream() {
    let p = Program::new();
    let [a, b] = [0x5560, 0x5570].map(|handle| p.open(handle, Origin::Created, true));
    let (default, r, between) = (default(&p, 0), region(64), region(64));
    a.writes(&r);
    default.writes(&between);
    b.writes(&r);
    p.nothing();
    a.writes(&r);
    assert_eq!(p.kinds(), [WriteAfterWrite]);
}

#[test]
fn streams_that_are_not_blocking_are_independent() {
    let p = Program::new();
    let (a, default, r) = (p.stream(), default(&p, 0), region(64));
    a.writes(&r);
    default.writes(&r);
    assert_eq!(p.kinds(), [WriteAfterWrite]);
    a.writes(&r);
    assert_eq!(p.kinds(), [WriteAfterWrite]);
}

#[test]
fn default_streams_of_two_devices_are_independent() {
    let p = Program::new();
    let (blocking, r) = (p.open(0x5580, Origin::Created, true), region(64));
    let key = StreamKey { device: Device::new(HOST, 1), handle: 0, thread: None };
    let other = p.engine.open(key, Origin::Default, true, Location::caller());
    blocking.writes(&r);
    other.writes(&r);
    assert_eq!(p.kinds(), [WriteAfterWrite]);
}

#[test]
fn record_of_the_default_stream_stands_for_blocking_streams_too() {
    let p = Program::new();
    let (blocking, r) = (p.open(0x5590, Origin::Created, true), region(64));
    let (default, other, e) = (default(&p, 0), p.stream(), p.event());
    blocking.writes(&r);
    default.record(&e);
    other.wait(&e);
    other.writes(&r);
    p.nothing();
}

#[test]
fn host_that_waits_for_the_default_stream_waits_for_blocking_streams_too() {
    let p = Program::new();
    let (blocking, r) = (p.open(0x55a0, Origin::Created, true), region(64));
    let (default, other) = (default(&p, 0), p.stream());
    blocking.writes(&r);
    default.synchronize();
    other.writes(&r);
    p.nothing();
}

#[test]
fn host_that_waits_for_a_blocking_stream_does_not_wait_for_the_default_stream() {
    let p = Program::new();
    let (blocking, r) = (p.open(0x55b0, Origin::Created, true), region(64));
    let (default, other) = (default(&p, 0), p.stream());
    default.writes(&r);
    blocking.synchronize();
    other.writes(&r);
    assert_eq!(p.kinds(), [WriteAfterWrite]);
}

#[test]
fn query_of_the_default_stream_orders_nothing_if_it_is_not_done() {
    let p = Program::new();
    let [a, b] = [0x55c0, 0x55d0].map(|handle| p.open(handle, Origin::Created, true));
    let (default, r) = (default(&p, 0), region(64));
    default.submit();
    a.writes(&r);
    drop(p.engine.mark(&default));
    b.writes(&r);
    assert_eq!(p.kinds(), [WriteAfterWrite]);
}

#[test]
fn captured_work_is_compared_within_its_capture_only() {
    let p = Program::new();
    let [a, b, outside] = [p.stream(), p.stream(), p.stream()];
    let (r, e) = (region(64), p.event());
    outside.writes(&r);
    p.engine.captured(&a, true);
    a.writes(&r);
    a.record(&e);
    b.wait(&e);
    p.engine.captured(&b, true);
    b.reads(&r);
    p.nothing();
    a.writes(&r);
    assert_eq!(p.kinds(), [WriteAfterRead]);
    a.wait_stream(&b);
    a.writes(&r);
    p.engine.with(|state| assert_eq!(state.memory.len(), 2));
    p.engine.captured(&a, false);
    p.engine.with(|state| assert_eq!(state.memory.len(), 1));
    p.engine.captured(&b, false);
    a.submit();
    b.reads(&region(64));
    p.nothing();
    outside.reads(&r);
    p.nothing();
    b.reads(&r);
    assert_eq!(p.kinds(), [ReadAfterWrite], "the capture is over");
}

#[test]
fn captures_are_not_compared_with_each_other() {
    let p = Program::new();
    let (a, b, r) = (p.stream(), p.stream(), region(64));
    p.engine.captured(&a, true);
    p.engine.captured(&b, true);
    a.writes(&r);
    b.writes(&r);
    p.engine.captured(&a, false);
    p.engine.captured(&a, true);
    a.writes(&r);
    p.nothing();
}

#[test]
fn order_before_a_capture_is_kept_after_it() {
    let p = Program::new();
    let (a, b, r) = (p.stream(), p.stream(), region(64));
    a.writes(&r);
    b.wait_stream(&a);
    p.engine.captured(&b, true);
    b.submit();
    p.engine.captured(&b, false);
    b.reads(&r);
    p.nothing();
}
