//! Processes that have loaded a HIP runtime under whatever name, or two of them. The runtimes are
//! copies of AMD's, over the simulated GPU. A process of its own for each, since a runtime is chosen
//! once.

mod support;

use std::ffi::c_void;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use gpu_stream_core::{Backend, Device, Error, ErrorKind, RawStream, Stream, StreamOptions};
use gpu_stream_faults::{copy_as, without_symbols};
use gpu_stream_hip::{Hip, HipError};
use libloading::Library;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

const LIBRARY: &str = "GPU_STREAM_HIP_LIBRARY";

/// Tells a child AMD's library.
const ORIGINAL: &str = "GPU_STREAM_ONE_RUNTIME";

type Case = (&'static str, fn());

const CASES: [Case; 8] = [
    ("renamed_runtime_is_used", renamed_runtime_is_used),
    ("runtime_of_a_newer_name_is_used", runtime_of_a_newer_name_is_used),
    ("runtime_opened_by_two_names_is_one", runtime_opened_by_two_names_is_one),
    ("two_runtimes_are_refused_by_name", two_runtimes_are_refused_by_name),
    ("variable_decides_between_two", variable_decides_between_two),
    ("second_runtime_that_comes_later_is_noticed", second_runtime_that_comes_later_is_noticed),
    ("handle_of_the_second_runtime_is_told", handle_of_the_second_runtime_is_told),
    ("shim_with_some_functions_is_no_runtime", shim_with_some_functions_is_no_runtime),
];

fn main() -> ExitCode {
    support::prepare();
    if let Ok(name) = std::env::var("GPU_STREAM_HIP_CHILD") {
        CASES.iter().find(|(case, _)| *case == name).expect("a case").1();
        return ExitCode::SUCCESS;
    }
    let original = original();
    let trials = CASES.map(|(name, _)| {
        let original = original.clone();
        Trial::ignorable_test(name, move || match &original {
            Ok(original) => in_child(name, original),
            Err(reason) if support::required() => Err(reason.into()),
            Err(reason) => Ok(Completion::ignored_with(reason.clone())),
        })
    });
    // Each copies a large library.
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}

/// AMD's library, under its usual name.
fn original() -> Result<PathBuf, String> {
    if !cfg!(target_os = "linux") {
        return Err("the objects of a process are listed on Linux only".into());
    }
    for name in ["libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so.5", "libamdhip64.so"] {
        // SAFETY: it is AMD's runtime. This process does not call it.
        if unsafe { Library::new(name) }.map(std::mem::forget).is_ok() {
            let maps = std::fs::read_to_string("/proc/self/maps").map_err(|e| e.to_string())?;
            let line = maps.lines().find(|line| line.contains("libamdhip64"));
            let path = line.and_then(|line| line.get(line.find('/')?..));
            return path.map(PathBuf::from).ok_or_else(|| "the file is not known".into());
        }
    }
    Err("there is no libamdhip64".into())
}

fn in_child(case: &str, original: &Path) -> Result<Completion, Failed> {
    let output = hsa_sim::this_program()?
        .env("GPU_STREAM_HIP_CHILD", case)
        .env(ORIGINAL, original)
        .env_remove(LIBRARY)
        .output()?;
    let _ = std::fs::remove_dir_all(folder(case));
    let errors = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) => Ok(Completion::Completed),
        Some(SKIPPED) => Ok(Completion::ignored_with(errors.into_owned())),
        _ => Err(format!("{}: {errors}", output.status).into()),
    }
}

/// What a process says by its exit code.
const SKIPPED: i32 = 77;

fn folder(case: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("one-runtime-hip-{case}"))
}

/// A copy of the runtime in a folder of its own, by this name inside and outside.
fn copy(case: &str, number: u32, name: &str) -> PathBuf {
    let original = PathBuf::from(std::env::var_os(ORIGINAL).expect("AMD's library"));
    let file = original.file_name().unwrap().to_str().unwrap();
    // `libamdhip64.so.5.2.21153-…` is `libamdhip64.so.5` inside.
    let old = &file[.."libamdhip64.so.5".len()];
    let top = folder(case).join(number.to_string());
    copy_as(&original, &top, name, Some((old, name))).unwrap()
}

/// A copy under a name that no list has.
fn wheel(case: &str, number: u32) -> PathBuf {
    copy(case, number, &format!("libwheel-{number}.so"))
}

