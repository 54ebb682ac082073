//! Shared by the tests on a device: a `main` that skips with a reason if there is no device, and the
//! runtime without the backend under test.
//!
//! The device is an AMD GPU if the machine has one, else the simulated one of `tests/hsa-sim`, under
//! which AMD's own runtime runs.

#![allow(dead_code, unused_imports, reason = "no test program uses all of it")]

pub mod bare;
pub mod capture;
pub mod fake;
pub mod operations;

use std::path::Path;
use std::process::ExitCode;

use gpu_stream_core::{Backend, Device, EventOptions, RawStream, StreamOptions};
use gpu_stream_hip::{Hip, HipEvent, HipStream};
pub use gpu_stream_test_support::{Case, expect_kind, skip};
use gpu_stream_test_support::{expect_success, run, run_to_exit};

use fake::CHILDREN;

/// Runs the cases on the devices of this machine, or on simulated ones.
pub fn main(cases: &[Case]) -> ExitCode {
    prepare();
    run::<Hip, _>(cases.iter().copied())
}

/// Runs each case as [`main`] does, but in a process of its own with freed memory filled.
pub fn main_in_children(cases: &'static [Case]) -> ExitCode {
    if run_as_child(cases) {
        return ExitCode::SUCCESS;
    }
    prepare();
    run::<Hip, _>(cases.iter().map(|&(name, _)| (name, move || run_child(name))))
}

/// Skips the case if there is only one device.
pub fn need_two_devices() {
    if devices() < 2 {
        skip("there is one device");
    }
}

/// Loads the simulated devices if there is no AMD GPU. Must be called while the process has one thread.
pub fn prepare() {
    let set = |name: &str, value: &str| {
        if std::env::var_os(name).is_none() {
            // SAFETY: no other thread is running yet.
            unsafe { std::env::set_var(name, value) };
        }
    };
    // Streams that share a hardware queue also block each other.
    set("GPU_MAX_HW_QUEUES", "32");
    set("HSA_SIM_GPUS", "2");
    // The device node of AMD's kernel driver.
    if !Path::new("/dev/kfd").exists()
        && let Err(reason) = hsa_sim::preload()
    {
        eprintln!("note: no AMD GPU, and no simulation of one: {reason}");
    }
}

/// Runs the case of a child process. Returns `false` if this is not one.
pub fn run_as_child(cases: &[Case]) -> bool {
    let Some(case) = CHILDREN.case(cases) else { return false };
    prepare();
    // Starts the runtime on the main thread. Otherwise HIP 6.4 crashes at process exit.
    Hip::probe().expect("a device");
    run_to_exit(case);
    true
}

/// Runs this program again as `child`, with freed memory filled, so that a use after free does not find a
/// valid pointer. Panics if the child fails.
#[track_caller]
pub fn run_child(child: &str) {
    let mut command = CHILDREN.command(child);
    command.env("GLIBC_TUNABLES", "glibc.malloc.perturb=165");
    expect_success(child, &command.output().expect("this program runs a second time"));
}

/// Returns `true` if this runtime has interprocess events: only HIP's NVIDIA platform does.
pub fn has_interprocess() -> bool {
    bare::version() < 1_000_000
}

/// Returns the number of devices.
pub fn devices() -> i32 {
    Hip::devices().expect("devices").len() as i32
}

/// Returns the first device.
pub fn device() -> Device {
    Hip::device(0).expect("device 0")
}

/// Creates a stream on the first device.
#[track_caller]
pub fn own_stream() -> HipStream {
    Hip::new_stream(device(), StreamOptions::new()).expect("a stream")
}

/// Creates an event on the first device.
#[track_caller]
pub fn own_event(options: EventOptions) -> HipEvent {
    Hip::new_event(device(), options).expect("an event")
}

/// Wraps a stream that the tests do not destroy before the wrapper.
pub fn wrap(stream: bare::Ptr) -> HipStream {
    // SAFETY: the tests' streams are alive until the process ends.
    unsafe { Hip::stream_from_raw(RawStream::from_ptr(stream), None) }.expect("wrapping a stream")
}
