//! Tests the command as users and scripts run it: text, files, exit statuses and pipes.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const NO_DRIVER: &str = "/no/such/libcuda.so";
const NO_RUNTIME: &str = "/no/such/libamdhip64.so";
const NO_OPENCL: &str = "/no/such/libOpenCL.so";

fn command(line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-stream"));
    command.args(line.split_whitespace());
    for variable in ["GPU_STREAM_REQUIRE", "NO_COLOR", "CLICOLOR_FORCE"] {
        command.env_remove(variable);
    }
    // Hides the CUDA driver, the HIP runtime and OpenCL, so that the result is the same on every machine. Runs
    // of the suite on a GPU test the rest.
    command.env("GPU_STREAM_CUDA_LIBRARY", NO_DRIVER);
    command.env("GPU_STREAM_HIP_LIBRARY", NO_RUNTIME);
    command.env("GPU_STREAM_OPENCL_LIBRARY", NO_OPENCL);
    command
}

fn run(line: &str) -> Output {
    command(line).output().expect("the command starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Returns the four numbers of the last line. Panics if the line has another format.
fn totals(text: &str) -> [usize; 4] {
    let line = text.strip_suffix('\n').and_then(|text| text.lines().last()).expect("a last line");
    let parts: Vec<_> = line.split(", ").collect();
    let names = ["passed", "failed", "skipped", "do not apply"];
    assert_eq!(parts.len(), names.len(), "the last line is {line:?}");
    std::array::from_fn(|index| {
        let (number, name) = parts[index].split_once(' ').expect("a number and a name");
        assert_eq!(name, names[index], "the last line is {line:?}");
        number.parse().unwrap()
    })
}

#[test]
fn command_without_arguments_checks_the_host() {
    let output = run("");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = stdout(&output);
    let [passed, failed, skipped, inapplicable] = totals(&text);
    assert!(passed >= 60 && failed == 0 && inapplicable > 0, "{text}");
    let list: Value = serde_json::from_slice(&run("check --list --json -").stdout).unwrap();
    assert_eq!(passed + failed + skipped + inapplicable, list["cases"].as_array().unwrap().len());
    assert!(stderr(&output).is_empty(), "a pipe gets no progress bar: {}", stderr(&output));
    assert!(!text.contains('\u{1b}'), "a pipe gets no escape codes");
    let long = text.lines().find(|line| line.chars().count() > 100);
    assert_eq!(long, None);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let not_found = [
        ("cuda", cfg!(feature = "cuda"), "the CUDA driver's library", NO_DRIVER),
        ("hip", cfg!(feature = "hip"), "the HIP runtime's library", NO_RUNTIME),
        ("opencl", cfg!(feature = "opencl"), "the OpenCL loader's library", NO_OPENCL),
    ];
    for (name, compiled, what, library) in not_found {
        let why = format!("{name}: not run: {what} was not found; tried: {library}");
        assert_eq!(words.contains(&why), compiled, "{text}");
    }
    let absent: Vec<_> = not_found.iter().filter(|item| !item.1).map(|item| item.0).collect();
    let absent = format!("not part of this build: {}", absent.join(", "));
    assert_eq!(text.contains(&absent), !absent.ends_with(' '), "{text}");
}

#[test]
fn plain_output_is_ascii() {
    let text = stdout(&run("check --plain --case order"));
    assert!(text.is_ascii(), "{text}");
}

#[test]
fn options_select_cases_and_backends() {
    let output = run("--case order::wait_twice --backend host --backend cpu --repeat 3 --limit 30");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(totals(&stdout(&output)), [1, 0, 0, 0]);
    assert!(stdout(&output).contains("1 case, 3 times each"), "{}", stdout(&output));
}

/// Returns the expected remedy for a vendor's backend that is not available.
fn missing(compiled: bool, not_found: &'static str, not_compiled: &'static str) -> &'static str {
    if compiled { not_found } else { not_compiled }
}

#[test]
fn unknown_or_missing_arguments_are_rejected() {
    let cuda = "correct or unset GPU_STREAM_CUDA_LIBRARY";
    let hip = "correct or unset GPU_STREAM_HIP_LIBRARY";
    let opencl = "correct or unset GPU_STREAM_OPENCL_LIBRARY";
    let lines = [
        ("check --backend cuda", missing(cfg!(feature = "cuda"), cuda, "feature `cuda`")),
        ("check --backend hip", missing(cfg!(feature = "hip"), hip, "feature `hip`")),
        ("check --backend opencl", missing(cfg!(feature = "opencl"), opencl, "feature `opencl`")),
        ("check --backend gpu", "host, cuda, hip and opencl"),
        ("check --case no_such_case", "no case matches \"no_such_case\""),
        ("check --list --case no_such_case", "no case matches"),
        ("check --repeat 0", "--repeat"),
        ("check --limit 0", "--limit"),
        ("check --speed", "--speed"),
        ("check --json /no/such/folder/x", "/no/such/folder/x"),
        ("inform", "inform"),
    ];
    for (line, expected) in lines {
        let output = run(line);
        assert_eq!(output.status.code(), Some(2), "{line}: {output:?}");
        assert!(output.stdout.is_empty(), "{line}: {output:?}");
        assert!(stderr(&output).contains(expected), "{line}: {}", stderr(&output));
    }
}

#[test]
fn case_that_exceeds_the_limit_fails_and_the_run_continues() {
    let output = run("--case order:: --limit 0.0000001");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let [_, failed, ..] = totals(&stdout(&output));
    assert!(failed > 1, "{output:?}");
    assert!(stdout(&output).contains("still running after 100ns"), "{output:?}");
    assert!(stdout(&output).contains("in a separate process"), "{output:?}");
}

#[test]
fn each_result_has_a_line_before_the_matrix() {
    for plain in ["", " --plain"] {
        let text = stdout(&run(&format!("--case order::wait{plain}")));
        let (lines, matrix) = text.split_once("\ncase ").expect("a matrix");
        let lines = lines.lines().filter(|line| line.starts_with("passed  host order::wait"));
        assert_eq!(lines.count(), totals(matrix)[0], "{text}");
    }
}

/// After a hang, `check` starts such a process for each further case.
#[test]
fn single_case_is_reported_as_one_line_of_json() {
    let list: Value = serde_json::from_slice(&run("check --list --json -").stdout).unwrap();
    let last = list["cases"].as_array().unwrap().len() - 1;
    for (index, outcome) in [(0, "passed"), (last + 1, "failed")] {
        let output = run(&format!("check --backend host --single {index} --repeat 2"));
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(answer["outcome"], outcome, "{answer}");
    }
}

/// The variables with which drivers size their hardware queues and signals.
const QUEUES: [&str; 3] =
    ["CUDA_DEVICE_MAX_CONNECTIONS", "GPU_MAX_HW_QUEUES", "ROC_SIGNAL_POOL_SIZE"];

/// Returns the JSON output of `line`, with one of the variables set by the user and the others unset.
fn with_variables(line: &str, user: Option<&str>) -> Value {
    let mut command = command(line);
    for name in QUEUES {
        command.env_remove(name);
    }
    user.map(|name| command.env(name, "5"));
    let output = command.output().expect("the command starts");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn environment(report: &Value) -> &str {
    let facts = report["machine"].get("facts").unwrap_or(&report["machine"]);
    facts["environment"].as_str().unwrap_or_default()
}

#[test]
fn only_check_sets_variables_and_reports_them() {
    let is_compiled = [cfg!(feature = "cuda") || cfg!(feature = "hip"), cfg!(feature = "hip")];
    let is_compiled = [is_compiled[0], is_compiled[1], is_compiled[1]];
    for (set_by_user, compiled) in QUEUES.into_iter().zip(is_compiled) {
        let check = with_variables("check --case wait_twice --json -", Some(set_by_user));
        assert_eq!(check["set"].get(set_by_user), None, "{check}");
        assert!(environment(&check).contains(&format!("{set_by_user}=5")), "{check}");
        let check = with_variables("check --case wait_twice --json -", None);
        assert_eq!(check["set"].get(set_by_user).is_some(), compiled, "{check}");
        assert!(!environment(&check).contains(set_by_user), "not the user's: {check}");
        for line in ["info --json -", "bench --quick --backend host --operation query --json -"] {
            assert!(!environment(&with_variables(line, None)).contains(set_by_user), "{line}");
            let user = with_variables(line, Some(set_by_user));
            assert!(environment(&user).contains(&format!("{set_by_user}=5")), "{line}: {user}");
        }
    }
    let host = with_variables("check --backend host --case wait_twice --json -", None);
    assert_eq!(host["set"], serde_json::json!({}), "the host needs none");
    let mut command = command("check --case wait_twice");
    for name in QUEUES {
        command.env_remove(name);
    }
    let text = stdout(&command.output().unwrap());
    assert_eq!(text.contains("\nset by check"), is_compiled[0], "{text}");
}

#[test]
fn missing_required_backend_fails() {
    let output = command("--case wait_twice").env("GPU_STREAM_REQUIRE", "cuda").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(totals(&stdout(&output)), [1, 1, 0, 0]);
    assert!(stdout(&output).contains("cuda must not skip"), "{}", stdout(&output));
    for (wrong, reason) in [("cudda", "cudda"), ("host:3", "there are 2 devices")] {
        let output = command("").env("GPU_STREAM_REQUIRE", wrong).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(reason), "{output:?}");
    }
}

#[test]
fn json_goes_to_a_file_with_the_matrix_or_alone_to_stdout() {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("report.json");
    let output = command("--case order::").arg("--json").arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let [passed, ..] = totals(&stdout(&output));
    let read = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
    assert_eq!(read(&std::fs::read(file).unwrap())["totals"]["passed"], passed);
    let alone = read(&run("--case order:: --json -").stdout);
    assert_eq!(alone["totals"]["passed"], passed);
    assert_eq!(alone["backends"][0]["backend"], "host");
    assert!(alone["cases"][0]["results"][0]["seconds"].is_number());
}

#[test]
fn cases_pass_with_a_check_and_the_report_says_so() {
    let output = run("check --checked --backend host --case topology:: --plain");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = stdout(&output);
    assert!(text.lines().next().is_some_and(|line| line.contains("with a check")), "{text}");
    for (line, is_checked) in [("--checked --json -", true), ("--json -", false)] {
        let output = run(&format!("check --backend host --case topology:: {line}"));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["checked"], is_checked);
        assert_eq!(report["totals"]["failed"], 0);
    }
}

