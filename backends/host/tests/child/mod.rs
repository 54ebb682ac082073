//! Runs part of a test in a child process: [`in_child`].

use std::env;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const CHILD: &str = "GPU_STREAM_TEST_CHILD";

/// Starts this binary again for the test `test`, and returns the output of that child process.
///
/// In the child process, runs `child` and exits.
pub fn in_child(test: &str, settings: &[(&str, &str)], child: impl FnOnce()) -> Output {
    if env::var_os(CHILD).is_some() {
        child();
        std::process::exit(0);
    }
    let mut command = Command::new(env::current_exe().expect("own path"));
    command.args([test, "--exact", "--nocapture"]).env(CHILD, "1").envs(settings.iter().copied());
    let mut running = command.stdout(Stdio::piped()).spawn().expect("child");
    // Some of the tests fail by a child that hangs.
    let limit = Instant::now() + Duration::from_secs(60);
    while running.try_wait().expect("child").is_none() {
        if Instant::now() > limit {
            running.kill().expect("kill");
            panic!("the child of {test} did not end");
        }
        thread::sleep(Duration::from_millis(5));
    }
    running.wait_with_output().expect("output")
}

/// Returns `true` if the child printed `text`.
pub fn prints(output: &Output, text: &str) -> bool {
    String::from_utf8_lossy(&output.stdout).contains(text)
}
