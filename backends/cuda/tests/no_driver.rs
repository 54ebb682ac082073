//! Machines without a driver, with another library of its name, with a driver that is too old, and without
//! a device. Each runs in a process of its own, because a started driver is kept.

#[path = "support/fake.rs"]
#[allow(dead_code, reason = "this test needs no more of it")]
mod fake;

use std::process::ExitCode;

use gpu_stream_core::{
    Backend, Device, Error, ErrorKind, EventOptions, KeepAlive, RawStream, Stream, StreamOptions,
};
use gpu_stream_cuda::{Cuda, CudaError};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

const LIBRARY: &str = "GPU_STREAM_CUDA_LIBRARY";

fn main() -> ExitCode {
    match std::env::var("GPU_STREAM_CUDA_CHILD").as_deref() {
        Ok("everything") => return every_call(),
        Ok("optional") => return optional(),
        _ => {}
    }
    type Case = fn() -> Result<Completion, Failed>;
    let cases: [(&str, Case); 6] = [
        ("no_library", no_library),
        ("wrong_name_in_the_variable", wrong_name_in_the_variable),
        ("another_library_under_the_name", another_library_under_the_name),
        ("too_old", too_old),
        ("no_device", no_device),
        ("missing_function_is_named", missing_function_is_named),
    ];
    let trials = cases.map(|(name, case)| Trial::ignorable_test(name, case));
    // Two cases compile the same library.
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}

/// Makes every call: each returns the same error, and none panics. Prints the kind and the text.
fn every_call() -> ExitCode {
    if Cuda::probe().is_ok() {
        // With a driver the call would use the handle below.
        println!("Works");
        return ExitCode::SUCCESS;
    }
    let device = Device::new(Cuda::KIND, 0);
    let raw = RawStream::from_bits(0x7f00_1000);
    // SAFETY: without a driver no handle is used.
    let wrapped = unsafe {
        [
            Cuda::stream_from_raw(raw, None).err(),
            Cuda::stream_from_raw(raw, Some(device)).err(),
            Cuda::stream_from_raw(RawStream::DEFAULT, None).err(),
            Cuda::stream_from_raw_unchecked(raw, device).err(),
            Cuda::stream_from_raw_with_owner(RawStream::LEGACY, None, KeepAlive::none()).err(),
        ]
    };
    let others = [
        Cuda::probe().err(),
        Cuda::devices().err(),
        Cuda::device(0).err(),
        Cuda::default_stream(device).err(),
        Cuda::per_thread_stream(device).err(),
        Cuda::new_stream(device, StreamOptions::new()).err(),
        Cuda::new_event(device, EventOptions::new()).err(),
        Cuda::priority_range(device).err(),
        // SAFETY: without a driver no handle is used.
        unsafe { gpu_stream_cuda::ipc::IpcEventHandle::from_bytes([0; 64]).open(device) }.err(),
    ];
    let errors: Vec<CudaError> = wrapped.into_iter().chain(others).flatten().collect();
    assert_eq!(errors.len(), 14, "some calls worked: {errors:?}");
    for error in &errors {
        assert_eq!((error.kind(), error.to_string()), (errors[0].kind(), errors[0].to_string()));
    }
    println!("{}\n{}", errors[0].kind(), errors[0]);
    ExitCode::SUCCESS
}

/// Returns what every call returns with these variables: the kind, and the text.
fn seen(variables: &[(&str, &str)]) -> Result<(String, String), Failed> {
    let output = fake::rerun("everything", variables);
    if !output.status.success() {
        return Err(format!("the child failed: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (kind, text) = text.split_once('\n').unwrap_or((&text, ""));
    Ok((kind.into(), text.trim().into()))
}

fn expect(seen: (String, String), kind: ErrorKind, parts: &[&str]) -> Result<Completion, Failed> {
    let (seen_kind, text) = seen;
    if seen_kind != kind.to_string() {
        return Err(format!("the kind is {seen_kind} and should be {kind}: {text}").into());
    }
    match parts.iter().find(|part| !text.contains(*part)) {
        Some(part) => Err(format!("the text should name {part}: {text}").into()),
        None => Ok(Completion::Completed),
    }
}

fn no_library() -> Result<Completion, Failed> {
    let seen = seen(&[(LIBRARY, "")])?;
    if seen.0 != ErrorKind::LibraryNotFound.to_string() {
        return Ok(Completion::ignored_with("this machine has a CUDA driver"));
    }
    let names = if cfg!(windows) { ["nvcuda.dll", LIBRARY] } else { ["libcuda.so.1", LIBRARY] };
    expect(seen, ErrorKind::LibraryNotFound, &names)
}

fn wrong_name_in_the_variable() -> Result<Completion, Failed> {
    let name = "/nowhere/libcuda-that-does-not-exist.so";
    expect(
        seen(&[(LIBRARY, name)])?,
        ErrorKind::LibraryNotFound,
        &[name, LIBRARY, "no other was tried"],
    )
}

fn another_library_under_the_name() -> Result<Completion, Failed> {
    if !cfg!(target_os = "linux") {
        return Ok(Completion::ignored_with("the name of another library is known on Linux only"));
    }
    let name = "libm.so.6";
    expect(seen(&[(LIBRARY, name)])?, ErrorKind::SymbolNotFound, &[name, "cuDriverGetVersion"])
}

/// Returns the fake library, or the reason to skip.
macro_rules! fake_library {
    ($old:expr) => {
        match fake::compile($old) {
            Ok(library) => library.to_str().ok_or("the path is no text")?.to_owned(),
            Err(reason) => return Ok(Completion::ignored_with(reason)),
        }
    };
}

fn too_old() -> Result<Completion, Failed> {
    let library = fake_library!(false);
    let seen = seen(&[(LIBRARY, &library), ("FAKE_CUDA_VERSION", "10020")])?;
    expect(seen, ErrorKind::DriverTooOld, &[&library, "10.2", "11.0"])
}

fn no_device() -> Result<Completion, Failed> {
    let library = fake_library!(false);
    let seen = seen(&[(LIBRARY, &library), ("FAKE_CUDA_DEVICES", "0")])?;
    expect(seen, ErrorKind::NoDevice, &[&library, "13.0", "CUDA_VISIBLE_DEVICES"])
}

/// Over a driver without the optional functions, the calls that need one name the first version that has
/// it. All other calls work.
fn missing_function_is_named() -> Result<Completion, Failed> {
    let library = fake_library!(true);
    let output = fake::rerun("optional", &[(LIBRARY, &library), ("FAKE_CUDA_VERSION", "11000")]);
    if output.status.success() {
        return Ok(Completion::Completed);
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned().into())
}

fn optional() -> ExitCode {
    let device = Cuda::device(0).expect("device 0");
    let stream = Cuda::new_stream(device, StreamOptions::new()).expect("new_stream");
    let error = stream.id().expect_err("there is no cuStreamGetId");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let text = error.to_string();
    assert!(text.contains("cuStreamGetId") && text.contains("12.0"), "{text}");
    let options = EventOptions::builder().interprocess(true).build().expect("options");
    let event = Cuda::new_event(device, options).expect("new_event");
    let error = event.ipc_handle().expect_err("there is no cuIpcGetEventHandle");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    stream.launch_host_func(Box::new(|| ())).expect("a host function needs no id");
    stream.record_event().expect("record_event");
    stream.synchronize().expect("synchronize");
    ExitCode::SUCCESS
}
