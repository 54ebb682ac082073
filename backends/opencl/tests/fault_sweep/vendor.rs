//! The OpenCL fixture of the fault sweep: [`OnOpenCl`].

use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gpu_stream_core::{Backend, ContractError, Device, ErrorKind, RawEvent, Stream as _};
use gpu_stream_faults::Controls;
use gpu_stream_faults::sweep::{
    AllowedOutcome, FaultFixture, Feature, SlowCall, Sort, StateChange, TestStreams, WithoutIt,
};
use gpu_stream_opencl::{OpenCl, OpenClCode, OpenClError, OpenClEvent, OpenClStream};
use gpu_stream_test_support::opencl::{self, Gate, PROFILING, Ptr};

use crate::{allowed, front};

/// The OpenCL fixture of the fault sweep.
pub struct OnOpenCl;

fn pointer(handle: usize) -> Ptr {
    std::ptr::with_exposed_provenance_mut(handle)
}

/// Returns an error in place of functions that this backend lacks.
fn unsupported<T>(operation: &'static str, reason: &'static str) -> Result<T, OpenClError> {
    Err(ContractError::Unsupported { operation, backend: OpenCl::KIND, reason }.into())
}

/// Returns a stream in the backend's own context of the first device. It is never dropped.
fn home() -> &'static OpenClStream {
    static HOME: OnceLock<OpenClStream> = OnceLock::new();
    HOME.get_or_init(|| {
        let device = OpenCl::device(0).expect("device 0");
        OpenCl::new_stream(device, Default::default()).expect("a stream")
    })
}

/// Creates a queue in a context of its own, on a part of the first device if that can be divided. It is never released.
pub fn elsewhere() -> Ptr {
    let whole = opencl::device_of(pointer(home_bits())).expect("the device");
    let device = opencl::sub_device(whole).unwrap_or(whole);
    let context = opencl::create_context(device).expect("a context");
    opencl::create_queue(context, device, PROFILING).expect("a queue")
}

fn home_bits() -> usize {
    home().raw().to_bits()
}

/// The time after which a test gives up that would hang otherwise.
pub const TOO_LONG: Duration = Duration::from_secs(60);

/// Blocks until the driver has called every callback, and each has returned.
pub fn await_callbacks() {
    let since = Instant::now();
    while front::controls().live("callback") > 0 {
        assert!(since.elapsed() < TOO_LONG, "a callback is not called");
        std::thread::yield_now();
    }
}

impl FaultFixture for OnOpenCl {
    type Backend = OpenCl;
    type Gate = Gate;

