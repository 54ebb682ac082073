//! Machines without the runtime, with another library of its name, with a runtime that is too old, and
//! without a device. Each case is a process of its own, because a runtime that has started is kept.

#[path = "support/fake.rs"]
#[allow(dead_code, reason = "this test needs only part of it")]
mod fake;

use std::process::ExitCode;

use gpu_stream_core::{
    Backend, Device, Error, ErrorKind, EventOptions, KeepAlive, RawStream, Stream, StreamOptions,
};
use gpu_stream_hip::{Hip, HipError};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

const LIBRARY: &str = "GPU_STREAM_HIP_LIBRARY";

fn main() -> ExitCode {
    match std::env::var("GPU_STREAM_HIP_CHILD").as_deref() {
        Ok("everything") => return every_call(),
        Ok("optional") => return optional(),
        Ok("present") => return present(),
        Ok("not_supported") => return not_supported(),
        _ => {}
    }
    type Case = fn() -> Result<Completion, Failed>;
    let cases: [(&str, Case); 8] = [
        ("no_library", no_library),
        ("wrong_name_in_the_variable", wrong_name_in_the_variable),
        ("another_library_under_the_name", another_library_under_the_name),
        ("old_runtime_is_rejected", old_runtime_is_rejected),
        ("no_device", no_device),
        ("loaded_runtime_is_used", loaded_runtime_is_used),
        ("optional_function_is_missing", optional_function_is_missing),
        ("optional_function_is_not_supported", optional_function_is_not_supported),
    ];
    let trials = cases.map(|(name, case)| Trial::ignorable_test(name, case));
    // Two cases compile the same library, so they run one after the other.
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}

/// Makes every call that starts the runtime. All must return the same error, and none may panic. Prints
/// the kind and the text.
fn every_call() -> ExitCode {
    if Hip::probe().is_ok() {
        // A runtime would follow the handle below.
        println!("Works");
        return ExitCode::SUCCESS;
    }
    let device = Device::new(Hip::KIND, 0);
    let raw = RawStream::from_bits(0x7f00_1000);
    // SAFETY: without a runtime, no handle is used.
    let wrapped = unsafe {
        [
            Hip::stream_from_raw(raw, None).err(),
            Hip::stream_from_raw(raw, Some(device)).err(),
            Hip::stream_from_raw(RawStream::DEFAULT, None).err(),
            Hip::stream_from_raw_unchecked(raw, device).err(),
            Hip::stream_from_raw_with_owner(RawStream::LEGACY, None, KeepAlive::none()).err(),
        ]
    };
    let others = [
        Hip::probe().err(),
        Hip::devices().err(),
        Hip::device(0).err(),
        Hip::default_stream(device).err(),
        Hip::per_thread_stream(device).err(),
        Hip::new_stream(device, StreamOptions::new()).err(),
        Hip::new_event(device, EventOptions::new()).err(),
        Hip::priority_range(device).err(),
        // SAFETY: without a runtime, no handle is used.
        unsafe { gpu_stream_hip::ipc::IpcEventHandle::from_bytes([0; 64]).open(device) }.err(),
    ];
    let errors: Vec<HipError> = wrapped.into_iter().chain(others).flatten().collect();
    assert_eq!(errors.len(), 14, "some calls worked: {errors:?}");
    for error in &errors {
        assert_eq!((error.kind(), error.to_string()), (errors[0].kind(), errors[0].to_string()));
    }
    println!("{}\n{}", errors[0].kind(), errors[0]);
    ExitCode::SUCCESS
}

