//! gpu-stream in one build with a crate that pins cudarc to a CUDA version and a way of loading.
//!
//! Cargo unites the features of cudarc that all crates of a build request, and some of those
//! exclude each other. So gpu-stream must request none of them. Each program here requests some, in
//! a workspace of its own, and is checked with cargo. That needs neither a CUDA toolkit nor a
//! driver.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The program's code.
const PROGRAM: &str = include_str!("other.rs");

/// Returns the lock file with all versions, so that cargo needs no network.
fn lock_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.lock")
}

fn manifest(name: &str, cudarc_features: &str) -> String {
    let facade = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/gpu-stream");
    format!(
        r#"[package]
name = "{name}"
version = "0.1.0"
edition = "2024"

[lib]
path = "other.rs"

[dependencies]
gpu-stream = {{ path = {facade:?}, features = ["cudarc"] }}
cudarc = {{ version = "0.19", default-features = false, features = [{cudarc_features}] }}

[workspace]
"#
    )
}

/// Runs `cargo check` on a program that requests these features of cudarc.
fn check(name: &str, cudarc_features: &str) -> Output {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("coexistence");
    let program = folder.join(name);
    fs::create_dir_all(&program).expect("the program's folder");
    fs::write(program.join("Cargo.toml"), manifest(name, cudarc_features)).expect("its manifest");
    fs::write(program.join("other.rs"), PROGRAM).expect("its code");
    fs::copy(lock_file(), program.join("Cargo.lock")).expect("its lock file");
    Command::new(env!("CARGO"))
        .current_dir(&program)
        .args(["check", "--offline", "--target-dir"])
        .arg(folder.join("target"))
        .env_remove("CARGO_BUILD_TARGET")
        // It would override the version that the features name.
        .env_remove("CUDARC_CUDA_VERSION")
        .output()
        .expect("cargo starts")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn gpu_stream_builds_with_cudarc_pinned_to_12_8_and_linked() {
    let features = r#""std", "driver", "cuda-12080", "dynamic-linking""#;
    let output = check("cudarc-12080-linked", features);
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn gpu_stream_builds_with_cudarc_pinned_to_11_8_and_loaded() {
    let features = r#""std", "driver", "cuda-11080", "dynamic-loading""#;
    let output = check("cudarc-11080-loaded", features);
    assert!(output.status.success(), "{}", stderr(&output));
}

/// Shows what the two tests above would report if gpu-stream requested a way of loading, too.
#[test]
fn cudarc_rejects_two_ways_of_loading() {
    let features = r#""std", "driver", "cuda-12080", "dynamic-linking", "dynamic-loading""#;
    let output = check("cudarc-both-ways", features);
    assert!(!output.status.success() && stderr(&output).contains("dynamic-linking"), "{output:?}");
}
