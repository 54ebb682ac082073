//! Functions that are missing, versions that are old, a runtime that does not start, calls that do
//! not come back, handles that are used again. A runtime is loaded once, so most of it is in processes
//! of their own.

use gpu_stream_core::{Backend, Error, ErrorKind, Event, EventOptions, Stream};
use gpu_stream_faults::sweep::hostile::{Held, basics, reused_handles, slow_calls};
use gpu_stream_faults::{At, InjectedFault, Threads};
use gpu_stream_hip::Hip;

use crate::front::{self, OPTIONAL, controls};
use crate::support::{self, bare, skip};
use crate::vendor::OnHip;

/// Names what a process is for: a word, and what it is about.
const CHILD: &str = "GPU_STREAM_FAULT_CHILD";

/// In a process of its own: does what the variable names, if it is one.
pub fn run_as_child() -> bool {
    let Ok(child) = std::env::var(CHILD) else { return false };
    let (what, about) = child.split_once(' ').unwrap_or((&child, ""));
    let hidden: Vec<&str> = if what == "hide" { about.split(' ').collect() } else { Vec::new() };
    front::use_layer(&format!("fault_sweep_{}", std::process::id()), &hidden);
    if what == "start" {
        let (function, code) = about.split_once(' ').expect("a function and a code");
        let code = InjectedFault::Answer(code.parse().expect("a number"));
        controls().set(function, At::Always, Threads::All, code);
    }
    front::remove_layer();
    if what == "reused" {
        println!("{}", if reused_handles::<OnHip>().is_some() { "used again" } else { "none" });
        return true;
    }
    for (name, answer) in basics::<OnHip>() {
        match answer {
            Ok(()) => println!("{name}: ok"),
            Err((kind, text)) => println!("{name}: {kind:?}: {text}"),
        }
    }
    true
}

