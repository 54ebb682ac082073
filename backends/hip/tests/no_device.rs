//! AMD's own runtime on a machine without a GPU and without a simulated one. Every call reports that
//! there is no device. Skipped if there is no such runtime, or if there is a device.

use std::process::ExitCode;

use gpu_stream_core::{
    Backend, BackendKind, Device, Error, ErrorKind, EventOptions, RawStream, StreamOptions,
};
use gpu_stream_hip::{Hip, HipError};
use gpu_stream_test_support::is_required;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

fn main() -> ExitCode {
    let trials = vec![Trial::ignorable_test("every_call_reports_no_device", every_call)];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn every_call() -> Result<Completion, Failed> {
    let reason = match Hip::probe() {
        Ok(info) => {
            let reason = format!("this machine has a device: {}", info.devices[0].name);
            return Ok(Completion::ignored_with(reason));
        }
        Err(error) if error.kind() == ErrorKind::LibraryNotFound => error.to_string(),
        Err(_) => return no_device().map(|()| Completion::Completed),
    };
    if is_required(Hip::KIND) {
        let text = format!("skipped, but GPU_STREAM_REQUIRE names hip: {reason}");
        return Err(text.into());
    }
    Ok(Completion::ignored_with(reason))
}

fn no_device() -> Result<(), Failed> {
    let device = Device::new(BackendKind::Hip, 0);
    // SAFETY: without a device, no handle is used.
    let wrapped = unsafe {
        [
            Hip::stream_from_raw(RawStream::from_bits(0x7f00_1000), None).err(),
            Hip::stream_from_raw(RawStream::DEFAULT, Some(device)).err(),
            Hip::stream_from_raw_unchecked(RawStream::LEGACY, device).err(),
        ]
    };
    let others = [
        Hip::probe().err(),
        Hip::devices().err(),
        Hip::default_stream(device).err(),
        Hip::per_thread_stream(device).err(),
        Hip::new_stream(device, StreamOptions::new()).err(),
        Hip::new_event(device, EventOptions::new()).err(),
        Hip::priority_range(device).err(),
    ];
    let errors: Vec<HipError> = wrapped.into_iter().chain(others).flatten().collect();
    if errors.len() != 10 {
        return Err(format!("some calls worked: {errors:?}").into());
    }
    for error in errors {
        let text = error.to_string();
        let parts = ["libamdhip64", "version", "HIP_VISIBLE_DEVICES", "/dev/kfd"];
        let all_there = parts.iter().all(|part| text.contains(part));
        if error.kind() != ErrorKind::NoDevice || !all_there {
            return Err(format!("kind {}: {text}", error.kind()).into());
        }
    }
    Ok(())
}
