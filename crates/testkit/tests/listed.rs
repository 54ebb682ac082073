//! A test target without libtest, which lists skips as ignored.

use std::process::{Command, ExitCode};

/// Set in the process that runs the tests of [`listed`].
const CHILD: &str = "GPU_STREAM_TESTKIT_TEST_LISTED";

mod listed {
    use gpu_stream_testkit::gpu_stream::prelude::*;
    use gpu_stream_testkit::{Kit, TestBackend, TestResult, check_eq};

    gpu_stream_testkit::backend_main! {
        /// Passes where there is a driver.
        fn passes<B: TestBackend>(kit: &Kit<B>) -> TestResult {
            Ok(kit.new_stream()?.synchronize()?)
        }

        #[ignore]
        fn fails<B: TestBackend>(kit: &Kit<B>) -> TestResult {
            check_eq(kit.name(), "", "the name")
        }
    }

    pub fn run() -> super::ExitCode {
        main()
    }
}

fn main() -> ExitCode {
    if std::env::var_os(CHILD).is_some() {
        return listed::run();
    }
    let run = |arguments: &[&str], required: &str| {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(arguments).env(CHILD, "1").env("GPU_STREAM_REQUIRE", required);
        command.env("GPU_STREAM_CUDA_LIBRARY", "/no/such/libcuda.so");
        let output = command.output().expect("this program starts");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (is_success, text) = run(&["cuda", "--skip", "cuda_sim"], "");
    assert!(is_success, "{text}");
    for part in ["listed::passes::cuda", "ignored", "0 passed; 0 failed; 2 ignored"] {
        assert!(text.contains(part), "{part:?} is missing in {text}");
    }
    let (is_success, text) = run(&["listed::passes::cuda", "--exact"], "cuda");
    assert!(!is_success && text.contains("must not skip"), "{text}");
    let (is_success, text) = run(&["::host"], "host");
    assert!(is_success && text.contains("1 passed; 0 failed; 1 ignored"), "{text}");
    let (is_success, text) = run(&["::host", "--include-ignored"], "");
    assert!(!is_success && text.contains("the name is \"host\""), "{text}");
    let (is_success, text) = run(&["checked", "--skip", "opencl"], "checked_host");
    assert!(is_success && text.contains("3 passed; 0 failed; 3 ignored"), "{text}");
    println!("ok");
    ExitCode::SUCCESS
}
