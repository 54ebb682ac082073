//! Measures how far the host backend goes: up to 10^6 streams, events and waits, and 10^7 tasks.
//!
//! `cargo bench -p gpu-stream-host --bench scale` prints a Markdown table. Each row runs in a
//! process of its own, because the peak memory belongs to a process. `cargo test` runs small sizes,
//! to check that all cases work.

mod cases;
#[path = "../table/machine.rs"]
mod machine;

use std::process::{Command, ExitCode};

use cases::{CASES, Case};

/// The smallest size of each case.
const SMALLEST: u64 = 1_000;

/// The output of `--help`.
const USAGE: &str = "\
usage: cargo bench -p gpu-stream-host --bench scale -- [OPTIONS]
  --largest N        no size above N (default: none; without --bench 1,000)
  --case NAME SIZE   only one row, in this process";

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("scale: {problem}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn run(mut given: impl Iterator<Item = String>) -> Result<(), String> {
    let (mut largest, mut benching) = (None, false);
    while let Some(arg) = given.next() {
        let mut value = || given.next().ok_or(format!("{arg} needs a value"));
        match arg.as_str() {
            // Passed by `cargo bench`, not by `cargo test --benches`.
            "--bench" => benching = true,
            "--largest" => largest = Some(number(&value()?)?),
            "--case" => {
                let name = value()?;
                let case = CASES.iter().find(|case| case.name == name);
                let case = case.ok_or(format!("{name}: no such case"))?;
                println!("{}", measure(case, number(&value()?)?));
                return Ok(());
            }
            "--help" | "-h" => {
                println!("{USAGE}");
                return Ok(());
            }
            _ => return Err(format!("unknown argument {arg}")),
        }
    }
    print_table(largest.unwrap_or(if benching { u64::MAX } else { SMALLEST }));
    Ok(())
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().ok().filter(|size| *size > 0).ok_or(format!("{text}: not a whole number above 0"))
}

fn print_table(largest: u64) {
    println!("{}\n", machine::describe());
    println!(
        "| | size | submit, ns an item | finish, ns an item | peak memory, MiB | bytes an item |"
    );
    println!("|---|---:|---:|---:|---:|---:|");
    for case in &CASES {
        let mut size = SMALLEST;
        while size <= case.largest.min(largest) {
            println!("| {} | {} |", case.name, in_own_process(case, size));
            size *= 10;
        }
    }
}

/// Measures one row in a new process, and returns its cells.
fn in_own_process(case: &Case, size: u64) -> String {
    let executable = std::env::current_exe().expect("the path of this executable");
    let output = Command::new(executable).args(["--case", case.name, &size.to_string()]).output();
    let output = output.expect("this executable can be started again");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}, {size}: {errors}", case.name);
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Measures one row in this process, and returns its cells.
fn measure(case: &Case, size: u64) -> String {
    // Starts the executor, whose threads are not part of the case.
    (case.run)(1);
    let peak = || machine::status("VmHWM").unwrap_or(f64::NAN) * 1024.0;
    let before = peak();
    let times = (case.run)(size);
    let (after, items) = (peak(), size as f64);
    let [submit, finish] =
        [times.submit, times.finish].map(|time| time.as_secs_f64() * 1e9 / items);
    let bytes = (after - before) / items;
    let mebibytes = after / f64::from(1 << 20);
    format!("{size} {}s | {submit:.0} | {finish:.0} | {mebibytes:.1} | {bytes:.0}", case.item)
}
