//! Tests `gpu-stream bench` over the simulated CUDA driver. Not in the package: the simulator is not published. The
//! runs are quick, so their figures mean nothing.
#![cfg(all(feature = "cuda", target_os = "linux"))]

use std::process::Command;

use serde_json::Value;

/// Runs the command over the simulated CUDA driver, with `CUDA_DEVICE_MAX_CONNECTIONS` set to `queues` or unset.
fn run_on_cuda(line: &str, queues: Option<&str>) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-stream"));
    command.args(line.split_whitespace());
    command.env("GPU_STREAM_CUDA_LIBRARY", cuda_sim::library().expect("the simulated driver"));
    command.env_remove("CUDA_DEVICE_MAX_CONNECTIONS");
    queues.map(|queues| command.env("CUDA_DEVICE_MAX_CONNECTIONS", queues));
    let output = command.output().expect("the command starts");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("a report")
}

/// The variables that are set for child processes must not appear as the user's, and their figures must stand apart.
#[test]
fn environments_are_measured_in_child_processes() {
    const QUEUES: &str = "CUDA_DEVICE_MAX_CONNECTIONS";
    let line = "bench --quick --backend cuda --operation query --environments --json -";
    for user in [None, Some("5")] {
        let report = run_on_cuda(line, user);
        let variables = report["variables"].as_array().unwrap();
        let set: Vec<_> = variables.iter().filter(|one| one["name"] == QUEUES).collect();
        assert_eq!(set.first().map(|one| one["value"].as_str().unwrap()), user, "{report}");
        let facts = report["machine"]["facts"]["environment"].as_str().unwrap_or_default();
        assert_eq!(facts.contains(QUEUES), user.is_some(), "{facts}");
        assert!(!facts.contains("=32") && !facts.contains("=8"), "{facts}");
        let environments = report["environments"].as_array().unwrap();
        let sets: Vec<_> = environments.iter().map(|one| one["set"].clone()).collect();
        let with = |queues: &str| serde_json::json!({ QUEUES: queues });
        assert_eq!(sets, [serde_json::json!({}), with("8"), with("32")]);
        for one in environments {
            assert_eq!((&one["failed"], &one["processes"]), (&serde_json::json!([]), &1.into()));
            let operations = one["operations"].as_array().unwrap();
            assert_eq!(operations[0]["job"], "query");
            assert_eq!(operations.len(), 2, "query and event_query");
            for figure in ["bare", "careful", "ours", "to_bare", "to_careful"] {
                assert!(operations[0][figure].as_f64().is_some(), "{figure}: {one}");
            }
        }
        assert_eq!(report["backends"].as_array().unwrap().len(), 1, "the children's are apart");
        let command = "gpu-stream bench --backend cuda --operation 'query' --environments --quick";
        assert_eq!(report["command"], command);
        assert_eq!(report["date"].as_str().map(str::len), Some(10));
    }
}

#[test]
fn whole_run_has_both_ratios_and_the_captures() {
    let report = run_on_cuda("bench --quick --backend cuda --json -", None);
    let cuda = &report["backends"][0];
    for operation in cuda["operations"].as_array().unwrap() {
        let results = operation["results"].as_array().unwrap();
        let ours = results.iter().find(|one| one["who"] == "ours").expect("ours");
        for ratio in ["to_bare", "to_careful"] {
            assert!(ours[ratio]["ratio"]["median"].as_f64().is_some(), "{operation}");
        }
        let has_careful = results.iter().any(|one| one["who"] == "careful");
        assert_eq!(has_careful, operation["careful_calls"].is_string(), "{operation}");
    }
    let captures = cuda["captures"].as_array().unwrap();
    let ours: Vec<_> = captures.iter().filter(|one| one["who"] == "ours").collect();
    assert!(!ours.is_empty());
    let intact = |one: &&Value| one["error"].is_null() && one["capture_error"].is_null();
    assert!(ours.iter().all(intact), "{ours:?}");
}
