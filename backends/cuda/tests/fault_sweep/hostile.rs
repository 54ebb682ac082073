//! Missing functions, old versions, a driver that does not start, calls that block, reused handles. A
//! process loads one driver, so most cases run in a process of their own.

use std::process::Command;

use gpu_stream_core::{Backend, Error, ErrorKind, Event, EventOptions, Stream};
use gpu_stream_cuda::Cuda;
use gpu_stream_faults::sweep::hostile::{Held, basics, reused_handles, slow_calls};
use gpu_stream_faults::{At, InjectedFault, Threads};

use crate::controls;
use crate::vendor::OnCuda;

/// The variable that names the task of a child process.
const CHILD: &str = "GPU_STREAM_FAULT_CHILD";

/// Runs the task that the variable names, if this is a child process.
pub fn run_as_child() -> bool {
    let Ok(child) = std::env::var(CHILD) else { return false };
    match child.split_once(' ').unwrap_or((&child, "")) {
        ("basics", _) => {}
        ("reused", _) => {
            reused_handles::<OnCuda>().expect("a handle that is used again");
            return true;
        }
        ("start", fault) => {
            let (function, code) = fault.split_once(' ').expect("a function and a code");
            let code = InjectedFault::Answer(code.parse().expect("a number"));
            controls().set(function, At::Always, Threads::All, code);
        }
        (other, _) => panic!("no such child: {other}"),
    }
    for (name, answer) in basics::<OnCuda>() {
        match answer {
            Ok(()) => println!("{name}: ok"),
            Err((kind, text)) => println!("{name}: {kind:?}: {text}"),
        }
    }
    true
}

