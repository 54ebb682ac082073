//! Data proves order: see `shared::data_order` of the tests' support. `GPU_STREAM_ROUNDS` sets the number of
//! rounds (2000; 200 over the simulated driver).

mod support;

use std::process::ExitCode;

use gpu_stream_test_support::shared::data_order::cases;
use support::OnCuda;

fn main() -> ExitCode {
    support::main(&cases::<OnCuda>())
}
