//! Runs the fuzz targets with random inputs and with the corpus.

use std::fs;
use std::path::Path;

use gpu_stream_fuzz::{ALL, events, find};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Returns the number of random inputs of each target. `GPU_STREAM_FUZZ_CASES` overrides it.
fn cases() -> u32 {
    let cases = std::env::var("GPU_STREAM_FUZZ_CASES").ok();
    cases.map_or(3_000, |text| text.parse().expect("GPU_STREAM_FUZZ_CASES is a number"))
}

/// Creates the random number generator. Its seed is fixed, so that every run has the same inputs.
///
/// `GPU_STREAM_FUZZ_SEED` selects another seed.
fn rng() -> TestRng {
    let seed = std::env::var("GPU_STREAM_FUZZ_SEED").ok();
    let seed: u64 = seed.map_or(0, |text| text.parse().expect("GPU_STREAM_FUZZ_SEED is a number"));
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)
}

/// Runs a target on random inputs.
fn run(name: &str, inputs: impl Strategy<Value = Vec<u8>>) {
    let target = find(name).expect("a target");
    let config = Config { cases: cases(), failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new_with_rng(config, rng()).run(&inputs, |bytes| {
        target(&bytes);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
}

/// Generates up to 300 random bytes.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..300)
}

#[test]
fn args_accepts_random_inputs() {
    run("args", bytes());
}

#[test]
fn events_rejects_random_handles() {
    assert!(
        events::can_open() || !cuda_sim::no_driver_here(),
        "the simulated driver is not available"
    );
    run("events", vec(prop_oneof![3 => Just(0), 1 => any::<u8>()], 0..66));
}

#[test]
fn exchange_accepts_random_inputs() {
    run("exchange", bytes());
}

#[test]
fn handles_accepts_random_inputs() {
    run("handles", bytes());
}

#[test]
fn peers_accepts_random_inputs() {
    let number = prop_oneof![
        any::<f64>().prop_map(|number| number.to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
        (any::<i32>(), -400..400).prop_map(|(number, power)| format!("{number}e{power}")),
    ];
    let value = prop_oneof![
        4 => number,
        1 => Just("null".to_owned()),
        1 => "\"[a-z \\\\\"]{0,8}\"",
        1 => Just("[\"query\",\"join\",7]".to_owned()),
    ];
    let key = prop_oneof![
        Just("ns"),
        Just("error"),
        Just("peer"),
        Just("missing"),
        Just("operations"),
        Just("versions")
    ];
    let object = vec((key, value), 0..4).prop_map(|pairs| {
        let pairs: Vec<_> = pairs.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
        format!("{{{}}}", pairs.join(",")).into_bytes()
    });
    run("peers", prop_oneof![3 => object, 1 => bytes()]);
}

#[test]
fn required_accepts_random_inputs() {
    let item = prop_oneof![
        Just("host".to_owned()),
        Just("cuda".to_owned()),
        Just("rocm".to_owned()),
        Just("mine".to_owned()),
        Just(" hip ".to_owned()),
        "[a-z:0-9+ ]{0,6}",
        (prop_oneof![Just("cuda"), Just("hip"), Just("")], any::<i64>())
            .prop_map(|(name, n)| format!("{name}:{n}")),
        (prop_oneof![Just("cuda"), Just("hip")], 0..5).prop_map(|(name, n)| format!("{name}:{n}")),
    ];
    let list = vec(item, 0..5).prop_map(|items| items.join(",").into_bytes());
    run("required", prop_oneof![4 => list, 1 => bytes()]);
}

/// Runs every target on its corpus: earlier findings, and the seeds for libFuzzer.
#[test]
fn targets_accept_their_corpus() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, target) in ALL {
        let files = folder.join(name).read_dir().expect("a folder for each target");
        let mut count = 0;
        for file in files {
            target(&fs::read(file.expect("a file").path()).expect("its bytes"));
            count += 1;
        }
        assert!(count > 0, "{name}: the corpus is empty");
    }
}
