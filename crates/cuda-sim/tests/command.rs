//! The command that runs another over the simulator.
#![cfg(target_os = "linux")]

use std::ffi::{CStr, c_char, c_int};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use libloading::Library;

/// Runs the command with these arguments.
fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-stream-cuda-sim"));
    command.args(arguments).env_remove("CUDA_SIM_GPUS").env_remove("CUDA_SIM_VERSION");
    command.output().expect("the command starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

/// Prints what a program sees: the driver's version, the devices and the simulator's own version.
#[test]
fn program() {
    for name in ["libcuda.so.1", "libcuda.so"] {
        // SAFETY: the library is the simulator, whose initialiser has no requirements.
        let Ok(library) = (unsafe { Library::new(name) }) else { return };
        // SAFETY: the functions have these signatures, and the out-pointers are valid.
        unsafe {
            let Ok(own) = library.get::<extern "C" fn() -> *const c_char>("cuda_sim_version")
            else {
                return; // the machine's own driver: the test was not started by the command
            };
            let version =
                library.get::<unsafe extern "C" fn(*mut c_int) -> c_int>("cuDriverGetVersion");
            let count =
                library.get::<unsafe extern "C" fn(*mut c_int) -> c_int>("cuDeviceGetCount");
            let init = library.get::<unsafe extern "C" fn(u32) -> c_int>("cuInit").expect("cuInit");
            let (mut number, mut devices) = (0, 0);
            assert_eq!(init(0), 0);
            assert_eq!(version.expect("cuDriverGetVersion")(&mut number), 0);
            assert_eq!(count.expect("cuDeviceGetCount")(&mut devices), 0);
            let own = CStr::from_ptr(own()).to_str().expect("a version");
            println!("{name} {number} {devices} {own}");
        }
    }
}

#[test]
fn command_and_its_children_find_the_simulator() {
    let this = std::env::current_exe().expect("this program");
    let this = this.to_str().expect("a path");
    let inner = ["sh", "-c", "\"$0\" --exact program --nocapture", this];
    for (options, seen) in
        [(&[][..], "13000 1"), (&["--devices", "2", "--version=12.4", "--"], "12040 2")]
    {
        let output = run(&[options, &inner[..]].concat());
        let printed = text(&output.stdout);
        for name in ["libcuda.so.1", "libcuda.so"] {
            let line = format!("{name} {seen} {}", env!("CARGO_PKG_VERSION"));
            assert!(printed.contains(&line), "{line}: {printed}\n{}", text(&output.stderr));
        }
    }
}

#[test]
fn exit_code_and_signal_are_those_of_the_command() {
    assert_eq!(run(&["sh", "-c", "exit 7"]).status.code(), Some(7));
    assert_eq!(run(&["sh", "-c", "kill -TERM $$"]).status.signal(), Some(15));
    let output = run(&[
        "sh",
        "-c",
        "echo $GPU_STREAM_CUDA_LIBRARY; echo $LD_LIBRARY_PATH; echo $CUDA_SIM_LIBRARY",
    ]);
    let printed = text(&output.stdout);
    let lines: Vec<&str> = printed.lines().collect();
    let folder = text(&run(&["--folder"]).stdout);
    assert_eq!(lines[0], format!("{folder}/libcuda.so.1"));
    assert!(lines[1].split(':').next() == Some(&*folder), "{}", lines[1]);
    assert!(PathBuf::from(lines[0]).is_file());
    assert_eq!(lines[2], lines[0], "cuda_sim::library is the copy that the program loads");
}

#[test]
fn failure_names_the_value_and_the_remedy() {
    let not_executable = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    for (arguments, code, part) in [
        (&["--devices", "17", "true"][..], 2, "--devices 17: give the number of devices, 0 to 16"),
        (
            &["--version=12", "true"],
            2,
            "--version 12: give a CUDA version from 11.0 on, such as 12.4",
        ),
        (&["--version=10.2", "true"], 2, "--version 10.2: give a CUDA version from 11.0 on"),
        (&["--version"], 2, "--version: give a CUDA version"),
        (&["--gpus", "2"], 2, "--gpus: unknown option; see --help"),
        (&[], 2, "give a command"),
        (&["/no/such/program"], 127, "/no/such/program: "),
        (&[not_executable], 126, "it must be an executable file"),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        let message = text(&output.stderr);
        assert!(message.starts_with("cuda-sim: ") && message.contains(part), "{message}");
        assert!(output.stdout.is_empty());
    }
    let help = run(&["--help"]);
    assert!(help.status.success() && text(&help.stdout).contains("--devices N"));
}

#[test]
fn missing_library_is_named() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-stream-cuda-sim"));
    let output = command.arg("true").env("CUDA_SIM_LIBRARY", "/no/such.so").output();
    let output = output.expect("the command starts");
    assert_eq!(output.status.code(), Some(1));
    let message = text(&output.stderr);
    assert!(message.contains("CUDA_SIM_LIBRARY=/no/such.so"), "{message}");
}
