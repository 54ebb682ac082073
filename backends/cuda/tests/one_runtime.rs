//! Processes that have loaded a CUDA driver under any name, two drivers, or a stub. The drivers are copies
//! of the simulated one. Each case runs in a process of its own, because a driver is chosen once.

#[path = "support/fake.rs"]
#[allow(dead_code, reason = "this test needs no more of it")]
mod fake;

use std::ffi::c_void;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use gpu_stream_core::{
    Backend, Device, Error, ErrorKind, HandleKind, RawStream, Stream, StreamOptions,
};
use gpu_stream_cuda::{Cuda, CudaError};
use gpu_stream_faults::{copy_as, without_symbols};
use libloading::Library;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

const LIBRARY: &str = "GPU_STREAM_CUDA_LIBRARY";

type Case = (&'static str, fn());

const CASES: [Case; 10] = [
    ("renamed_driver_is_used", renamed_driver_is_used),
    ("driver_linked_twice_by_name_is_one", driver_linked_twice_by_name_is_one),
    ("two_drivers_are_rejected_by_name", two_drivers_are_rejected_by_name),
    ("variable_decides_between_two", variable_decides_between_two),
    ("second_driver_loaded_later_is_detected", second_driver_loaded_later_is_detected),
    ("second_driver_that_is_unloaded_is_forgotten", second_driver_that_is_unloaded_is_forgotten),
    ("shim_with_some_functions_is_no_driver", shim_with_some_functions_is_no_driver),
    ("front_of_the_driver_counts_as_the_same", front_of_the_driver_counts_as_the_same),
    ("stub_is_skipped", stub_is_skipped),
    ("stub_is_named", stub_is_named),
];

fn main() -> ExitCode {
    if let Ok(name) = std::env::var("GPU_STREAM_CUDA_CHILD") {
        let case = CASES.iter().find(|(case, _)| *case == name).expect("a case");
        case.1();
        return ExitCode::SUCCESS;
    }
    let trials = CASES.map(|(name, _)| Trial::ignorable_test(name, move || in_child(name)));
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit_code()
}

fn in_child(case: &str) -> Result<Completion, Failed> {
    if !cfg!(target_os = "linux") {
        return Ok(Completion::ignored_with("the objects of a process are listed on Linux only"));
    }
    let folder = folder(case);
    // A stub comes first in the search path, and only conda's folder has the driver.
    let stub_first = case == "stub_is_skipped";
    if stub_first {
        stub(&folder.join("stub"));
        copy_as(&simulator()?, &folder.join("conda/lib"), "libcuda.so.1", None)?;
    }
    let text = |path: PathBuf| path.to_str().expect("a path that is text").to_owned();
    let (stub, conda) = (text(folder.join("stub")), text(folder.join("conda")));
    let with_stub = [(LIBRARY, ""), ("LD_LIBRARY_PATH", &*stub), ("CONDA_PREFIX", &*conda)];
    let output = fake::rerun(case, if stub_first { &with_stub } else { &with_stub[..1] });
    let _ = std::fs::remove_dir_all(&folder);
    if output.status.success() {
        return Ok(Completion::Completed);
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned().into())
}

fn folder(case: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("one-runtime-cuda-{case}"))
}

fn simulator() -> Result<PathBuf, String> {
    driver_sim::library()
}

/// Returns a copy of the driver in a folder of its own, with a file name and an internal name that no list
/// has.
fn wheel(case: &str, number: u32) -> PathBuf {
    let soname = Some(("libcuda.so.1", "libwheel.so"));
    let top = folder(case).join(number.to_string());
    copy_as(&simulator().unwrap(), &top, &format!("libwheel-{number}.so"), soname).unwrap()
}

/// Loads a library as Python loads a module's: with local symbols. Never closes it.
fn load(file: &Path) -> &'static Library {
    // SAFETY: the initializers of the tests' libraries do no harm.
    Box::leak(Box::new(unsafe { Library::new(file) }.unwrap()))
}

