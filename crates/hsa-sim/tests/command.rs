//! The command that runs another over the simulator.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output};
use std::{env, fs, process};

/// A file that the command takes for the user's HIP library. It reads none of it.
const OWN_LIBRARY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");

/// Runs the command with these arguments.
fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-stream-hsa-sim"));
    for variable in ["HSA_SIM_GPUS", "HSA_SIM_TRACE", "HSA_SIM_RUNNER", "GPU_STREAM_HIP_LIBRARY"] {
        command.env_remove(variable);
    }
    // The tests may themselves run over a fetched library.
    command.env_remove("HSA_SIM_LIBRARY");
    command.args(arguments).output().expect("the command starts")
}

/// Runs the command with these options, and `sh` with this script as the program.
fn run_script(options: &[&str], script: &str) -> Output {
    run(&[&["--library", OWN_LIBRARY], options, &["--", "sh", "-c", script]].concat())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

/// Prints the path of the file that the dynamic linker finds under the runtime's name.
#[test]
fn program() {
    if hsa_sim::loaded_version().is_some() || env::var_os("HSA_SIM_LIBRARY").is_none() {
        return; // not started by the command
    }
    // SAFETY: the name is a C string. The initialisers of the simulator have no requirements.
    let library = unsafe { libc::dlopen(c"libhsa-runtime64.so.1".as_ptr(), libc::RTLD_NOW) };
    assert!(!library.is_null());
    println!("runs over {}", hsa_sim::loaded_version().expect("the simulator"));
}

#[test]
fn command_and_its_children_find_the_simulator() {
    let this = hsa_sim::this_program().expect("this program");
    if this.get_args().len() > 0 {
        return; // started by another dynamic linker, with other folders
    }
    let this = this.get_program().to_str().expect("a path").to_owned();
    let output = run_script(&[], &format!("'{this}' --exact program --nocapture"));
    let (printed, error) = (text(&output.stdout), text(&output.stderr));
    let line = format!("runs over {}", env!("CARGO_PKG_VERSION"));
    assert!(printed.contains(&line), "{printed}\n{error}");
}

#[test]
fn exit_code_and_signal_are_those_of_the_command() {
    assert_eq!(run_script(&[], "exit 7").status.code(), Some(7));
    assert_eq!(run_script(&[], "kill -TERM $$").status.signal(), Some(15));
}

#[test]
fn options_set_the_variables() {
    let script = "echo $HSA_SIM_GPUS; echo $HSA_SIM_TRACE; echo $HSA_SIM_LIBRARY; \
                  echo $GPU_STREAM_HIP_LIBRARY; echo $LD_LIBRARY_PATH";
    let output = run_script(&["--devices", "2", "--trace=log"], script);
    let printed = text(&output.stdout);
    let lines: Vec<&str> = printed.lines().collect();
    let folder = text(&run(&["--folder"]).stdout);
    assert_eq!(lines[0], "2", "{}", text(&output.stderr));
    assert!(Path::new(lines[1]).is_absolute() && lines[1].ends_with("/log"), "{}", lines[1]);
    assert_eq!(lines[2], format!("{folder}/libhsa-runtime64.so.1"));
    assert!(Path::new(lines[2]).is_file());
    assert_eq!(lines[3], OWN_LIBRARY);
    let path = format!("{folder}:{}", env!("CARGO_MANIFEST_DIR"));
    assert!(lines[4].starts_with(&path), "{}", lines[4]);
    // Without a file, the log goes to standard error.
    assert_eq!(text(&run_script(&["--trace"], "echo $HSA_SIM_TRACE").stdout), "1");
}

#[test]
fn failure_names_the_value_and_the_remedy() {
    for (arguments, code, part) in [
        (&["--devices", "17", "true"][..], 2, "--devices 17: give the number of devices, 0 to 16"),
        (&["--hip=7.1", "true"], 2, "--hip 7.1: unknown version; use one of 5.2, 5.7, 6.4, 7.2"),
        (&["--hip"], 2, "--hip: give a version of HIP"),
        (&["--library", "/no/such.so", "true"], 2, "--library /no/such.so: No such file"),
        (&["--hip=5.2", "--library", OWN_LIBRARY, "true"], 2, "they exclude each other"),
        (&["--gpus", "2"], 2, "--gpus: unknown option; see --help"),
        (&[], 2, "give a command"),
        (&["--library", OWN_LIBRARY, "/no/such/program"], 127, "/no/such/program: "),
        (&["--library", OWN_LIBRARY, OWN_LIBRARY], 126, "it must be an executable file"),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        let message = text(&output.stderr);
        assert!(message.starts_with("hsa-sim: ") && message.contains(part), "{message}");
        assert!(output.stdout.is_empty());
    }
    let help = run(&["--help"]);
    assert!(help.status.success() && text(&help.stdout).contains("--devices N"));
}

#[test]
fn missing_simulator_is_named() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-stream-hsa-sim"));
    let output = command.arg("true").env("HSA_SIM_LIBRARY", "/no/such.so").output();
    let output = output.expect("the command starts");
    assert_eq!(output.status.code(), Some(1));
    let message = text(&output.stderr);
    assert!(message.contains("HSA_SIM_LIBRARY=/no/such.so"), "{message}");
}

/// A second name of the command lies where cargo has built no simulator, and so would keep things in the user's cache.
#[test]
fn named_simulator_needs_no_home() {
    let Ok(library) = hsa_sim::library() else {
        return; // the simulator that the caller names is missing, which another test says
    };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("home-{}", process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let program = folder.join("command");
    // Not a copy: a program that is open for writing in another thread's new process cannot be started.
    fs::hard_link(env!("CARGO_BIN_EXE_gpu-stream-hsa-sim"), &program).expect("a link");
    let mut command = Command::new(&program);
    command.env_remove("HOME").env_remove("XDG_CACHE_HOME").env("HSA_SIM_LIBRARY", library);
    let output = command.args(["--library", OWN_LIBRARY, "true"]).output().expect("the command");
    assert!(output.status.success(), "{}", text(&output.stderr));
    fs::remove_dir_all(&folder).expect("the folder");
}