/// Returns the lines that a child process prints.
fn child(child: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.env(CHILD, child).envs(variables.iter().copied());
    let output = command.output().expect("this program runs a second time");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{child} {variables:?}: {}\n{errors}", output.status);
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// The required functions that the backend calls.
const REQUIRED: [&str; 27] = [
    "cuDriverGetVersion",
    "cuInit",
    "cuGetErrorName",
    "cuGetErrorString",
    "cuDeviceGetCount",
    "cuDeviceGet",
    "cuDeviceGetName",
    "cuDevicePrimaryCtxRetain",
    "cuDevicePrimaryCtxGetState",
    "cuCtxGetCurrent",
    "cuCtxSetCurrent",
    "cuCtxPushCurrent_v2",
    "cuCtxPopCurrent_v2",
    "cuCtxGetDevice",
    "cuThreadExchangeStreamCaptureMode",
    "cuStreamCreateWithPriority",
    "cuStreamDestroy_v2",
    "cuStreamQuery",
    "cuStreamSynchronize",
    "cuStreamWaitEvent",
    "cuStreamIsCapturing",
    "cuEventCreate",
    "cuEventDestroy_v2",
    "cuEventQuery",
    "cuEventSynchronize",
    "cuEventRecord",
    "cuEventElapsedTime",
];

/// The optional functions, each with the call that names it if it is missing. The other calls work without
/// it.
const OPTIONAL: [(&str, Option<&str>); 15] = [
    ("cuCtxGetStreamPriorityRange", Some("priority_range")),
    // The newer function of the same name answers instead.
    ("cuStreamGetCtx", None),
    ("cuStreamGetPriority", None),
    ("cuLaunchHostFunc", Some("host function")),
    ("cuStreamGetFlags", None),
    ("cuCtxGetId", None),
    ("cuStreamGetGreenCtx", None),
    ("cuGreenCtxStreamCreate", None),
    ("cuCtxFromGreenCtx", None),
    ("cuIpcGetEventHandle", None),
    ("cuIpcOpenEventHandle", None),
    ("cuStreamGetCaptureInfo_v2", None),
    ("cuStreamGetId", Some("id")),
    ("cuStreamGetCtx_v2", None),
    ("cuEventElapsedTime_v2", None),
];

pub fn missing_function_is_named() {
    for function in REQUIRED {
        let lines = child("basics", &[("DRIVER_SIM_HIDE", function)]);
        let [line] = lines.as_slice() else { panic!("{function}: {lines:?}") };
        assert!(line.starts_with("probe: SymbolNotFound") && line.contains(function), "{line}");
    }
    for (function, call) in OPTIONAL {
        let lines = child("basics", &[("DRIVER_SIM_HIDE", function)]);
        assert!(lines.len() > 10, "{function}: {lines:?}");
        for line in lines.iter().filter(|line| !line.ends_with(": ok")) {
            let expected = call.is_some_and(|call| line.starts_with(&format!("{call}: Unsupp")));
            assert!(expected && line.contains(function), "{function}: {line}");
        }
        let refused = lines.iter().filter(|line| !line.ends_with(": ok")).count();
        assert_eq!(refused, usize::from(call.is_some()), "{function}: {lines:?}");
    }
    let lines = child("basics", &[("DRIVER_SIM_HIDE", "cuStreamGetCtx,cuStreamGetCtx_v2")]);
    let refused: Vec<_> = lines.iter().filter(|line| !line.ends_with(": ok")).collect();
    let [line] = refused.as_slice() else { panic!("{lines:?}") };
    assert!(line.starts_with("wrap: Unsupported"), "{line}");
    assert!(
        line.contains("cuStreamGetCtx") && line.contains("stream_from_raw_unchecked"),
        "{line}"
    );
    println!("{} functions missing, one at a time", REQUIRED.len() + OPTIONAL.len());
}

pub fn old_driver_is_rejected_or_works() {
    let lines = child("basics", &[("DRIVER_SIM_VERSION", "10.2")]);
    assert!(lines[0].starts_with("probe: DriverTooOld"), "{lines:?}");
    for version in ["11.0", "11.4", "12.0", "12.8", "13.0"] {
        let lines = child("basics", &[("DRIVER_SIM_VERSION", version)]);
        let refused = lines.iter().filter(|line| !line.ends_with(": ok"));
        let refused: Vec<_> = refused.map(String::as_str).collect();
        let ids = version.starts_with("11");
        assert_eq!(refused.len(), usize::from(ids), "{version}: {refused:?}");
        assert!(refused.iter().all(|line| line.starts_with("id: Unsupported")), "{refused:?}");
    }
}

/// A successful start is kept, so each fault has a process of its own.
pub fn failed_start_is_explained() {
    let calls = ["cuDriverGetVersion", "cuInit", "cuDeviceGetCount", "cuDeviceGet"];
    for function in calls {
        for code in [2, 100, 803, 999, 12_345, -1] {
            let lines = child(&format!("start {function} {code}"), &[]);
            let [line] = lines.as_slice() else { panic!("{function} {code}: {lines:?}") };
            let no_device = function == "cuInit" && code == 100 && line.contains("NoDevice");
            let named = line.contains(function) && line.contains(&code.to_string());
            assert!(named || no_device, "{function} {code}: {line}");
        }
    }
}

pub fn a_handle_that_is_used_again_is_a_new_one() {
    child("reused", &[("DRIVER_SIM_REUSE", "1")]);
}

pub fn slow_call_blocks_no_other_stream() {
    let calls: [(&str, Held<OnCuda>); 10] = [
        ("cuStreamQuery", |stream| stream.query().map(drop)),
        ("cuStreamSynchronize", |stream| stream.synchronize()),
        ("cuStreamIsCapturing", |stream| stream.capture_status().map(drop)),
        ("cuEventRecord", |stream| stream.record_event().map(drop)),
        ("cuStreamWaitEvent", |stream| {
            // An event of another stream: a wait for the stream's own record makes no call.
            let other = stream.new_stream(Default::default())?;
            stream.wait_event(&other.record_event()?)
        }),
        ("cuEventQuery", |stream| stream.record_event()?.query().map(drop)),
        ("cuEventSynchronize", |stream| stream.record_event()?.synchronize()),
        ("cuEventCreate", |stream| stream.new_event(EventOptions::timed()).map(drop)),
        ("cuLaunchHostFunc", |stream| stream.launch_host_func(Box::new(|| ()))),
        ("cuStreamCreateWithPriority", |stream| {
            Cuda::new_stream(stream.device(), Default::default()).map(drop)
        }),
    ];
    let wrong = slow_calls::<OnCuda>(controls(), &calls);
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// All calls fail forever: each returns an error, and the process survives.
pub fn driver_after_its_shutdown() {
    let stream = Cuda::new_stream(crate::support::device(), Default::default()).expect("a stream");
    let event = stream.record_event().expect("a record");
    let fault = InjectedFault::Answer(4);
    controls().set("*", At::Always, Threads::All, fault);
    let answers = [
        stream.query().map(drop),
        stream.synchronize(),
        stream.record(&event),
        stream.wait_event(&event),
        event.query().map(drop),
        stream.launch_host_func(Box::new(|| ())),
        stream.record_event().map(drop),
    ];
    drop((stream, event));
    controls().clear();
    for answer in answers {
        let error = answer.expect_err("nothing works");
        assert_eq!((error.kind(), error.code()), (ErrorKind::Driver, Some(4)), "{error}");
    }
}