/// Creates a stream of this driver, without the crate under test.
fn foreign_stream(driver: &Library) -> RawStream<Cuda> {
    type Retain = unsafe extern "C" fn(*mut *mut c_void, i32) -> i32;
    type Set = unsafe extern "C" fn(*mut c_void) -> i32;
    type Create = unsafe extern "C" fn(*mut *mut c_void, u32, i32) -> i32;
    type Init = unsafe extern "C" fn(u32) -> i32;
    // SAFETY: these are the functions' signatures, and the out-pointers are valid.
    unsafe {
        let (mut context, mut stream) = (std::ptr::null_mut(), std::ptr::null_mut());
        assert_eq!(driver.get::<Init>("cuInit").unwrap()(0), 0);
        let retain = driver.get::<Retain>("cuDevicePrimaryCtxRetain").unwrap();
        assert_eq!(retain(&mut context, 0), 0);
        assert_eq!(driver.get::<Set>("cuCtxSetCurrent").unwrap()(context), 0);
        let create = driver.get::<Create>("cuStreamCreateWithPriority").unwrap();
        assert_eq!(create(&mut stream, 1, 0), 0);
        RawStream::from_ptr(stream)
    }
}

/// Returns the library in use.
fn used() -> PathBuf {
    Cuda::probe().expect("a driver").library.expect("the file").into()
}

#[track_caller]
fn expect_ambiguous<T>(answer: Result<T, CudaError>, files: [&Path; 2]) {
    let error = answer.err().expect("two drivers are refused");
    assert_eq!(error.kind(), ErrorKind::AmbiguousLibrary, "{error}");
    let text = error.to_string();
    for file in files {
        assert!(text.contains(file.to_str().unwrap()), "the text names {file:?}: {text}");
    }
    assert!(text.contains(LIBRARY), "{text}");
}

/// Makes the calls that accept a handle that every driver has, or no handle.
fn calls_with_named_handles() -> Vec<Result<(), CudaError>> {
    let device = Device::new(Cuda::KIND, 0);
    // SAFETY: the default streams always exist.
    let wrap = |raw, device| unsafe { Cuda::stream_from_raw(raw, device) }.map(drop);
    vec![
        wrap(RawStream::DEFAULT, None),
        wrap(RawStream::DEFAULT, Some(device)),
        wrap(RawStream::LEGACY, None),
        // SAFETY: the default streams always exist.
        unsafe { Cuda::stream_from_raw_unchecked(RawStream::DEFAULT, device) }.map(drop),
        Cuda::default_stream(device).map(drop),
        Cuda::per_thread_stream(device).map(drop),
    ]
}

fn renamed_driver_is_used() {
    let file = wheel("renamed_driver_is_used", 1);
    let driver = load(&file);
    assert_eq!(used(), file);
    let raw = foreign_stream(driver);
    // SAFETY: the stream is never destroyed.
    let stream = unsafe { Cuda::stream_from_raw(raw, None) }.unwrap();
    assert!(stream.query().unwrap());
    assert!(calls_with_named_handles().iter().all(Result::is_ok));
    let info = Cuda::probe().unwrap();
    assert!(info.details.iter().any(|(name, how)| *name == "found" && how.contains("before")));
}

fn driver_linked_twice_by_name_is_one() {
    let file = wheel("driver_linked_twice_by_name_is_one", 1);
    let link = file.with_file_name("another-name.so");
    let _ = std::fs::remove_file(&link);
    std::os::unix::fs::symlink(&file, &link).unwrap();
    load(&link);
    load(&file);
    assert_eq!(used(), file);
    assert!(calls_with_named_handles().iter().all(Result::is_ok));
}