/// Loads a library as Python loads a module's: for itself. Never closed.
fn load(file: &Path) -> &'static Library {
    // SAFETY: it is AMD's runtime.
    Box::leak(Box::new(unsafe { Library::new(file) }.unwrap()))
}

/// Makes a stream of this runtime, without the crate under test.
fn foreign_stream(runtime: &Library) -> RawStream<Hip> {
    type Create = unsafe extern "C" fn(*mut *mut c_void, u32) -> i32;
    let mut stream = std::ptr::null_mut();
    // SAFETY: that is the function's signature; `stream` is a valid out-pointer.
    unsafe {
        let create = runtime.get::<Create>("hipStreamCreateWithFlags").unwrap();
        assert_eq!(create(&mut stream, 1), 0);
    }
    RawStream::from_ptr(stream)
}

/// The library that is used.
fn used() -> PathBuf {
    Hip::probe().expect("a runtime").library.expect("the file").into()
}

#[track_caller]
fn expect_ambiguous<T>(answer: Result<T, HipError>, files: [&Path; 2]) {
    let error = answer.err().expect("two runtimes are refused");
    assert_eq!(error.kind(), ErrorKind::AmbiguousLibrary, "{error}");
    let text = error.to_string();
    for file in files {
        assert!(text.contains(file.to_str().unwrap()), "the text names {file:?}: {text}");
    }
    assert!(text.contains(LIBRARY), "{text}");
}

/// The ways in by a handle that each runtime has, or by none.
fn ways_in() -> Vec<Result<(), HipError>> {
    let device = Device::new(Hip::KIND, 0);
    // SAFETY: the default streams are always there.
    let wrap = |raw, device| unsafe { Hip::stream_from_raw(raw, device) }.map(drop);
    vec![
        wrap(RawStream::DEFAULT, None),
        wrap(RawStream::DEFAULT, Some(device)),
        wrap(RawStream::LEGACY, None),
        // SAFETY: as above.
        unsafe { Hip::stream_from_raw_unchecked(RawStream::DEFAULT, device) }.map(drop),
        Hip::default_stream(device).map(drop),
        Hip::per_thread_stream(device).map(drop),
    ]
}

fn expect_used(file: &Path) {
    let runtime = load(file);
    assert_eq!(used(), file);
    let raw = foreign_stream(runtime);
    // SAFETY: the stream is never destroyed.
    let stream = unsafe { Hip::stream_from_raw(raw, None) }.unwrap();
    assert!(stream.query().unwrap());
    assert!(ways_in().iter().all(Result::is_ok));
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

fn two_runtimes_are_refused_by_name() {
    let [first, second] = [1, 2].map(|number| wheel("two_runtimes_are_refused_by_name", number));
    load(&first);
    load(&second);
    expect_ambiguous(Hip::probe(), [&first, &second]);
    let device = Device::new(Hip::KIND, 0);
    expect_ambiguous(Hip::new_stream(device, StreamOptions::new()), [&first, &second]);
    for answer in ways_in() {
        expect_ambiguous(answer, [&first, &second]);
    }
}

fn variable_decides_between_two() {
    let [first, second] = [1, 2].map(|number| wheel("variable_decides_between_two", number));
    load(&first);
    // SAFETY: no other thread reads the environment.
    unsafe { std::env::set_var(LIBRARY, &second) };
    expect_used(&second);
}

fn second_runtime_that_comes_later_is_noticed() {
    let case = "second_runtime_that_comes_later_is_noticed";
    let [first, second] = [1, 2].map(|number| wheel(case, number));
    expect_used(&first);
    let device = Hip::device(0).unwrap();
    let before = Hip::default_stream(device).unwrap();
    load(&second);
    for _ in 0..2 {
        for answer in ways_in() {
            expect_ambiguous(answer, [&first, &second]);
        }
    }
    // What was told apart goes on.
    let ours = Hip::new_stream(device, StreamOptions::new()).unwrap();
    ours.wait_stream(&before).unwrap();
    // SAFETY: `ours` outlives the wrapper.
    unsafe { Hip::stream_from_raw(ours.raw(), None) }.unwrap().query().unwrap();
}

fn handle_of_the_second_runtime_is_told() {
    let case = "handle_of_the_second_runtime_is_told";
    let [first, second] = [1, 2].map(|number| wheel(case, number));
    expect_used(&first);
    let raw = foreign_stream(load(&second));
    let is_new = Hip::probe().unwrap().version.starts_with(['7', '8']);
    if is_new {
        eprintln!("from HIP 7 on, the runtime follows a handle that is not its own");
        std::process::exit(SKIPPED);
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
