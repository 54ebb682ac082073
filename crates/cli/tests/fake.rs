//! Tests the command's library with fake backends that fail, skip and hang.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gpu_stream::{Backend, BackendInfo, BackendKind, Device, DeviceInfo, ErrorKind, Host};
use gpu_stream_cli::check::Plan;
use gpu_stream_cli::live::Live;
use gpu_stream_cli::output::OutputStyle;
use gpu_stream_cli::report::{Cell, Column, Report, Totals};
use gpu_stream_cli::select::{Backends, LeftOut};
use gpu_stream_cli::{CommandError, json, matrix};
use gpu_stream_conformance::{
    CaseInfo, CaseReport, Missing, Outcome, Required, Suite, Verdict, rules,
};

static CASES: &[CaseInfo] = &[
    CaseInfo { name: "wait_orders", area: "order", rules: &[rules::T5], about: "Waits order." },
    CaseInfo {
        name: "wait_is_a_snapshot",
        area: "order",
        rules: &[rules::R11, rules::T6],
        about: "Later work is not waited for.",
    },
    CaseInfo { name: "fault_stays", area: "faults", rules: &[rules::R29], about: "It stays." },
    CaseInfo { name: "others_live", area: "faults", rules: &[rules::R29], about: "They live." },
];

/// A backend with scripted outcomes: for each case one per round. The last one repeats forever.
struct Fake {
    backend: BackendKind,
    rounds: Mutex<Vec<Vec<Outcome>>>,
}

impl Suite for Fake {
    fn backend(&self) -> BackendKind {
        self.backend
    }

    fn cases(&self) -> &'static [CaseInfo] {
        CASES
    }

    fn run(&self, index: usize) -> CaseReport {
        let mut rounds = self.rounds.lock().unwrap();
        let left = &mut rounds[index];
        let outcome = if left.len() > 1 { left.remove(0) } else { left[0].clone() };
        CaseReport { outcome, duration: Duration::from_millis(500) }
    }
}

fn failed(reason: &str) -> Outcome {
    Err(Verdict::Failed(reason.into()))
}

fn skipped(reason: &str) -> Outcome {
    Err(Verdict::skipped(reason))
}

fn fake(backend: BackendKind, rounds: [Vec<Outcome>; 4]) -> Box<dyn Suite> {
    Box::new(Fake { backend, rounds: Mutex::new(rounds.into()) })
}

fn column(backend: BackendKind) -> Column {
    let devices = vec![DeviceInfo::new(Device::new(backend, 0), "a device")];
    Column { backend, info: Some(BackendInfo::new(backend, "1.2", devices)) }
}

const LONG: &str = "the copy on the second stream is 0 and should be 7, since the first stream was held \
                    (order.rs:33)";

const NEEDS_TWO: &str = "the case needs 2 devices";

fn suites() -> Vec<Box<dyn Suite>> {
    let sound = [vec![Ok(())], vec![Ok(())], vec![Ok(())], vec![Ok(())]];
    let broken = [vec![Ok(())], vec![failed(LONG)], vec![failed("lost")], vec![skipped(NEEDS_TWO)]];
    vec![fake(BackendKind::Host, sound), fake(BackendKind::Cuda, broken)]
}

fn run(suites: &[Box<dyn Suite>], plan: Plan<'_>) -> Result<Report, CommandError> {
    let columns = suites.iter().map(|suite| column(suite.backend())).collect();
    let left_out = vec![LeftOut {
        backend: BackendKind::Hip,
        kind: ErrorKind::LibraryNotFound,
        reason: "libamdhip64.so was not found".into(),
        advice: Some("Install it."),
    }];
    plan.run(suites, columns, Backends { checked: vec![], left_out }, &OutputStyle::plain(80))
}

fn plan(repeat: u32) -> Plan<'static> {
    Plan { patterns: &[], repeat, required: Required::default() }
}

