//! Calls that were made before do not create events, allocate, or wait for another thread, and retained values ask
//! little. Counted over the
//! simulated driver, whose own memory does not count.

mod support;

use std::process::ExitCode;

use gpu_stream_test_support::shared::{retained, steady_state};
use gpu_stream_test_support::{CountingAllocator, main_over_faults};
use support::OnCuda;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn main() -> ExitCode {
    let cases = [steady_state::cases::<OnCuda>(), retained::cases::<OnCuda>()].concat();
    main_over_faults::<OnCuda>(&cases, &[])
}
