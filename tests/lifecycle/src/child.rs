//! Process of one scenario: how the supervisor starts it, and what it runs.

use std::env;
use std::path::Path;
use std::process::{Command, ExitCode};

use gpu_stream_conformance::Verdict;
use gpu_stream_conformance::fixtures::{
    CudaFixture, HipFixture, HostFixture, OpenClFixture, ask_for_cuda_queues, ask_for_hip_queues,
};
use gpu_stream_conformance::runner::end_process;
use gpu_stream_core::{Backend, BackendKind};
use gpu_stream_cuda::Cuda;
use gpu_stream_hip::Hip;

use crate::scenarios;

const SCENARIO: &str = "GPU_STREAM_LIFECYCLE_SCENARIO";
const BACKEND: &str = "GPU_STREAM_LIFECYCLE_BACKEND";

/// Exit code of a scenario that the machine cannot run.
pub const SKIPPED: i32 = 77;

/// Exit code of a scenario that does not apply to this version of the driver.
pub const NOT_APPLICABLE: i32 = 78;

/// Scenarios in which HIP 6.4 crashes.
const CRASH_HIP_6_4: &[&str] = &["exit::in_a_host_function", "exit::loaded_by_a_thread"];

/// Exit code of a scenario that failed.
pub const FAILED: i32 = 70;

/// Returns a command that starts this program again.
///
/// # Errors
/// The system's error if the path of this program is not known.
pub fn this_program() -> Result<Command, String> {
    hsa_sim::this_program()
        .map_err(|error| format!("the path of this program is not known: {error}"))
}

/// Makes `command`, which starts this program, run a scenario.
pub fn select_scenario(command: &mut Command, scenario: &str, backend: BackendKind) {
    command.env(SCENARIO, scenario).env(BACKEND, backend.name());
}

/// Runs the scenario that this process was started for. Returns `None` if it was started for none.
pub fn run_if_selected() -> Option<ExitCode> {
    let scenario = env::var(SCENARIO).ok()?;
    let backend = env::var(BACKEND).unwrap_or_default();
    // SAFETY: no other thread is running yet.
    unsafe {
        env::remove_var(SCENARIO);
        env::remove_var(BACKEND);
    }
    // The scenario may end the process itself.
    let outcome = match backend.parse() {
        Ok(BackendKind::Host) => scenarios::on(&scenario, || Ok(HostFixture::new())),
        Ok(BackendKind::Cuda) => {
            // SAFETY: no other thread is running yet.
            unsafe { ask_for_cuda_queues() };
            if cuda_sim::no_driver_here() {
                // On failure, the probe below reports why CUDA is skipped.
                // SAFETY: no other thread is running yet.
                let _ = unsafe { cuda_sim::install(1) };
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
            // SAFETY: no other thread is running yet.
            unsafe { ask_for_hip_queues() };
            if !Path::new("/dev/kfd").exists() && env::var_os("GPU_STREAM_HIP_LIBRARY").is_none() {
                // On failure, the probe below reports why HIP is skipped.
                let _ = hsa_sim::preload();
            }
            scenarios::on(&scenario, || {
                let found = Hip::probe().map_err(|error| error.to_string())?;
                if found.version.starts_with("6.4") && CRASH_HIP_6_4.contains(&&*scenario) {
                    // Its exit handler must run on the thread that loaded the library. On another
                    // thread it uses a freed object, with or without gpu-stream.
                    eprintln!("HIP 6.4 itself crashes at process exit");
                    std::process::exit(NOT_APPLICABLE);
                }
                HipFixture::new()
            })
        }
        Ok(BackendKind::OpenCl) => {
            scenarios::on(&scenario, || OpenClFixture::new().map_err(|error| error.to_string()))
        }
        _ => Err(Verdict::failed(format_args!("{backend:?} is not a backend"))),
    };
    Some(match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(verdict) => {
            eprintln!("{}", verdict.reason());
            // Pending work or a thread may never finish, so the process ends at once.
            end_process(if verdict.is_failed() { FAILED } else { SKIPPED })
        }
    })
}