#[test]
fn matrix_at_80_columns() {
    let report = run(&suites(), plan(1)).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let expected = format!(
        "\
gpu-stream {version}: 4 cases
host: version 1.2, on host:0 (a device)
cuda: version 1.2, on cuda:0 (a device)
hip: not run: libamdhip64.so was not found. Install it.

case                  rules   host    cuda
order
  wait_orders         T5      passed  passed
  wait_is_a_snapshot  R11 T6  passed  failed [1]
faults
  fault_stays         R29     passed  failed: lost
  others_live         R29     passed  skipped [3]

Failed
[1] order::wait_is_a_snapshot on cuda
    the copy on the second stream is 0 and should be 7, since the first stream
    was held (order.rs:33)
    checks R11: wait_stream is a snapshot: later work of the other stream is not
      waited for
    checks T6: wait_stream holds back later work until the other stream's work
      so far is done
[2] faults::fault_stays on cuda
    lost
    checks R29: failed work is a fault that every later call on its stream
      reports, and other streams are not affected

Skipped
[3] {NEEDS_TWO}

5 passed, 2 failed, 1 skipped, 0 do not apply
"
    );
    assert_eq!(matrix::draw(&report, &OutputStyle::plain(80)), expected);
}

#[test]
fn wide_matrix_has_the_reasons_in_its_cells() {
    let report = run(&suites(), plan(1)).unwrap();
    let text = matrix::draw(&report, &OutputStyle::plain(320));
    assert!(text.contains(&format!("failed: {LONG}\n")), "{text}");
    assert!(text.contains(&format!("skipped: {NEEDS_TWO}\n")), "{text}");
    assert!(!text.contains("Skipped\n"), "{text}");
    assert!(text.contains("Failed\n[1] order::wait_is_a_snapshot on cuda"), "{text}");
}

#[test]
fn no_line_exceeds_the_width() {
    let report = run(&suites(), plan(1)).unwrap();
    for width in [60, 80, 100, 200] {
        let style = OutputStyle { lines: true, ..OutputStyle::plain(width) };
        for line in matrix::draw(&report, &style).lines() {
            assert!(line.chars().count() <= width, "{width}: {line}");
        }
    }
}

#[test]
fn colors_appear_only_if_allowed() {
    let report = run(&suites(), plan(1)).unwrap();
    assert!(!matrix::draw(&report, &OutputStyle::plain(80)).contains('\u{1b}'));
    let style = OutputStyle { color: true, ..OutputStyle::plain(80) };
    let text = matrix::draw(&report, &style);
    assert!(text.contains('\u{1b}'));
    assert_eq!(console::strip_ansi_codes(&text), matrix::draw(&report, &OutputStyle::plain(80)));
    assert_eq!(text.lines().last(), Some("5 passed, 2 failed, 1 skipped, 0 do not apply"));
}

#[test]
fn repeated_case_stops_at_the_first_failure_and_names_the_round() {
    let third = vec![Ok(()), Ok(()), failed("lost"), Ok(())];
    let suites = [fake(
        BackendKind::Host,
        [third, vec![Ok(())], vec![skipped(NEEDS_TWO)], vec![failed("at once")]],
    )];
    let report = run(&suites, plan(5)).unwrap();
    let cells: Vec<_> = report.rows.iter().map(|row| &row.cells[0]).collect();
    assert_eq!(cells[0].outcome, failed("in round 3 of 5: lost"));
    assert_eq!((cells[0].rounds, cells[0].duration), (3, Duration::from_millis(1500)));
    assert_eq!((cells[1].outcome.clone(), cells[1].rounds), (Ok(()), 5));
    assert_eq!((cells[2].outcome.clone(), cells[2].rounds), (skipped(NEEDS_TWO), 1));
    assert_eq!(cells[3].outcome, failed("in round 1 of 5: at once"));
    assert_eq!(report.totals(), Totals { passed: 1, failed: 2, skipped: 1, inapplicable: 0 });
}

