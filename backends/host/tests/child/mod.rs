//! A test that starts its own binary again, as a child in which only the part behind `child` runs.

use std::env;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const CHILD: &str = "GPU_STREAM_TEST_CHILD";

/// In the child: runs `child` and ends the process. In the parent: the child's output.
pub fn in_child(test: &str, settings: &[(&str, &str)], child: impl FnOnce()) -> Output {
    if env::var_os(CHILD).is_some() {
        child();
        std::process::exit(0);
    }
    let mut command = Command::new(env::current_exe().expect("own path"));
    command.args([test, "--exact", "--nocapture"]).env(CHILD, "1").envs(settings.iter().copied());
    let mut running = command.stdout(Stdio::piped()).spawn().expect("child");
    // A child that hangs is the failure that some of these tests look for.
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

pub fn says(output: &Output, text: &str) -> bool {
    String::from_utf8_lossy(&output.stdout).contains(text)
}