fn two_drivers_are_rejected_by_name() {
    let [first, second] = [1, 2].map(|number| wheel("two_drivers_are_rejected_by_name", number));
    load(&first);
    load(&second);
    expect_ambiguous(Cuda::probe(), [&first, &second]);
    let device = Device::new(Cuda::KIND, 0);
    expect_ambiguous(Cuda::new_stream(device, StreamOptions::new()), [&first, &second]);
    for answer in calls_with_named_handles() {
        expect_ambiguous(answer, [&first, &second]);
    }
}

fn variable_decides_between_two() {
    let [first, second] = [1, 2].map(|number| wheel("variable_decides_between_two", number));
    load(&first);
    let driver = load(&second);
    let raw = foreign_stream(driver);
    // SAFETY: no other thread is running.
    unsafe { std::env::set_var(LIBRARY, &second) };
    assert_eq!(used(), second);
    // SAFETY: the stream is never destroyed.
    assert!(unsafe { Cuda::stream_from_raw(raw, None) }.unwrap().query().unwrap());
    assert!(calls_with_named_handles().iter().all(Result::is_ok));
}

fn second_driver_loaded_later_is_detected() {
    let case = "second_driver_loaded_later_is_detected";
    let [first, second] = [1, 2].map(|number| wheel(case, number));
    load(&first);
    let device = Cuda::device(0).unwrap();
    let before = Cuda::default_stream(device).unwrap();
    assert!(calls_with_named_handles().iter().all(Result::is_ok));
    // Another loaded object changes nothing.
    load(Path::new("libm.so.6"));
    assert!(calls_with_named_handles().iter().all(Result::is_ok));
    load(&second);
    for _ in 0..2 {
        for answer in calls_with_named_handles() {
            expect_ambiguous(answer, [&first, &second]);
        }
    }
    // Existing streams continue to work.
    let ours = Cuda::new_stream(device, StreamOptions::new()).unwrap();
    ours.wait_stream(&before).unwrap();
    // SAFETY: `ours` outlives the wrapper.
    let again = unsafe { Cuda::stream_from_raw(ours.raw(), None) }.unwrap();
    assert_eq!(again.raw().kind(), HandleKind::Explicit);
}

fn second_driver_that_is_unloaded_is_forgotten() {
    let case = "second_driver_that_is_unloaded_is_forgotten";
    let first = wheel(case, 1);
    load(&first);
    assert_eq!(used(), first);
    // The library has no thread-local state, so the C library does unload it.
    let second = compile(&folder(case), "second", &functions_that_answer(0));
    // SAFETY: the library's initializers do no harm.
    let other = unsafe { Library::new(&second) }.unwrap();
    expect_ambiguous(Cuda::default_stream(Device::new(Cuda::KIND, 0)), [&first, &second]);
    other.close().unwrap();
    assert!(!std::fs::read_to_string("/proc/self/maps").unwrap().contains("second.so"));
    assert!(calls_with_named_handles().iter().all(Result::is_ok));
}

fn shim_with_some_functions_is_no_driver() {
    let case = "shim_with_some_functions_is_no_driver";
    let (file, shim) = (wheel(case, 1), wheel(case, 2));
    let missing = ["cuStreamQuery", "cuCtxGetCurrent"];
    without_symbols(&shim, &missing, &shim.with_extension("shim")).unwrap();
    load(&shim.with_extension("shim"));
    load(&file);
    assert_eq!(used(), file);
    assert!(calls_with_named_handles().iter().all(Result::is_ok));
}

fn front_of_the_driver_counts_as_the_same() {
    let case = "front_of_the_driver_counts_as_the_same";
    let file = wheel(case, 1);
    load(&file);
    let front = compile(&folder(case), "front", &front_source(&file));
    load(&front);
    assert_eq!(used(), file);
    assert!(calls_with_named_handles().iter().all(Result::is_ok));
    // The comparison leaves the thread's state unchanged.
    type Exchange = unsafe extern "C" fn(*mut i32) -> i32;
    let mut mode = 0;
    // SAFETY: `exchange` has this signature, and `&mut mode` is a valid pointer to a valid mode.
    unsafe {
        let exchange = load(&file).get::<Exchange>("cuThreadExchangeStreamCaptureMode").unwrap();
        assert_eq!((exchange(&mut mode), mode), (0, 0));
    }
}

