//! gpu-stream in one build with a crate that pins cudarc to a CUDA version and a way of loading.
//!
//! Cargo adds up the features that all crates of a build ask of cudarc, and those exclude each
//! other; so ours must ask for none of that sort. Each program here is one that does ask, made in a
//! workspace of its own, and checked. Neither a CUDA toolkit nor a driver is needed for that.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Its code.
const PROGRAM: &str = include_str!("other.rs");

/// The versions of everything, so that nothing has to be asked for or fetched.
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

/// What cargo says of a program that asks these features of cudarc.
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
        // It would win over the version that the features name.
        .env_remove("CUDARC_CUDA_VERSION")
        .output()
        .expect("cargo starts")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn pinned_to_12_8_and_linked() {
    let features = r#""std", "driver", "cuda-12080", "dynamic-linking""#;
    let output = check("cudarc-12080-linked", features);
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn pinned_to_11_8_and_loaded() {
    let features = r#""std", "driver", "cuda-11080", "dynamic-loading""#;
    let output = check("cudarc-11080-loaded", features);
    assert!(output.status.success(), "{}", said(&output));
}

/// What the two above would say if we asked for a way of loading, too.
#[test]
fn two_ways_of_loading_exclude_each_other() {
    let features = r#""std", "driver", "cuda-12080", "dynamic-linking", "dynamic-loading""#;
    let output = check("cudarc-both-ways", features);
    assert!(!output.status.success() && said(&output).contains("dynamic-linking"), "{output:?}");
}
