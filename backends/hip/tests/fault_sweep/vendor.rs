//! The HIP fixture of the fault sweep: [`OnHip`].

use std::ffi::c_int;
use std::process::Command;
use std::sync::OnceLock;

use gpu_stream_core::{Backend, ContractError, Device, ErrorKind, RawEvent};
use gpu_stream_faults::Controls;
use gpu_stream_faults::sweep::{
    AllowedOutcome, FaultFixture, SlowCall, Sort, StateChange, WithoutIt,
};
use gpu_stream_hip::{Hip, HipCode, HipError, HipEvent};
use gpu_stream_test_support::hip::{self, CAPTURE_ACTIVE, Gate, Ptr};

use crate::{allowed, front};

/// The HIP fixture of the fault sweep.
pub struct OnHip;

fn pointer(handle: usize) -> Ptr {
    std::ptr::with_exposed_provenance_mut(handle)
}

/// Returns an error in place of functions that this backend lacks: it has no interprocess events.
fn no_interprocess() -> HipError {
    let (operation, backend) = ("interprocess events", Hip::KIND);
    ContractError::Unsupported { operation, backend, reason: "none in HIP" }.into()
}

fn device_count() -> c_int {
    Hip::devices().expect("devices").len() as c_int
}

impl FaultFixture for OnHip {
    type Backend = Hip;
    type Gate = Gate;

