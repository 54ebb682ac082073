//! After a case that hung, a test target runs nothing that could fail because of the hang.

use std::process::{Command, ExitCode};
use std::time::Duration;

use gpu_stream_conformance::harness::{self, IntoSuite};
use gpu_stream_conformance::{CaseReport, Suite, Verdict};
use gpu_stream_core::BackendKind;

/// Set in the process that runs the suite.
const CHILD: &str = "GPU_STREAM_CONFORMANCE_TEST_CHILD";

/// A suite whose second case hangs, and whose later ones then fail.
struct Hangs;

impl Suite for Hangs {
    fn backend(&self) -> BackendKind {
        BackendKind::Host
    }

    fn run(&self, index: usize) -> CaseReport {
        let outcome = match index {
            0 => Ok(()),
            1 => Err(Verdict::Failed("still running after 1s; its thread keeps running".into())),
            _ => Err(Verdict::Failed("this case fails because of the one that hung".into())),
        };
        CaseReport { outcome, duration: Duration::ZERO }
    }
}

impl IntoSuite for Hangs {
    fn into_suite(self) -> Box<dyn Suite> {
        Box::new(Hangs)
    }
}

#[cfg(unix)]
extern "C" fn at_exit() {
    println!("a function of atexit ran");
}

fn main() -> ExitCode {
    if std::env::var_os(CHILD).is_some() {
        #[cfg(unix)]
        // SAFETY: the function lives as long as the program, and does not unwind.
        unsafe {
            libc::atexit(at_exit);
        }
        return harness::main(Hangs);
    }
    let program = std::env::current_exe().expect("this program");
    let child = Command::new(program).env(CHILD, "1").env("GPU_STREAM_REQUIRE", "host").output();
    let output = child.expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let ignored = Hangs.cases().len() - 2;
    let totals = format!("1 passed; 1 failed; {ignored} ignored;");
    assert_eq!(output.status.code(), Some(101), "{output:?}");
    for part in [&totals, "not run, since an earlier case hung", "--exact handles::"] {
        assert!(text.contains(part), "{part:?} is missing in {text}");
    }
    assert!(!text.contains("because of the one") && !text.contains("atexit ran"), "{text}");
    println!("ok");
    ExitCode::SUCCESS
}
