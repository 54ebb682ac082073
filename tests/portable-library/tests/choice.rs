//! The program that chooses at run time: its output, and its error for a backend that is not
//! available.

use std::process::{Command, Output};

use gpu_stream::prelude::*;
use gpu_stream::{Any, available};

fn run(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_gpu-stream-portable-library");
    Command::new(program).args(arguments).output().expect("the program starts")
}

fn refused(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn program_prints_the_same_result_on_the_best_and_the_named_backend() {
    let best = Any::device(0).expect("the host always is ready").to_string();
    let best = (&[][..], &*best);
    for (arguments, device) in
        [best, (&["--backend", "host"], "host:0"), (&["--backend", "cpu"], "host:0")]
    {
        let wanted = format!("half of the sum of the first 1000 squares, on {device}: 166916750\n");
        let output = run(arguments);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), wanted);
    }
}

#[test]
fn program_reports_why_a_backend_is_not_available() {
    for item in available().iter().filter(|item| !item.is_ready()) {
        let text = refused(&["--backend", item.backend.name()]);
        let why = item.probe.as_ref().err().map(ToString::to_string).unwrap_or_default();
        assert_eq!(text, format!("error: {why}\n"));
    }
    assert!(refused(&["--backend", "vulkan"]).contains("no backend has this name"));
    assert!(refused(&["--backend"]).contains("usage"));
    assert!(refused(&["--speed"]).contains("usage"));
}