#[test]
fn skip_on_a_required_backend_is_a_failure() {
    let required = Required::parse("cuda", &[]).unwrap();
    let report = run(&suites(), Plan { patterns: &[], repeat: 1, required }).unwrap();
    assert_eq!(report.totals(), Totals { passed: 5, failed: 3, skipped: 0, inapplicable: 0 });
    let reason = report.rows[3].cells[1].reason().unwrap();
    assert!(reason.contains("GPU_STREAM_REQUIRE") && reason.contains(NEEDS_TWO), "{reason}");
}

#[test]
fn failures_with_one_reason_share_a_note() {
    let missing: Box<dyn Suite> = Box::new(Missing::new(BackendKind::Cuda, "no driver"));
    let required = Required::parse("cuda", &[]).unwrap();
    let report = run(&[missing], Plan { patterns: &[], repeat: 1, required }).unwrap();
    let (text, cases) = (matrix::draw(&report, &OutputStyle::plain(80)), report.rows.len());
    assert!(cases >= 60, "this test uses the real list of cases");
    assert_eq!(text.matches("no driver").count(), 1, "{text}");
    assert!(text.contains(&format!(" and {} more on cuda\n", cases - 1)), "{text}");
    assert!(
        text.ends_with(&format!("\n0 passed, {cases} failed, 0 skipped, 0 do not apply\n")),
        "{text}"
    );
}

#[test]
fn patterns_select_cases() {
    let names = |patterns: &[&str]| -> Result<Vec<&str>, CommandError> {
        let patterns: Vec<_> = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
        let plan = Plan { patterns: &patterns, ..plan(1) };
        Ok(run(&suites(), plan)?.rows.iter().map(|row| row.case.name).collect())
    };
    assert_eq!(names(&["snap"]).unwrap(), ["wait_is_a_snapshot"]);
    assert_eq!(names(&["order::"]).unwrap(), ["wait_orders", "wait_is_a_snapshot"]);
    assert_eq!(names(&["wait*s"]).unwrap(), ["wait_orders"]);
    assert_eq!(names(&["faults::*e"]).unwrap(), ["others_live"]);
    assert_eq!(
        names(&["R29", "T6"]).unwrap(),
        ["wait_is_a_snapshot", "fault_stays", "others_live"]
    );
    assert_eq!(names(&["?????_stays"]).unwrap(), ["fault_stays"]);
    let CommandError(text) = names(&["order", "cuda*"]).unwrap_err();
    assert!(text.contains("no case matches \"cuda*\"") && text.contains("--list"), "{text}");
    assert!(names(&["R2"]).is_err(), "a rule matches only as a whole");
}

#[test]
fn json_report_has_all_fields() {
    let report = run(&suites(), plan(1)).unwrap();
    let value: serde_json::Value =
        serde_json::from_str(&json::of_report(&report).unwrap()).unwrap();
    assert_eq!(value["schema"], 1);
    assert_eq!(value["gpu_stream"], env!("CARGO_PKG_VERSION"));
    assert_eq!(value["backends"][1]["backend"], "cuda");
    assert_eq!(value["backends"][1]["version"], "1.2");
    assert_eq!(value["backends"][1]["devices"][0]["device"], "cuda:0");
    assert_eq!(value["backends"][1]["devices"][0]["name"], "a device");
    assert_eq!(value["not_checked"][0]["backend"], "hip");
    assert_eq!(value["not_checked"][0]["kind"], "LibraryNotFound");
    assert_eq!(value["cases"].as_array().unwrap().len(), 4);
    let case = &value["cases"][1];
    assert_eq!((&case["area"], &case["name"]), (&"order".into(), &"wait_is_a_snapshot".into()));
    assert_eq!(case["rules"][0]["id"], "R11");
    let result = &case["results"][1];
    assert_eq!((&result["backend"], &result["outcome"]), (&"cuda".into(), &"failed".into()));
    assert_eq!(result["reason"], LONG);
    assert_eq!(result["seconds"], 0.5);
    assert_eq!(case["results"][0]["reason"], serde_json::Value::Null);
    let totals = serde_json::json!({ "passed": 5, "failed": 2, "skipped": 1 });
    assert_eq!(value["totals"], totals);
}

