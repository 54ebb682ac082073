//! The parts of the kit, on every backend.

use std::sync::Arc;

use gpu_stream_testkit::gpu_stream::prelude::*;
use gpu_stream_testkit::gpu_stream::{ErrorKind, EventOptions, StreamOwner};
use gpu_stream_testkit::{CaptureMode, Kit, TestBackend, TestResult, check, check_eq, check_err};

use crate::program::Run;

/// A trait of the library under test.
pub trait Named: Backend {
    fn own_name() -> &'static str {
        Self::KIND.name()
    }
}

impl<B: Backend> Named for B {}

gpu_stream_testkit::backend_tests! {
    /// A copy on a stream that waits happens after the store that a gate holds back.
    #[ignore = "run by the test all_pass"]
    fn gate_and_numbers<B: TestBackend>(kit: &Kit<B>) -> TestResult {
        let (theirs, ours) = (kit.foreign_stream()?, kit.new_stream()?);
        let (from, to) = (kit.number(0)?, kit.number(1)?);
        let gate = kit.gate(&theirs)?;
        from.store(&theirs, 7)?;
        ours.wait_stream(&theirs)?;
        from.copy_to(&ours, &to)?;
        kit.settle(&[&theirs, &ours]);
        check_eq(to.get()?, 1, "the copy, behind the gate")?;
        check(!ours.query()?, "a stream that waits for a shut gate is done")?;
        gate.open();
        ours.synchronize()?;
        check_eq(to.get()?, 7, "the copy")
    }

    /// A gate that is dropped is open.
    #[ignore = "run by the test all_pass"]
    fn dropped_gate<B: TestBackend>(kit: &Kit<B>) -> TestResult {
        let stream = kit.new_stream()?;
        let number = kit.number(0)?;
        let gate = kit.gate(&stream)?;
        number.store(&stream, 3)?;
        kit.settle(&[&stream]);
        check_eq(number.get()?, 0, "the number, behind the gate")?;
        drop(gate);
        stream.synchronize()?;
        check_eq(number.get()?, 3, "the number")
    }

    /// A foreign stream outlives a wrapper that does not own it.
    #[ignore = "run by the test all_pass"]
    fn foreign_streams<B: TestBackend>(kit: &Kit<B>) -> TestResult {
        let owner = kit.foreign(kit.device(), StreamOptions::new())?;
        // SAFETY: the owner is dropped after the wrapper, through which no event is recorded.
        let wrapper = unsafe { B::stream_from_raw(owner.raw_stream(), None) }?;
        wrapper.synchronize()?;
        drop(wrapper);
        kit.check_alive(&owner)?;
        let both = (kit.foreign_stream()?, kit.foreign_stream()?);
        check(both.0 != both.1, "two foreign streams are one")
    }

    /// A wrapper of a foreign event sees the record that another library makes.
    #[ignore = "run by the test all_pass"]
    fn foreign_events<B: TestBackend>(kit: &Kit<B>) -> TestResult {
        let theirs = kit.foreign_event(EventOptions::new())?;
        let ours = B::event_from_owner(Arc::clone(&theirs), None)?;
        let stream = kit.foreign_stream()?;
        let gate = kit.gate(&stream)?;
        theirs.record(&stream)?;
        check_eq(theirs.query()?, false, "their event, behind the gate")?;
        check_eq(ours.query()?, false, "our wrapper, behind the gate")?;
        gate.open();
        ours.synchronize()?;
        check_eq(theirs.query()?, true, "their event")
    }

    /// Work of another stream becomes part of a capture, and the launch of its graph does it.
    #[ignore = "run by the test all_pass"]
    fn captures<B: TestBackend>(kit: &Kit<B>) -> TestResult {
        let (theirs, ours) = (kit.foreign_stream()?, kit.new_stream()?);
        let (from, to) = (kit.number(5)?, kit.number(0)?);
        let capture = kit.capture(&theirs, CaptureMode::ThreadLocal)?;
        ours.wait_stream(&theirs)?;
        from.copy_to(&ours, &to)?;
        theirs.wait_stream(&ours)?;
        check(capture.is_alive()?, "the capture is broken")?;
        check_eq(to.get()?, 0, "the copy, before the launch")?;
        let nodes = capture.launch()?;
        theirs.synchronize()?;
        check(nodes != Some(0), "the graph has no nodes")?;
        check_eq(to.get()?, 5, "the copy")
    }

    /// A capture that is dropped is over.
    #[ignore = "run by the test all_pass"]
    fn dropped_capture<B: TestBackend>(kit: &Kit<B>) -> TestResult {
        let stream = kit.foreign_stream()?;
        let (from, to) = (kit.number(1)?, kit.number(0)?);
        let capture = kit.capture(&stream, CaptureMode::ThreadLocal)?;
        from.copy_to(&stream, &to)?;
        drop(capture);
        stream.synchronize()?;
        check_eq(to.get()?, 0, "the copy")
    }

    /// Work that fails is a fault of its stream.
    #[ignore = "run by the test all_pass"]
    fn faults<B: TestBackend>(kit: &Kit<B>) -> TestResult {
        let stream = kit.new_stream()?;
        kit.fault(&stream)?;
        check_err(stream.synchronize(), ErrorKind::StreamFault, "synchronize")?;
        Ok(())
    }

    /// Streams of two devices can wait for each other.
    #[ignore = "run by the test all_pass"]
    fn two_devices<B: TestBackend>(kit: &Kit<B>) -> TestResult {
        let other = B::new_stream(kit.second_device()?, StreamOptions::new())?;
        let stream = kit.new_stream()?;
        check(stream.device() != other.device(), "the second device is the first")?;
        let number = kit.number(0)?;
        let gate = kit.gate(&stream)?;
        number.store(&stream, 9)?;
        other.wait_stream(&stream)?;
        gate.open();
        other.synchronize()?;
        check_eq(number.get()?, 9, "the number")
    }

    /// The kit's own calls are no work that has to be joined.
    #[ignore = "run by the test all_pass"]
    fn tools_after_a_join<B: TestBackend>(kit: &Kit<B>) -> TestResult {
        let (theirs, ours) = (kit.foreign_stream()?, kit.new_stream()?);
        let number = kit.number(0)?;
        ours.wait_stream(&theirs)?;
        number.store(&ours, 4)?;
        theirs.wait_stream(&ours)?;
        let gate = kit.gate(&ours)?;
        kit.settle(&[&theirs, &ours]);
        kit.foreign_event(EventOptions::new())?.record(&ours)?;
        gate.open();
        theirs.synchronize()?;
        check_eq(number.get()?, 4, "the number")
    }

    /// The names of the variants, and the devices. `B` has further bounds.
    #[ignore = "run by the test all_pass"]
    fn names<B: TestBackend + crate::backends::Named + Send>(kit: &Kit<B>) -> TestResult {
        let driver = kit.name().strip_prefix("checked_");
        check(driver.unwrap_or(kit.name()).starts_with(B::own_name()), kit.name())?;
        check_eq(kit.is_checked(), driver.is_some(), "a check")?;
        let of_simulator = kit.info().devices[0].name.contains("simulated");
        check_eq(kit.is_simulated(), of_simulator, "a simulator")?;
        check_eq(kit.device(), kit.devices()[0].device, "the first device")
    }
}

/// Returns what must not be skipped: host and the simulators with two devices, and what the user requires.
fn required() -> String {
    let of_user = std::env::var("GPU_STREAM_REQUIRE").unwrap_or_default();
    // There is no AMD GPU where CI requires HIP, but AMD's library.
    let has_gpu = std::path::Path::new("/dev/kfd").exists();
    let items = of_user.split(',').filter(|item| !item.is_empty());
    let items = items.map(|item| match item {
        "hip" if !has_gpu => "hip_sim:2,checked_hip_sim:2",
        "opencl" => "opencl,checked_opencl",
        other => other,
    });
    let items: Vec<_> = items.collect();
    let simulators = if cfg!(target_os = "linux") { "cuda_sim:2,checked_cuda_sim:2," } else { "" };
    format!("host:2,checked_host:2,{simulators}{}", items.join(","))
}

#[test]
fn all_pass() {
    let run = Run::on_this_machine("backends::").env("GPU_STREAM_REQUIRE", &required());
    // The tests of this module: ten, each in ten variants, and this one.
    let run = run.arg("--skip").arg("all_pass");
    run.output()
        .passed(10 * 10)
        .says("skipped: backends::captures::host: the backend has no graphs");
}
