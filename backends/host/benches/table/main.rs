//! Compares the host backend with what a user would write instead, as a Markdown table.
//!
//! `cargo bench -p gpu-stream-host --bench table -- [--rounds N] [--only W3]`. The contenders
//! alternate within each round, and each round begins with another one. A machine that becomes
//! slower or busier thus affects all of them. A cell has the median over the rounds, and the
//! speedup over the first row.

mod args;
mod machine;
mod measure;
#[path = "../workloads/mod.rs"]
mod workloads;

use std::process::ExitCode;

use args::{Args, Command};
use measure::{COLUMNS, Column, Figure, Row, median};

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(problem) => {
            eprintln!("table: {problem}\n{}", args::USAGE);
            return ExitCode::from(2);
        }
    };
    match &args.command {
        Command::Help => println!("{}", args::USAGE),
        Command::Footprint { column, row } => {
            println!("{}", measure::footprint(column, *row, args.quick));
        }
        Command::Table => table(&args),
    }
    ExitCode::SUCCESS
}

/// All figures of one column: for each row, one figure of each round.
struct Measured {
    column: &'static Column,
    rows: Vec<Vec<Figure>>,
}

fn table(args: &Args) {
    let rows = measure::rows();
    let wanted = |column: &&Column| args.only.is_empty() || args.only.contains(&column.group);
    let mut measured: Vec<_> = COLUMNS
        .iter()
        .filter(wanted)
        .map(|column| Measured { column, rows: rows.iter().map(|_| Vec::new()).collect() })
        .collect();
    let heading = machine::describe();
    for round in 0..args.rounds {
        eprintln!("round {} of {}", round + 1, args.rounds);
        for Measured { column, rows: figures } in &mut measured {
            if column.once && round > 0 {
                continue;
            }
            for turn in 0..rows.len() {
                let row = (round + turn) % rows.len();
                figures[row].push(column.figure(&rows, row, args.quick));
            }
        }
    }
    let size = if args.quick { "; small sizes, the figures mean nothing" } else { "" };
    println!("{heading} Rounds: {}{size}.\n", args.rounds);
    print_table(&rows, &measured);
    if args.rounds >= 4 {
        print_spread(&rows, &measured);
    }
}

fn print_table(rows: &[Row], measured: &[Measured]) {
    let titles: Vec<_> = measured.iter().map(|measured| measured.column.title).collect();
    println!("| | {} |", titles.join(" | "));
    println!("|---|{}", "---|".repeat(titles.len()));
    for (index, row) in rows.iter().enumerate() {
        let cells: Vec<_> = measured.iter().map(|measured| cell(measured, index)).collect();
        println!("| {} | {} |", row.name, cells.join(" | "));
    }
}

fn cell(Measured { column, rows }: &Measured, row: usize) -> String {
    let figures = &rows[row];
    let value = number(middle(figures));
    if !column.compared {
        return value;
    }
    let ratio = number(middle(&rows[0]) / middle(figures));
    let p99s: Vec<_> = figures.iter().filter_map(|figure| figure.p99).collect();
    if p99s.is_empty() {
        return format!("{value} ({ratio}×)");
    }
    format!("{value} / {} ({ratio}×)", number(median(p99s)))
}

fn middle(figures: &[Figure]) -> f64 {
    median(figures.iter().map(|figure| figure.value))
}

/// Prints the spread of the rounds: a difference that is smaller means nothing.
fn print_spread(rows: &[Row], measured: &[Measured]) {
    println!("\nThe widest range between the quartiles of the rounds, against the median:");
    for Measured { column, rows: all } in measured.iter().filter(|measured| !measured.column.once) {
        let spreads = all.iter().map(|figures| spread(figures));
        let widest = rows.iter().zip(spreads).max_by(|(_, one), (_, other)| one.total_cmp(other));
        if let Some((row, spread)) = widest {
            println!("- {}: {:.0} % ({})", column.title, spread * 100.0, row.name);
        }
    }
}

fn spread(figures: &[Figure]) -> f64 {
    let mut values: Vec<_> = figures.iter().map(|figure| figure.value).collect();
    values.sort_by(f64::total_cmp);
    let quarter = values.len() / 4;
    let range = values[values.len() - 1 - quarter] - values[quarter];
    range / median(values).max(f64::MIN_POSITIVE)
}

/// Formats a value with at least two digits, and with all digits before the point.
fn number(value: f64) -> String {
    let digits = match value {
        count if count.fract() == 0.0 => 0,
        ..1.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$}")
}