    const CODES: &'static [i32] = &[
        -1, -2, -3, -4, -5, -6, -7, -8, -9, -10, -11, -12, -13, -14, -15, -16, -17, -18, -19, -30,
        -31, -32, -33, -34, -35, -36, -37, -38, -39, -40, -41, -42, -43, -44, -45, -46, -47, -48,
        -49, -50, -51, -52, -53, -54, -55, -56, -57, -58, -59, -60, -61, -62, -63, -64, -65, -66,
        -67, -68, -69, -70, -71, -72, -1001,
    ];

    const ALLOWED: &'static [AllowedOutcome] = allowed::ALLOWED;

    // No call of OpenCL depends on anything but its arguments.
    const STATE_CHANGES: &'static [StateChange] = &[];

    const REQUIRED: &'static str = "\
        clGetPlatformIDs clGetPlatformInfo clGetDeviceIDs clGetDeviceInfo clCreateContext \
        clCreateCommandQueue clRetainCommandQueue clReleaseCommandQueue clGetCommandQueueInfo clFlush \
        clEnqueueMarkerWithWaitList clEnqueueBarrierWithWaitList clRetainEvent clReleaseEvent \
        clGetEventInfo clWaitForEvents clGetEventProfilingInfo clSetEventCallback clCreateUserEvent \
        clSetUserEventStatus";

    const OPTIONAL: &'static [(&'static str, WithoutIt)] = &[];

    const DEVICE_OF_STREAM: (&'static [&'static str], &'static [&'static str]) = (&[], &[]);

    const HIDE_VARIABLE: &'static str = front::HIDE;

    const VERSION_VARIABLE: &'static str = "OPENCL_FAULTS_VERSION";

    const REJECTED_VERSIONS: &'static [(&'static str, &'static str, &'static [&'static str])] = &[
        ("OpenCL 1.1 old", "probe: DriverTooOld", &["1.1", "1.2"]),
        ("OpenCL 1.0", "probe: DriverTooOld", &["1.0", "1.2"]),
    ];

    const ACCEPTED_VERSIONS: &'static [(&'static str, Option<&'static str>)] =
        &[("OpenCL 1.2 oldest", None), ("OpenCL 2.2", None), ("OpenCL 4.0 later", None)];

    const START: &'static [&'static str] =
        &["clGetPlatformIDs", "clGetDeviceIDs", "clGetDeviceInfo"];

    const START_CODES: &'static [i32] = &[-1, -5, -6, -32, -1001, 12_345];

    const REUSE_VARIABLES: &'static [(&'static str, &'static str)] = &[];

    // An event without a record has no object of OpenCL, so there is no pool.
    const POOL: usize = 0;

    // A record is a marker, and the driver's thread completes it.
    const IS_IDLE_AT_ONCE: bool = false;

    fn lacks(feature: Feature) -> Option<&'static str> {
        match feature {
            Feature::DefaultStream => Some("OpenCL has no default stream"),
            Feature::PerThreadStream => Some("OpenCL has no stream for each thread"),
            Feature::Capture => Some("OpenCL has no captures of a queue"),
        }
    }

    /// Callbacks run on the driver's threads, and drop what they hold after the work behind them can go on. A stream
    /// keeps the marker of a query that was not reached.
    fn settle(test_streams: &TestStreams<Self>) {
        await_callbacks();
        // As many as when the streams were asked last: they keep nothing.
        static LIVE: AtomicU64 = AtomicU64::new(u64::MAX);
        let live = || front::controls().live("event");
        if live() == LIVE.load(Ordering::Relaxed) {
            return;
        }
        for (_, stream) in &test_streams.streams {
            let since = Instant::now();
            while !stream.query().expect("a query, where nothing fails") {
                assert!(since.elapsed() < TOO_LONG, "an idle stream is not done");
            }
        }
        LIVE.store(live(), Ordering::Relaxed);
    }

    fn controls() -> &'static Controls {
        front::controls()
    }

    fn child() -> Command {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
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
        OpenClCode::new(code).kind()
    }

    fn text_of(code: i32) -> String {
        OpenClCode::new(code).to_string()
    }

    fn means_no_device(function: &str, code: i32) -> bool {
        matches!((function, code), ("clGetPlatformIDs", -1001) | ("clGetDeviceIDs", -1))
    }

    fn host_func() -> &'static str {
        "clSetEventCallback"
    }

    fn slow_calls() -> Vec<(&'static str, SlowCall)> {
        vec![
            ("clGetEventInfo", SlowCall::Query),
            ("clWaitForEvents", SlowCall::Synchronize),
            ("clEnqueueMarkerWithWaitList", SlowCall::RecordEvent),
            ("clFlush", SlowCall::RecordEvent),
            ("clReleaseEvent", SlowCall::RecordEvent),
            ("clRetainEvent", SlowCall::WaitEvent),
            ("clEnqueueBarrierWithWaitList", SlowCall::WaitEvent),
            ("clGetEventInfo", SlowCall::EventQuery),
            ("clWaitForEvents", SlowCall::EventSynchronize),
            ("clCreateUserEvent", SlowCall::HostFunc),
            ("clEnqueueBarrierWithWaitList", SlowCall::HostFunc),
            ("clSetEventCallback", SlowCall::HostFunc),
            ("clSetUserEventStatus", SlowCall::HostFunc),
            ("clCreateCommandQueue", SlowCall::NewStream),
            ("clReleaseCommandQueue", SlowCall::NewStream),
        ]
    }

    fn makes(function: &str) -> Option<&'static str> {
        match function {
            "clCreateCommandQueue" | "clRetainCommandQueue" => Some("stream"),
            "clEnqueueMarkerWithWaitList" | "clCreateUserEvent" | "clRetainEvent" => Some("event"),
            _ => None,
        }
    }

    fn destroys(function: &str) -> Option<&'static str> {
        match function {
            "clReleaseCommandQueue" => Some("stream"),
            "clReleaseEvent" => Some("event"),
            _ => None,
        }
    }

    fn thread_state() -> String {
        String::new()
    }

    fn enter(setting: usize) -> bool {
        setting == 0
    }

    fn new_stream(sort: Sort) -> Option<usize> {
        let queue = match sort {
            Sort::Ordinary => {
                let like = pointer(home_bits());
                let device = opencl::device_of(like).expect("the device");
                opencl::create_queue(home().raw_context(), device, PROFILING).expect("a queue")
            }
            Sort::Blocking => return None,
            Sort::Elsewhere => elsewhere(),
        };
        Some(queue.expose_provenance())
    }

    /// An event of a queue in another context.
    fn foreign_event() -> RawEvent<OpenCl> {
        static MADE: OnceLock<usize> = OnceLock::new();
        RawEvent::from_bits(*MADE.get_or_init(|| {
            let event = opencl::record(elsewhere()).expect("an event");
            event.expose_provenance()
        }))
    }

    fn gate(stream: usize) -> Gate {
        let queue = pointer(stream);
        Gate::shut(opencl::context_of(queue).expect("the context"), queue).expect("a gate")
    }

    fn begin_capture(_: usize) {
        unreachable!("{}", Self::lacks(Feature::Capture).unwrap_or_default());
    }

    fn is_capture_alive(_: usize) -> bool {
        false
    }

    fn end_capture(_: usize) {}

    fn ipc_handle(_: &OpenClEvent) -> Result<(), OpenClError> {
        unsupported("interprocess events", "none in OpenCL")
    }

    fn open_ipc_zeros(_: Device) -> Result<OpenClEvent, OpenClError> {
        unsupported("interprocess events", "none in OpenCL")
    }
}
