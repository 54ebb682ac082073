//! The machine of a report: [`this`], and the facts of [`gpu_stream_test_drivers::machine`].

use std::fs;

pub use gpu_stream_test_drivers::machine::{environment, facts, today};

use crate::report::Machine;

/// Describes this machine. Call it before measuring, because it reads the current load.
pub fn this() -> Machine {
    let load = fs::read_to_string("/proc/loadavg").ok();
    Machine {
        facts: facts().into_iter().map(|(name, value)| (name.into(), value)).collect(),
        load_before: load.and_then(|text| text.split(' ').next()?.parse().ok()),
    }
}