#[test]
fn missing_backend_is_an_error_with_a_remedy_if_it_is_named() {
    use gpu_stream_cli::select;
    let available = gpu_stream::available();
    let none = Required::default();
    let (ready, not_ready): (Vec<_>, Vec<_>) = available.iter().partition(|item| item.is_ready());
    let [ready, not_ready] =
        [ready, not_ready].map(|items| items.iter().map(|item| item.backend).collect::<Vec<_>>());
    assert!(ready.contains(&Host::KIND));
    let chosen = select::backends(&available, &[], &none).unwrap();
    assert_eq!(chosen.checked, ready);
    let left_out: Vec<_> = chosen.left_out.iter().map(|item| item.backend).collect();
    assert_eq!(left_out, not_ready);
    for &missing in &not_ready {
        let CommandError(text) = select::backends(&available, &[missing], &none).unwrap_err();
        let item = available.iter().find(|item| item.backend == missing).unwrap();
        assert!(text.contains(&format!("--backend {missing}")), "{text}");
        assert!(text.contains(item.advice().unwrap()), "{text}");
    }
    let chosen = select::backends(&available, &[Host::KIND], &none).unwrap();
    assert_eq!(chosen, Backends { checked: vec![Host::KIND], left_out: vec![] });
    let required = Required::parse("cuda", &[]).unwrap();
    let chosen = select::backends(&available, &[], &required).unwrap();
    let kinds = available.iter().map(|item| item.backend);
    let expected: Vec<_> =
        kinds.filter(|kind| *kind == BackendKind::Cuda || ready.contains(kind)).collect();
    assert_eq!(chosen.checked, expected);
}

/// The runner's text for a case that hung.
const HUNG: &str = "still running after 1s; its thread keeps running";

/// Creates a fake suite whose second case hangs, and whose later cases fail in the same process.
fn hanging(backend: BackendKind) -> Box<dyn Suite> {
    let spoilt = || vec![failed("no stream can be made")];
    fake(backend, [vec![Ok(())], vec![failed(HUNG)], spoilt(), spoilt()])
}

#[test]
fn cases_after_a_hang_run_in_separate_processes() {
    let spoilt = || vec![failed("no stream can be made")];
    let suites =
        [hanging(Host::KIND), fake(BackendKind::Cuda, [spoilt(), spoilt(), spoilt(), spoilt()])];
    let columns = suites.iter().map(|suite| column(suite.backend())).collect();
    let plan = plan(2);
    let mut report = plan.report(&suites, columns, Backends::default()).unwrap();
    let calls = Mutex::new(Vec::new());
    let fresh = |backend: BackendKind, index| {
        calls.lock().unwrap().push((backend, index));
        let (rounds, duration) = (2, Duration::ZERO);
        Ok(Cell { outcome: Ok(()), rounds, duration, is_hung: false, own_process: true })
    };
    let mut live = Live::new(&OutputStyle::plain(80), None);
    plan.fill(&mut report, &suites, &mut live, &fresh).unwrap();
    assert_eq!(report.totals(), Totals { passed: 7, failed: 1, skipped: 0, inapplicable: 0 });
    assert!(report.rows[1].cells[0].is_hung && report.has_thread_left());
    let cuda = BackendKind::Cuda;
    let all = [(Host::KIND, 2), (Host::KIND, 3), (cuda, 0), (cuda, 1), (cuda, 2), (cuda, 3)];
    assert_eq!(*calls.lock().unwrap(), all);
}

