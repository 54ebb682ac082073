//! How the process of `check` ends when a case hung: at once, since a thread is left behind.

#![cfg(unix)]

use std::process::Command;

use clap::Parser;
use gpu_stream_cli::args::Arguments;
use gpu_stream_cli::environment::Variables;

/// Set in the process that is to hang.
const CHILD: &str = "GPU_STREAM_CLI_TEST_CHILD";

extern "C" fn at_exit() {
    println!("a function of atexit ran");
}

/// Only in a process of its own: a check with a case that counts as hung.
#[test]
fn hangs() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    // SAFETY: the function lives as long as the program, and does not unwind.
    assert_eq!(unsafe { libc::atexit(at_exit) }, 0);
    let line = ["gpu-stream", "check", "--backend", "host", "--case", "thousand_streams"];
    let arguments = Arguments::parse_from(line.into_iter().chain(["--limit", "0.0000001"]));
    let code = gpu_stream_cli::run(arguments, Variables::new());
    println!("the command returned {code:?}");
}

#[test]
fn after_a_hang_no_destructor_of_the_process_runs() {
    let program = std::env::current_exe().unwrap();
    let line = ["--exact", "hangs", "--nocapture"];
    let output = Command::new(program).args(line).env(CHILD, "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text.contains("0 passed, 1 failed, 0 skipped\n"), "{text}");
    assert!(!text.contains("atexit ran") && !text.contains("returned"), "{text}");
}
