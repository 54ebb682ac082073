//! The tables of other environments, and of captures of other threads.

use super::{Grid, column, grid};
use crate::Job;
use crate::environments::{label, queue_variables};
use crate::figures::{ns, ratio};
use crate::report::{BackendReport, BesideCapture, EnvironmentOperation, Report};

/// Creates the table of calls beside a capture of another thread.
pub(super) fn captures(report: &BackendReport) -> Grid {
    let columns = vec![
        column("library", |row: &BesideCapture| Some(row.contender.label().into())),
        column("the call", |row: &BesideCapture| {
            Some(row.error.clone().unwrap_or("succeeded".into()))
        }),
        column("the capture", |row: &BesideCapture| {
            Some(row.capture_error.clone().unwrap_or("intact".into()))
        }),
    ];
    let rows: Vec<_> = report.captures.iter().collect();
    let title = "Calls on an idle stream while another thread captures a stream of its own in the mode global";
    grid(title, ("operation", &|row: &BesideCapture| row.job.name().to_owned()), columns, &rows)
}

/// Creates the tables of what other numbers of hardware queues change, for one backend. Empty if that was not
/// measured.
pub fn environments(report: &Report, backend: &str) -> Vec<Grid> {
    let all: Vec<_> = report.environments.iter().filter(|one| one.backend == backend).collect();
    // An environment whose processes all failed has no operations, and stands among what was not measured.
    let Some(first) = all.iter().find(|one| !one.operations.is_empty()) else { return Vec::new() };
    // The bare driver does nothing to wrap a handle unchecked, so a ratio to its time has no meaning.
    let has_ratio = |row: &&EnvironmentOperation| row.job != Job::WrapUnchecked;
    let (all_rows, rows_with_ratio): (Vec<_>, Vec<_>) =
        (first.operations.iter().collect(), first.operations.iter().filter(has_ratio).collect());
    let name = |row: &EnvironmentOperation| row.job.name().to_owned();
    let table = |title: &str, figures: [Figure; 2], rows: &[&EnvironmentOperation]| {
        let mut columns = Vec::new();
        for Figure { head, of, write } in figures {
            for environment in &all {
                let head = format!("{head}, {}", label(&environment.set));
                columns.push(column(&head, move |row: &EnvironmentOperation| {
                    let found = environment.operations.iter().find(|one| one.job == row.job)?;
                    of(found).map(write)
                }));
            }
        }
        grid(title, ("operation", &name), columns, rows)
    };
    let variables = queue_variables(backend).join(" and ");
    let title =
        format!("With other numbers of hardware queues ({variables}), nanoseconds per call");
    let times = [
        Figure { head: "bare", of: |row| row.bare, write: ns },
        Figure { head: "ours", of: |row| row.ours, write: ns },
    ];
    let mut times = table(&title, times, &all_rows);
    let processes = all.iter().map(|one| one.processes).max().unwrap_or_default();
    times.notes.push(format!(
        "bare: the bare call. ours: gpu-stream. Each column is of child processes with that value, {processes} each: \
         medians of their medians. 'as is' is the environment of the user, in which all other tables are measured."
    ));
    let ratios = [
        Figure { head: "to bare call", of: |row| row.to_bare, write: ratio },
        Figure { head: "to careful calls", of: |row| row.to_careful, write: ratio },
    ];
    let title = "With other numbers of hardware queues, gpu-stream's time divided by that of the bare call, and by that of \
                 the careful calls";
    vec![times, table(title, ratios, &rows_with_ratio)]
}

/// A figure of an operation in one environment.
struct Figure {
    head: &'static str,
    of: fn(&EnvironmentOperation) -> Option<f64>,
    write: fn(f64) -> String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environments::{of_backend, summarize};
    use crate::report::{EnvironmentReport, Machine, SCHEMA, Settings};
    use crate::{Plan, tables};

    /// Creates a report in which only the environment with this index was measured.
    fn report(measured: Option<usize>) -> Report {
        let operation = EnvironmentOperation {
            job: Job::Query,
            bare: Some(100.0),
            careful: None,
            ours: Some(120.0),
            to_bare: Some(1.2),
            to_careful: Some(1.2),
        };
        let environments = of_backend("cuda").into_iter().enumerate().map(|(index, set)| {
            let failed = summarize("cuda", set, &[], vec!["it ended".into()]);
            match measured == Some(index) {
                true => EnvironmentReport {
                    operations: vec![operation.clone()],
                    failed: Vec::new(),
                    ..failed
                },
                false => failed,
            }
        });
        Report {
            schema: SCHEMA,
            gpu_stream: String::new(),
            optimized: true,
            date: None,
            command: None,
            machine: Machine { facts: Default::default(), load_before: None },
            variables: Vec::new(),
            settings: Settings::of(&Plan::QUICK, true),
            backends: Vec::new(),
            environments: environments.collect(),
        }
    }

    #[test]
    fn failed_environments_are_listed_and_the_others_are_shown() {
        for (measured, failed) in [(Some(0), 2), (Some(2), 2), (None, 3)] {
            let report = report(measured);
            assert!(report.has_failed());
            assert_eq!(tables::failed_environments(&report, "cuda").len(), failed);
            let rows: Vec<_> =
                environments(&report, "cuda").iter().map(|grid| grid.rows.len()).collect();
            let expected: &[usize] = if measured.is_some() { &[1, 1] } else { &[] };
            assert_eq!(rows, expected);
        }
        assert!(environments(&report(Some(0)), "hip").is_empty());
    }
}
