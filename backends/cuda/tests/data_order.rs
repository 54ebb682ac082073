//! Data proves order: a slow kernel writes on a foreign stream, and another stream waits and reads.
//! `GPU_STREAM_ROUNDS` sets the number of rounds (2000; 200 over the simulated driver).

mod support;

use std::process::ExitCode;

use gpu_stream_core::{Backend, EventOptions, Stream};
use gpu_stream_cuda::{Cuda, CudaStream};
use support::bare::Space;
use support::{device, rounds, wrap};

fn main() -> ExitCode {
    support::main(&[
        ("wait_stream_orders", || always_right(|from, to| to.wait_stream(from).unwrap())),
        ("wait_event_orders", wait_event_orders),
        ("record_event_orders", || {
            always_right(|from, to| to.wait_event(&from.record_event().unwrap()).unwrap());
        }),
        ("fork_orders", || always_right(|from, to| from.fork([to]).unwrap())),
        ("join_orders", || always_right(|from, to| to.join([from]).unwrap())),
        ("copies_are_wrong_without_the_wait", copies_are_wrong_without_the_wait),
        ("fork_and_join_order_many_branches", fork_and_join_order_many_branches),
        ("threads_with_their_own_streams_keep_order", threads_with_their_own_streams_keep_order),
        ("threads_with_a_shared_source_keep_order", threads_with_a_shared_source_keep_order),
    ])
}

/// The duration of the write in thousands of cycles: about 75 microseconds on an H100. The copy is launched
/// within a few.
const TURNS: u32 = 150;

/// Writes the round's number on `from`, and copies it on `to`, in each round. Returns the number of wrong
/// copies.
fn wrong(order: impl Fn(&CudaStream, &CudaStream)) -> usize {
    let (space, rounds) = (Space::primary(), rounds());
    let (raw_from, raw_to) = (space.stream(1, 0), space.stream(1, 0));
    let (from, to) = (wrap(raw_from), wrap(raw_to));
    let (word, copies) = (space.words(1), space.words(rounds as usize));
    for round in 0..rounds {
        space.slow_store(raw_from, word, round + 1, TURNS);
        order(&from, &to);
        space.copy(raw_to, copies + u64::from(round) * 4, word);
        // The next write must follow this copy.
        from.wait_stream(&to).unwrap();
        if round % 256 == 255 {
            to.synchronize().unwrap();
        }
    }
    from.synchronize().unwrap();
    to.synchronize().unwrap();
    let seen = space.read(copies, rounds as usize);
    let wrong: Vec<_> = (1..).zip(seen).filter(|(wanted, seen)| wanted != seen).collect();
    if let Some(first) = wrong.first() {
        eprintln!("{} copies are wrong; the first (wanted, seen): {first:?}", wrong.len());
    }
    wrong.len()
}

#[track_caller]
fn always_right(order: impl Fn(&CudaStream, &CudaStream)) {
    let wrong = wrong(order);
    assert_eq!(wrong, 0, "number of early copies, of {}", rounds());
}

fn wait_event_orders() {
    let event = Cuda::new_event(device(), EventOptions::new()).unwrap();
    always_right(|from, to| {
        from.record(&event).unwrap();
        to.wait_event(&event).unwrap();
    });
}

/// The same program without the wait. If this were right, the other tests would prove nothing.
fn copies_are_wrong_without_the_wait() {
    let wrong = wrong(|_, _| ());
    assert!(
        wrong >= rounds() as usize / 2,
        "only {wrong} of {} copies were made too early, so this test cannot tell",
        rounds()
    );
}

/// One stream forks to eight, which join again.
fn fork_and_join_order_many_branches() {
    const BRANCHES: usize = 8;
    let (space, rounds) = (Space::primary(), rounds() / 8);
    let raw_main = space.stream(1, 0);
    let raw: Vec<_> = (0..BRANCHES).map(|_| space.stream(1, 0)).collect();
    let (main, branches) = (wrap(raw_main), raw.iter().map(|&raw| wrap(raw)).collect::<Vec<_>>());
    let (word, middle) = (space.words(1), space.words(BRANCHES));
    let ends = space.words(BRANCHES * rounds as usize);
    for round in 0..rounds {
        space.slow_store(raw_main, word, round + 1, TURNS);
        main.fork(&branches).unwrap();
        for (index, &branch) in (0_u64..).zip(&raw) {
            space.copy(branch, middle + index * 4, word);
        }
        main.join(&branches).unwrap();
        for index in 0..BRANCHES as u64 {
            let end = ends + (u64::from(round) * BRANCHES as u64 + index) * 4;
            space.copy(raw_main, end, middle + index * 4);
        }
    }
    main.synchronize().unwrap();
    let seen = space.read(ends, BRANCHES * rounds as usize);
    let wrong =
        seen.iter().enumerate().filter(|(index, seen)| **seen != (*index / BRANCHES) as u32 + 1);
    assert_eq!(wrong.count(), 0);
}

/// Eight threads, each with its own pair of streams, share one pool of events.
fn threads_with_their_own_streams_keep_order() {
    Space::primary();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| always_right(|from, to| to.wait_stream(from).unwrap()));
        }
    });
}

/// Eight threads submit to one stream, and each makes a stream of its own wait for it. They may share
/// records of it, but none that was made before the thread's own work.
fn threads_with_a_shared_source_keep_order() {
    const THREADS: u32 = 8;
    let (space, rounds) = (Space::primary(), rounds() / THREADS);
    let raw_source = space.stream(1, 0);
    let source = wrap(raw_source);
    let raw_source = raw_source.expose_provenance();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let raw_source = std::ptr::with_exposed_provenance_mut(raw_source);
                let raw = space.stream(1, 0);
                let mine = wrap(raw);
                let (word, copies) = (space.words(1), space.words(rounds as usize));
                for round in 0..rounds {
                    space.slow_store(raw_source, word, round + 1, TURNS / 3);
                    mine.wait_stream(&source).unwrap();
                    space.copy(raw, copies + u64::from(round) * 4, word);
                    // The next write must follow this copy.
                    source.wait_stream(&mine).unwrap();
                }
                mine.synchronize().unwrap();
                let seen = space.read(copies, rounds as usize);
                assert_eq!(seen, (1..=rounds).collect::<Vec<_>>());
            });
        }
    });
}
