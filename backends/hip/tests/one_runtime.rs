//! Processes that have loaded a HIP runtime under any name, or two of them. The runtimes are copies of
//! AMD's, over the simulated GPU. Each case is a process of its own, because a process chooses its
//! runtime once.

mod support;

use std::ffi::c_void;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use gpu_stream_core::{Backend, Device, Error, ErrorKind, RawStream, Stream, StreamOptions};
use gpu_stream_faults::{copy_as, without_symbols};
use gpu_stream_hip::{Hip, HipError};
use gpu_stream_test_support::{Case, cases, completion, is_required, run_to_exit, skip};
use libloading::Library;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use support::fake::CHILDREN;

const LIBRARY: &str = "GPU_STREAM_HIP_LIBRARY";

/// The variable that passes the path of AMD's library to a child process.
const ORIGINAL: &str = "GPU_STREAM_ONE_RUNTIME";

const CASES: [Case; 8] = cases![
    renamed_runtime_is_used,
    runtime_of_a_newer_name_is_used,
    runtime_opened_by_two_names_is_one,
    two_runtimes_are_rejected_by_name,
    variable_chooses_one_of_two,
    second_runtime_loaded_later_is_noticed,
    handle_of_the_second_runtime_is_rejected,
    shim_with_some_functions_is_no_runtime
];

fn main() -> ExitCode {
    support::prepare();
    if let Some(case) = CHILDREN.case(&CASES) {
        run_to_exit(case);
        return ExitCode::SUCCESS;
    }
    let original = original();
    let trials = CASES.map(|(name, _)| {
        let original = original.clone();
        Trial::ignorable_test(name, move || match &original {
            Ok(original) => in_child(name, original),
            Err(reason) if is_required(Hip::KIND) => Err(reason.into()),
            Err(reason) => Ok(Completion::ignored_with(reason.clone())),
        })
    });
    // One at a time, because each copies a large library.
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}

/// Returns the path of AMD's library, which has one of its usual names.
fn original() -> Result<PathBuf, String> {
    if !cfg!(target_os = "linux") {
        return Err("the objects of a process are listed on Linux only".into());
    }
    for name in ["libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so.5", "libamdhip64.so"] {
        // SAFETY: the library is AMD's runtime, and this process does not call it.
        if unsafe { Library::new(name) }.map(std::mem::forget).is_ok() {
            let maps = std::fs::read_to_string("/proc/self/maps").map_err(|e| e.to_string())?;
            let line = maps.lines().find(|line| line.contains("libamdhip64"));
            let path = line.and_then(|line| line.get(line.find('/')?..));
            return path.map(PathBuf::from).ok_or_else(|| "the library's file is unknown".into());
        }
    }
    Err("there is no libamdhip64".into())
}

/// Runs a case in a child process.
fn in_child(case: &str, original: &Path) -> Result<Completion, Failed> {
    let output = CHILDREN.command(case).env(ORIGINAL, original).env_remove(LIBRARY).output()?;
    let _ = std::fs::remove_dir_all(folder(case));
    completion(&output)
}

/// Returns the folder for the copies of a case.
fn folder(case: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("one-runtime-hip-{case}"))
}

/// Copies the runtime into a folder of its own. `name` becomes its file name and its soname.
fn copy(case: &str, number: u32, name: &str) -> PathBuf {
    let original = PathBuf::from(std::env::var_os(ORIGINAL).expect("AMD's library"));
    let file = original.file_name().unwrap().to_str().unwrap();
    // The soname of `libamdhip64.so.5.2.21153-…` is `libamdhip64.so.5`.
    let old = &file[.."libamdhip64.so.5".len()];
    let top = folder(case).join(number.to_string());
    copy_as(&original, &top, name, Some((old, name))).unwrap()
}

/// Copies the runtime under a name that no list has.
fn wheel(case: &str, number: u32) -> PathBuf {
    copy(case, number, &format!("libwheel-{number}.so"))
}

/// Loads a library with local symbols, as Python loads a module's. Never closes it.
fn load(file: &Path) -> &'static Library {
    // SAFETY: the library is AMD's runtime.
    Box::leak(Box::new(unsafe { Library::new(file) }.unwrap()))
}

/// Creates a stream with this runtime, without the crate under test.
fn foreign_stream(runtime: &Library) -> RawStream<Hip> {
    type Create = unsafe extern "C" fn(*mut *mut c_void, u32) -> i32;
    let mut stream = std::ptr::null_mut();
    // SAFETY: this is the function's signature, and `&mut stream` is a valid out-pointer.
    unsafe {
        let create = runtime.get::<Create>("hipStreamCreateWithFlags").unwrap();
        assert_eq!(create(&mut stream, 1), 0);
    }
    RawStream::from_ptr(stream)
}

/// Returns the library that the backend uses.
fn library_in_use() -> PathBuf {
    Hip::probe().expect("a runtime").library.expect("the file").into()
}

