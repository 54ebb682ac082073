//! One process: which scenario it is to play, and on what.

use std::env;
use std::path::Path;
use std::process::{Command, ExitCode};

use gpu_stream_conformance::Verdict;
use gpu_stream_conformance::fixtures::{
    CudaFixture, HipFixture, HostFixture, ask_for_cuda_queues, ask_for_hip_queues,
};
use gpu_stream_conformance::runner::end_process;
use gpu_stream_core::{Backend, BackendKind};
use gpu_stream_cuda::Cuda;
use gpu_stream_hip::Hip;

use crate::scenarios;

const SCENARIO: &str = "GPU_STREAM_ENDS_SCENARIO";
const BACKEND: &str = "GPU_STREAM_ENDS_BACKEND";

/// The exit code of a scenario that could not be played.
pub const SKIPPED: i32 = 77;

/// The exit code of one that has nothing to show on this version of the driver.
pub const NOT_HERE: i32 = 78;

/// What HIP 6.4 does not survive.
const CRASH_HIP_6_4: &[&str] = &["exit::in_a_host_function", "exit::loaded_by_a_thread"];

/// The exit code of one in which something was not as it has to be.
pub const WRONG: i32 = 70;

/// A command that starts this program again.
///
/// # Errors
/// What the system says.
pub fn this_program() -> Result<Command, String> {
    hsa_sim::this_program().map_err(|error| format!("this program is not known: {error}"))
}

/// Has `command`, which starts this program, play a scenario.
pub fn as_child_of(command: &mut Command, scenario: &str, backend: BackendKind) {
    command.env(SCENARIO, scenario).env(BACKEND, backend.name());
}

/// In a process that is to play a scenario: plays it. `None` in any other.
pub fn as_child() -> Option<ExitCode> {
    let scenario = env::var(SCENARIO).ok()?;
    let backend = env::var(BACKEND).unwrap_or_default();
    // SAFETY: no other thread is running yet, here and below.
    unsafe {
        env::remove_var(SCENARIO);
        env::remove_var(BACKEND);
    }
    // What is played may end the process itself.
    let played = match backend.parse() {
        Ok(BackendKind::Host) => scenarios::on(&scenario, || Ok(HostFixture::new())),
        Ok(BackendKind::Cuda) => {
            // SAFETY: as above.
            unsafe { ask_for_cuda_queues() };
            if driver_sim::no_driver_here() {
                // SAFETY: as above. What CUDA then says is why it was not played.
                let _ = unsafe { driver_sim::install(1) };
            }
            scenarios::on(&scenario, || {
                Cuda::probe().map_err(|error| error.to_string())?;
                match scenario.starts_with("fault::") {
                    true => CudaFixture::with_faults(),
                    false => CudaFixture::new(),
                }
            })
        }
        Ok(BackendKind::Hip) => {
            // SAFETY: as above.
            unsafe { ask_for_hip_queues() };
            if !Path::new("/dev/kfd").exists() && env::var_os("GPU_STREAM_HIP_LIBRARY").is_none() {
                // What HIP then says is why it was not played.
                let _ = hsa_sim::preload();
            }
            scenarios::on(&scenario, || {
                let found = Hip::probe().map_err(|error| error.to_string())?;
                if found.version.starts_with("6.4") && CRASH_HIP_6_4.contains(&&*scenario) {
                    // What it has registered for the process's end has to run on the thread that
                    // loaded it, and finds a freed object otherwise, with or without gpu-stream.
                    eprintln!("HIP 6.4 crashes at the end of the process by itself");
                    std::process::exit(NOT_HERE);
                }
                HipFixture::new()
            })
        }
        _ => Err(Verdict::failed(format_args!("{backend:?} is no backend"))),
    };
    Some(match played {
        Ok(()) => ExitCode::SUCCESS,
        Err(verdict) => {
            eprintln!("{}", verdict.reason());
            // What was submitted may wait for what is not going to happen, and a thread may be left.
            end_process(if verdict.is_failed() { WRONG } else { SKIPPED })
        }
    })
}
