//! libFuzzer entry point: runs the target that `GPU_STREAM_FUZZ_TARGET` names.

#![no_main]

use std::sync::LazyLock;

use gpu_stream_fuzz::{Target, find};

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("GPU_STREAM_FUZZ_TARGET").unwrap_or_default();
    find(&name).unwrap_or_else(|| panic!("GPU_STREAM_FUZZ_TARGET={name:?} is not a target; set it to one of those in the README"))
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| TARGET(bytes));
