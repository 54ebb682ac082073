//! What reports say of the machine: its system, its processor, the kernel's part of the drivers, and
//! the variables that drivers read. Neither its name nor the time.

use std::collections::BTreeMap;
use std::fs;
use std::thread::available_parallelism;

use crate::report::Machine;

/// Variables with one of these beginnings change what a driver or a backend does.
const PREFIXES: [&str; 8] = ["GPU_", "CUDA_", "HIP_", "HSA_", "ROC", "HIPRTC_", "AMD_", "LD_"];

/// This machine, before anything is measured.
pub fn this() -> Machine {
    let load = read("/proc/loadavg");
    Machine {
        facts: facts().into_iter().map(|(what, said)| (what.into(), said)).collect(),
        load_before: load.and_then(|text| text.split(' ').next()?.parse().ok()),
    }
}

/// System, processor, kernel and drivers, each under its name. What cannot be read is left out.
pub fn facts() -> Vec<(&'static str, String)> {
    let mut facts = vec![("system", system())];
    let mut add = |what, said: Option<String>| facts.extend(said.map(|said| (what, said)));
    add("processor", read("/proc/cpuinfo").and_then(|text| processor(&text)));
    add("cores", available_parallelism().ok().map(|count| count.to_string()));
    add("kernel", read("/proc/sys/kernel/osrelease"));
    add("amdgpu", read("/sys/module/amdgpu/version"));
    let nvidia = || read("/proc/driver/nvidia/version").and_then(|text| number(&text));
    add("nvidia", read("/sys/module/nvidia/version").or_else(nvidia));
    let variables = environment();
    if !variables.is_empty() {
        let list: Vec<_> =
            variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
        facts.push(("environment", list.join(" ")));
    }
    facts
}

/// The variables that drivers and backends read, with their values.
pub fn environment() -> BTreeMap<String, String> {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    let all = std::env::vars_os().map(|(name, value)| (text(name), text(value)));
    all.filter(|(name, _)| PREFIXES.iter().any(|prefix| name.starts_with(prefix))).collect()
}

fn read(file: &str) -> Option<String> {
    fs::read_to_string(file).ok().map(|text| text.trim().to_owned())
}

/// The distribution where it says its name, and the architecture.
fn system() -> String {
    let release = read("/etc/os-release").unwrap_or_default();
    let pretty = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let name = pretty.map_or(std::env::consts::OS, |name| name.trim_matches('"'));
    format!("{name}, {}", std::env::consts::ARCH)
}

/// What the first processor calls itself.
fn processor(cpuinfo: &str) -> Option<String> {
    let mut fields = cpuinfo.lines().filter_map(|line| line.split_once(':'));
    let (_, name) = fields.find(|(field, _)| field.trim() == "model name")?;
    Some(name.trim().to_owned())
}

/// The version in the first line of what NVIDIA's driver says of itself.
fn number(text: &str) -> Option<String> {
    let mut words = text.lines().next()?.split_whitespace();
    let is_number =
        |word: &&str| word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit());
    words.find(is_number).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_the_first_one_named() {
        let text = "processor\t: 0\nmodel name\t: Some CPU @ 3 GHz\nmodel name\t: Another\n";
        assert_eq!(processor(text).as_deref(), Some("Some CPU @ 3 GHz"));
        assert_eq!(processor("nothing of the sort"), None);
    }

    #[test]
    fn the_number_of_the_driver_is_found_among_its_words() {
        let text = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.159.04  Release\nGCC 12.2";
        assert_eq!(number(text).as_deref(), Some("580.159.04"));
        assert_eq!(number("none here"), None);
    }

    #[test]
    fn the_system_is_named_and_other_variables_are_nobodys_business() {
        let facts = facts();
        assert!(facts[0].1.ends_with(std::env::consts::ARCH), "{facts:?}");
        let names: Vec<_> = environment().into_keys().collect();
        assert!(!names.iter().any(|name| name == "PATH" || name == "HOME"), "{names:?}");
        assert_eq!(this().facts.len(), facts.len(), "no name is used twice");
    }
}
