//! Conversions from and to cubecl-hip-sys, whose functions run in the same runtime.

mod support;

use std::ffi::c_void;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cubecl_hip_sys as theirs;
use gpu_stream_core::{Backend, ErrorKind, Event, RawEvent, RawStream, Stream};
use gpu_stream_hip::{Hip, HipEvent, HipStream};
use gpu_stream_test_support::{Vendor, cases};
use support::{OnHip, device, expect_kind, need_two_devices, own_stream};

fn main() -> ExitCode {
    support::prepare();
    if let Ok(Some(library)) = Hip::probe().map(|info| info.library) {
        show_library(Path::new(&library));
    }
    support::main(&cases![
        both_use_one_runtime,
        stream_converts_both_ways,
        event_converts_both_ways,
        plain_pointers_convert_both_ways,
        their_stream_waits_for_ours,
        wrong_device_is_rejected
    ])
}

/// Makes cubecl-hip-sys find the runtime that the backend has loaded: it searches for names without a version.
fn show_library(loaded: &Path) {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("interop_cubecl-{}", std::process::id()));
    let library = folder.join("lib");
    std::fs::create_dir_all(&library).expect("a folder");
    // HIP 5.2 has the functions of hiprtc in the library itself. This test calls none of them.
    for name in ["libamdhip64.so", "libhiprtc.so"] {
        #[cfg(unix)]
        std::os::unix::fs::symlink(loaded, library.join(name)).expect("a link");
        #[cfg(not(unix))]
        std::fs::copy(loaded, library.join(name)).expect("a copy");
    }
    // SAFETY: the process has one thread that reads the environment: no case has started.
    unsafe { std::env::set_var("ROCM_PATH", &folder) };
    assert!(theirs::is_available(), "cubecl-hip-sys does not find {}", loaded.display());
    std::fs::remove_dir_all(folder).expect("the folder is removed");
}

/// Calls a function of cubecl-hip-sys and asserts success.
macro_rules! call {
    ($name:ident($($argument:expr),* $(,)?)) => {{
        // SAFETY: the handles are live, and each out-pointer is a local variable.
        let code = unsafe { theirs::$name($($argument),*) };
        assert_eq!(code, theirs::HIP_SUCCESS, stringify!($name));
    }};
}

fn new_stream() -> theirs::hipStream_t {
    let mut stream = std::ptr::null_mut();
    call!(hipStreamCreateWithFlags(&mut stream, theirs::hipStreamNonBlocking));
    stream
}

fn both_use_one_runtime() {
    let mut version = 0;
    call!(hipRuntimeGetVersion(&mut version));
    let (major, minor, patch) = (version / 10_000_000, version / 100_000 % 100, version % 100_000);
    assert_eq!(Hip::probe().unwrap().version, format!("{major}.{minor}.{patch}"));
    // Each runtime has an object of its own for a stream, and knows no other.
    call!(hipStreamQuery(own_stream().to_cubecl_hip_sys()));
}

fn stream_converts_both_ways() {
    let created = new_stream();
    // SAFETY: the stream is destroyed after the wrapper is dropped.
    let ours = unsafe { HipStream::from_cubecl_hip_sys(created, None) }.unwrap();
    assert_eq!(ours.to_cubecl_hip_sys(), created);
    assert_eq!(ours.device(), device());
    ours.synchronize().unwrap();
    call!(hipStreamSynchronize(own_stream().to_cubecl_hip_sys()));
    drop(ours);
    call!(hipStreamDestroy(created));
}

fn event_converts_both_ways() {
    let stream = own_stream();
    let mut created = std::ptr::null_mut();
    call!(hipEventCreateWithFlags(&mut created, theirs::hipEventDisableTiming));
    // SAFETY: the event is destroyed after the wrapper is dropped.
    let event = unsafe { HipEvent::from_cubecl_hip_sys(created, Some(device())) }.unwrap();
    assert_eq!(event.to_cubecl_hip_sys(), created);
    let gate = OnHip::gate(stream.raw().as_ptr());
    call!(hipEventRecord(created, stream.to_cubecl_hip_sys()));
    assert!(!event.query().unwrap(), "their record is behind the gate");
    OnHip::open(&gate);
    event.synchronize().unwrap();
    drop(event);
    call!(hipEventDestroy(created));
}

fn plain_pointers_convert_both_ways() {
    let pointer: *mut c_void = new_stream().cast();
    // SAFETY: the stream is destroyed after the wrapper is dropped.
    let stream = unsafe { Hip::stream_from_raw(RawStream::from_ptr(pointer), None) }.unwrap();
    let own = stream.record_event().unwrap();
    // SAFETY: `own` is dropped after the wrapper.
    let event =
        unsafe { Hip::event_from_raw(RawEvent::from_ptr(own.raw().as_ptr()), Some(device())) };
    event.unwrap().synchronize().unwrap();
    assert_eq!(stream.raw().as_ptr(), pointer);
    drop((stream, own));
    call!(hipStreamDestroy(pointer.cast()));
}

fn their_stream_waits_for_ours() {
    let (created, ours) = (new_stream(), own_stream());
    // SAFETY: the stream is destroyed after the wrapper is dropped.
    let theirs = unsafe { HipStream::from_cubecl_hip_sys(created, None) }.unwrap();
    let gate = OnHip::gate(ours.raw().as_ptr());
    // SAFETY: the stream is live.
    let status = unsafe { theirs::hipStreamQuery(created) };
    assert_eq!(status, theirs::HIP_SUCCESS, "nothing orders the streams so far");
    theirs.wait_stream(&ours).unwrap();
    // SAFETY: the stream is live.
    let status = unsafe { theirs::hipStreamQuery(created) };
    assert_eq!(status, theirs::hipError_t_hipErrorNotReady, "it waits for the gate");
    OnHip::open(&gate);
    call!(hipStreamSynchronize(created));
    drop(theirs);
    call!(hipStreamDestroy(created));
}

fn wrong_device_is_rejected() {
    need_two_devices();
    let own = own_stream();
    let second = Hip::device(1).unwrap();
    // SAFETY: the device is rejected before the stream is used.
    let wrapped = unsafe { HipStream::from_cubecl_hip_sys(own.to_cubecl_hip_sys(), Some(second)) };
    expect_kind("a wrong device", wrapped, ErrorKind::DeviceMismatch);
}
