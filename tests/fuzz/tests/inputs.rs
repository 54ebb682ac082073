//! The targets of the fuzzer, with some thousand inputs of chance and with those that are kept.

use std::fs;
use std::path::Path;

use gpu_stream_fuzz::{ALL, events, find};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// How many inputs each target gets; `GPU_STREAM_FUZZ_CASES` says otherwise.
fn cases() -> u32 {
    let cases = std::env::var("GPU_STREAM_FUZZ_CASES").ok();
    cases.map_or(3_000, |text| text.parse().expect("GPU_STREAM_FUZZ_CASES is a number"))
}

/// The same inputs each time, so that a test that passes does so tomorrow; `GPU_STREAM_FUZZ_SEED` asks
/// for others.
fn chance() -> TestRng {
    let seed = std::env::var("GPU_STREAM_FUZZ_SEED").ok();
    let seed: u64 = seed.map_or(0, |text| text.parse().expect("GPU_STREAM_FUZZ_SEED is a number"));
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)
}

fn run(name: &str, inputs: impl Strategy<Value = Vec<u8>>) {
    let target = find(name).expect("a target");
    let config = Config { cases: cases(), failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new_with_rng(config, chance()).run(&inputs, |bytes| {
        target(&bytes);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..300)
}

#[test]
fn args() {
    run("args", bytes());
}

#[test]
fn events_of_other_processes() {
    assert!(events::opens() || !driver_sim::no_driver_here(), "there is no simulated driver");
    run("events", vec(prop_oneof![3 => Just(0), 1 => any::<u8>()], 0..66));
}

#[test]
fn exchange() {
    run("exchange", bytes());
}

#[test]
fn handles() {
    run("handles", bytes());
}

#[test]
fn peers() {
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
fn required() {
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

/// What was found once, and what the fuzzer begins with.
#[test]
fn inputs_that_are_kept() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, target) in ALL {
        let files = folder.join(name).read_dir().expect("a folder for each target");
        let mut count = 0;
        for file in files {
            target(&fs::read(file.expect("a file").path()).expect("its bytes"));
            count += 1;
        }
        assert!(count > 0, "{name}: nothing is kept");
    }
}
