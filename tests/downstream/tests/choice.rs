//! The program that chooses at run time: what it prints, and what it says to a choice that it
//! cannot have.

use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_gpu-stream-downstream");
    Command::new(program).args(arguments).output().expect("the program starts")
}

fn refused(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn the_best_backend_and_the_named_one_give_the_same() {
    let wanted = "half of the sum of the first 1000 squares, on host:0: 166916750\n";
    for arguments in [&[][..], &["--backend", "host"], &["--backend", "cpu"]] {
        let output = run(arguments);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), wanted);
    }
}

#[test]
fn what_cannot_be_had_is_told_apart() {
    for name in ["cuda", "hip"] {
        let text = refused(&["--backend", name]);
        assert!(text.contains("not part of this build") && text.contains("reserved"), "{text}");
    }
    assert!(refused(&["--backend", "vulkan"]).contains("no backend has this name"));
    assert!(refused(&["--backend"]).contains("usage"));
    assert!(refused(&["--speed"]).contains("usage"));
}
