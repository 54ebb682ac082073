//! Processes that have loaded a HIP runtime under any name, or two of them. The runtimes are copies of AMD's,
//! over the simulated GPU.

mod support;

use std::ffi::c_void;
use std::path::PathBuf;
use std::process::ExitCode;

use gpu_stream_core::{Backend, ErrorKind, RawStream, Stream};
use gpu_stream_hip::Hip;
use gpu_stream_test_support::shared::one_runtime::{
    self, Libraries, copy, expect_ambiguous, expect_used, load, wheel,
};
use gpu_stream_test_support::{cases, expect_kind, skip};
use libloading::Library;
use support::{OnHip, layer};

/// The variable that passes the path of AMD's library to a child process.
const ORIGINAL: &str = "GPU_STREAM_ONE_RUNTIME";

impl Libraries for OnHip {
    const KNOWN_BY: [&'static str; 2] = ["hipStreamQuery", "hipSetDevice"];

    fn original() -> Result<(PathBuf, String), String> {
        let path = std::env::var_os(ORIGINAL).map(PathBuf::from).map_or_else(find, Ok)?;
        // The soname of `libamdhip64.so.5.2.21153-…` is `libamdhip64.so.5`.
        let name =
            path.file_name().and_then(|name| name.to_str()).ok_or("a name that is no text")?;
        let soname = name[.."libamdhip64.so.5".len()].to_owned();
        Ok((path, soname))
    }

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
}

/// Returns the path of AMD's library, which has one of its usual names.
fn find() -> Result<PathBuf, String> {
    if !cfg!(target_os = "linux") {
        return Err("the objects of a process are listed on Linux only".into());
    }
    // SAFETY: the library is AMD's runtime, and this process does not call it.
    let loads = |name: &&str| unsafe { Library::new(*name) }.map(std::mem::forget).is_ok();
    layer::NAMES.iter().find(|name| loads(name)).ok_or("there is no libamdhip64")?;
    let maps = std::fs::read_to_string("/proc/self/maps").map_err(|error| error.to_string())?;
    let line = maps.lines().find(|line| line.contains("libamdhip64"));
    let path = line.and_then(|line| line.get(line.find('/')?..));
    path.map(PathBuf::from).ok_or_else(|| "the library's file is unknown".into())
}

fn main() -> ExitCode {
    let more: [support::Case; 3] = cases![
        runtime_of_a_newer_name_is_used,
        handle_of_the_second_runtime_is_rejected,
        reset_beside_a_second_runtime_is_noticed
    ];
    one_runtime::main::<OnHip>(&more, |_| {
        vec![(ORIGINAL, OnHip::original().expect("AMD's library").0)]
    })
}

fn runtime_of_a_newer_name_is_used() {
    let name = "libamdhip64.so.9";
    expect_used::<OnHip>(&copy::<OnHip>("runtime_of_a_newer_name_is_used", 1, name));
}

fn handle_of_the_second_runtime_is_rejected() {
    let case = "handle_of_the_second_runtime_is_rejected";
    let [first, second] = [1, 2].map(|number| wheel::<OnHip>(case, number));
    expect_used::<OnHip>(&first);
    let raw = OnHip::foreign_stream(load(&second));
    if Hip::probe().unwrap().version.starts_with(['7', '8']) {
        skip("from HIP 7 on, the runtime follows a handle that is not its own");
    }
    // SAFETY: the stream is never destroyed.
    let wrapped = unsafe { Hip::stream_from_raw(raw, None) };
    expect_ambiguous::<OnHip, _, _>(wrapped, [&first, &second]);
}

/// HIP 7 follows the handle of a stream that a reset has destroyed. A second runtime does not hide that.
fn reset_beside_a_second_runtime_is_noticed() {
    let case = "reset_beside_a_second_runtime_is_noticed";
    let [first, second] = [1, 2].map(|number| wheel::<OnHip>(case, number));
    expect_used::<OnHip>(&first);
    let own = support::own_stream();
    own.synchronize().unwrap();
    // SAFETY: this is the function's signature.
    unsafe {
        let reset = load(&first).get::<unsafe extern "C" fn() -> i32>("hipDeviceReset").unwrap();
        assert_eq!(reset(), 0);
    }
    load(&second);
    expect_kind("query", own.query(), ErrorKind::ContextDestroyed);
    // The code of 5.2 does not tell whether the handle is of the other runtime.
    if !Hip::probe().unwrap().version.starts_with("5.2.") {
        expect_kind("capture_status", own.capture_status(), ErrorKind::ContextDestroyed);
    }
}
