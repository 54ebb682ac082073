//! Runs the programs, and compares the reports with what is expected: [`main`].

use std::panic::Location;
use std::path::Path;
use std::process::ExitCode;

use gpu_stream_checked::FindingKind::UseAfterOwner;
use gpu_stream_checked::{Checked, Finding, Report, Severity, StreamInfo};
use gpu_stream_core::{Backend, PlainHandles};
use gpu_stream_test_support::run;

use super::support::Outcome;
use super::{Bug, Missing, Right};

/// How often each bug runs in both forms: what is found does not depend on how fast the work was.
const ROUNDS: usize = 20;

/// Runs each bug in both forms, and the right programs.
pub fn main<B: PlainHandles>(
    bugs: Vec<Bug<Checked<B>>>,
    mut right: Vec<Right<Checked<B>>>,
) -> ExitCode {
    type Trial = Box<dyn FnOnce() + Send>;
    right.extend(super::right_inside::<B>());
    let rows: Vec<_> = bugs.iter().filter_map(row).collect();
    let table: Trial = Box::new(move || expect_rows(&rows));
    let bugs = bugs.into_iter().map(|bug| {
        let name = bug.name;
        let trial: Trial = Box::new(move || {
            for _ in 0..ROUNDS {
                expect_finding(&bug, &report::<B>(|| (bug.program)(false)));
                expect_nothing(&report::<B>(|| (bug.program)(true)));
            }
        });
        (name, trial)
    });
    let right = right.into_iter().map(|(name, program)| {
        let trial: Trial = Box::new(move || expect_nothing(&report::<B>(program)));
        (name, trial)
    });
    run::<Checked<B>, _>(bugs.chain(right).chain([("table_of_the_page", table)]))
}

/// Runs a program, and returns what is found in it.
fn report<B: PlainHandles>(program: impl FnOnce() -> Outcome<Checked<B>>) -> Report {
    let (outcome, report) = Checked::<B>::scope(|_| program());
    outcome.unwrap_or_else(|error| panic!("the program fails: {error}"));
    report
}

/// Checks the report of a program that is right.
fn expect_nothing(report: &Report) {
    assert!(report.is_empty(), "a right program has findings:\n{report}");
}

/// Returns the columns of a bug in the table of `docs/checked.md` that follow its description. Returns `None` if its
/// source is not a thread.
fn row<B: Backend>(bug: &Bug<B>) -> Option<String> {
    let thread = bug.source.strip_prefix("https://github.com/").filter(|path| !path.is_empty())?;
    let parts: Vec<_> = thread.split('/').collect();
    let (repository, number) = (parts[1], parts[3]);
    let (source, kind, name) = (bug.source, bug.kind.name(), bug.name);
    Some(format!("| [{repository}#{number}]({source}) | `{kind}` | `{name}` |"))
}

/// Checks that the page has these rows, and that each row of it has a program.
fn expect_rows(rows: &[String]) {
    let page = source("docs/checked.md");
    for row in rows {
        assert_eq!(page.matches(row.as_str()).count(), 1, "docs/checked.md: a row ends with {row}");
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let programs: String = std::fs::read_dir(&folder)
        .expect("the folder of the programs")
        .map(|file| std::fs::read_to_string(file.expect("a file").path()).expect("its text"))
        .collect();
    for line in page.lines().filter(|line| line.contains("](https://github.com/")) {
        let name = line.trim_end_matches("` |").rsplit('`').next().unwrap_or_default();
        assert!(programs.contains(&format!("pub fn {name}")), "docs/checked.md: no program {name}");
    }
}

/// Checks the report of the form that is wrong. Each error is at the call that is marked as the second. One finding has
/// the expected kind, the first call and the missing wait.
fn expect_finding<B: Backend>(bug: &Bug<B>, report: &Report) {
    let at_second = |finding: &Finding| marker(finding.second.place, bug.name) == Some("second");
    let at_first = |finding: &Finding| match &finding.first {
        Some(first) => marker(first.place, bug.name) == Some("first"),
        // The drop of a stream has no place.
        None => finding.kind.severity() == Severity::Warning || finding.kind == UseAfterOwner,
    };
    let is_expected = |finding: &Finding| {
        finding.kind == bug.kind
            && at_second(finding)
            && at_first(finding)
            && is_missing(bug, finding)
    };
    let count = report.findings.iter().filter(|finding| is_expected(finding)).count();
    assert_eq!(count, 1, "{} is expected once:\n{report}", bug.kind.name());
    for error in report.errors() {
        assert!(at_second(error), "an error elsewhere:\n{error}");
        assert_eq!(
            bug.kind.severity(),
            Severity::Error,
            "an error in place of a warning:\n{error}"
        );
    }
}

/// Returns `true` if the finding names the wait that is missing in this bug, and its place.
fn is_missing<B: Backend>(bug: &Bug<B>, finding: &Finding) -> bool {
    let Some(found) = &finding.missing else { return matches!(bug.missing, Missing::None) };
    // The default stream was wrapped by an earlier program, and the call of this one shows its name.
    let names = |stream: &StreamInfo, name: &str| {
        let calls = [Some(&finding.second), finding.first.as_ref()].into_iter().flatten();
        declared(stream.created).as_deref() == Some(name)
            || calls.into_iter().any(|site| {
                site.stream.number == stream.number && receiver(site.place).as_deref() == Some(name)
            })
    };
    let (waiter, awaited) = match bug.missing {
        Missing::Wait(waiter, awaited) => (Some(waiter), awaited),
        Missing::Host(awaited) => (None, awaited),
        Missing::None => return false,
    };
    let is_waiter = match (waiter, &found.waiter) {
        (Some(name), Some(stream)) => names(stream, name),
        (name, stream) => name.is_none() && stream.is_none(),
    };
    let is_before = match bug.kind.severity() {
        Severity::Error => found.before == finding.second.place,
        Severity::Warning => marker(found.before, bug.name) == Some("before"),
    };
    is_waiter && names(&found.awaited, awaited) && is_before
}

/// Returns the marker of a place in the program of this name: `first`, `second` or `before`.
fn marker(place: &Location<'_>, program: &str) -> Option<&'static str> {
    let text = source(place.file());
    let starts = ["<", "("].map(|next| text.split_once(&format!("pub fn {program}{next}")));
    let (_, body) = starts.into_iter().flatten().next()?;
    let (body, after) = body.split_once("\n}\n")?;
    let lines = text.lines().count() - after.lines().count();
    let begin = lines - body.lines().count();
    let line = place.line() as usize;
    if !(begin..=lines).contains(&line) {
        return None;
    }
    let comment = text.lines().nth(line - 1)?.split_once("// ")?.1;
    ["first", "second", "before"].into_iter().find(|marker| comment.starts_with(marker))
}

/// Returns the variable that the line of a place declares.
fn declared(place: &Location<'_>) -> Option<String> {
    first_word(line(place)?.split_once("let ")?.1)
}

/// Returns the variable whose method the line of a place calls first.
fn receiver(place: &Location<'_>) -> Option<String> {
    let line = line(place)?;
    first_word(line.rsplit_once("= ").map_or(line.as_str(), |(_, call)| call))
}

fn first_word(text: &str) -> Option<String> {
    text.split(|letter: char| !letter.is_alphanumeric())
        .find(|word| !word.is_empty())
        .map(Into::into)
}

fn line(place: &Location<'_>) -> Option<String> {
    source(place.file()).lines().nth(place.line() as usize - 1).map(Into::into)
}

/// Returns the text of a source file, whose path is relative to the workspace.
fn source(file: &str) -> String {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    let path = workspace.expect("the workspace").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
