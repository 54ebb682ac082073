//! Small programs with a mistake each, as libraries have them, and what a check finds.

use gpu_stream_core::Region;

use crate::{Finding, FindingKind, MissingWait, Report};

use super::program::{Event, Program, Stream};

/// All samples, with the names of their golden files.
pub(super) fn all() -> Vec<(&'static str, Finding)> {
    vec![
        ("read_after_write", read_after_write()),
        ("write_after_read", write_after_read()),
        ("write_after_write", write_after_write()),
        ("use_after_release", use_after_release()),
        ("unrecorded_wait", unrecorded_wait()),
        ("wait_before_record", wait_before_record()),
        ("not_joined", not_joined()),
        ("use_after_owner", use_after_owner()),
        ("behind_fault", behind_fault()),
        ("two_functions", two_functions()),
        ("use_after_reuse", use_after_reuse()),
        ("release_by_host", release_by_host()),
        ("read_by_host", read_by_host()),
        ("many_calls", many_calls()),
    ]
}

/// All samples in one report.
pub(super) fn report() -> Report {
    Report { findings: all().into_iter().map(|(_, finding)| finding).collect() }
}

/// The side stream waits for the caller, and the caller does not wait for the side stream.
pub(super) fn read_after_write() -> Finding {
    let program = Program::default();
    let ours = program.default_stream();
    let side = program.new_stream();
    let [input, counts] = regions();
    ours.writes(&input);
    side.wait_stream(&ours);
    side.reads(&input);
    side.writes(&counts);
    ours.reads(&counts);
    program.race(FindingKind::ReadAfterWrite, 5)
}

fn write_after_read() -> Finding {
    let program = Program::default();
    let copy = program.new_stream();
    let compute = program.new_stream();
    let [input, _] = regions();
    let copied = Event::default();
    copy.writes(&input);
    copy.record(&copied);
    compute.wait_event(&copied);
    compute.reads(&input);
    copy.writes(&input.part(0..1024)); // the next batch
    let mut finding = program.race(FindingKind::WriteAfterRead, 4);
    finding.count = 128;
    finding
}

fn write_after_write() -> Finding {
    let program = Program::default();
    let [sums, _] = regions();
    let pool = Pool { streams: vec![program.new_stream(), program.new_stream()] };
    for stream in &pool.streams {
        stream.writes(&sums);
    }
    program.race(FindingKind::WriteAfterWrite, 1)
}

struct Pool {
    streams: Vec<Stream>,
}

/// The release is submitted before the last use.
fn use_after_release() -> Finding {
    let program = Program::default();
    let main = program.new_stream();
    let side = program.new_stream();
    let [input, _] = regions();
    main.writes(&input);
    side.wait_stream(&main);
    main.released(&input);
    side.reads(&input);
    program.finding(FindingKind::UseAfterRelease, Some(4))
}

/// The allocator gives the memory away before the release is done.
fn use_after_reuse() -> Finding {
    let program = Program::default();
    let main = program.new_stream();
    let side = program.new_stream();
    let [old, _] = regions();
    let new = Region::new("output", 0x7f00_0800, 4096);
    main.reads(&old);
    main.released(&old);
    side.writes(&new);
    program.race(FindingKind::UseAfterRelease, 2)
}

/// The allocator of the host frees memory that a stream still writes.
fn release_by_host() -> Finding {
    let program = Program::default();
    let copy = program.new_stream();
    let [output, unrelated] = regions();
    let host = program.host();
    host.released(&unrelated); // not in the drawing
    copy.writes(&output);
    host.released(&output);
    let mut finding = program.race(FindingKind::UseAfterRelease, 2);
    finding.missing.as_mut().expect("a race lacks a wait").waiter = None;
    finding
}

/// The host waits for the caller's stream, which does not wait for the side stream.
fn read_by_host() -> Finding {
    let program = Program::default();
    let caller = program.new_stream();
    let library = Library { side: program.new_stream() };
    let [_, counts] = regions();
    let host = program.host();
    library.count(&caller, &counts);
    caller.synchronize();
    host.reads(&counts);
    let mut finding = program.race(FindingKind::ReadAfterWrite, 3);
    finding.missing.as_mut().expect("a race lacks a wait").waiter = None;
    finding
}