#[test]
fn list_has_every_case_with_its_rules() {
    let text = stdout(&run("--list"));
    let list: Value = serde_json::from_slice(&run("--list --json").stdout).unwrap();
    for case in list["cases"].as_array().unwrap() {
        let (name, rule) = (case["name"].as_str().unwrap(), &case["rules"][0]["id"]);
        let is_its = |line: &&str| line.split_whitespace().next() == Some(name);
        let line = text.lines().find(is_its).unwrap_or_else(|| panic!("{name} is missing"));
        assert!(line.contains(rule.as_str().unwrap()), "{line}");
        assert!(!case["about"].as_str().unwrap().is_empty(), "{name}");
    }
}

#[test]
fn info_shows_backends_and_remedies() {
    let output = run("info");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = stdout(&output);
    let (cuda, hip, opencl) =
        (cfg!(feature = "cuda"), cfg!(feature = "hip"), cfg!(feature = "opencl"));
    let default = match (cuda, hip, opencl) {
        (true, ..) => "cuda",
        (_, true, _) => "hip",
        (.., true) => "opencl",
        _ => "host",
    };
    let headings = ["host", "cuda", "hip", "opencl"].map(|name| {
        let mark = if name == default { "  (DefaultBackend)" } else { "" };
        format!("\n{name}{mark}\n")
    });
    for part in headings.iter().map(String::as_str).chain(["none needed", "host:0"]) {
        assert!(text.contains(part), "{part:?} is missing in {text}");
    }
    // The machine's part lists the variables, so it always has these names.
    let (backends, machine) = text.split_once("\nmachine\n").expect("a part for the machine");
    assert_eq!(backends.contains(NO_DRIVER), cuda, "{text}");
    assert_eq!(backends.contains(NO_RUNTIME), hip, "{text}");
    assert_eq!(backends.contains(NO_OPENCL), opencl, "{text}");
    let words = machine.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("GPU_STREAM_HIP_LIBRARY=/no/such"), "{text}");
    let without = [cuda, hip, opencl].into_iter().filter(|compiled| !compiled).count();
    for (part, count) in
        [("compiled in  no", without), ("not looked for", without), ("what to do", 3)]
    {
        assert_eq!(text.matches(part).count(), count, "{part:?} in {text}");
    }
    let value: Value = serde_json::from_slice(&run("info --json").stdout).unwrap();
    let backends = value["backends"].as_array().unwrap();
    let names: Vec<_> = backends.iter().map(|backend| &backend["backend"]).collect();
    assert_eq!(names, ["host", "cuda", "hip", "opencl"]);
    assert_eq!(backends[0]["default"], default == "host");
    assert_eq!(backends[0]["ready"], true);
    assert!(backends[0]["devices"][0]["name"].is_string());
    for (backend, compiled) in [(&backends[1], cuda), (&backends[2], hip), (&backends[3], opencl)] {
        let kind = if compiled { "LibraryNotFound" } else { "NotCompiled" };
        assert_eq!(backend["error"]["kind"], kind);
        assert_eq!(backend["compiled"], compiled);
        let state = if compiled { "not found" } else { "not looked for" };
        assert_eq!(backend["library_state"], state);
        assert!(backend["advice"].is_string());
    }
}

/// Nothing is checked, and that must not look like a pass.
#[test]
fn invalid_setting_is_rejected() {
    let wrong = |line: &str| {
        command(line).env("GPU_STREAM_HOST_THREADS", "many").output().expect("it starts")
    };
    let output = wrong("");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    assert!(stderr(&output).contains("GPU_STREAM_HOST_THREADS=many"), "{output:?}");
    let info = stdout(&wrong("info"));
    assert!(info.contains("Correct or unset the variable"), "{info}");
    assert!(!info.contains("library      found"), "{info}");
}

#[test]
fn closed_pipe_is_no_error() {
    for line in ["", "--list", "info", "--json -", "info --json", "--help"] {
        let mut child = command(line)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts");
        // The reader closes before the first byte, or after the first line.
        let mut first = String::new();
        let mut reader = BufReader::with_capacity(1, child.stdout.take().unwrap());
        if line.starts_with("--") {
            reader.read_line(&mut first).unwrap();
        }
        drop(reader);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{line}: {output:?}");
        assert!(output.stderr.is_empty(), "{line}: {output:?}");
    }
}