/// The lines that such a process prints.
fn child(child: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let mut command = hsa_sim::this_program().expect("this program");
    command.env(CHILD, child).envs(variables.iter().copied());
    command.env_remove("GPU_STREAM_HIP_LIBRARY");
    let output = command.output().expect("this program runs a second time");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{child} {variables:?}: {}\n{errors}", output.status);
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// The required functions.
const REQUIRED: [&str; 24] = [
    "hipRuntimeGetVersion",
    "hipInit",
    "hipGetErrorName",
    "hipGetErrorString",
    "hipGetLastError",
    "hipPeekAtLastError",
    "hipGetDeviceCount",
    "hipDeviceGet",
    "hipDeviceGetName",
    "hipDeviceGetStreamPriorityRange",
    "hipGetDevice",
    "hipSetDevice",
    "hipStreamCreateWithPriority",
    "hipStreamDestroy",
    "hipStreamQuery",
    "hipStreamWaitEvent",
    "hipStreamGetPriority",
    "hipStreamIsCapturing",
    "hipStreamAddCallback",
    "hipEventCreateWithFlags",
    "hipEventDestroy",
    "hipEventQuery",
    "hipEventRecord",
    "hipEventElapsedTime",
];

pub fn a_missing_function_is_named() {
    for function in REQUIRED {
        let lines = child(&format!("hide {function}"), &[]);
        let [line] = lines.as_slice() else { panic!("{function}: {lines:?}") };
        assert!(line.starts_with("probe: SymbolNotFound") && line.contains(function), "{line}");
    }
    let refused = |hidden: &str| -> Vec<String> {
        let lines = child(&format!("hide {hidden}"), &[]);
        assert!(lines.len() > 10, "{hidden}: {lines:?}");
        lines.into_iter().filter(|line| !line.ends_with(": ok")).collect()
    };
    // What this version refuses in any case: ids and interprocess events, before HIP 7.2.
    let always = refused("");
    for function in OPTIONAL {
        let more = refused(function);
        let more: Vec<_> = more.iter().filter(|line| !always.contains(line)).collect();
        let expected = |line: &str| match function {
            "hipStreamGetId" => line.starts_with("id: Unsupported") && line.contains(function),
            // Without modes, a question breaks a capture beside it, which the runtime tells.
            "hipThreadExchangeStreamCaptureMode" => line.contains("capture"),
            // Before HIP 5.6 there is no other function that says it.
            "hipGetStreamDeviceId" => {
                bare::version() < 50_600_000 && line.starts_with("wrap: Unsupported")
            }
            _ => false,
        };
        assert!(more.iter().all(|line| expected(line)), "{function}: {more:?}");
    }
    let both = refused("hipStreamGetDevice hipGetStreamDeviceId");
    let wrap = both.iter().find(|line| line.starts_with("wrap: Unsupported"));
    assert!(wrap.is_some_and(|line| line.contains("hipGetStreamDeviceId")), "{both:?}");
    println!("{} functions missing, one at a time", REQUIRED.len() + OPTIONAL.len());
}

pub fn an_old_runtime_is_refused() {
    for version in ["50120531", "40421401"] {
        let lines = child("version", &[("HIP_FAULTS_VERSION", version)]);
        let [line] = lines.as_slice() else { panic!("{version}: {lines:?}") };
        assert!(line.starts_with("probe: DriverTooOld"), "{version}: {line}");
    }
    // No number of AMD's, nor of CUDA's.
    for (version, shown) in [("1000000", "0.10.0"), ("10100000", "1.1.0")] {
        let lines = child("version", &[("HIP_FAULTS_VERSION", version)]);
        let [line] = lines.as_slice() else { panic!("{version}: {lines:?}") };
        let is_told = line.contains("is not AMD's") && line.contains(shown);
        assert!(line.starts_with("probe: Unsupported") && is_told, "{version}: {line}");
    }
}

/// A start that succeeded is kept, so each fault has a process of its own.
pub fn a_runtime_that_does_not_start_says_why() {
    let calls = ["hipRuntimeGetVersion", "hipInit", "hipGetDeviceCount", "hipDeviceGet"];
    for function in calls {
        for code in [2, 100, 101, 999, 12_345, -1] {
            let lines = child(&format!("start {function} {code}"), &[]);
            let [line] = lines.as_slice() else { panic!("{function} {code}: {lines:?}") };
            let no_device = matches!(code, 100 | 101) && line.contains("NoDevice");
            let named = line.contains(function) && line.contains(&code.to_string());
            assert!(named || no_device, "{function} {code}: {line}");
        }
    }
}

pub fn a_handle_that_is_used_again_is_a_new_one() {
    // In a process of its own: what panics there is looked for by all that follows.
    if child("reused", &[]) != ["used again"] {
        skip("this runtime gave no handle twice");
    }
}

pub fn a_slow_call_holds_up_no_other_stream() {
    let launch = match bare::bare().launch_host_func {
        Some(_) => "hipLaunchHostFunc",
        None => "hipStreamAddCallback",
    };
    let calls: [(&str, Held<OnHip>); 9] = [
        ("hipStreamQuery", |stream| stream.query().map(drop)),
        ("hipStreamIsCapturing", |stream| stream.capture_status().map(drop)),
        ("hipEventRecord", |stream| stream.record_event().map(drop)),
        ("hipStreamWaitEvent", |stream| {
            stream
                .wait_event(&Hip::new_stream(stream.device(), Default::default())?.record_event()?)
        }),
        ("hipEventQuery", |stream| stream.record_event()?.query().map(drop)),
        ("hipEventDestroy", |stream| stream.new_event(EventOptions::timed()).map(drop)),
        ("hipEventCreateWithFlags", |stream| stream.new_event(EventOptions::timed()).map(drop)),
        (launch, |stream| stream.launch_host_func(Box::new(|| ()))),
        ("hipStreamCreateWithPriority", |stream| {
            Hip::new_stream(stream.device(), Default::default()).map(drop)
        }),
    ];
    let wrong = slow_calls::<OnHip>(controls(), &calls);
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// All calls fail, on and on: each says so, and nothing ends the process.
pub fn a_runtime_that_is_gone() {
    let stream = Hip::new_stream(support::device(), Default::default()).expect("a stream");
    let event = stream.record_event().expect("a record");
    controls().set("*", At::Always, Threads::All, InjectedFault::Answer(4));
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