/// Returns the kind and the text that every call reports with these variables.
fn reported(variables: &[(&str, &str)]) -> Result<(String, String), Failed> {
    let output = fake::rerun("everything", variables);
    if !output.status.success() {
        return Err(format!("the child failed: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (kind, text) = text.split_once('\n').unwrap_or((&text, ""));
    Ok((kind.into(), text.trim().into()))
}

/// Checks the kind of an error, and that its text contains all `parts`.
fn expect(
    (reported_kind, text): (String, String),
    kind: ErrorKind,
    parts: &[&str],
) -> Result<Completion, Failed> {
    if reported_kind != kind.to_string() {
        return Err(format!("the kind is {reported_kind} and should be {kind}: {text}").into());
    }
    match parts.iter().find(|part| !text.contains(*part)) {
        Some(part) => Err(format!("the text should name {part}: {text}").into()),
        None => Ok(Completion::Completed),
    }
}

fn no_library() -> Result<Completion, Failed> {
    let reported = reported(&[(LIBRARY, "")])?;
    if reported.0 != ErrorKind::LibraryNotFound.to_string() {
        return Ok(Completion::ignored_with("this machine has a HIP runtime"));
    }
    let newest = if cfg!(windows) { "amdhip64_7.dll" } else { "libamdhip64.so.7" };
    let parts = [newest, "the HIP runtime's library was not found", "name the library in", LIBRARY];
    expect(reported, ErrorKind::LibraryNotFound, &parts)
}

fn wrong_name_in_the_variable() -> Result<Completion, Failed> {
    let name = "/nowhere/libamdhip64-of-nobody.so";
    expect(
        reported(&[(LIBRARY, name)])?,
        ErrorKind::LibraryNotFound,
        &[name, LIBRARY, "no other was tried"],
    )
}

fn another_library_under_the_name() -> Result<Completion, Failed> {
    if !cfg!(target_os = "linux") {
        return Ok(Completion::ignored_with("this case knows another library on Linux only"));
    }
    let name = "libm.so.6";
    expect(
        reported(&[(LIBRARY, name)])?,
        ErrorKind::SymbolNotFound,
        &[name, "hipRuntimeGetVersion"],
    )
}

/// Compiles the fake library, or skips the case with the reason.
macro_rules! fake_library {
    () => {
        match fake::compile(false) {
            Ok(library) => {
                library.to_str().ok_or("the library's path is not valid UTF-8")?.to_owned()
            }
            Err(reason) => return Ok(Completion::ignored_with(reason)),
        }
    };
}

fn old_runtime_is_rejected() -> Result<Completion, Failed> {
    let library = fake_library!();
    let reported = reported(&[(LIBRARY, &library), ("FAKE_HIP_VERSION", "40421401")])?;
    expect(reported, ErrorKind::DriverTooOld, &[&library, "4.4.21401", "5.2.0"])
}

/// Both codes that runtimes return without a device, and a count of 0.
fn no_device() -> Result<Completion, Failed> {
    let library = fake_library!();
    for code in ["0", "100", "101"] {
        let variables =
            [(LIBRARY, &*library), ("FAKE_HIP_DEVICES", "0"), ("FAKE_HIP_NO_DEVICE", code)];
        let parts = [&*library, "7.2.53211", "HIP_VISIBLE_DEVICES"];
        expect(reported(&variables)?, ErrorKind::NoDevice, &parts)?;
    }
    Ok(Completion::Completed)
}

/// A library that the process has already loaded, from any path, is used.
fn loaded_runtime_is_used() -> Result<Completion, Failed> {
    if !cfg!(target_os = "linux") {
        return Ok(Completion::ignored_with("loaded libraries are listed on Linux only"));
    }
    let library = fake_library!();
    fake::completion(&fake::rerun("present", &[("FAKE_HIP_PRESENT", &library), (LIBRARY, "")]))
}

fn present() -> ExitCode {
    let name = std::env::var_os("FAKE_HIP_PRESENT").expect("the library's name");
    // SAFETY: the library is ours, and has no initializers.
    std::mem::forget(unsafe { libloading::Library::new(&name) }.expect("the fake"));
    let info = Hip::probe().expect("the fake is used");
    assert_eq!(info.devices[0].name, "Fake");
    let found = info.details.iter().find(|(name, _)| *name == "file").expect("the file");
    assert_eq!(std::ffi::OsString::from(&found.1), name);
    ExitCode::SUCCESS
}

/// A runtime may lack optional functions. All other calls work, and a call that needs a missing function
/// names the version that has it.
fn optional_function_is_missing() -> Result<Completion, Failed> {
    fake::in_child("optional", &fake::compile(true), &[("FAKE_HIP_VERSION", "50221153")])
}

fn optional() -> ExitCode {
    let device = Hip::device(0).expect("device 0");
    let stream = Hip::new_stream(device, StreamOptions::new()).expect("new_stream");
    let error = stream.id().expect_err("there is no hipStreamGetId");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let text = error.to_string();
    assert!(text.contains("hipStreamGetId") && text.contains("7.2"), "{text}");
    let options = EventOptions::builder().interprocess(true).build().expect("options");
    let error = Hip::new_event(device, options).expect_err("before HIP 7.2");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    stream.launch_host_func(Box::new(|| ())).expect("falls back to the older call");
    stream.record_event().expect("record_event");
    stream.synchronize().expect("synchronize");
    ExitCode::SUCCESS
}

/// A function that exists but returns "not supported" counts as missing, if the backend can do without
/// it.
fn optional_function_is_not_supported() -> Result<Completion, Failed> {
    // A version whose calls need the capture mode.
    fake::in_child("not_supported", &fake::compile(false), &[("FAKE_HIP_VERSION", "70300000")])
}

fn not_supported() -> ExitCode {
    const NOT_SUPPORTED: i32 = 801;
    let fake = fake::Fake::open();
    let device = Hip::device(0).expect("device 0");
    let stream = Hip::new_stream(device, StreamOptions::new()).expect("new_stream");
    let lacking = |function: &str| {
        let info = Hip::probe().expect("it works");
        info.details.iter().any(|(name, text)| *name == "not supported" && text.contains(function))
    };

    fake.fail("hipStreamGetDevice", NOT_SUPPORTED);
    assert!(lacking("hipStreamGetDevice"));
    for given in [None, Some(device)] {
        // SAFETY: `stream` outlives the wrapper.
        let wrapped = unsafe { Hip::stream_from_raw(stream.raw(), given) }.expect("wrapping");
        assert_eq!(wrapped.device(), device);
    }

    fake.fail("hipThreadExchangeStreamCaptureMode", NOT_SUPPORTED);
    assert!(lacking("hipThreadExchangeStreamCaptureMode"));
    Hip::new_stream(device, StreamOptions::new()).expect("new_stream");
    assert!(stream.query().expect("query"));

    fake.fail("hipLaunchHostFunc", NOT_SUPPORTED);
    let (send, receive) = std::sync::mpsc::channel();
    stream.launch_host_func(Box::new(move || send.send(()).unwrap())).expect("the older call");
    receive.recv().expect("the closure ran");
    assert!(receive.recv().is_err(), "the closure was dropped");

    fake.work();
    assert!(!lacking("hip"));
    ExitCode::SUCCESS
}
