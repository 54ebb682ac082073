//! Tests `gpu-stream matrix` as users and scripts run it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-stream"));
    command.args(arguments);
    for variable in ["GPU_STREAM_REQUIRE", "NO_COLOR", "CLICOLOR_FORCE"] {
        command.env_remove(variable);
    }
    // Hides the CUDA driver and the HIP runtime, so that the result is the same on every machine.
    command.env("GPU_STREAM_CUDA_LIBRARY", "/no/such/libcuda.so");
    command.env("GPU_STREAM_HIP_LIBRARY", "/no/such/libamdhip64.so");
    command.env("GPU_STREAM_OPENCL_LIBRARY", "/no/such/libOpenCL.so");
    command.output().expect("the command starts")
}

fn file(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("matrix");
    fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

fn write(name: &str, report: &Value) -> String {
    let path = file(name);
    fs::write(&path, report.to_string()).unwrap();
    path.display().to_string()
}

fn case(area: &str, name: &str, results: &[Value]) -> Value {
    json!({ "area": area, "name": name, "about": "About <it>.",
        "rules": [{ "id": "R1", "text": "a \"rule\"" }], "results": results })
}

fn result(backend: &str, outcome: &str, reason: Option<&str>) -> Value {
    json!({ "backend": backend, "outcome": outcome, "reason": reason, "inapplicable": false })
}

fn report(backend: &str, device: &str, cases: &[Value]) -> Value {
    json!({ "schema": 1, "date": "2026-11-27", "machine": { "system": "Some Linux", "nvidia": "580.1" },
        "backends": [{ "backend": backend, "version": "13.0",
            "devices": [{ "device": "x:0", "name": device }, { "device": "x:1", "name": device }] }],
        "not_checked": [
            { "backend": "hip", "kind": "LibraryNotFound", "reason": "no such library" },
            { "backend": "host", "kind": "NotCompiled", "reason": "not part of this build" }],
        "cases": cases })
}

/// Two reports: the second has a failure, a skip, and a case that the first does not have.
fn two_reports(name: &str) -> [String; 2] {
    let first = report(
        "cuda",
        "GPU one",
        &[
            case("order", "waits", &[result("cuda", "passed", None)]),
            case("errors", "is_named", &[result("cuda", "passed", None)]),
        ],
    );
    let second = report(
        "cuda",
        "GPU two",
        &[
            case("order", "waits", &[result("cuda", "failed", Some("got <3> | not 5"))]),
            case("errors", "is_named", &[result("cuda", "skipped", Some("needs two devices"))]),
            case("order", "joins", &[result("cuda", "passed", None)]),
        ],
    );
    [write(&format!("{name}-1.json"), &first), write(&format!("{name}-2.json"), &second)]
}

#[test]
fn cases_that_do_not_apply_are_counted_separately() {
    let mut foreign = result("host", "skipped", Some("no foreign events"));
    foreign["inapplicable"] = true.into();
    let two_devices = result("host", "skipped", Some("needs two devices"));
    let cases = [
        case("order", "waits", &[result("host", "passed", None)]),
        case("events", "foreign", &[foreign]),
    ];
    let cases = [cases.as_slice(), &[case("order", "crosses", &[two_devices])]].concat();
    let file = write("does-not-apply.json", &report("host", "CPU", &cases));
    let output = run(&["matrix", &file]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let last = "\n3 cases on 1 backends: 1 passed, 0 failed, 1 skipped, 1 do not apply\n";
    assert!(text.ends_with(last) && text.contains("does not apply"), "{text}");
}

#[test]
fn reports_of_two_machines_become_one_table() {
    let [first, second] = two_reports("table");
    let (markdown, html) = (file("table.md"), file("table.html"));
    let (at_markdown, at_html) = (markdown.display().to_string(), html.display().to_string());
    let output = run(&["matrix", &first, &second, "--markdown", &at_markdown, "--html", &at_html]);
    assert_eq!(output.status.code(), Some(1), "a report has a failure: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("failed: 2 cuda: order::waits: got <3> | not 5"), "{text}");
    assert!(text.contains("hip: not run: no such library"), "{text}");
    assert!(!text.contains("not part of this build"), "{text}");
    assert!(
        text.ends_with("\n3 cases on 2 backends: 3 passed, 1 failed, 1 skipped, 0 do not apply\n"),
        "{text}"
    );

    let markdown = fs::read_to_string(markdown).unwrap();
    for line in [
        "| 1 | cuda | 13.0 | 2 | 0 | 0 | 0 | 2 × GPU one | Some Linux; nvidia 580.1 | 2026-11-27 |",
        "| 2 | cuda | 13.0 | 1 | **1** | 1 | 0 | 2 × GPU two | Some Linux; nvidia 580.1 | 2026-11-27 |",
        "- 2 (cuda) `order::waits`: got &lt;3> \\| not 5",
        "| **order** | | | |",
        "| waits | R1 | ✓ | ✗ |",
        "| joins | R1 |  | ✓ |",
        "| is_named | R1 | ✓ | – |",
        "| needs two devices | 2 | `is_named` |",
    ] {
        assert!(markdown.lines().any(|one| one == line), "{line}\n{markdown}");
    }
    let at = |text: &str| markdown.find(text).unwrap();
    assert!(at("| joins |") < at("| **errors** |"), "an area stays together");

    let html = fs::read_to_string(html).unwrap();
    assert!(html.starts_with("<!doctype html>"), "{html}");
    for part in [
        "<td class=failed title=\"got &lt;3&gt; | not 5\">✗",
        "<th title=\"About &lt;it&gt;.\">waits",
        "<abbr title=\"a &quot;rule&quot;\">R1</abbr>",
        "<h2 class=failed>Failed: 1</h2>",
        "<li>needs two devices<p>Columns 2: <code>is_named</code> </p>",
    ] {
        assert!(html.contains(part), "{part}\n{html}");
    }
    assert!(!html.contains("http"), "the page needs no network");
}

#[test]
fn real_report_becomes_a_table() {
    let name = file("host.json").display().to_string();
    let checked = run(&["check", "--backend", "host", "--case", "handles*", "--json", &name]);
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
    let output = run(&["matrix", &name, "--markdown", "-"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("| wrap_is_the_stream | T1 R1 | ✓ |"), "{text}");
    let report: Value = serde_json::from_str(&fs::read_to_string(&name).unwrap()).unwrap();
    let passed = report["totals"]["passed"].as_u64().unwrap();
    let date = report["date"].as_str().unwrap();
    assert!(date.len() == 10 && text.contains(&format!("| {date} |")), "{date}: {text}");
    assert!(text.contains(&format!(" | {passed} | 0 | 0 | ")), "{text}");
}

#[test]
fn file_that_is_no_report_is_named() {
    let newer = write("newer.json", &json!({ "schema": 2 }));
    let other = write("other.json", &json!({ "packages": [] }));
    let mut twice = report("cuda", "GPU", &[]);
    let listed = twice["backends"][0].clone();
    twice["backends"].as_array_mut().unwrap().push(listed);
    let twice = write("twice.json", &twice);
    let stray = [case("order", "waits", &[result("hip", "failed", Some("it hung"))])];
    let stray = write("stray.json", &report("cuda", "GPU", &stray));
    let partial = write("partial.json", &json!({ "schema": 1, "backends": [] }));
    let (broken, missing) = (file("broken.json"), file("missing.json"));
    fs::write(&broken, "{").unwrap();
    let (broken, missing) = (broken.display().to_string(), missing.display().to_string());
    for (name, reason) in [
        (&newer, "its schema is 2"),
        (&other, "no field `schema`"),
        (&partial, "missing field `cases`"),
        (&twice, "lists the backend \"cuda\" twice"),
        (&stray, "a result of \"hip\""),
        (&broken, "EOF"),
        (&missing, "cannot be read"),
    ] {
        let output = run(&["matrix", name]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(name.as_str()) && text.contains(reason), "{text}");
    }
    assert_eq!(run(&["matrix"]).status.code(), Some(2), "a report is required");
}

#[test]
fn unknown_outcome_is_no_success() {
    let cases = [case("order", "waits", &[result("cuda", "perhaps", None)])];
    let name = write("unknown.json", &report("cuda", "GPU", &cases));
    assert_eq!(run(&["matrix", &name]).status.code(), Some(1));
}

/// Two results of one case, and a case that is listed twice: whichever comes last, the failure counts.
#[test]
fn failure_is_not_hidden_by_another_result_of_the_case() {
    let (passed, failed) = (result("cuda", "passed", None), result("cuda", "failed", Some("no")));
    let in_one = [case("order", "waits", &[failed.clone(), passed.clone()])];
    let in_two = [case("order", "waits", &[failed]), case("order", "waits", &[passed])];
    for cases in [&in_one[..], &in_two[..]] {
        let name = write("twice-run.json", &report("cuda", "GPU", cases));
        let output = run(&["matrix", &name]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("failed: 1 cuda: order::waits: no"), "{text}");
    }
}

#[test]
fn report_in_which_no_case_ran_is_no_success() {
    let skipped = [case("order", "waits", &[result("cuda", "skipped", Some("no GPU"))])];
    let passed = [case("order", "waits", &[result("cuda", "passed", None)])];
    let mut in_part = report("cuda", "GPU", &passed);
    in_part["nothing_ran"] = json!(["hip: no case ran"]);
    let (html, good) = (file("nothing.html").display().to_string(), report("cuda", "GPU", &passed));
    let good = write("ran.json", &good);
    for (index, report) in
        [report("cuda", "GPU", &[]), report("cuda", "GPU", &skipped), in_part].iter().enumerate()
    {
        let name = write(&format!("nothing-{index}.json"), report);
        let output = run(&["matrix", &good, &name, "--html", &html]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(&format!("nothing-{index}.json")), "{text}");
        assert!(text.contains("no case ran"), "{text}");
        assert!(!fs::read_to_string(&html).unwrap().contains("No case failed"));
    }
}

#[test]
fn texts_of_a_report_stay_in_their_places() {
    let evil = "a\\|b\r\n| 9 | \u{1b}[2J`![x](y)<b>&lt;";
    let mut report = report(evil, evil, &[case(evil, evil, &[result(evil, "failed", Some(evil))])]);
    report["date"] = evil.into();
    let name = write("evil.json", &report);
    let markdown = String::from_utf8(run(&["matrix", &name, "--markdown", "-"]).stdout).unwrap();
    let html = String::from_utf8(run(&["matrix", &name, "--html", "-"]).stdout).unwrap();
    let text = String::from_utf8(run(&["matrix", &name]).stdout).unwrap();
    for (output, parts) in
        [(&markdown, &["<b", "![x](", "\n| 9"][..]), (&html, &["(y)<b>"]), (&text, &[])]
    {
        assert!(!output.contains(|one: char| one.is_control() && one != '\n'), "{output}");
        for part in parts {
            assert!(!output.contains(part), "{part}\n{output}");
        }
    }
    // The backslash and the pipe of the text are escaped one by one.
    assert!(markdown.contains(r"a\\\|b \| 9 \|"), "{markdown}");
}

#[test]
fn report_is_not_overwritten_by_the_table() {
    let passed = [case("order", "waits", &[result("cuda", "passed", None)])];
    let name = write("input.json", &report("cuda", "GPU", &passed));
    let before = fs::read_to_string(&name).unwrap();
    let another = file("sub/../input.json");
    fs::create_dir_all(file("sub")).unwrap();
    let (another, page) = (another.display().to_string(), file("page").display().to_string());
    for options in [
        ["--markdown", &name, "--html", &page],
        ["--markdown", &page, "--html", &another],
        ["--markdown", &page, "--html", &page],
        ["--markdown", "-", "--html", "-"],
    ] {
        let output = run(&[&["matrix", &name], &options[..]].concat());
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(String::from_utf8(output.stderr).unwrap().contains("name "));
    }
    assert_eq!(fs::read_to_string(&name).unwrap(), before);
}

/// Returns the report of one test of gpu-stream-testkit.
fn of_test(name: &str, backend: &str, version: &str, outcome: &str) -> Value {
    let cases = [case("my_lib::tests", name, &[result(backend, outcome, Some("a reason"))])];
    let mut report = report(backend, "GPU", &cases);
    report["testkit"] = "0.1.0".into();
    report["not_checked"] = json!([]);
    report["backends"][0]["version"] = version.into();
    if version.is_empty() {
        report["backends"][0]["devices"] = json!([]);
    }
    report
}

/// Writes the reports into a folder of their own.
fn folder_of(name: &str, reports: &[Value]) -> String {
    let folder = file(name);
    // Of an earlier run.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    for (index, report) in reports.iter().enumerate() {
        fs::write(folder.join(format!("{index}.json")), report.to_string()).unwrap();
    }
    folder.display().to_string()
}

#[test]
fn reports_of_tests_share_the_columns_of_a_backend() {
    let mut later = of_test("joins", "cuda", "13.0", "failed");
    later["date"] = "2026-11-28".into();
    let folder = folder_of(
        "tests",
        &[
            of_test("skips", "cuda", "", "skipped"),
            of_test("waits", "cuda", "13.0", "passed"),
            later,
            of_test("waits", "cuda", "12.0", "passed"),
            of_test("waits", "host", "0.1.0", "passed"),
            of_test("joins", "host", "0.1.0", "passed"),
            of_test("waits", "hip", "", "skipped"),
        ],
    );
    fs::write(file("tests/.draft.json.1"), "{").unwrap();
    fs::write(file("tests/.0.json"), "{").unwrap();
    let output = run(&["matrix", &folder, "--markdown", "-"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    for line in [
        "| 1 | cuda | 13.0 | 1 | **1** | 1 | 0 | 2 × GPU | Some Linux; nvidia 580.1 | 2026-11-28 |",
        "| 2 | cuda | 12.0 | 1 | 0 | 0 | 0 | 2 × GPU | Some Linux; nvidia 580.1 | 2026-11-27 |",
        "| 3 | host | 0.1.0 | 2 | 0 | 0 | 0 | 2 × GPU | Some Linux; nvidia 580.1 | 2026-11-27 |",
        "| 4 | hip |  | 0 | 0 | 1 | 0 |  | Some Linux; nvidia 580.1 | 2026-11-27 |",
        "| waits |  | ✓ | ✓ | ✓ | – |",
        "| joins |  | ✗ |  | ✓ |  |",
    ] {
        assert!(text.lines().any(|one| one.replace("R1", "") == line), "{line}\n{text}");
    }
    // The files by name give the same table.
    let names: Vec<_> = (0..7).map(|index| format!("{folder}/{index}.json")).collect();
    let arguments = ["matrix"].into_iter().chain(names.iter().map(String::as_str));
    let arguments: Vec<_> = arguments.chain(["--markdown", "-"]).collect();
    assert_eq!(String::from_utf8(run(&arguments).stdout).unwrap(), text);
}

#[test]
fn reports_of_check_keep_their_own_columns() {
    let passed = [case("order", "waits", &[result("cuda", "passed", None)])];
    let check = report("cuda", "GPU", &passed);
    let folder =
        folder_of("mixed", &[check.clone(), check, of_test("a", "cuda", "13.0", "passed")]);
    let output = run(&["matrix", &folder]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("2 cases on 3 backends: 3 passed"), "{text}");
}

#[test]
fn tests_of_which_none_ran_are_no_success() {
    let skipped = [of_test("a", "cuda", "", "skipped"), of_test("b", "hip", "5.2", "skipped")];
    let output = run(&["matrix", &folder_of("skipped", &skipped)]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8(output.stdout).unwrap().contains("no test ran"));
    let one_ran = [&skipped[..], &[of_test("a", "host", "0.1.0", "passed")]].concat();
    assert_eq!(run(&["matrix", &folder_of("one-ran", &one_ran)]).status.code(), Some(0));
    let output = run(&["matrix", &folder_of("empty", &[])]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8(output.stderr).unwrap().contains("has no report"));
}

#[test]
fn title_is_the_users_or_names_the_package() {
    let [first, second] = two_reports("title");
    let show = |reports: &[&str], options: &[&str]| {
        let output = run(&[&["matrix"], reports, options].concat());
        String::from_utf8(output.stdout).unwrap()
    };
    let of_suite = [first.as_str(), second.as_str()];
    assert!(show(&of_suite, &["--markdown", "-"]).starts_with("| | backend |"));
    let page = show(&of_suite, &["--html", "-"]);
    assert!(page.contains("<h1>gpu-stream: what was tested on what</h1>"), "{page}");
    let given = ["--title", "Mine <1>", "--markdown", "-"];
    assert!(show(&of_suite, &given).starts_with("## Mine &lt;1>\n\n| | backend |"));
    let page = show(&of_suite, &["--title", "Mine <1>", "--html", "-"]);
    assert!(page.contains("<title>Mine &lt;1&gt;</title>"), "{page}");

    let mut of_tests = of_test("waits", "host", "0.1.0", "passed");
    of_tests["package"] = "my-lib".into();
    let mut other = of_tests.clone();
    other["package"] = "other".into();
    let mine = folder_of("title-of-tests", &[of_tests.clone()]);
    let text = show(&[&mine], &["--markdown", "-"]);
    assert!(text.starts_with("## my-lib: what was tested on what\n"), "{text}");
    assert!(show(&[&mine], &["--html", "-"]).contains("<h1>my-lib: "));
    assert!(show(&[&mine], &["--markdown", "-", "--title", "T"]).starts_with("## T\n"));
    for reports in [&[mine.as_str(), &first][..], &[&folder_of("title-of-two", &[of_tests, other])]]
    {
        let text = show(reports, &["--markdown", "-"]);
        assert!(text.starts_with("| | backend |"), "the table is not of one package: {text}");
    }
}

#[test]
fn column_of_rules_is_left_out_without_rules() {
    let mut of_tests = of_test("waits", "host", "0.1.0", "passed");
    of_tests["cases"][0]["rules"] = json!([]);
    let folder = folder_of("no-rules", &[of_tests]);
    let show =
        |format: &str| String::from_utf8(run(&["matrix", &folder, format, "-"]).stdout).unwrap();
    let markdown = show("--markdown");
    assert!(
        markdown.contains("| case | 1 |\n|---|:-:|\n| **my_lib::tests** | |\n| waits | ✓ |\n"),
        "{markdown}"
    );
    let html = show("--html");
    assert!(
        !html.contains("<th>rules") && html.contains("<tr class=area><th colspan=2>"),
        "{html}"
    );
    assert!(html.contains("waits<td class=passed"), "{html}");
}
