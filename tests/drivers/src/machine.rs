//! Facts about the machine for reports: system, processor, kernel drivers, and the environment
//! variables that drivers read; the day. Never the host name or the time.

use std::collections::BTreeMap;
use std::fs;
use std::thread::available_parallelism;
use std::time::{SystemTime, UNIX_EPOCH};

/// Prefixes of environment variables that change what a driver or a backend does.
const PREFIXES: [&str; 10] =
    ["GPU_", "CUDA_", "HIP_", "HSA_", "ROC", "HIPRTC_", "AMD_", "LD_", "OCL_", "POCL_"];

/// Returns the system, the processor, the kernel and the drivers, each with its name.
///
/// Omits what cannot be read.
pub fn facts() -> Vec<(&'static str, String)> {
    let mut facts = vec![("system", system())];
    let mut add = |name, value: Option<String>| facts.extend(value.map(|value| (name, value)));
    add("processor", read("/proc/cpuinfo").and_then(|text| processor(&text)));
    add("cores", available_parallelism().ok().map(|count| count.to_string()));
    add("kernel", read("/proc/sys/kernel/osrelease"));
    add("amdgpu", read("/sys/module/amdgpu/version"));
    let nvidia = || read("/proc/driver/nvidia/version").and_then(|text| version_number(&text));
    add("nvidia", read("/sys/module/nvidia/version").or_else(nvidia));
    let variables = environment();
    if !variables.is_empty() {
        let list: Vec<_> =
            variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
        facts.push(("environment", list.join(" ")));
    }
    facts
}

/// Returns the environment variables that drivers and backends read, with their values.
pub fn environment() -> BTreeMap<String, String> {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    let all = std::env::vars_os().map(|(name, value)| (text(name), text(value)));
    all.filter(|(name, _)| PREFIXES.iter().any(|prefix| name.starts_with(prefix))).collect()
}

fn read(file: &str) -> Option<String> {
    fs::read_to_string(file).ok().map(|text| text.trim().to_owned())
}

/// Returns the name of the distribution, or else of the system, and the architecture.
fn system() -> String {
    let release = read("/etc/os-release").unwrap_or_default();
    let pretty = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let name = pretty.map_or(std::env::consts::OS, |name| name.trim_matches('"'));
    format!("{name}, {}", std::env::consts::ARCH)
}

/// Returns the model name of the first processor.
fn processor(cpuinfo: &str) -> Option<String> {
    let mut fields = cpuinfo.lines().filter_map(|line| line.split_once(':'));
    let (_, name) = fields.find(|(field, _)| field.trim() == "model name")?;
    Some(name.trim().to_owned())
}

/// Returns the first word of the first line that looks like a version.
fn version_number(text: &str) -> Option<String> {
    let mut words = text.lines().next()?.split_whitespace();
    let is_number =
        |word: &&str| word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit());
    words.find(is_number).map(str::to_owned)
}

/// Returns the day in UTC, such as `2026-11-27`. `None` if the clock is before 1970.
pub fn today() -> Option<String> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Some(of_day(since.as_secs() / 86_400))
}

/// Returns the date of a day, counted from 1970-01-01.
fn of_day(mut day: u64) -> String {
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if day < length {
            break;
        }
        day -= length;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", day + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_is_the_first_model_name() {
        let text = "processor\t: 0\nmodel name\t: Some CPU @ 3 GHz\nmodel name\t: Another\n";
        assert_eq!(processor(text).as_deref(), Some("Some CPU @ 3 GHz"));
        assert_eq!(processor("nothing of the sort"), None);
    }

    #[test]
    fn driver_version_is_found_in_its_version_line() {
        let text = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.159.04  Release\nGCC 12.2";
        assert_eq!(version_number(text).as_deref(), Some("580.159.04"));
        assert_eq!(version_number("none here"), None);
    }

    #[test]
    fn facts_have_the_system_and_no_unrelated_variables() {
        let facts = facts();
        assert!(facts[0].1.ends_with(std::env::consts::ARCH), "{facts:?}");
        let names: Vec<_> = environment().into_keys().collect();
        assert!(!names.iter().any(|name| name == "PATH" || name == "HOME"), "{names:?}");
        let unique: std::collections::BTreeSet<_> = facts.iter().map(|(name, _)| name).collect();
        assert_eq!(unique.len(), facts.len(), "no name is used twice");
    }

    #[test]
    fn days_have_their_dates() {
        let days = [
            (0, "1970-01-01"),
            (58, "1970-02-28"),
            (59, "1970-03-01"),
            (11_016, "2000-02-29"),
            (20_784, "2026-11-27"),
            (47_540, "2100-02-28"),
            (47_541, "2100-03-01"),
        ];
        for (day, date) in days {
            assert_eq!(of_day(day), date);
        }
    }
}
