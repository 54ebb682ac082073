//! `gpu-stream bench`: measures the cost of each operation.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use comfy_table::CellAlignment;
use gpu_stream_bench::report::{Report, SCHEMA, Settings};
use gpu_stream_bench::tables::{self, Grid};
use gpu_stream_bench::{BenchConfig, Job, Plan, machine, markdown, script, svg, variables};
use gpu_stream_conformance::Required;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use wildmatch::WildMatch;

use crate::args::Bench;
use crate::matrix::{bare_table, bold, text_of};
use crate::notes::wrap;
use crate::output::{self, OutputStyle};
use crate::select::{self, Backends};
use crate::{CommandError, environment, environments, fixtures};

/// Runs the command. Blocks until everything is measured.
///
/// # Errors
/// [`CommandError`] if the arguments name something that does not exist, or if the output cannot be
/// written.
pub fn command(arguments: &Bench, style: &OutputStyle) -> Result<ExitCode, CommandError> {
    let jobs = jobs(&arguments.operation)?;
    if arguments.list {
        output::put(&mut std::io::stdout(), &list(&jobs, style))?;
        return Ok(ExitCode::SUCCESS);
    }
    let available = select::probe(&arguments.backend);
    let chosen = select::backends(&available, &arguments.backend, &Required::default())?;
    let config = config(arguments, jobs)?;
    let mut files = Files::open(arguments)?;
    let report = measure(arguments, &config, &chosen, style)?;
    files.write(&report)?;
    if arguments.json.as_deref() != Some("-") {
        output::put(&mut std::io::stdout(), &draw(&report, &chosen, style))?;
    }
    Ok(if report.has_failed() { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// Returns the operations that match one of `patterns`, or all operations if there are no patterns.
fn jobs(patterns: &[String]) -> Result<Vec<Job>, CommandError> {
    let matches = |job: &Job, pattern: &str| match pattern.contains(['*', '?']) {
        true => WildMatch::new(pattern).matches(job.name()),
        false => job.name().contains(pattern),
    };
    for pattern in patterns {
        if !Job::ALL.iter().any(|job| matches(job, pattern)) {
            return Err(CommandError(format!(
                "no operation matches {pattern:?}; `gpu-stream bench --list` shows all {}",
                Job::ALL.len()
            )));
        }
    }
    let wanted = |job: &&Job| patterns.is_empty() || patterns.iter().any(|one| matches(job, one));
    Ok(Job::ALL.iter().filter(wanted).copied().collect())
}

/// Converts the arguments to a configuration.
fn config(arguments: &Bench, jobs: Vec<Job>) -> Result<BenchConfig, CommandError> {
    let scripts = arguments.peers.as_deref().map(script::in_folder).transpose();
    let scripts = scripts.map_err(|reason| CommandError(format!("--peers: {reason}")))?;
    let plan = match arguments.quick {
        true => Plan::QUICK,
        false => Plan { rounds: arguments.rounds, ..Plan::USUAL },
    };
    Ok(BenchConfig {
        plan,
        jobs,
        threads: arguments.operation.is_empty() && !arguments.only_pairs,
        captures: arguments.operation.is_empty() && !arguments.only_pairs,
        only_pairs: arguments.only_pairs,
        growth: arguments.growth,
        scripts: scripts.unwrap_or_default(),
        python: arguments.python.clone().into(),
    })
}

/// The output files, created before anything runs.
struct Files {
    json: Option<Box<dyn Write>>,
    svg: Option<Box<dyn Write>>,
    markdown: Option<Box<dyn Write>>,
}

impl Files {
    /// Creates the files that the arguments name.
    fn open(arguments: &Bench) -> Result<Self, CommandError> {
        let open = |option, name: &Option<String>| {
            name.as_deref().map(|name| output::target(option, name)).transpose()
        };
        let (json, svg, markdown) = (&arguments.json, &arguments.svg, &arguments.markdown);
        let outputs = [("--json", json), ("--svg", svg), ("--markdown", markdown)];
        output::ensure_distinct(&outputs, &[])?;
        Ok(Files {
            json: open("--json", &arguments.json)?,
            svg: open("--svg", &arguments.svg)?,
            markdown: open("--markdown", &arguments.markdown)?,
        })
    }

    /// Writes the report to all files.
    fn write(&mut self, report: &Report) -> Result<(), CommandError> {
        if let Some(target) = &mut self.json {
            output::put(&mut **target, &(serde_json::to_string_pretty(report)? + "\n"))?;
        }
        if let Some(target) = &mut self.svg {
            output::put(&mut **target, &svg::draw(report))?;
        }
        if let Some(target) = &mut self.markdown {
            output::put(&mut **target, &markdown::draw(report))?;
        }
        Ok(())
    }
}

/// Measures the chosen backends, with a progress bar.
fn measure(
    arguments: &Bench,
    config: &BenchConfig,
    chosen: &Backends,
    style: &OutputStyle,
) -> Result<Report, CommandError> {
    let mut report = Report {
        schema: SCHEMA,
        gpu_stream: env!("CARGO_PKG_VERSION").into(),
        optimized: !cfg!(debug_assertions),
        date: machine::today(),
        command: Some(command_line(arguments)),
        machine: machine::this(),
        variables: variables::set(),
        settings: Settings::of(&config.plan, arguments.quick),
        backends: Vec::new(),
        environments: Vec::new(),
    };
    let bar = progress_bar(style);
    // Before this process uses a device: a second process may change how the device serves the first.
    if arguments.environments {
        report.environments = environments::measure(arguments, &chosen.checked, &mut |name| {
            bar.set_message(name.to_owned());
            bar.tick();
        });
    }
    for backend in &chosen.checked {
        let bench = fixtures::bench(*backend)?;
        let measured = bench.run(config, &mut |name| {
            bar.set_message(format!("{backend} {name}"));
            bar.tick();
        });
        report.backends.push(
            measured.map_err(|reason| {
                CommandError(format!("{backend} cannot be measured: {reason}"))
            })?,
        );
    }
    bar.finish_and_clear();
    Ok(report)
}

/// Returns the command line that repeats the run, without output files. A folder is named by its relative path, or
/// by its last part.
fn command_line(arguments: &Bench) -> String {
    let mut words = vec!["gpu-stream bench".to_owned()];
    words.extend(arguments.backend.iter().map(|backend| format!("--backend {backend}")));
    words.extend(arguments.operation.iter().map(|pattern| format!("--operation '{pattern}'")));
    let flags = [
        ("--growth", arguments.growth),
        ("--environments", arguments.environments),
        ("--only-pairs", arguments.only_pairs),
        ("--quick", arguments.quick),
    ];
    words.extend(flags.into_iter().filter(|(_, is_set)| *is_set).map(|(flag, _)| flag.to_owned()));
    if let Some(folder) = &arguments.peers {
        let last = folder.file_name().map(Path::new).filter(|_| folder.is_absolute());
        words.push(format!("--peers {}", last.unwrap_or(folder).display()));
    }
    if !arguments.quick && arguments.rounds != Plan::USUAL.rounds {
        words.push(format!("--rounds {}", arguments.rounds));
    }
    words.join(" ")
}

/// Creates the progress bar. It is hidden if the style has none.
fn progress_bar(style: &OutputStyle) -> ProgressBar {
    if !style.progress {
        return ProgressBar::hidden();
    }
    // An invalid template changes only the appearance. The bar has no timer, because its drawing thread
    // would disturb the measurements.
    let bar_style = ProgressStyle::with_template("{spinner} {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_style(bar_style)
}

/// Renders the list of operations with their descriptions.
pub fn list(jobs: &[Job], style: &OutputStyle) -> String {
    let mut table = bare_table(style);
    table.set_header([bold("operation"), bold("description")]);
    for job in jobs {
        table.add_row([job.name(), job.title()]);
    }
    format!("{}\n{} operations\n", text_of(table), jobs.len())
}

/// Renders the whole text output of `bench`.
pub fn draw(report: &Report, chosen: &Backends, style: &OutputStyle) -> String {
    let mut text = format!("gpu-stream {}, bench\n", report.gpu_stream);
    text.push_str(&wrap(&tables::machine(report), 0, 2, style.width));
    text.push_str(&environment::wrap(&tables::variables(report), style.width));
    // All variables are the user's: the command sets none for `bench`.
    if let Some(variables) = report.machine.facts.get("environment") {
        text.push_str(&environment::wrap(&format!("environment: {variables}"), style.width));
    }
    text.push_str(&wrap(&tables::method(report), 0, 2, style.width));
    for backend in &report.backends {
        text.push('\n');
        let heading = wrap(&tables::backend(backend), 0, 2, style.width);
        text.push_str(&heading);
        let environments = tables::environments(report, &backend.backend);
        for grid in tables::of(backend).into_iter().chain(environments) {
            text.push_str(&format!("\n{}\n{}", style.bold(&grid.title), table(&grid, style)));
            grid.notes.iter().for_each(|note| text.push_str(&wrap(note, 0, 2, style.width)));
        }
        let mut missing = tables::not_measured(backend);
        missing.extend(tables::failed_environments(report, &backend.backend));
        if !missing.is_empty() {
            text.push_str(&format!("\n{}\n", style.bold("Not measured")));
        }
        missing.iter().for_each(|line| text.push_str(&wrap(line, 0, 2, style.width)));
    }
    text.push_str(&not_measured(chosen, style.width));
    text
}

/// Renders a line for each backend that was left out.
fn not_measured(chosen: &Backends, width: usize) -> String {
    let lines = chosen.left_out.iter().map(|item| {
        let advice = item.advice.unwrap_or_default();
        let line = format!("{}: not measured: {}. {advice}", item.backend, item.reason);
        wrap(line.trim_end(), 0, 2, width)
    });
    let lines: String = lines.collect();
    if lines.is_empty() { lines } else { format!("\n{lines}") }
}

/// Renders one table.
fn table(grid: &Grid, style: &OutputStyle) -> String {
    let mut table = bare_table(style);
    table.set_header(grid.header.iter().map(|head| bold(head)));
    table.add_rows(grid.rows.iter());
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    text_of(table)
}
