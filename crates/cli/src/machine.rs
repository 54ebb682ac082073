//! What a report says of the machine: its system, the kernel's part of the drivers, and the
//! variables that drivers read.

use std::collections::BTreeMap;
use std::fs;

/// Variables with one of these beginnings change what a driver or a backend does.
const PREFIXES: [&str; 8] = ["GPU_", "CUDA_", "HIP_", "HSA_", "ROC", "HIPRTC_", "AMD_", "LD_"];

/// System, kernel and drivers, each under its name. What cannot be read is left out.
pub fn facts() -> Vec<(&'static str, String)> {
    let mut facts = vec![("system", system())];
    let files = [
        ("kernel", "/proc/sys/kernel/osrelease"),
        ("amdgpu", "/sys/module/amdgpu/version"),
        ("nvidia", "/sys/module/nvidia/version"),
    ];
    for (what, file) in files {
        if let Ok(text) = fs::read_to_string(file) {
            facts.push((what, text.trim().to_owned()));
        }
    }
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

/// The distribution where it says its name, and the architecture.
fn system() -> String {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let pretty = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let name = pretty.map_or(std::env::consts::OS, |name| name.trim_matches('"'));
    format!("{name}, {}", std::env::consts::ARCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_is_named_and_other_variables_are_nobodys_business() {
        let facts = facts();
        assert!(facts[0].1.ends_with(std::env::consts::ARCH), "{facts:?}");
        let names: Vec<_> = environment().into_keys().collect();
        assert!(!names.iter().any(|name| name == "PATH" || name == "HOME"), "{names:?}");
    }
}
