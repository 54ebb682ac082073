//! A description of the machine, and figures of this process from `/proc`.

use std::fs;
use std::process::Command;
use std::thread::available_parallelism;

/// Returns the heading of a table.
pub fn describe() -> String {
    let date = output_of("date", &["-u", "+%Y-%m-%d %H:%M UTC"]);
    let rustc = output_of("rustc", &["--version"]);
    let cores = available_parallelism().map_or(0, std::num::NonZero::get);
    let model = line("/proc/cpuinfo", "model name").unwrap_or("unknown CPU".to_owned());
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    format!("{date}, {cores} cores of {model}, {rustc}; load average {load} at the start.")
}

/// Returns a number from `/proc/self/status`. Returns `None` if there is none.
pub fn status(field: &str) -> Option<f64> {
    line("/proc/self/status", field)?.split_whitespace().next()?.parse().ok()
}

fn line(file: &str, field: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = lines.find(|(name, _)| name.trim() == field)?;
    Some(value.trim().to_owned())
}

fn output_of(program: &str, args: &[&str]) -> String {
    let output =
        Command::new(program).args(args).output().ok().filter(|output| output.status.success());
    let text = output.and_then(|output| String::from_utf8(output.stdout).ok());
    text.map_or_else(|| format!("({program} printed nothing)"), |text| text.trim().to_owned())
}
