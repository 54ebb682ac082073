//! Shared by the tests: HIP for the tests that it shares with CUDA, and the runtime without the backend
//! under test.
//!
//! The device is an AMD GPU if the machine has one, else the simulated one of `crates/hsa-sim`, under
//! which AMD's own runtime runs.

#![allow(dead_code, unused_imports, reason = "no test program uses all of it")]

pub mod bare;
pub mod layer;
pub mod operations;
pub mod vendor;

use std::process::ExitCode;

use gpu_stream_core::{Backend, Device, EventOptions};
use gpu_stream_hip::{Hip, HipEvent, HipStream};
pub use gpu_stream_test_support::{Case, expect_kind, skip};
use gpu_stream_test_support::{Variables, Vendor as _};
pub use vendor::OnHip;

pub mod capture {
    //! Captures by the runtime's own functions. They end with the test, even if it fails.

    use gpu_stream_test_support::Vendor as _;

    pub type Capture = gpu_stream_test_support::Capture<super::OnHip>;

    /// Returns the runtime's capture status of a stream.
    pub fn status_of(stream: super::bare::Ptr) -> Result<i32, i32> {
        super::OnHip::capture_status(stream)
    }
}

/// Runs the cases on the devices of this machine, or on simulated ones.
pub fn main(cases: &[Case]) -> ExitCode {
    gpu_stream_test_support::main::<OnHip>(cases)
}

/// Runs each case as [`main`] does, but in a process of its own with freed memory filled.
pub fn main_in_children(cases: &[Case]) -> ExitCode {
    gpu_stream_test_support::main_in_children::<OnHip>(cases)
}

/// The versions as which the runtime presents itself, beside its own: HIP 6.4, 7.2, HIP's NVIDIA platform,
/// and an untested version. They differ in the last error (replaced by every call, or kept) and in the calls
/// that the backend takes for unsafe beside captures (none, some, all).
pub const VERSIONS: [Variables; 5] = [
    ("", &[]),
    ("as 6.4", &[("HIP_FAULTS_VERSION", "60443484")]),
    ("as 7.2", &[("HIP_FAULTS_VERSION", "70253211")]),
    ("as the NVIDIA platform", &[("HIP_FAULTS_VERSION", "12090")]),
    ("as a new version", &[("HIP_FAULTS_VERSION", "90000000")]),
];

/// Runs each case in a process of its own, behind a layer that fails on demand, once with each of the
/// [`playable`] versions.
pub fn main_behind_layer(cases: &[Case], versions: &[Variables]) -> ExitCode {
    prepare();
    // A child process must not load the real library before the layer.
    let is_child = std::env::var_os(OnHip::CHILDREN.variable).is_some();
    let versions = if is_child { Vec::new() } else { playable(versions) };
    gpu_stream_test_support::main_over_faults::<OnHip>(cases, &versions)
}

/// Returns the versions as which the real library can present itself: not those that are older than it, whose
/// quirks it does not have.
pub fn playable(versions: &[Variables]) -> Vec<Variables> {
    let real = layer::real_version().unwrap_or(0);
    let is_playable = |(_, variables): &Variables| {
        let numbers = variables.iter().map(|(_, number)| number.parse().unwrap_or(0));
        numbers.into_iter().all(|number: i32| number >= real || number < 1_000_000)
    };
    versions.iter().copied().filter(is_playable).collect()
}

/// Skips the case if there is only one device.
pub fn need_two_devices() {
    if devices() < 2 {
        skip("there is one device");
    }
}

/// Loads the simulated devices if there is no AMD GPU. Must be called while the process has one thread.
pub fn prepare() {
    OnHip::prepare();
}

/// Runs the case of a child process. Returns `false` if this is not one.
pub fn run_as_child(cases: &[Case]) -> bool {
    gpu_stream_test_support::run_as_child::<OnHip>(cases)
}

/// Runs this program again as `child`. Panics if the child fails.
#[track_caller]
pub fn run_child(child: &str) {
    gpu_stream_test_support::run_child::<OnHip>(child);
}

/// Returns the number of devices.
pub fn devices() -> i32 {
    Hip::devices().expect("devices").len() as i32
}

/// Returns the first device.
pub fn device() -> Device {
    gpu_stream_test_support::device::<OnHip>()
}

/// Creates a stream on the first device.
#[track_caller]
pub fn own_stream() -> HipStream {
    gpu_stream_test_support::own_stream::<OnHip>()
}

/// Creates an event on the first device.
#[track_caller]
pub fn own_event(options: EventOptions) -> HipEvent {
    gpu_stream_test_support::own_event::<OnHip>(options)
}

/// Wraps a stream that the tests do not destroy before the wrapper.
pub fn wrap(stream: bare::Ptr) -> HipStream {
    gpu_stream_test_support::wrap::<OnHip>(stream)
}
