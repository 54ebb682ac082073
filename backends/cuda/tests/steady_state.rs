//! Calls that were made before do not create events, allocate, or wait for another thread. Counted over the
//! simulated driver, whose own memory does not count.

mod support;

use std::process::ExitCode;

use gpu_stream_test_support::shared::steady_state::cases;
use gpu_stream_test_support::{CountingAllocator, main_over_faults};
use support::OnCuda;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn main() -> ExitCode {
    main_over_faults::<OnCuda>(&cases::<OnCuda>(), &[])
}
