//! Copies of a library in which one function is missing.

#![cfg(all(target_os = "linux", target_pointer_width = "64"))]

use std::path::{Path, PathBuf};

use gpu_stream_faults::without_symbol;
use libloading::Library;

/// Returns the path of libm: every Linux program can load it, and it calls none of its own
/// functions by name.
fn libm() -> PathBuf {
    // SAFETY: libm's initialisers have no requirements.
    let library = unsafe { Library::new("libm.so.6") }.expect("libm");
    std::mem::forget(library);
    let maps = std::fs::read_to_string("/proc/self/maps").expect("the process's map");
    let path = maps.lines().filter_map(|line| line.split_whitespace().nth(5));
    path.map(PathBuf::from)
        .find(|path| path.file_name().is_some_and(|name| name == "libm.so.6"))
        .expect("where libm is")
}

fn has(library: &Library, name: &str) -> bool {
    // SAFETY: the type is that of `cosh` and `sinh`, and the function is not called.
    unsafe { library.get::<unsafe extern "C" fn(f64) -> f64>(name) }.is_ok()
}

#[test]
fn copy_lacks_the_removed_function_only() {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("libm_without_cosh.so");
    without_symbol(&libm(), "cosh", &out).expect("a copy");
    // SAFETY: the copy has libm's initialisers, which have no requirements.
    let library = unsafe { Library::new(&out) }.expect("the copy can be loaded");
    assert!(!has(&library, "cosh"), "it is not there");
    assert!(has(&library, "sinh"), "others are");
    // SAFETY: libm's initialisers have no requirements.
    let whole = unsafe { Library::new(libm()) }.expect("libm");
    assert!(has(&whole, "cosh"), "in the original it is");
}

#[test]
fn missing_function_is_an_error_that_names_it() {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("never.so");
    let error = without_symbol(&libm(), "nothing_like_it", &out).expect_err("no such thing");
    assert!(error.contains("nothing_like_it") && error.contains("libm"), "{error}");
    assert!(!out.exists());
}