/// `LD_LIBRARY_PATH` has the stub under the driver's names, and conda's folder has the driver.
fn stub_is_skipped() {
    let folder = folder("stub_is_skipped");
    let used = used();
    assert_eq!(used, folder.join("conda/lib/libcuda.so.1").canonicalize().unwrap());
    assert!(calls_with_named_handles().iter().all(Result::is_ok));
}

fn stub_is_named() {
    let folder = folder("stub_is_named");
    let file = stub(&folder);
    // A stub beside the driver that the process has loaded.
    load(&file);
    // SAFETY: no other thread is running.
    unsafe { std::env::set_var(LIBRARY, &file) };
    let error = Cuda::probe().expect_err("a stub is no driver");
    assert_eq!(error.kind(), ErrorKind::LibraryNotFound);
    let text = error.to_string();
    assert!(text.contains(file.to_str().unwrap()) && text.contains("stub"), "{text}");
    // The failure is not kept: the variable is removed, and the driver is found.
    let driver = wheel("stub_is_named", 1);
    load(&driver);
    // SAFETY: no other thread is running.
    unsafe { std::env::remove_var(LIBRARY) };
    assert_eq!(used(), driver);
    assert!(calls_with_named_handles().iter().all(Result::is_ok));
}

/// The functions that identify a driver.
const KNOWN_BY: [&str; 8] = [
    "cuInit",
    "cuDriverGetVersion",
    "cuDeviceGetCount",
    "cuCtxGetCurrent",
    "cuStreamQuery",
    "cuStreamDestroy_v2",
    "cuEventRecord",
    "cuEventQuery",
];

/// Builds the toolkit's stub: every function returns 34.
fn stub(folder: &Path) -> PathBuf {
    let library = compile(folder, "stub", &functions_that_answer(34));
    for name in ["libcuda.so.1", "libcuda.so"] {
        std::fs::copy(&library, folder.join(name)).unwrap();
    }
    library
}

fn functions_that_answer(code: i32) -> String {
    let function =
        |name| format!("#[unsafe(no_mangle)] pub extern \"C\" fn {name}() -> i32 {{ {code} }}\n");
    KNOWN_BY.map(function).concat()
}

/// Returns the source of a library that forwards calls to the driver in `file`.
fn front_source(file: &Path) -> String {
    let function = |name: &str| {
        format!(
            "#[unsafe(no_mangle)] pub unsafe extern \"C\" fn {name}(a: *mut u8) -> i32 {{ \
             unsafe {{ let f = dlsym(dlopen(c{file:?}.as_ptr(), 1), c{name:?}.as_ptr()); \
             std::mem::transmute::<*mut u8, unsafe extern \"C\" fn(*mut u8) -> i32>(f)(a) }} }}\n"
        )
    };
    let declared = "unsafe extern \"C\" { fn dlopen(name: *const std::ffi::c_char, flags: i32) -> *mut u8; \
                    fn dlsym(library: *mut u8, name: *const std::ffi::c_char) -> *mut u8; }\n";
    let names = KNOWN_BY.iter().chain(&["cuThreadExchangeStreamCaptureMode"]);
    declared.to_owned() + &names.map(|name| function(name)).collect::<String>()
}

fn compile(folder: &Path, name: &str, source: &str) -> PathBuf {
    std::fs::create_dir_all(folder).unwrap();
    let (input, library) =
        (folder.join(name).with_extension("rs"), folder.join(name).with_extension("so"));
    std::fs::write(&input, source).unwrap();
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = std::process::Command::new(rustc);
    command.args(["--edition=2024", "--crate-type=cdylib", "-Awarnings", "-o"]);
    let output = command.arg(&library).arg(&input).output().expect("rustc starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    library.canonicalize().unwrap()
}
