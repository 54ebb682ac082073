//! Machines without a driver, with another library of its name, with a driver that is too old, and without a
//! device.

mod support;

use std::process::ExitCode;

use gpu_stream_test_support::shared::no_driver::{Names, main as main_of};
use support::OnCuda;

impl Names for OnCuda {
    const DEVICES: &'static str = "CUDA_SIM_GPUS";
    const NOT_FOUND: &'static [&'static str] =
        if cfg!(windows) { &["nvcuda.dll"] } else { &["libcuda.so.1"] };
    const FIRST_FUNCTION: &'static str = "cuDriverGetVersion";
    const OLDEST: &'static str = "11.0";
}

fn main() -> ExitCode {
    main_of::<OnCuda>()
}
