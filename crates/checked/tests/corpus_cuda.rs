//! The bugs of `corpus` on the CUDA backend, over the simulated driver with two devices. It uses handles again at once, as
//! a real driver does.

mod corpus;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    use corpus::{Bug, Missing, Right, again_cuda, blocking, driver_calls};
    use gpu_stream_checked::{Checked, FindingKind};
    use gpu_stream_cuda::Cuda;

    type B = Checked<Cuda>;

    // SAFETY: no other thread is running yet.
    let installed = unsafe {
        std::env::set_var("CUDA_SIM_REUSE", "1");
        cuda_sim::install(2)
    };
    if let Err(reason) = installed {
        eprintln!("the simulated driver: {reason}");
        return std::process::ExitCode::FAILURE;
    }
    let (mut bugs, mut right) = (corpus::bugs::<B>(), corpus::right::<B>());
    bugs.extend(blocking::bugs::<B>());
    bugs.push(Bug {
        name: "freed_in_a_capture",
        source: "https://github.com/NVIDIA/warp/issues/1418",
        kind: FindingKind::UseAfterRelease,
        missing: Missing::Wait("origin", "side"),
        program: driver_calls::freed_in_a_capture,
    });
    bugs.push(Bug {
        name: "branch_twice_in_a_capture",
        source: "random programs",
        kind: FindingKind::WriteAfterWrite,
        missing: Missing::Wait("side", "origin"),
        program: driver_calls::branch_twice_in_a_capture,
    });
    right.extend(blocking::right::<B>());
    right.extend::<[Right<B>; 11]>([
        ("launch_in_a_capture_after_the_join", driver_calls::launch_in_a_capture_after_the_join),
        ("capture_beside_other_work", driver_calls::capture_beside_other_work),
        ("event_of_another_library", driver_calls::event_of_another_library),
        ("our_event_in_another_library", driver_calls::our_event_in_another_library),
        ("captures_in_a_row", again_cuda::captures_in_a_row),
        ("blocking_streams_and_the_default_one", again_cuda::blocking_streams_and_the_default_one),
        ("default_streams_of_two_devices", again_cuda::default_streams_of_two_devices),
        ("captures_with_forks", again_cuda::captures_with_forks),
        ("captures_on_two_threads", again_cuda::captures_on_two_threads),
        ("host_waits_after_a_capture", again_cuda::host_waits_after_a_capture),
        ("blocking_stream_at_an_old_handle", again_cuda::blocking_stream_at_an_old_handle),
    ]);
    corpus::check::main::<Cuda>(bugs, right)
}

/// There is no simulated driver.
#[cfg(not(target_os = "linux"))]
fn main() {}
