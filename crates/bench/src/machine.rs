//! What the machine says of itself.

use std::fs;
use std::thread::available_parallelism;

use crate::report::Machine;

/// This machine, as far as it tells. No name of it.
pub fn this() -> Machine {
    let load = fs::read_to_string("/proc/loadavg").ok();
    let load_before = load.and_then(|text| text.split(' ').next()?.parse().ok());
    Machine {
        os: std::env::consts::OS.into(),
        arch: std::env::consts::ARCH.into(),
        processor: processor(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default()),
        cores: available_parallelism().map_or(1, std::num::NonZero::get),
        load_before,
    }
}

fn processor(cpuinfo: &str) -> Option<String> {
    let mut fields = cpuinfo.lines().filter_map(|line| line.split_once(':'));
    let (_, name) = fields.find(|(field, _)| field.trim() == "model name")?;
    Some(name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_the_first_one_named() {
        let text = "processor\t: 0\nmodel name\t: Some CPU @ 3 GHz\nmodel name\t: Another\n";
        assert_eq!(processor(text).as_deref(), Some("Some CPU @ 3 GHz"));
        assert_eq!(processor("nothing of the sort"), None);
        assert!(this().cores >= 1);
    }
}
