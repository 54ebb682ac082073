//! What the engine costs, without the backend. Prints, and asserts nothing:
//! `cargo test --release -p gpu-stream-checked --lib cost -- --ignored --nocapture`.

use std::hint::black_box;

use super::*;

const ROUNDS: u32 = 1_000_000;

/// Returns the nanoseconds that the thread has run, so that others on the machine do not count.
fn now() -> f64 {
    let status = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    status.split(' ').next().and_then(|time| time.parse().ok()).unwrap_or(0.0)
}

/// Returns the nanoseconds of one call.
fn nanoseconds(rounds: u32, mut call: impl FnMut(usize)) -> f64 {
    (0..rounds / 10).for_each(|round| call(round as usize));
    let start = now();
    (0..rounds).for_each(|round| call(round as usize));
    (now() - start) / f64::from(rounds)
}

/// Returns the bytes of memory that the process uses.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    status.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

#[test]
#[ignore = "measures"]
fn cost_of_records_and_waits() {
    for count in [2, 16, 256] {
        for is_synchronized in [false, true] {
            let p = Program::new();
            let streams: Vec<Line> = (0..count).map(|_| p.stream()).collect();
            let events: Vec<EventState> = (0..count).map(|_| p.event()).collect();
            let pair = nanoseconds(ROUNDS / 10 * 3, |round| {
                let (from, to) = (round % count, (round + 1) % count);
                streams[from].record(&events[from]);
                streams[to].wait(&events[from]);
                if is_synchronized && round % 1000 == 0 {
                    streams[to].synchronize();
                }
            });
            println!(
                "{count:>4} streams, synchronized: {is_synchronized:<5}: record + wait {pair:>6.0} ns"
            );
        }
        let p = Program::new();
        let streams: Vec<Line> = (0..count).map(|_| p.stream()).collect();
        let star = nanoseconds(ROUNDS / 10 * 3, |round| {
            let side = &streams[1 + round % (count - 1)];
            if round / (count - 1) % 2 == 0 {
                side.wait_stream(&streams[0]);
            } else {
                streams[0].wait_stream(side);
            }
        });
        println!("{count:>4} streams, fork and join: wait_stream {star:>6.0} ns");
    }
}

#[test]
#[ignore = "measures"]
fn cost_of_accesses() {
    let p = Program::new();
    let (a, b) = (p.stream(), p.stream());
    let (r, e) = (region(4096), p.event());
    let write = nanoseconds(ROUNDS, |_| a.writes(&r));
    let read = nanoseconds(ROUNDS, |_| a.reads(&r));
    println!("one region: write {write:.0} ns, read {read:.0} ns");
    let regions: Vec<Region> = (0..10_000).map(|_| region(4096)).collect();
    let many = nanoseconds(ROUNDS, |round| a.writes(&regions[round * 7 % regions.len()]));
    println!("10,000 regions: write {many:.0} ns");
    let parts =
        nanoseconds(ROUNDS, |round| a.writes(&r.part(round * 64 % 4096..round * 64 % 4096 + 64)));
    println!("64 parts: write {parts:.0} ns");
    let submit = nanoseconds(ROUNDS, |_| a.submit());
    println!("submit {submit:.0} ns");
    let round = nanoseconds(ROUNDS, |_| {
        a.writes(&r);
        a.record(&e);
        b.wait(&e);
        b.reads(&r);
        b.record(&e);
        a.wait(&e);
    });
    println!("write, record, wait, read, record, wait: {round:.0} ns");
    black_box(p.findings().len());
}

#[test]
#[ignore = "measures"]
fn cost_in_memory_of_ten_million_rounds() {
    for is_synchronized in [true, false] {
        let p = Program::new();
        let (main, reused) = (p.stream(), region(4096));
        for round in 0..10_000_000_u32 {
            if round % 1_000_000 == 0 {
                println!(
                    "synchronized: {is_synchronized:<5}, round {round:>8}: {:>5} kB",
                    memory() / 1024
                );
            }
            let side = p.stream();
            let fresh =
                Region::new("fresh", 0x1_0000_0000 + (round as usize % 100_000) * 4096, 4096);
            side.wait_stream(&main);
            side.writes(&reused);
            side.writes(&fresh);
            main.wait_stream(&side);
            main.released(&fresh);
            if is_synchronized && round % 100 == 0 {
                main.synchronize();
            }
        }
        p.nothing();
    }
}