/// Checks that the answer is `AmbiguousLibrary`, and that its text names both files and the variable.
#[track_caller]
fn expect_ambiguous<T>(answer: Result<T, HipError>, files: [&Path; 2]) {
    let error = answer.err().expect("two runtimes are rejected");
    assert_eq!(error.kind(), ErrorKind::AmbiguousLibrary, "{error}");
    let text = error.to_string();
    for file in files {
        assert!(text.contains(file.to_str().unwrap()), "the text names {file:?}: {text}");
    }
    assert!(text.contains(LIBRARY), "{text}");
}

/// Makes every call that takes a handle which all runtimes have, or no handle.
fn wrap_default_streams() -> Vec<Result<(), HipError>> {
    let device = Device::new(Hip::KIND, 0);
    // SAFETY: the default streams always exist.
    let wrap = |raw, device| unsafe { Hip::stream_from_raw(raw, device) }.map(drop);
    vec![
        wrap(RawStream::DEFAULT, None),
        wrap(RawStream::DEFAULT, Some(device)),
        wrap(RawStream::LEGACY, None),
        // SAFETY: the default stream always exists.
        unsafe { Hip::stream_from_raw_unchecked(RawStream::DEFAULT, device) }.map(drop),
        Hip::default_stream(device).map(drop),
        Hip::per_thread_stream(device).map(drop),
    ]
}

/// Checks that the backend uses the runtime in `file`.
fn expect_used(file: &Path) {
    let runtime = load(file);
    assert_eq!(library_in_use(), file);
    let raw = foreign_stream(runtime);
    // SAFETY: the stream is never destroyed.
    let stream = unsafe { Hip::stream_from_raw(raw, None) }.unwrap();
    assert!(stream.query().unwrap());
    assert!(wrap_default_streams().iter().all(Result::is_ok));
}

fn renamed_runtime_is_used() {
    expect_used(&wheel("renamed_runtime_is_used", 1));
}

fn runtime_of_a_newer_name_is_used() {
    expect_used(&copy("runtime_of_a_newer_name_is_used", 1, "libamdhip64.so.9"));
}

fn runtime_opened_by_two_names_is_one() {
    let file = wheel("runtime_opened_by_two_names_is_one", 1);
    let link = file.with_file_name("another-name.so");
    let _ = std::fs::remove_file(&link);
    std::os::unix::fs::symlink(&file, &link).unwrap();
    load(&link);
    expect_used(&file);
}

fn two_runtimes_are_rejected_by_name() {
    let [first, second] = [1, 2].map(|number| wheel("two_runtimes_are_rejected_by_name", number));
    load(&first);
    load(&second);
    expect_ambiguous(Hip::probe(), [&first, &second]);
    let device = Device::new(Hip::KIND, 0);
    expect_ambiguous(Hip::new_stream(device, StreamOptions::new()), [&first, &second]);
    for answer in wrap_default_streams() {
        expect_ambiguous(answer, [&first, &second]);
    }
}

fn variable_chooses_one_of_two() {
    let [first, second] = [1, 2].map(|number| wheel("variable_chooses_one_of_two", number));
    load(&first);
    // SAFETY: no other thread reads the environment.
    unsafe { std::env::set_var(LIBRARY, &second) };
    expect_used(&second);
}

fn second_runtime_loaded_later_is_noticed() {
    let case = "second_runtime_loaded_later_is_noticed";
    let [first, second] = [1, 2].map(|number| wheel(case, number));
    expect_used(&first);
    let device = Hip::device(0).unwrap();
    let before = Hip::default_stream(device).unwrap();
    load(&second);
    for _ in 0..2 {
        for answer in wrap_default_streams() {
            expect_ambiguous(answer, [&first, &second]);
        }
    }
    // Objects whose runtime is known continue to work.
    let own = Hip::new_stream(device, StreamOptions::new()).unwrap();
    own.wait_stream(&before).unwrap();
    // SAFETY: `own` outlives the wrapper.
    unsafe { Hip::stream_from_raw(own.raw(), None) }.unwrap().query().unwrap();
}

fn handle_of_the_second_runtime_is_rejected() {
    let case = "handle_of_the_second_runtime_is_rejected";
    let [first, second] = [1, 2].map(|number| wheel(case, number));
    expect_used(&first);
    let raw = foreign_stream(load(&second));
    let is_new = Hip::probe().unwrap().version.starts_with(['7', '8']);
    if is_new {
        skip("from HIP 7 on, the runtime follows a handle that is not its own");
    }
    // SAFETY: the stream is never destroyed.
    expect_ambiguous(unsafe { Hip::stream_from_raw(raw, None) }, [&first, &second]);
}

fn shim_with_some_functions_is_no_runtime() {
    let case = "shim_with_some_functions_is_no_runtime";
    let (file, shim) = (wheel(case, 1), wheel(case, 2));
    without_symbols(&shim, &["hipStreamQuery", "hipSetDevice"], &shim.with_extension("shim"))
        .unwrap();
    load(&shim.with_extension("shim"));
    expect_used(&file);
}
