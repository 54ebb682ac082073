//! The CUDA fixture of the fault sweep: [`OnCuda`].

use std::ffi::c_int;
use std::process::Command;
use std::sync::OnceLock;

use gpu_stream_core::{Device, ErrorKind, RawEvent};
use gpu_stream_cuda::ipc::IpcEventHandle;
use gpu_stream_cuda::{Cuda, CudaCode, CudaError, CudaEvent};
use gpu_stream_faults::Controls;
use gpu_stream_faults::sweep::{
    AllowedOutcome, FaultFixture, SlowCall, Sort, StateChange, WithoutIt,
};
use gpu_stream_test_support::cuda::{self, CAPTURE_ACTIVE, Gate, Ptr, Space};

use crate::allowed;

/// The CUDA fixture of the fault sweep.
pub struct OnCuda;

fn second_context() -> Ptr {
    static SECOND: OnceLock<usize> = OnceLock::new();
    pointer(*SECOND.get_or_init(|| cuda::new_context().expose_provenance()))
}

fn pointer(handle: usize) -> Ptr {
    std::ptr::with_exposed_provenance_mut(handle)
}

impl FaultFixture for OnCuda {
    type Backend = Cuda;
    type Gate = Gate;

    const CODES: &'static [i32] = &[
        1, 2, 3, 4, 5, 6, 7, 8, 34, 36, 46, 47, 100, 101, 102, 200, 201, 202, 205, 206, 207, 208,
        209, 210, 211, 212, 213, 214, 215, 216, 217, 218, 219, 220, 221, 222, 223, 224, 225, 226,
        227, 300, 301, 302, 303, 304, 400, 401, 402, 500, 600, 700, 701, 702, 703, 704, 705, 708,
        709, 710, 711, 712, 713, 714, 715, 716, 717, 718, 719, 720, 721, 800, 801, 802, 803, 804,
        805, 806, 807, 808, 809, 810, 811, 812, 900, 901, 902, 903, 904, 905, 906, 907, 908, 909,
        910, 911, 912, 913, 914, 915, 916, 917, 918, 919, 999,
    ];

    const ALLOWED: &'static [AllowedOutcome] = allowed::ALLOWED;

    const STATE_CHANGES: &'static [StateChange] = &[
        StateChange {
            operation: "query, ordinary",
            change: ("cuThreadExchangeStreamCaptureMode", 1),
            restore: ("cuThreadExchangeStreamCaptureMode", 2),
            is_certain: true,
        },
        StateChange {
            operation: "query, default",
            change: ("cuCtxPushCurrent_v2", 1),
            restore: ("cuCtxPopCurrent_v2", 1),
            is_certain: true,
        },
    ];

    const REQUIRED: &'static str = "\
        cuDriverGetVersion cuInit cuGetErrorName cuGetErrorString cuDeviceGetCount cuDeviceGet \
        cuDeviceGetName cuDevicePrimaryCtxRetain cuDevicePrimaryCtxGetState cuCtxGetCurrent \
        cuCtxSetCurrent cuCtxPushCurrent_v2 cuCtxPopCurrent_v2 cuCtxGetDevice \
        cuThreadExchangeStreamCaptureMode cuStreamCreateWithPriority cuStreamDestroy_v2 \
        cuStreamQuery cuStreamSynchronize cuStreamWaitEvent cuStreamIsCapturing cuEventCreate \
        cuEventDestroy_v2 cuEventQuery cuEventSynchronize cuEventRecord cuEventElapsedTime";

    const OPTIONAL: &'static [(&'static str, WithoutIt)] = &[
        ("cuCtxGetStreamPriorityRange", WithoutIt::Refuses("priority_range")),
        // The newer function of the same name answers instead.
        ("cuStreamGetCtx", WithoutIt::Works),
        ("cuStreamGetPriority", WithoutIt::Works),
        ("cuLaunchHostFunc", WithoutIt::Refuses("host function")),
        ("cuStreamGetFlags", WithoutIt::Works),
        ("cuCtxGetId", WithoutIt::Works),
        ("cuStreamGetGreenCtx", WithoutIt::Works),
        ("cuGreenCtxStreamCreate", WithoutIt::Works),
        ("cuCtxFromGreenCtx", WithoutIt::Works),
        ("cuIpcGetEventHandle", WithoutIt::Works),
        ("cuIpcOpenEventHandle", WithoutIt::Works),
        ("cuStreamGetCaptureInfo_v2", WithoutIt::Works),
        ("cuStreamGetId", WithoutIt::Refuses("id")),
        ("cuStreamGetCtx_v2", WithoutIt::Works),
        ("cuEventElapsedTime_v2", WithoutIt::Works),
    ];

    const DEVICE_OF_STREAM: (&'static [&'static str], &'static [&'static str]) = (
        &["cuStreamGetCtx", "cuStreamGetCtx_v2"],
        &["cuStreamGetCtx", "stream_from_raw_unchecked"],
    );

    const HIDE_VARIABLE: &'static str = "CUDA_SIM_HIDE";

    const VERSION_VARIABLE: &'static str = "CUDA_SIM_VERSION";

    const REJECTED_VERSIONS: &'static [(&'static str, &'static str, &'static [&'static str])] =
        &[("10.2", "probe: DriverTooOld", &[])];

    const ACCEPTED_VERSIONS: &'static [(&'static str, Option<&'static str>)] = &[
        ("11.0", Some("id")),
        ("11.4", Some("id")),
        ("12.0", None),
        ("12.8", None),
        ("13.0", None),
    ];

    const START: &'static [&'static str] =
        &["cuDriverGetVersion", "cuInit", "cuDeviceGetCount", "cuDeviceGet"];

    const START_CODES: &'static [i32] = &[2, 100, 803, 999, 12_345, -1];

    const REUSE_VARIABLES: &'static [(&'static str, &'static str)] = &[("CUDA_SIM_REUSE", "1")];

    fn controls() -> &'static Controls {
        static CONTROLS: OnceLock<Controls> = OnceLock::new();
        CONTROLS.get_or_init(|| {
            Controls::of(cuda_sim::library().expect("the simulator")).expect("its plan of faults")
        })
    }

    fn child() -> Command {
        Command::new(std::env::current_exe().expect("this program"))
    }

    fn skip(reason: &str) -> ! {
        gpu_stream_test_support::skip(reason)
    }

    fn kind_of(code: i32) -> ErrorKind {
        CudaCode::new(code).kind()
    }

    fn text_of(code: i32) -> String {
        CudaCode::new(code).to_string()
    }

    fn means_no_device(function: &str, code: i32) -> bool {
        function == "cuInit" && code == 100
    }

    fn host_func() -> &'static str {
        "cuLaunchHostFunc"
    }

    fn slow_calls() -> Vec<(&'static str, SlowCall)> {
        vec![
            ("cuStreamQuery", SlowCall::Query),
            ("cuStreamSynchronize", SlowCall::Synchronize),
            ("cuStreamIsCapturing", SlowCall::CaptureStatus),
            ("cuEventRecord", SlowCall::RecordEvent),
            ("cuStreamWaitEvent", SlowCall::WaitEvent),
            ("cuEventQuery", SlowCall::EventQuery),
            ("cuEventSynchronize", SlowCall::EventSynchronize),
            ("cuEventCreate", SlowCall::NewEvent),
            ("cuLaunchHostFunc", SlowCall::HostFunc),
            ("cuStreamCreateWithPriority", SlowCall::NewStream),
        ]
    }

    fn makes(function: &str) -> Option<&'static str> {
        match function {
            "cuStreamCreateWithPriority" => Some("stream"),
            // The last one: an event of a context that the driver reports as destroyed is not destroyed.
            "cuEventCreate" | "cuIpcOpenEventHandle" | "cuCtxGetId" => Some("event"),
            _ => None,
        }
    }

    fn destroys(function: &str) -> Option<&'static str> {
        match function {
            "cuStreamDestroy_v2" => Some("stream"),
            // An event of a context that the driver reports as destroyed is not destroyed.
            "cuEventDestroy_v2" | "cuCtxGetId" => Some("event"),
            _ => None,
        }
    }

    fn thread_state() -> String {
        let (context, mode) = cuda::thread_state();
        format!("context {context:#x}, capture mode {mode}")
    }

    /// The first setting is the one that makes the backend change the most.
    fn enter(setting: usize) -> bool {
        let (context, mode) = match setting {
            0 => (std::ptr::null_mut(), 0),
            1 => (second_context(), 0),
            2 => (cuda::primary_context(), 1),
            3 => (second_context(), 2),
            _ => return false,
        };
        cuda::set_current(context);
        cuda::set_capture_mode(mode);
        true
    }

    fn new_stream(sort: Sort) -> Option<usize> {
        let (context, flags) = match sort {
            Sort::Ordinary => (cuda::primary_context(), 1),
            Sort::Blocking => (cuda::primary_context(), 0),
            Sort::Elsewhere => (second_context(), 1),
        };
        Some(cuda::new_stream(context, flags, 0).expose_provenance())
    }

    fn foreign_event() -> RawEvent<Cuda> {
        static MADE: OnceLock<usize> = OnceLock::new();
        RawEvent::from_bits(*MADE.get_or_init(|| {
            let _current = cuda::enter(cuda::primary_context());
            cuda::new_event(0).expose_provenance()
        }))
    }

    fn gate(stream: usize) -> Gate {
        Space::primary().gate(pointer(stream))
    }

    fn begin_capture(stream: usize) {
        const GLOBAL: c_int = 0;
        cuda::begin_capture(pointer(stream), GLOBAL);
    }

    fn is_capture_alive(stream: usize) -> bool {
        cuda::capture_status(pointer(stream)).is_ok_and(|status| status == CAPTURE_ACTIVE)
    }

    fn end_capture(stream: usize) {
        drop(cuda::end_capture(pointer(stream)));
    }

    fn ipc_handle(event: &CudaEvent) -> Result<(), CudaError> {
        event.ipc_handle().map(drop)
    }

    fn open_ipc_zeros(device: Device) -> Result<CudaEvent, CudaError> {
        // SAFETY: no process created the event, so none destroys it.
        unsafe { IpcEventHandle::from_bytes([0; 64]).open(device) }
    }
}
