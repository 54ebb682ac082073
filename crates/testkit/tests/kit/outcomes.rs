//! What the user sees of tests that fail, hang, crash, or cannot run.

use crate::program::{Output, Run};

/// Runs one of the samples on one backend.
fn sample(name: &str) -> Run {
    Run::of(&format!("samples::{name}")).arg("--exact")
}

#[test]
fn failure_has_its_reason_its_line_and_the_output() {
    let output = sample("forgets_to_wait::host").output().failed();
    let output = output.says("the copy, behind the gate is 0 and should be 1 (samples.rs:");
    let output = output.says("samples::forgets_to_wait::host failed: ").says("printed by the test");
    assert_eq!(output.stdout.matches("::host failed: ").count(), 1, "{output:#?}");
    output.says("alone, as for a debugger: GPU_STREAM_TESTKIT_CHILD=:samples::").omits("run.rs");
    sample("returns_an_error::host").output().failed().says("an unexpected error: ").says("1000");
}

#[test]
fn panic_opens_the_gate_and_fails() {
    let output = sample("panics_behind_a_gate::host").output().failed();
    output.says("panicked: oh no").says("samples.rs:").omits("still running");
}

#[test]
fn hang_ends_in_time_and_says_so() {
    let run = sample("waits_for_its_own_gate::host").env("GPU_STREAM_TESTKIT_LIMIT", "2");
    let output = run.output().failed().says("still running after 2s, and was killed");
    let output = output.says("is a gate still shut?");
    output.says("GPU_STREAM_TESTKIT_LIMIT=SECONDS").says("before the hang");
}

#[cfg(unix)]
#[test]
fn process_that_does_not_end_after_its_test_fails() {
    let run = sample("hangs_afterwards::host").env("GPU_STREAM_TESTKIT_LIMIT", "2");
    run.output()
        .failed()
        .says("the test was over (passed), and then its process was still running");
}

/// Ends only if the process of the test does.
#[cfg(target_os = "linux")]
#[test]
fn process_ends_with_the_one_that_started_it() {
    use std::{env, fs, path::Path, process, thread};

    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("process-{}", process::id()));
    let run = sample("waits_for_its_parent::host");
    let mut parent = run.env("TESTKIT_SAMPLE_FILE", &file.display().to_string()).start();
    while !file.exists() {
        assert!(parent.try_wait().unwrap().is_none(), "the test did not begin");
        thread::yield_now();
    }
    let process = format!("/proc/{}/exe", fs::read_to_string(&file).unwrap());
    let is_running = || fs::read_link(&process).is_ok_and(|exe| exe == env::current_exe().unwrap());
    assert!(is_running());
    parent.kill().unwrap();
    parent.wait().unwrap();
    while is_running() {
        thread::yield_now();
    }
    fs::remove_file(&file).unwrap();
}

#[test]
fn crash_fails_and_shows_the_output() {
    let output = sample("aborts::host").output().failed();
    let output = output.says("before the test was over").says("last words on host");
    #[cfg(unix)]
    let output = output.says("SIGABRT");
    drop(output);
    sample("exits::host").output().failed().says("before the test was over");
}

#[test]
fn one_crash_leaves_the_other_tests_alone() {
    let output = Run::of("samples::passes::host").arg("samples::aborts::host").output();
    let output = output.says("test samples::passes::host ... ok");
    output.says("test samples::aborts::host ... FAILED");
}

#[test]
fn skip_is_printed_past_the_capture() {
    let output = sample("skips::host").output().passed(1);
    output.says("skipped: samples::skips::host: the moon is not full");
    let output = sample("passes::cuda").output().passed(1);
    output.says("skipped: samples::passes::cuda: the CUDA driver's library was not found");
    let output = sample("skips::host").arg("--nocapture").output().passed(1);
    assert_eq!(output.stderr.matches("the moon is not full").count(), 1, "{output:#?}");
}

#[test]
fn required_skip_fails_with_the_reason() {
    let require = |name: &str, value: &str| sample(name).env("GPU_STREAM_REQUIRE", value).output();
    let output = require("passes::cuda", "cuda").failed();
    let output = output.says("GPU_STREAM_REQUIRE says that cuda must not skip");
    output.says("GPU_STREAM_CUDA_LIBRARY");
    require("skips::host", "host").failed().says("the moon is not full");
    require("passes::cuda", "host,hip_sim").passed(1);
    require("does_not_apply::host", "host:2").passed(1).says("nothing to test on host");
}

