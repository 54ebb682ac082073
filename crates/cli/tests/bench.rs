//! Tests `gpu-stream bench` as users and scripts run it. The runs are quick, so their figures mean
//! nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn run(line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-stream"));
    command.args(line.split_whitespace());
    for variable in ["GPU_STREAM_REQUIRE", "NO_COLOR", "CLICOLOR_FORCE"] {
        command.env_remove(variable);
    }
    // Hides the CUDA driver and the HIP runtime, so that the result is the same on every machine.
    command.env("GPU_STREAM_CUDA_LIBRARY", "/no/such/libcuda.so");
    command.env("GPU_STREAM_HIP_LIBRARY", "/no/such/libamdhip64.so");
    command.env("GPU_STREAM_OPENCL_LIBRARY", "/no/such/libOpenCL.so");
    command.output().expect("the command starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn bench_measures_the_host_and_writes_all_files() {
    let folder = folder("bench");
    let at = |name: &str| folder.join(name).display().to_string();
    let (json, svg, markdown) = (at("b.json"), at("b.svg"), at("b.md"));
    let line = format!("bench --quick --json {json} --svg {svg} --markdown {markdown}");
    let output = run(&line);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(stderr(&output).is_empty(), "{output:?}");
    let text = stdout(&output);
    assert!(text.contains("the figures mean nothing"), "a quick run says so: {text}");
    let long = text.lines().find(|line| line.chars().count() > 100);
    assert_eq!(long, None);

    let report: Value = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
    assert_eq!((&report["schema"], &report["settings"]["quick"]), (&2.into(), &true.into()));
    assert_eq!(report["optimized"], !cfg!(debug_assertions));
    assert_eq!(report["backends"].as_array().unwrap().len(), 1);
    let host = &report["backends"][0];
    assert_eq!((&host["backend"], &host["device"]), (&"host".into(), &"host:0".into()));
    let operations = host["operations"].as_array().unwrap();
    for operation in operations {
        let name = operation["job"].as_str().unwrap();
        let row = text.lines().any(|line| line.split_whitespace().next() == Some(name));
        assert!(row, "{name} has no row: {text}");
        let ours = operation["results"].as_array().unwrap().iter();
        let ours = ours.clone().find(|one| one["who"] == "ours").expect("ours");
        assert!(ours["ns"]["median"].as_f64().unwrap() >= 0.0);
        assert_eq!(operation["failed"], Value::Array(vec![]), "{name}");
    }
    let list = stdout(&run("bench --list"));
    assert!(list.ends_with(&format!("\n{} operations\n", operations.len())), "{list}");
    assert_eq!(host["threads"].as_array().unwrap().len(), 10);
    assert!(host["growth"].as_array().unwrap().is_empty());
    assert!(fs::read_to_string(svg).unwrap().starts_with("<svg "));
    let markdown = fs::read_to_string(markdown).unwrap();
    assert!(markdown.contains("## host: version"), "{markdown}");
    assert!(markdown.contains("| query | "), "{markdown}");
}

#[test]
fn operation_option_selects_operations() {
    let output = run("bench --quick --plain --backend host --operation wait* --json -");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let operations = report["backends"][0]["operations"].as_array().unwrap();
    let names: Vec<_> = operations.iter().map(|one| one["job"].as_str().unwrap()).collect();
    assert_eq!(names, ["wait_event", "wait_stream"]);
    assert!(report["backends"][0]["threads"].as_array().unwrap().is_empty());
    let list = stdout(&run("bench --list --plain --operation short"));
    assert!(list.contains("short_lived_checked") && list.ends_with("\n2 operations\n"), "{list}");
    assert!(list.is_ascii(), "{list}");
}

#[test]
fn unknown_or_missing_arguments_are_rejected() {
    let cuda = if cfg!(feature = "cuda") { "GPU_STREAM_CUDA_LIBRARY" } else { "feature `cuda`" };
    let hip = if cfg!(feature = "hip") { "GPU_STREAM_HIP_LIBRARY" } else { "feature `hip`" };
    let empty = folder("no_peers").display().to_string();
    let peers = format!("bench --quick --peers {empty}");
    let lines = [
        ("bench --backend cuda", cuda),
        ("bench --backend hip", hip),
        ("bench --backend gpu", "host, cuda, hip and opencl"),
        ("bench --operation nothing", "no operation matches \"nothing\""),
        ("bench --list --operation nothing", "no operation matches"),
        ("bench --rounds 3", "at least 31"),
        ("bench --peers /no/such/folder", "--peers: /no/such/folder"),
        (&peers, "no peer script"),
        ("bench --quick --json /no/such/folder/x", "--json: /no/such/folder/x"),
        ("bench --quick --svg /no/such/folder/x", "--svg: /no/such/folder/x"),
        ("bench --quick --markdown /no/such/folder/x", "--markdown: /no/such/folder/x"),
    ];
    for (line, expected) in lines {
        let output = run(line);
        assert_eq!(output.status.code(), Some(2), "{line}: {output:?}");
        assert!(output.stdout.is_empty(), "{line}: {output:?}");
        assert!(stderr(&output).contains(expected), "{line}: {}", stderr(&output));
    }
}

/// The scripts are for `sh`, which accepts the same command line as Python's interpreter.
#[cfg(unix)]
#[test]
fn peers_are_measured_and_missing_ones_are_named() {
    let folder = folder("peers");
    let turn = "while read name calls; do echo \"{\\\"ns\\\": $((calls * 700))}\"; done";
    let hello = r#"echo '{"peer":"toy","versions":"toy 1.2","operations":["query"]}'"#;
    fs::write(folder.join("toy.py"), format!("{hello}\n{turn}\n")).unwrap();
    let lacks = r#"echo '{"peer":"other","missing":"no module of this name"}'"#;
    fs::write(folder.join("other.py"), lacks).unwrap();
    let peers = folder.display();
    let line = format!("bench --quick --operation query --python sh --peers {peers}");
    let output = run(&line);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = stdout(&output);
    for part in ["toy", "700 (", "toy: toy 1.2", "other: not run: no module of this name"] {
        assert!(text.contains(part), "{part:?} is missing in {text}");
    }
}

/// A peer that fails is removed, and the exit status is 1.
#[cfg(unix)]
#[test]
fn failing_peer_is_a_failure() {
    let folder = folder("broken_peers");
    let hello = r#"echo '{"peer":"toy","versions":"1","operations":["query"]}'"#;
    let turn = r#"while read name calls; do echo '{"error":"out of streams"}'; done"#;
    fs::write(folder.join("toy.py"), format!("{hello}\n{turn}\n")).unwrap();
    let peers = folder.display();
    let output = run(&format!("bench --quick --operation query --python sh --peers {peers}"));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stdout(&output).contains("out of streams"), "{output:?}");
}
