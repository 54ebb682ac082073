//! A copy of a library in which one function is missing.

#![cfg(all(target_os = "linux", target_pointer_width = "64"))]

use std::path::{Path, PathBuf};

use gpu_stream_faults::without_symbol;
use libloading::Library;

/// A library that every program on Linux has, and that calls none of its own functions by name.
fn mathematics() -> PathBuf {
    // SAFETY: the system's own library.
    let library = unsafe { Library::new("libm.so.6") }.expect("libm");
    std::mem::forget(library);
    let maps = std::fs::read_to_string("/proc/self/maps").expect("the process's map");
    let path = maps.lines().filter_map(|line| line.split_whitespace().nth(5));
    path.map(PathBuf::from)
        .find(|path| path.file_name().is_some_and(|name| name == "libm.so.6"))
        .expect("where libm is")
}

fn has(library: &Library, name: &str) -> bool {
    // SAFETY: the function is not called.
    unsafe { library.get::<unsafe extern "C" fn(f64) -> f64>(name) }.is_ok()
}

#[test]
fn the_function_is_missing_and_the_others_are_there() {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("libm_without_cosh.so");
    without_symbol(&mathematics(), "cosh", &out).expect("a copy");
    // SAFETY: as the system's own library.
    let library = unsafe { Library::new(&out) }.expect("the copy can be loaded");
    assert!(!has(&library, "cosh"), "it is not there");
    assert!(has(&library, "sinh"), "others are");
    // SAFETY: the system's own library.
    let whole = unsafe { Library::new(mathematics()) }.expect("libm");
    assert!(has(&whole, "cosh"), "in the original it is");
}

#[test]
fn a_function_that_is_not_there_is_an_error_that_names_it() {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("never.so");
    let error = without_symbol(&mathematics(), "nothing_like_it", &out).expect_err("no such thing");
    assert!(error.contains("nothing_like_it") && error.contains("libm"), "{error}");
    assert!(!out.exists());
}