#[test]
fn wrong_variables_are_errors() {
    let run = sample("passes::host").env("GPU_STREAM_REQUIRE", "cudda");
    run.output().failed().says("\"cudda\" names no backend").says("cuda_sim, hip_sim");
    let run = sample("passes::host").env("GPU_STREAM_TESTKIT_LIMIT", "1m");
    run.output().failed().says("GPU_STREAM_TESTKIT_LIMIT=1m: give the time limit");
    let run = sample("passes::host").env("GPU_STREAM_TESTKIT_REPORT", "/dev/null/folder");
    run.output().failed().says("GPU_STREAM_TESTKIT_REPORT: ").says("name a folder");
    let run = sample("passes::host").env("GPU_STREAM_TESTKIT_REPORT", "report");
    run.output().failed().says("=report: ").says("as in GPU_STREAM_TESTKIT_REPORT=$PWD/report");
}

#[test]
fn output_of_a_test_that_passes_is_captured() {
    let shown = "printed by the test on host";
    let plain: Output = sample("passes::host").output().passed(1).omits(shown);
    let nocapture = sample("passes::host").arg("--nocapture").output().passed(1).says(shown);
    for output in [plain, nocapture] {
        assert_eq!(output.stdout.matches("running 1 test").count(), 1, "{output:#?}");
    }
}

#[cfg(unix)]
#[test]
fn output_of_c_code_is_kept() {
    sample("prints_in_c::host").arg("--nocapture").output().passed(1).says("printed in C");
}

#[cfg(target_os = "linux")]
#[test]
fn simulator_in_place_of_the_driver_is_no_gpu() {
    let library = cuda_sim::library().unwrap().display().to_string();
    let over = |name: &str| sample(name).env("GPU_STREAM_CUDA_LIBRARY", &library);
    let output = over("passes::cuda").output().passed(1);
    output.says("skipped: samples::passes::cuda: the loaded driver is the simulator");
    over("passes::cuda_sim").output().passed(1).omits("skipped");
}

#[cfg(target_os = "linux")]
#[test]
fn missing_simulator_is_a_failure() {
    let run = sample("passes::cuda_sim").env("CUDA_SIM_LIBRARY", "/no/such/libcuda_sim.so");
    run.output().failed().says("CUDA_SIM_LIBRARY=/no/such/libcuda_sim.so");
    let run = sample("passes::hip_sim").env("HSA_SIM_LIBRARY", "/no/such/libhsa_sim.so");
    run.output().failed().says("HSA_SIM_LIBRARY=/no/such/libhsa_sim.so");
    let run = sample("passes::hip_sim").env("GPU_STREAM_HIP_LIBRARY", "/no/such/libamdhip64.so");
    run.output().failed().says("/no/such/libamdhip64.so").omits("skipped: ");
}

#[cfg(target_os = "linux")]
#[test]
fn simulated_devices_are_visible_whatever_the_user_hides() {
    for target in ["cuda_sim", "hip_sim"] {
        let mut run = Run::of(&format!("backends::two_devices::{target}"));
        for variable in ["CUDA", "HIP", "ROCR"] {
            run = run.env(&format!("{variable}_VISIBLE_DEVICES"), "-1");
        }
        run.env("GPU_DEVICE_ORDINAL", "0")
            .output()
            .passed(1)
            .omits("reports no device")
            .omits("needs 2");
    }
    let run = sample("forgets_to_wait::cuda_sim").env("CUDA_VISIBLE_DEVICES", "-1");
    run.output().failed().says("as for a debugger: env -u CUDA_VISIBLE_DEVICES ");
}

#[cfg(target_os = "linux")]
#[test]
fn number_of_simulated_devices_can_be_set() {
    let run = Run::of("backends::two_devices::cuda_sim").env("CUDA_SIM_GPUS", "1");
    run.output().passed(1).says("needs 2 devices");
    let run = Run::of("backends::two_devices::cuda_sim").env("CUDA_SIM_GPUS", "1");
    run.env("GPU_STREAM_REQUIRE", "cuda_sim:2").output().failed().says("there is 1 device;");
}

/// The test itself needs one device.
#[test]
fn required_devices_are_counted() {
    let require = |value: &str| sample("passes::host").env("GPU_STREAM_REQUIRE", value).output();
    require("host:3").failed().says("GPU_STREAM_REQUIRE=host:3: there are 2 devices;");
    require("host:2").passed(1);
}