struct Library {
    side: Stream,
}

impl Library {
    fn count(&self, caller: &Stream, counts: &Region) {
        self.side.wait_stream(caller);
        self.side.writes(counts);
    }
}

fn unrecorded_wait() -> Finding {
    let program = Program::default();
    let ours = program.new_stream();
    let done = Event::default();
    ours.wait_event(&done);
    program.finding(FindingKind::UnrecordedWait, None)
}

fn wait_before_record() -> Finding {
    let program = Program::default();
    let ours = program.new_stream();
    let theirs = program.new_stream();
    let ready = Event::default();
    ours.wait_event(&ready);
    ours.launch(|| ());
    theirs.launch(|| ());
    theirs.record(&ready);
    let mut finding = program.race(FindingKind::WaitBeforeRecord, 1);
    finding.missing = missing(&ours, &theirs, &finding);
    finding
}

fn not_joined() -> Finding {
    let program = Program::default();
    let main = program.new_stream();
    let [left, right] = [program.new_stream(), program.new_stream()];
    let [input, output] = regions();
    main.writes(&input);
    main.fork(&[&left, &right]);
    left.reads(&input);
    right.writes(&output);
    let mut finding = program.finding(FindingKind::NotJoined, Some(4));
    main.join(&[&left]);
    main.synchronize();
    let after = program.finding(FindingKind::NotJoined, Some(-1));
    finding.missing = missing(&main, &right, &after);
    finding.steps = after.steps;
    finding
}

fn missing(waiter: &Stream, awaited: &Stream, finding: &Finding) -> Option<MissingWait> {
    let [waiter, awaited] = [waiter, awaited].map(|stream| stream.info.clone());
    Some(MissingWait { waiter: Some(waiter), awaited, before: finding.second.place })
}

fn use_after_owner() -> Finding {
    let program = Program::default();
    let foreign = program.new_stream();
    let kept = foreign.clone();
    foreign.launch(|| ());
    foreign.close();
    kept.launch(|| ());
    program.finding(FindingKind::UseAfterOwner, Some(2))
}

fn behind_fault() -> Finding {
    let program = Program::default();
    let ours = program.new_stream();
    let [input, _] = regions();
    ours.synchronize();
    ours.reads(&input);
    program.finding(FindingKind::BehindFault, Some(1))
}

/// The function that lacks the wait has no name for the stream to wait for.
fn two_functions() -> Finding {
    let program = Program::default();
    let caller = program.new_stream();
    let [_, counts] = regions();
    count(&caller, &program.new_stream(), &counts);
    sum(&caller, &counts);
    program.race(FindingKind::ReadAfterWrite, 3)
}

fn count(caller: &Stream, worker: &Stream, counts: &Region) {
    worker.wait_stream(caller);
    worker.writes(counts);
}

fn sum(stream: &Stream, counts: &Region) {
    stream.reads(&counts.part(64..128));
}

/// More calls, and waits that cross, than fit in a drawing.
fn many_calls() -> Finding {
    let program = Program::default();
    let [a, b, c] = [program.new_stream(), program.new_stream(), program.new_stream()];
    let [input, output] = regions();
    let [first, second, third] = [Event::default(), Event::default(), Event::default()];
    for _ in 0..20 {
        a.writes(&input);
        b.wait_stream(&a);
        b.reads(&input);
    }
    a.record(&first);
    c.record(&second);
    a.record(&third);
    b.writes(&output);
    for event in [&first, &third] {
        c.wait_event(event);
    }
    a.wait_event(&second);
    c.reads(&output);
    program.race(FindingKind::ReadAfterWrite, 84)
}

fn regions() -> [Region; 2] {
    [Region::new("input", 0x7f00_0000, 4096), Region::new("counts", 0x7f00_2000, 256)]
}
