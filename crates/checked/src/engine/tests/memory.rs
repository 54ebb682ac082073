//! Parts of regions, releases, allocations at the same address.

use super::*;

#[test]
fn only_common_bytes_are_in_conflict() {
    let p = Program::new();
    let (a, b, r) = (p.stream(), p.stream(), region(256));
    a.writes(&r.part(0..100));
    b.writes(&r.part(100..200));
    b.reads(&r.part(200..256));
    b.reads(&r.part(50..50));
    p.nothing();
    b.reads(&r.part(99..101));
    assert_eq!(p.kinds(), [ReadAfterWrite]);
    a.reads(&r.part(150..151));
    assert_eq!(p.kinds(), [ReadAfterWrite]);
}

#[test]
fn write_replaces_only_the_bytes_that_it_covers() {
    let p = Program::new();
    let [a, b, c] = [p.stream(), p.stream(), p.stream()];
    let r = region(300);
    a.writes(&r);
    b.wait_stream(&a);
    b.writes(&r.part(100..200));
    c.wait_stream(&b);
    c.reads(&r);
    p.nothing();
    // Not after b's write, and after a's.
    let d = p.stream();
    d.wait_stream(&a);
    d.reads(&r.part(0..100));
    d.reads(&r.part(200..300));
    p.nothing();
    d.reads(&r);
    assert_eq!(p.kinds(), [ReadAfterWrite]);
}

#[test]
fn bytes_between_two_pieces_are_written_too() {
    let p = Program::new();
    let [a, b, c] = [p.stream(), p.stream(), p.stream()];
    let r = region(300);
    a.reads(&r.part(0..100));
    a.reads(&r.part(200..300));
    a.writes(&r);
    b.reads(&r.part(120..130));
    assert_eq!(p.kinds(), [ReadAfterWrite]);
    let r = region(300);
    a.reads(&r.part(0..100));
    a.reads(&r.part(200..300));
    b.reads(&r);
    c.writes(&r.part(120..130));
    assert_eq!(p.kinds(), [WriteAfterRead]);
}

#[test]
fn reads_of_one_stream_are_kept_once() {
    let p = Program::new();
    let (a, b, r) = (p.stream(), p.stream(), region(64));
    for _ in 0..2 {
        a.reads(&r);
        a.reads(&r);
    }
    b.writes(&r);
    assert_eq!(p.kinds(), [WriteAfterRead]);
}

#[test]
fn write_stands_for_the_reads_before_it() {
    let p = Program::new();
    let [a, b, c] = [p.stream(), p.stream(), p.stream()];
    let r = region(64);
    a.reads(&r);
    b.wait_stream(&a);
    b.writes(&r);
    c.writes(&r);
    assert_eq!(p.kinds(), [WriteAfterWrite]);
}

#[test]
fn release_of_another_allocation_is_no_access() {
    let p = Program::new();
    let (a, b, r) = (p.stream(), p.stream(), region(64));
    a.writes(&r);
    b.released(&Region::new("other", r.addresses().start, 64));
    p.nothing();
}

#[test]
fn one_access_can_be_in_conflict_with_many() {
    let p = Program::new();
    let [a, b, c] = [p.stream(), p.stream(), p.stream()];
    let r = region(300);
    a.reads(&r.part(0..120));
    b.reads(&r.part(100..300));
    c.writes(&r);
    assert_eq!(p.kinds(), [WriteAfterRead, WriteAfterRead]);
}

#[test]
fn accesses_after_a_release_are_found_in_any_order() {
    let p = Program::new();
    let (a, b, r) = (p.stream(), p.stream(), region(64));
    a.writes(&r);
    a.released(&r);
    p.nothing();
    a.reads(&r.part(60..64));
    b.wait_stream(&a);
    b.writes(&r);
    a.synchronize();
    b.released(&r);
    let found = p.findings();
    assert_eq!(found.iter().map(|found| found.kind).collect::<Vec<_>>(), [UseAfterRelease; 3]);
    assert!(found.iter().all(|found| found.missing.is_none()), "{found:#?}");
}

#[test]
fn release_that_is_not_ordered_after_an_access_is_found() {
    let p = Program::new();
    let (a, b, r) = (p.stream(), p.stream(), region(64));
    b.wait_stream(&a);
    b.reads(&r);
    a.released(&r);
    let found = p.findings();
    assert_eq!(found[0].kind, UseAfterRelease);
    let missing = found[0].missing.as_ref().expect("a wait mends it");
    assert_eq!(missing.waiter.as_ref().map(|waiter| waiter.number), Some(a.info().number));
    assert_eq!(missing.awaited.number, b.info().number);
}

#[test]
fn memory_that_is_allocated_again_must_wait_for_the_old_accesses() {
    let p = Program::new();
    let (a, b, r) = (p.stream(), p.stream(), region(64));
    a.writes(&r);
    let again = Region::new("again", r.addresses().start, 64);
    b.writes(&again);
    assert_eq!(p.kinds(), [WriteAfterWrite]);
}

#[test]
fn memory_that_is_allocated_again_must_wait_for_the_release() {
    let p = Program::new();
    let [a, b, c] = [p.stream(), p.stream(), p.stream()];
    let r = region(64);
    a.released(&r);
    let again = Region::new("again", r.addresses().start, 64);
    c.wait_stream(&a);
    c.writes(&again);
    p.nothing();
    b.reads(&Region::new("third", r.addresses().start, 64));
    assert_eq!(p.kinds(), [ReadAfterWrite, UseAfterRelease]);
}

#[test]
fn release_of_a_part_leaves_the_rest() {
    let p = Program::new();
    let (a, r) = (p.stream(), region(64));
    a.released(&r.part(0..32));
    a.writes(&r.part(32..64));
    p.nothing();
    a.writes(&r.part(31..64));
    assert_eq!(p.kinds(), [UseAfterRelease]);
}

#[test]
fn sweep_keeps_what_is_compared() {
    let p = Program::new();
    let [a, b, c] = [p.stream(), p.stream(), p.stream()];
    let [written, settled, unsettled, waited] = [(); 4].map(|()| region(64));
    a.writes(&waited);
    a.synchronize();
    a.writes(&written);
    a.writes(&settled);
    a.released(&settled);
    c.reads(&unsettled);
    a.released(&unsettled);
    assert_eq!(p.kinds(), [UseAfterRelease]);
    p.engine.with(|state| {
        assert_eq!(state.memory.values().map(super::super::memory::Memory::len).sum::<usize>(), 4);
        state.sweep_memory();
        assert_eq!(state.memory.values().map(super::super::memory::Memory::len).sum::<usize>(), 3);
    });
    b.writes(&waited);
    p.nothing();
    b.reads(&written);
    assert_eq!(p.kinds(), [ReadAfterWrite]);
    b.reads(&Region::new("again", settled.addresses().start, 64));
    assert_eq!(p.kinds(), [UseAfterRelease], "the release stands for the write");
    b.writes(&Region::new("again", unsettled.addresses().start, 64));
    assert_eq!(p.kinds(), [WriteAfterRead, UseAfterRelease]);
}
