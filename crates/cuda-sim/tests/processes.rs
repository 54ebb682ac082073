//! Misuse that aborts the process, and the environment variables. Each part runs in a process of
//! its own.
#![cfg(target_os = "linux")]

mod support;

use std::ffi::c_int;
use std::os::unix::process::ExitStatusExt;
use std::ptr::{null_mut, without_provenance_mut};

use support::{Context, driver, library, ok, run_child, started};

/// A misuse: its name, the code that commits it, and the message that the driver prints.
type Misuse = (&'static str, fn(&Context), &'static str);

// Each entry passes a bad handle on purpose. The simulator checks it and aborts the process.
const MISUSES: [Misuse; 10] = [
    (
        "query of a destroyed stream",
        |context| {
            let stream = context.stream(1);
            // SAFETY: the simulator checks the handle.
            unsafe { (driver().stream_destroy)(stream) };
            context.query(stream);
        },
        "cuStreamQuery: stream 0x",
    ),
    (
        "a stream destroyed twice",
        |context| {
            let stream = context.stream(1);
            // SAFETY: the simulator checks the handle.
            unsafe { (driver().stream_destroy)(stream) };
            // SAFETY: the simulator checks the handle, and aborts here.
            unsafe { (driver().stream_destroy)(stream) };
        },
        "cuStreamDestroy_v2: stream 0x",
    ),
    (
        "an event destroyed twice",
        |context| {
            let event = context.event();
            // SAFETY: the simulator checks the handle.
            unsafe { (driver().event_destroy)(event) };
            // SAFETY: the simulator checks the handle, and aborts here.
            unsafe { (driver().event_destroy)(event) };
        },
        "cuEventDestroy_v2: event 0x",
    ),
    (
        "a wait for a destroyed event",
        |context| {
            let (event, stream) = (context.event(), context.stream(1));
            // SAFETY: the simulator checks the handle.
            unsafe { (driver().event_destroy)(event) };
            // SAFETY: the simulator checks the handle, and aborts here.
            unsafe { (driver().stream_wait_event)(stream, event, 0) };
        },
        "cuStreamWaitEvent: event 0x",
    ),
    (
        "a stream that never was",
        |context| {
            context.query(without_provenance_mut(0xdead_beef));
        },
        "cuStreamQuery: stream 0xdeadbeef was never made",
    ),
    (
        "a stream that may come to be",
        |context| {
            context.query(context.stream(1).wrapping_byte_add(0x100));
        },
        "was never made",
    ),
    (
        "a record of a stream",
        |context| {
            let stream = context.stream(1);
            // SAFETY: the simulator checks the handle, and aborts here.
            unsafe { (driver().event_record)(stream, stream) };
        },
        "cuEventRecord: event 0x20000000200 is a handle of a stream",
    ),
    (
        "a context that never was",
        |_| {
            // SAFETY: the simulator checks the handle, and aborts here.
            unsafe { (driver().ctx_set_current)(without_provenance_mut(8)) };
        },
        "cuCtxSetCurrent: context 0x8 was never made",
    ),
    (
        "a stream of a destroyed context",
        |context| {
            let stream = context.stream(1);
            // SAFETY: the simulator checks the handle.
            unsafe { (driver().ctx_destroy)(context.handle) };
            context.query(stream);
        },
        "was destroyed",
    ),
    (
        "a graph as an executable one",
        |context| {
            let (stream, mut graph) = (context.stream(1), null_mut());
            // SAFETY: the simulator checks every handle, and the out-pointer is valid.
            unsafe {
                ok((driver().begin_capture)(stream, 1));
                ok((driver().end_capture)(stream, &mut graph));
                (driver().graph_launch)(graph, stream);
            }
        },
        "cuGraphLaunch: executable graph 0x",
    ),
];

#[test]
fn bad_handle_aborts_and_is_named() {
    for (name, _, text) in MISUSES {
        for reuse in ["0", "1"] {
            let output = run_child(name, &[("CUDA_SIM_REUSE", reuse)]);
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.signal(), Some(libc_abort()), "{name}: {stderr}");
            let line = stderr.lines().find(|line| line.starts_with("cuda-sim: "));
            assert!(line.is_some_and(|line| line.contains(text)), "{name}: {stderr}");
        }
    }
    assert!(run_child("nothing wrong", &[]).status.success());
}

