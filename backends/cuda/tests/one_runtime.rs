//! Processes that have loaded a CUDA driver under any name, two drivers, or a stub. The drivers are copies of
//! the simulated one.

mod support;

use std::ffi::c_void;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use gpu_stream_core::{Backend, Device, ErrorKind, RawStream};
use gpu_stream_cuda::Cuda;
use gpu_stream_faults::copy_as;
use gpu_stream_test_support::shared::one_runtime::{
    self, Libraries, expect_ambiguous, expect_used, folder, load, wheel, wrap_default_streams,
};
use gpu_stream_test_support::{Vendor, expect_kind};
use libloading::Library;
use support::OnCuda;

impl Libraries for OnCuda {
    const KNOWN_BY: [&'static str; 2] = ["cuStreamQuery", "cuCtxGetCurrent"];

    fn original() -> Result<(PathBuf, String), String> {
        if !cfg!(target_os = "linux") {
            return Err("the objects of a process are listed on Linux only".into());
        }
        Ok((cuda_sim::library()?, "libcuda.so.1".into()))
    }

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
}

fn main() -> ExitCode {
    let more: [support::Case; 4] = [
        ("second_driver_that_is_unloaded_is_forgotten", second_driver_that_is_unloaded),
        ("front_of_the_driver_counts_as_the_same", front_of_the_driver_counts_as_the_same),
        ("stub_is_skipped", stub_is_skipped),
        ("stub_is_named", stub_is_named),
    ];
    // A stub comes first in the search path, and only conda's folder has the driver.
    one_runtime::main::<OnCuda>(&more, |case| {
        if case != "stub_is_skipped" {
            return Vec::new();
        }
        let folder = folder::<OnCuda>(case);
        stub(&folder.join("stub"));
        let (driver, _) = OnCuda::original().expect("the simulated driver");
        copy_as(&driver, &folder.join("conda/lib"), "libcuda.so.1", None).expect("a copy");
        let paths = [("LD_LIBRARY_PATH", "stub"), ("CONDA_PREFIX", "conda")];
        paths.map(|(variable, name)| (variable, folder.join(name))).into()
    })
}

#[track_caller]
fn expect_default_streams() {
    assert!(wrap_default_streams::<Cuda>().iter().all(Result::is_ok));
}

fn second_driver_that_is_unloaded() {
    let case = "second_driver_that_is_unloaded_is_forgotten";
    let first = wheel::<OnCuda>(case, 1);
    expect_used::<OnCuda>(&first);
    // The library has no thread-local state, so the C library does unload it.
    let second = compile(&folder::<OnCuda>(case), "second", &functions_that_answer(0));
    // SAFETY: the library's initializers do no harm.
    let other = unsafe { Library::new(&second) }.unwrap();
    let wrapped = Cuda::default_stream(Device::new(Cuda::KIND, 0));
    expect_ambiguous::<OnCuda, _, _>(wrapped, [&first, &second]);
    other.close().unwrap();
    assert!(!std::fs::read_to_string("/proc/self/maps").unwrap().contains("second.so"));
    expect_default_streams();
}

fn front_of_the_driver_counts_as_the_same() {
    let case = "front_of_the_driver_counts_as_the_same";
    let file = wheel::<OnCuda>(case, 1);
    load(&file);
    load(&compile(&folder::<OnCuda>(case), "front", &front_source(&file)));
    expect_default_streams();
    // The comparison leaves the thread's state unchanged.
    type Exchange = unsafe extern "C" fn(*mut i32) -> i32;
    let mut mode = 0;
    // SAFETY: `exchange` has this signature, and `&mut mode` is a valid pointer to a valid mode.
    unsafe {
        let exchange = load(&file).get::<Exchange>("cuThreadExchangeStreamCaptureMode").unwrap();
        assert_eq!((exchange(&mut mode), mode), (0, 0));
    }
    expect_used::<OnCuda>(&file);
}

/// `LD_LIBRARY_PATH` has the stub under the driver's names, and conda's folder has the driver.
fn stub_is_skipped() {
    let driver = folder::<OnCuda>("stub_is_skipped").join("conda/lib/libcuda.so.1");
    assert_eq!(Cuda::probe().expect("a driver").library, Some(driver.display().to_string()));
    expect_default_streams();
}

fn stub_is_named() {
    let file = stub(&folder::<OnCuda>("stub_is_named"));
    // A stub beside the driver that the process has loaded.
    load(&file);
    // SAFETY: no other thread is running.
    unsafe { std::env::set_var(OnCuda::LIBRARY, &file) };
    let text = expect_kind("probe of a stub", Cuda::probe(), ErrorKind::LibraryNotFound);
    assert!(text.contains(file.to_str().unwrap()) && text.contains("stub"), "{text}");
    // The failure is not kept: the variable is removed, and the driver is found.
    let driver = wheel::<OnCuda>("stub_is_named", 1);
    load(&driver);
    // SAFETY: no other thread is running.
    unsafe { std::env::remove_var(OnCuda::LIBRARY) };
    expect_used::<OnCuda>(&driver);
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