#[test]
fn cases_that_cannot_run_after_a_hang_are_skipped() {
    let required = Required::parse("host", &[]).unwrap();
    let plan = Plan { patterns: &[], repeat: 1, required };
    let report = run(&[hanging(Host::KIND)], plan).unwrap();
    assert_eq!(report.totals(), Totals { passed: 1, failed: 1, skipped: 2, inapplicable: 0 });
    let reason = report.rows[3].cells[0].reason().unwrap();
    assert!(reason.starts_with("not run, since an earlier case hung"), "{reason}");
    assert_eq!(report.rows[3].cells[0].rounds, 0);
}

#[test]
fn named_backend_that_runs_no_case_is_a_failure() {
    let idle = || vec![skipped("the kernels cannot be loaded")];
    let none = || fake(BackendKind::Cuda, [idle(), idle(), idle(), idle()]);
    let sound = || fake(Host::KIND, [vec![Ok(())], vec![Ok(())], vec![Ok(())], vec![Ok(())]]);
    let report = |suites: &[Box<dyn Suite>], named: &[BackendKind]| {
        let mut report = run(suites, plan(1)).unwrap();
        report.named = named.to_vec();
        report
    };
    let both = [sound(), none()];
    assert!(!report(&both, &[]).is_failed(), "the second backend is not named");
    assert!(!report(&both, &[Host::KIND]).is_failed());
    let named = report(&both, &[BackendKind::Cuda]);
    assert!(named.is_failed());
    let [text] = &named.nothing_ran()[..] else { panic!("{:?}", named.nothing_ran()) };
    for part in ["cuda: no case ran", "all 4", "kernels cannot be loaded", "gpu-stream info"] {
        assert!(text.contains(part), "{part:?} is missing in {text}");
    }
    let value: serde_json::Value = serde_json::from_str(&json::of_report(&named).unwrap()).unwrap();
    assert_eq!(value["nothing_ran"][0], text.as_str());
    assert!(report(&[none()], &[]).is_failed(), "a check of nothing must not pass");
    let by_nature = || vec![Err(Verdict::inapplicable("it has no such thing"))];
    let inapplicable = fake(Host::KIND, [by_nature(), by_nature(), by_nature(), by_nature()]);
    let text = report(&[inapplicable], &[Host::KIND]).nothing_ran().concat();
    assert!(text.contains("--case"), "{text}");
}

/// A writer that records what is written, and how much of it has been flushed.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<(Vec<u8>, usize)>>);

impl Shared {
    fn flushed(&self) -> String {
        let state = self.0.lock().unwrap();
        String::from_utf8(state.0[..state.1].to_vec()).unwrap()
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().0.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.1 = state.0.len();
        Ok(())
    }
}

/// A suite whose cases pass if the results of all earlier cases have been flushed.
struct Witness(Shared);

impl Suite for Witness {
    fn backend(&self) -> BackendKind {
        Host::KIND
    }

    fn cases(&self) -> &'static [CaseInfo] {
        CASES
    }

    fn run(&self, index: usize) -> CaseReport {
        let flushed = self.0.flushed();
        let lines = CASES[..index]
            .iter()
            .map(|case| format!("passed  host {}::{} (0.000 s)\n", case.area, case.name));
        let expected: String = lines.collect();
        let outcome = if flushed == expected { Ok(()) } else { failed(&flushed) };
        CaseReport { outcome, duration: Duration::ZERO }
    }
}

#[test]
fn results_are_flushed_as_they_arrive() {
    let mut shared = Shared::default();
    let suites: [Box<dyn Suite>; 1] = [Box::new(Witness(shared.clone()))];
    let plan = plan(1);
    let mut report = plan.report(&suites, vec![column(Host::KIND)], Backends::default()).unwrap();
    let mut live = Live::new(&OutputStyle::plain(80), Some(&mut shared));
    plan.fill(&mut report, &suites, &mut live, &|_, _| Err("none".into())).unwrap();
    assert_eq!(report.totals(), Totals { passed: 4, failed: 0, skipped: 0, inapplicable: 0 });
}