/// Returns the number of `SIGABRT`.
fn libc_abort() -> i32 {
    6
}

#[test]
fn handles_are_reused_only_on_request() {
    for (reuse, part) in [("0", "another handle"), ("1", "the same handle")] {
        let output = run_child(part, &[("CUDA_SIM_REUSE", reuse)]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn older_driver_versions_lack_newer_functions() {
    for version in ["10.2", "11.0", "11.3", "11.7", "12.0", "12.3", "12.4", "12.5", "12.8", "13.0"]
    {
        let output = run_child("what is there", &[("CUDA_SIM_VERSION", version)]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn hidden_functions_are_missing() {
    let output = run_child("two are hidden", &[("CUDA_SIM_HIDE", "cuStreamGetId,cuEventQuery")]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for (variable, value) in
        [("CUDA_SIM_HIDE", "cuNothing"), ("CUDA_SIM_GPUS", "17"), ("CUDA_SIM_VERSION", "new")]
    {
        let output = run_child("nothing wrong", &[(variable, value)]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), Some(libc_abort()), "{stderr}");
        assert!(stderr.contains(variable) && stderr.contains(value), "{stderr}");
    }
}

fn is_there(name: &str) -> bool {
    // SAFETY: the type is not relied on, because the function is not called.
    unsafe { library().get::<unsafe extern "C" fn()>(name) }.is_ok()
}

fn what_is_there() {
    let expected = std::env::var("CUDA_SIM_VERSION").unwrap();
    let (major, minor) = expected.split_once('.').unwrap();
    let expected = major.parse::<c_int>().unwrap() * 1000 + minor.parse::<c_int>().unwrap() * 10;
    type Version = unsafe extern "C" fn(*mut c_int) -> c_int;
    let mut version = 0;
    // SAFETY: the driver declares the function with this type, and `&mut version` is a valid
    // out-pointer.
    ok(unsafe { library().get::<Version>("cuDriverGetVersion").unwrap()(&mut version) });
    assert_eq!(version, expected);
    for (name, since) in [
        ("cuStreamQuery", 0),
        ("cuStreamGetCtx", 0),
        ("cuEventElapsedTime", 0),
        ("cuStreamGetCaptureInfo_v2", 11_030),
        ("cuStreamWaitValue32_v2", 11_070),
        ("cuStreamGetId", 12_000),
        ("cuGraphInstantiateWithParams", 12_000),
        ("cuStreamGetCaptureInfo_v3", 12_030),
        ("cuGreenCtxCreate", 12_040),
        ("cuStreamGetGreenCtx", 12_040),
        ("cuGreenCtxStreamCreate", 12_050),
        ("cuStreamGetCtx_v2", 12_050),
        ("cuEventElapsedTime_v2", 12_080),
    ] {
        assert_eq!(is_there(name), version >= since, "{name} in {version}");
    }
}

fn handles(again: bool) {
    let context = Context::new(0);
    let (stream, event) = (context.stream(1), context.event());
    // SAFETY: neither handle is used afterwards.
    unsafe {
        ok((started().stream_destroy)(stream));
        ok((started().event_destroy)(event));
    }
    assert_eq!(context.stream(1) == stream, again);
    assert_eq!(context.event() == event, again);
}

/// Runs the parts that need a process of their own.
#[test]
fn child() {
    let Some(part) = support::child() else { return };
    match part.as_str() {
        "another handle" => handles(false),
        "the same handle" => handles(true),
        "what is there" => what_is_there(),
        "two are hidden" => {
            assert!(!is_there("cuStreamGetId") && !is_there("cuEventQuery"));
            assert!(is_there("cuStreamQuery") && is_there("cuStreamGetPriority"));
        }
        "nothing wrong" => assert_eq!(Context::new(0).query(null_mut()), 0),
        misuse => {
            let context = Context::new(0);
            let (_, part, _) = MISUSES.iter().find(|(name, ..)| *name == misuse).expect("a part");
            part(&context);
        }
    }
}
