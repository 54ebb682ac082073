//! tvm-ffi among the objects of a process: none, one under any name, two, and one that the environment names.
//!
//! The library is a fake, the example `fake_tvm_ffi`. With `GPU_STREAM_TEST_TVM_FFI` it is the file that the variable
//! names, such as the real `libtvm_ffi.so`.
#![cfg(target_os = "linux")]

use std::ffi::{c_int, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::ptr;

use gpu_stream::tvm_ffi::{LIBRARY, TvmFfiError, find};
use gpu_stream::{BackendKind, Device, Error, ErrorKind};
use libloading::Library;

/// A library without tvm-ffi's functions, and a file that does not exist.
const LIBM: &str = "libm.so.6";
const NOWHERE: &str = "/nowhere/libtvm_ffi.so";

type SetStream = unsafe extern "C" fn(i32, i32, *mut c_void, *mut *mut c_void) -> c_int;

/// Returns the path of the library.
fn original() -> PathBuf {
    if let Some(path) = std::env::var_os("GPU_STREAM_TEST_TVM_FFI") {
        return path.into();
    }
    let program = std::env::current_exe().expect("this program");
    // target/PROFILE/deps/this-program
    let folder = program.parent().and_then(Path::parent).expect("the target folder");
    let path = folder.join("examples/libfake_tvm_ffi.so");
    assert!(
        path.exists(),
        "{} is missing: cargo test builds it, or cargo build --examples",
        path.display()
    );
    path
}

/// Loads a library of the test.
fn load(path: &Path) -> Library {
    // SAFETY: the library has no initializers that do harm.
    unsafe { Library::new(path) }.expect("the library")
}

/// Sets a stream of the calling thread in the environment of `library`.
fn set(library: &Library, device: (i32, i32), stream: usize) {
    // SAFETY: the function has this type.
    let set = unsafe { library.get::<SetStream>(b"TVMFFIEnvSetStream\0") }.expect("its function");
    let stream = ptr::without_provenance_mut(stream);
    // SAFETY: the function takes any handle, and needs no place for the original stream.
    let code = unsafe { set(device.0, device.1, stream, ptr::null_mut()) };
    assert_eq!(code, 0);
}

/// Runs a case of the test `name` in a process of its own, where `library` is what the variable names.
fn in_own_process(name: &str, library: Option<&Path>, case: fn()) {
    const VARIABLE: &str = "GPU_STREAM_TEST_TVM_FFI_CASE";
    if std::env::var(VARIABLE).as_deref() == Ok(name) {
        return case();
    }
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", name, "--nocapture"]).env(VARIABLE, name).env_remove(LIBRARY);
    if let Some(library) = library {
        command.env(LIBRARY, library);
    }
    let output = command.output().expect("a child process");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// Copies the library, with a name of which tvm-ffi knows nothing.
fn copy(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(std::process::id().to_string());
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join(name);
    std::fs::copy(original(), &path).expect("a copy");
    path
}

/// Checks the streams of this thread's environment and of another's.
fn check_environment(library: &Library) {
    let environment = find().expect("tvm-ffi");
    let device = Device::new(BackendKind::Cuda, 1);
    assert_eq!(environment.handle(device), Ok(0), "no stream was set");
    set(library, (2, 1), 0x7f00_1000);
    assert_eq!(environment.handle(device), Ok(0x7f00_1000));
    let other = std::thread::spawn(move || environment.handle(device)).join().expect("a thread");
    assert_eq!(other, Ok(0), "each thread has its own");
    set(library, (2, 1), usize::MAX);
    let error = environment.handle(device).expect_err("-1 is no stream");
    assert_eq!(error.kind(), ErrorKind::InvalidHandle);
    set(library, (2, 1), 0);
}

#[test]
fn library_that_is_not_loaded_is_an_error() {
    in_own_process("library_that_is_not_loaded_is_an_error", None, || {
        let error = find().expect_err("no tvm-ffi");
        assert_eq!(
            (error.kind(), &error),
            (ErrorKind::LibraryNotFound, &TvmFfiError::NotLoaded(String::new()))
        );
        let text = error.to_string();
        assert!(text.contains("import tvm_ffi") && text.contains(LIBRARY), "{text}");
    });
}

#[test]
fn loaded_library_is_found_under_any_name() {
    in_own_process("loaded_library_is_found_under_any_name", None, || {
        let library = load(&copy("anything.so"));
        check_environment(&library);
        drop(library);
        assert_eq!(
            find().expect("it stays loaded").handle(Device::new(BackendKind::Cuda, 0)),
            Ok(0)
        );
    });
}

#[test]
fn two_copies_are_an_error_that_names_both() {
    in_own_process("two_copies_are_an_error_that_names_both", None, || {
        let (one, other) = (copy("one.so"), copy("other.so"));
        let _loaded = [load(&one), load(&other)];
        let error = find().expect_err("two");
        assert_eq!(error.kind(), ErrorKind::AmbiguousLibrary);
        let text = error.to_string();
        for file in [&one, &other] {
            assert!(text.contains(file.to_str().expect("a name")), "{text}");
        }
    });
}

#[test]
fn environment_chooses_one_of_two() {
    in_own_process("environment_chooses_one_of_two", Some(&original()), || {
        let (other, chosen) = (load(&copy("other.so")), load(&original()));
        set(&other, (2, 1), 0x7f00_2000);
        check_environment(&chosen);
    });
}

#[test]
fn environment_that_names_another_file_is_an_error() {
    let name = "environment_that_names_another_file_is_an_error";
    for file in [LIBM, NOWHERE] {
        in_own_process(name, Some(Path::new(file)), || {
            let file = std::env::var(LIBRARY).expect("the variable");
            let error = find().expect_err("not tvm-ffi");
            let kind =
                if file == LIBM { ErrorKind::SymbolNotFound } else { ErrorKind::LibraryNotFound };
            assert_eq!(error.kind(), kind, "{error}");
            for part in [&*file, LIBRARY] {
                assert!(error.to_string().contains(part), "{part} is not in {error}");
            }
        });
    }
}
