//! Calls that were made before do not create events, allocate, or wait for another thread, and retained values ask
//! little. Counted over AMD's own runtime, whose memory does not count, and as that presents itself as other versions.

mod support;

use std::process::ExitCode;

use gpu_stream_test_support::CountingAllocator;
use gpu_stream_test_support::shared::{retained, steady_state};
use support::{OnHip, VERSIONS};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn main() -> ExitCode {
    let cases = [steady_state::cases::<OnHip>(), retained::cases::<OnHip>()].concat();
    support::main_behind_layer(&cases, &VERSIONS)
}