    const CODES: &'static [i32] = &[
        1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 17, 21, 35, 52, 53, 98, 100, 101, 200, 201, 202, 205,
        206, 207, 208, 209, 210, 211, 212, 213, 214, 215, 216, 217, 218, 219, 300, 301, 302, 303,
        304, 400, 401, 500, 600, 700, 701, 702, 704, 705, 708, 709, 710, 712, 713, 719, 720, 801,
        900, 901, 902, 903, 904, 905, 906, 907, 908, 910, 911, 912, 999, 1052, 1053,
    ];

    const ALLOWED: &'static [AllowedOutcome] = allowed::ALLOWED;

    const STATE_CHANGES: &'static [StateChange] = &[
        StateChange {
            operation: "query, ordinary",
            change: ("hipThreadExchangeStreamCaptureMode", 1),
            restore: ("hipThreadExchangeStreamCaptureMode", 2),
            is_certain: false,
        },
        StateChange {
            operation: "query, default",
            change: ("hipSetDevice", 1),
            restore: ("hipSetDevice", 2),
            is_certain: false,
        },
    ];

    const REQUIRED: &'static str = "\
        hipRuntimeGetVersion hipInit hipGetErrorName hipGetErrorString hipGetLastError \
        hipPeekAtLastError hipGetDeviceCount hipDeviceGet hipDeviceGetName \
        hipDeviceGetStreamPriorityRange hipGetDevice hipSetDevice hipStreamCreateWithPriority \
        hipStreamDestroy hipStreamQuery hipStreamWaitEvent hipStreamGetPriority \
        hipStreamIsCapturing hipStreamAddCallback hipEventCreateWithFlags hipEventDestroy \
        hipEventQuery hipEventSynchronize hipEventRecord \
        hipEventElapsedTime";

    const OPTIONAL: &'static [(&'static str, WithoutIt)] = &[
        ("hipStreamGetDevice", WithoutIt::Works),
        // Before HIP 5.6 no other function returns a stream's device.
        (
            "hipGetStreamDeviceId",
            WithoutIt::MayFail(|line| {
                hip::version() < 50_600_000 && line.starts_with("wrap: Unsupported")
            }),
        ),
        ("hipLaunchHostFunc", WithoutIt::Works),
        // A query breaks a capture beside it then, and the runtime reports that.
        ("hipThreadExchangeStreamCaptureMode", WithoutIt::MayFail(|line| line.contains("capture"))),
        ("hipStreamEndCapture", WithoutIt::Works),
        ("hipGraphDestroy", WithoutIt::Works),
        ("hipStreamGetCaptureInfo_v2", WithoutIt::Works),
        ("hipStreamUpdateCaptureDependencies", WithoutIt::Works),
        ("hipStreamGetFlags", WithoutIt::Works),
        // Before HIP 7.2 it is missing in any case.
        (
            "hipStreamGetId",
            WithoutIt::MayFail(|line| {
                line.starts_with("id: Unsupported") && line.contains("hipStreamGetId")
            }),
        ),
    ];

    const DEVICE_OF_STREAM: (&'static [&'static str], &'static [&'static str]) =
        (&["hipStreamGetDevice", "hipGetStreamDeviceId"], &["hipGetStreamDeviceId"]);

    const HIDE_VARIABLE: &'static str = front::HIDE;

    const VERSION_VARIABLE: &'static str = "HIP_FAULTS_VERSION";

    const REJECTED_VERSIONS: &'static [(&'static str, &'static str, &'static [&'static str])] = &[
        ("50120531", "probe: DriverTooOld", &[]),
        ("40421401", "probe: DriverTooOld", &[]),
        // Version numbers of neither AMD's nor CUDA's numbering.
        ("1000000", "probe: Unsupported", &["is not AMD's", "0.10.0"]),
        ("10100000", "probe: Unsupported", &["is not AMD's", "1.1.0"]),
    ];

    const ACCEPTED_VERSIONS: &'static [(&'static str, Option<&'static str>)] = &[];

    const START: &'static [&'static str] =
        &["hipRuntimeGetVersion", "hipInit", "hipGetDeviceCount"];

    const START_CODES: &'static [i32] = &[2, 100, 101, 999, 12_345, -1];

    const REUSE_VARIABLES: &'static [(&'static str, &'static str)] = &[];

    fn controls() -> &'static Controls {
        front::controls()
    }

    fn child() -> Command {
        let mut command = hsa_sim::this_program().expect("this program");
        command.env_remove(front::LIBRARY);
        command
    }

    fn prepare_child() {
        front::use_own_layer();
    }

    fn skip(reason: &str) -> ! {
        gpu_stream_test_support::skip(reason)
    }

    fn kind_of(code: i32) -> ErrorKind {
        HipCode::new(code).kind()
    }

    fn text_of(code: i32) -> String {
        HipCode::new(code).to_string()
    }

    fn means_no_device(_: &str, code: i32) -> bool {
        matches!(code, 100 | 101)
    }

    fn host_func() -> &'static str {
        match hip::driver().launch_host_func {
            Some(_) => "hipLaunchHostFunc",
            None => "hipStreamAddCallback",
        }
    }

    fn slow_calls() -> Vec<(&'static str, SlowCall)> {
        vec![
            ("hipStreamQuery", SlowCall::Query),
            ("hipStreamIsCapturing", SlowCall::CaptureStatus),
            ("hipEventRecord", SlowCall::RecordEvent),
            ("hipStreamWaitEvent", SlowCall::WaitEvent),
            ("hipEventQuery", SlowCall::EventQuery),
            ("hipEventDestroy", SlowCall::NewEvent),
            ("hipEventCreateWithFlags", SlowCall::NewEvent),
            (Self::host_func(), SlowCall::HostFunc),
            ("hipStreamCreateWithPriority", SlowCall::NewStream),
        ]
    }

    fn makes(function: &str) -> Option<&'static str> {
        match function {
            "hipStreamCreateWithPriority" => Some("stream"),
            "hipEventCreateWithFlags" => Some("event"),
            _ => None,
        }
    }

    fn destroys(function: &str) -> Option<&'static str> {
        match function {
            "hipStreamDestroy" => Some("stream"),
            "hipEventDestroy" => Some("event"),
            _ => None,
        }
    }

    fn thread_state() -> String {
        // Read first, because up to HIP 6 every other call replaces it.
        let error = hip::peek_error();
        let (device, mode) = hip::thread_state();
        format!("device {device}, capture mode {mode}, last error {error}")
    }

    fn clear_last_error() {
        hip::fetch_error();
    }

    fn enter(setting: usize) -> bool {
        let (device, mode) = match setting {
            0 => (device_count() - 1, 0),
            1 => (0, 0),
            2 => (device_count() - 1, 1),
            3 => (0, 2),
            _ => return false,
        };
        hip::set_device(device);
        hip::set_capture_mode(mode);
        true
    }

    fn new_stream(sort: Sort) -> Option<usize> {
        let (device, flags) = match sort {
            Sort::Ordinary => (0, 1),
            Sort::Blocking => (0, 0),
            Sort::Elsewhere if device_count() > 1 => (1, 1),
            Sort::Elsewhere => return None,
        };
        Some(hip::new_stream(device, flags, 0).expose_provenance())
    }

    fn foreign_event() -> RawEvent<Hip> {
        static MADE: OnceLock<usize> = OnceLock::new();
        RawEvent::from_bits(*MADE.get_or_init(|| {
            let _current = hip::enter(0);
            hip::new_event(0).expose_provenance()
        }))
    }

    fn gate(stream: usize) -> Gate {
        hip::gate(pointer(stream))
    }

    fn begin_capture(stream: usize) {
        const GLOBAL: c_int = 0;
        hip::begin_capture(pointer(stream), GLOBAL);
    }

    fn is_capture_alive(stream: usize) -> bool {
        hip::capture_status(pointer(stream)).is_ok_and(|status| status == CAPTURE_ACTIVE)
    }

    fn end_capture(stream: usize) {
        drop(hip::end_capture(pointer(stream)));
    }

    fn ipc_handle(_: &HipEvent) -> Result<(), HipError> {
        Err(no_interprocess())
    }

    fn open_ipc_zeros(_: Device) -> Result<HipEvent, HipError> {
        Err(no_interprocess())
    }
}
