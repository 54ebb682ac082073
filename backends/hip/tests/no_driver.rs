//! Machines without the runtime, with another library of its name, with a runtime that is too old, and
//! without a device.

mod support;

use std::process::ExitCode;

use gpu_stream_test_support::shared::no_driver::{Names, main as main_of};
use support::OnHip;

impl Names for OnHip {
    const DEVICES: &'static str = "HSA_SIM_GPUS";
    const NOT_FOUND: &'static [&'static str] = &[
        if cfg!(windows) { "amdhip64_7.dll" } else { "libamdhip64.so.7" },
        "the HIP runtime's library was not found",
        "name the library in",
    ];
    const FIRST_FUNCTION: &'static str = "hipRuntimeGetVersion";
    const OLDEST: &'static str = "5.2.0";
}

fn main() -> ExitCode {
    main_of::<OnHip>()
}
