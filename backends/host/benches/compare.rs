//! Compares the host backend with what a user would write instead, one workload at a time.
//!
//! `cargo bench -p gpu-stream-host --bench compare`, followed by part of a name to run fewer
//! workloads. The sizes are smaller than those of the bench `table`, which alternates between the
//! contenders. Publish the figures of `table`, not these.

mod workloads;

use std::time::Duration;

use divan::Bencher;
use divan::counter::ItemsCount;
use workloads::{
    Contender, Crossbeam, Join, Load, ManyStreams, OnHost, OneStream, OwnStreams, Rayon,
    SharedStream, StdChannel, TakingTurns, Tokio, rest,
};

fn main() {
    divan::main();
}

/// Times whole runs of one load, and checks that they did their work. Each run follows a rest,
/// which is not timed.
fn bench<C: Contender, L: Load<C>>(bencher: Bencher, size: u64, before: Duration) {
    let contender = C::start();
    let mut load = L::new(&contender, size);
    let items = ItemsCount::new(load.units());
    bencher.counter(items).with_inputs(|| rest(before)).bench_local_values(|()| load.run());
    load.check();
}

/// W1: 100,000 tasks for one stream, then a wait.
#[divan::bench(types = [StdChannel, Crossbeam, Rayon, Tokio, OnHost], sample_count = 25, sample_size = 1)]
fn w1_one_stream<C: Contender>(bencher: Bencher) {
    bench::<C, OneStream<C>>(bencher, 100_000, Duration::ZERO);
}

/// W1p: W1 with four producers, 25,000 tasks each.
#[divan::bench(types = [StdChannel, Crossbeam, Rayon, Tokio, OnHost], sample_count = 25, sample_size = 1)]
fn w1p_one_stream_of_four_producers<C: Contender>(bencher: Bencher) {
    bench::<C, SharedStream<C>>(bencher, 100_000, Duration::ZERO);
}

/// W2: 200 streams with 200 tasks each, round robin, then a wait for each.
#[divan::bench(types = [StdChannel, Crossbeam, Rayon, Tokio, OnHost], sample_count = 15, sample_size = 1)]
fn w2_many_streams<C: Contender>(bencher: Bencher) {
    bench::<C, ManyStreams<C>>(bencher, 200, Duration::ZERO);
}

/// W2p: W2 with four producers, 50 streams each.
#[divan::bench(types = [StdChannel, Crossbeam, Rayon, Tokio, OnHost], sample_count = 15, sample_size = 1)]
fn w2p_many_streams_of_four_producers<C: Contender>(bencher: Bencher) {
    bench::<C, OwnStreams<C>>(bencher, 200, Duration::ZERO);
}

/// W3: 2,000 rounds of two streams that wait for each other: 4,000 hops.
#[divan::bench(types = [StdChannel, Crossbeam, Rayon, Tokio, OnHost], sample_count = 25, sample_size = 1)]
fn w3_taking_turns<C: Contender>(bencher: Bencher) {
    bench::<C, TakingTurns<C>>(bencher, 2_000, Duration::ZERO);
}

/// W4: one task for an idle stream, then a wait.
#[divan::bench(types = [StdChannel, Crossbeam, Rayon, Tokio, OnHost], sample_count = 5_000, sample_size = 1)]
fn w4_round_trip<C: Contender>(bencher: Bencher) {
    bench::<C, OneStream<C>>(bencher, 1, Duration::ZERO);
}

/// W4i: W4 after the caller has spun for 200 µs.
#[divan::bench(types = [StdChannel, Crossbeam, Rayon, Tokio, OnHost], sample_count = 1_000, sample_size = 1)]
fn w4i_round_trip_after_rest<C: Contender>(bencher: Bencher) {
    bench::<C, OneStream<C>>(bencher, 1, Duration::from_micros(200));
}

/// W5: 64 streams get a task each, one stream waits for all of them, and the caller waits for that
/// one.
#[divan::bench(types = [StdChannel, Crossbeam, Rayon, Tokio, OnHost], sample_count = 500, sample_size = 1)]
fn w5_join<C: Contender>(bencher: Bencher) {
    bench::<C, Join<C>>(bencher, 1, Duration::ZERO);
}
