//! HIP and OpenCL in one process, in both orders: whatever compilers they bring along, the process lives.
//!
//! HIP runs over the simulated HSA runtime where there is no AMD GPU. Each order has a process of its own.

use std::path::Path;
use std::process::ExitCode;

use gpu_stream::{Availability, BackendKind, ErrorKind};

/// Set to the order in a process that starts the two.
const ORDER: &str = "GPU_STREAM_TEST_ORDER";

fn main() -> ExitCode {
    if let Ok(order) = std::env::var(ORDER) {
        start(order == "hip");
        return ExitCode::SUCCESS;
    }
    let all_ran = ["hip", "opencl"].map(|first| {
        let mut command = hsa_sim::this_program().expect("this program");
        let output = command.env(ORDER, first).output().expect("it starts");
        let text =
            [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        let text = text.concat();
        assert!(output.status.success(), "{first} first: {}: {text}", output.status);
        print!("{first} first: {text}");
        !text.contains("skipped")
    });
    let required = std::env::var("GPU_STREAM_REQUIRE").unwrap_or_default();
    let is_required = required.contains("hip") && required.contains("opencl");
    assert!(!is_required || all_ran == [true; 2], "GPU_STREAM_REQUIRE={required}: skipped");
    ExitCode::SUCCESS
}

fn start(is_hip_first: bool) {
    // AMD's kernel driver, without which there is no AMD GPU.
    if !Path::new("/dev/kfd").exists()
        && let Err(reason) = hsa_sim::preload()
    {
        return println!("skipped: there is no AMD GPU, and no simulation of one: {reason}");
    }
    let mut kinds = [BackendKind::OpenCl, BackendKind::Hip];
    if is_hip_first {
        kinds.reverse();
    }
    let [first, second] = kinds.map(Availability::of_kind);
    if !first.is_ready() {
        return println!("skipped: {first}");
    }
    match second.why_not() {
        None => println!("both are ready"),
        // The driver was not started.
        Some(ErrorKind::NotPermitted) => {
            let text = second.to_string();
            for part in ["libamd_comgr", "libclang-cpp", "libLLVM", "separate processes", "of_kind"]
            {
                assert!(text.contains(part), "{part} is missing in {text}");
            }
            println!("{text}");
            let again = Availability::of_kind(second.backend);
            assert_eq!(again.to_string(), text);
        }
        Some(_) => println!("skipped: {second}"),
    }
    assert!(Availability::of_kind(first.backend).is_ready());
}
