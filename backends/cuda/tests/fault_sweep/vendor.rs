//! The CUDA fixture of the fault sweep: [`OnCuda`].

use std::ffi::c_int;
use std::sync::OnceLock;

use gpu_stream_core::{
    Backend, ErrorKind, Event as _, EventOptions, RawEvent, Stream, StreamOptions,
};
use gpu_stream_cuda::ipc::IpcEventHandle;
use gpu_stream_cuda::{Cuda, CudaCode};
use gpu_stream_faults::sweep::{
    AllowedOutcome, CallProbe, Deviation, ErrorOf, EventOf, FaultFixture, Operation, Sort,
    StreamOf, TestStreams,
};

use crate::support;
use crate::support::bare::{self, Ptr, bare};
use crate::support::device;

/// The CUDA fixture of the fault sweep.
pub struct OnCuda;

fn second_context() -> Ptr {
    static SECOND: OnceLock<usize> = OnceLock::new();
    let bits = SECOND.get_or_init(|| bare::new_context().expose_provenance());
    std::ptr::with_exposed_provenance_mut(*bits)
}

fn pointer(handle: usize) -> Ptr {
    std::ptr::with_exposed_provenance_mut(handle)
}

impl FaultFixture for OnCuda {
    type Backend = Cuda;
    type Gate = bare::Gate;

    const CODES: &'static [i32] = &[
        1, 2, 3, 4, 5, 6, 7, 8, 34, 36, 46, 47, 100, 101, 102, 200, 201, 202, 205, 206, 207, 208,
        209, 210, 211, 212, 213, 214, 215, 216, 217, 218, 219, 220, 221, 222, 223, 224, 225, 226,
        227, 300, 301, 302, 303, 304, 400, 401, 402, 500, 600, 700, 701, 702, 703, 704, 705, 708,
        709, 710, 711, 712, 713, 714, 715, 716, 717, 718, 719, 720, 721, 800, 801, 802, 803, 804,
        805, 806, 807, 808, 809, 810, 811, 812, 900, 901, 902, 903, 904, 905, 906, 907, 908, 909,
        910, 911, 912, 913, 914, 915, 916, 917, 918, 919, 999,
    ];

    const ALLOWED: &'static [AllowedOutcome] = &[
        AllowedOutcome {
            functions: &["cuGetErrorName", "cuGetErrorString"],
            operations: &[],
            codes: &[],
            may: Deviation::AnswerAsClean,
            reason: "a code without a text is printed as its number",
        },
        AllowedOutcome {
            functions: &[],
            operations: &["drop", "the end of a thread"],
            codes: &[],
            may: Deviation::AnswerAsClean,
            reason: "a drop and the end of a thread have no caller to report to",
        },
        AllowedOutcome {
            functions: &["cuStreamQuery", "cuEventQuery"],
            operations: &[],
            codes: &[600],
            may: Deviation::AnswerAsClean,
            reason: "not ready is a result",
        },
        AllowedOutcome {
            functions: &["cuStreamIsCapturing"],
            operations: &[],
            codes: &[906],
            may: Deviation::Say(ErrorKind::Capturing),
            reason: "the default stream's result beside a capture",
        },
        AllowedOutcome {
            functions: &["cuCtxPopCurrent_v2", "cuThreadExchangeStreamCaptureMode"],
            operations: &[],
            codes: &[],
            may: Deviation::AnswerAsClean,
            reason: "the thread's state is restored, with a second attempt",
        },
        AllowedOutcome {
            functions: &[],
            operations: &[],
            codes: &[201],
            may: Deviation::AnswerAsClean,
            reason: "the call is repeated with a current context",
        },
        AllowedOutcome {
            functions: &["cuCtxGetId"],
            operations: &[],
            codes: &[],
            may: Deviation::AnswerAsClean,
            reason: "a context without an answer counts as unchanged, and a destroyed one is retained again",
        },
        AllowedOutcome {
            functions: &["cuCtxGetStreamPriorityRange"],
            operations: &["new_stream"],
            codes: &[801],
            may: Deviation::AnswerAsClean,
            reason: "a driver without priorities supports 0 only",
        },
        AllowedOutcome {
            functions: &["cuEventDestroy_v2"],
            operations: &[],
            codes: &[],
            may: Deviation::AnswerAsClean,
            reason: "a scratch event has no caller to report to",
        },
        AllowedOutcome {
            functions: &["cuStreamIsCapturing"],
            operations: &[
                "record",
                "wait_event",
                "wait_stream",
                "fork",
                "join",
                "pending:",
                "capture: record_event",
                "foreign event:",
            ],
            codes: &[],
            may: Deviation::AnswerAsClean,
            reason: "the slow path checks again",
        },
        AllowedOutcome {
            functions: &["cuEventRecord", "cuEventCreate"],
            operations: &[
                "record_event",
                "wait_stream",
                "fork",
                "join",
                "pending:",
                "capture: record_event",
            ],
            codes: &[],
            may: Deviation::AnswerAsClean,
            reason: "the slow path records again",
        },
        AllowedOutcome {
            functions: &["cuStreamWaitEvent"],
            operations: &["wait_event", "wait_stream", "fork", "join"],
            codes: &[400],
            may: Deviation::AnswerAsClean,
            reason: "the slow path checks for a reset and waits again",
        },
        AllowedOutcome {
            functions: &["cuEventRecord"],
            operations: &["record", "foreign event: record"],
            codes: &[400],
            may: Deviation::AnswerAsClean,
            reason: "the slow path records again, to name the event's context",
        },
        AllowedOutcome {
            functions: &["cuEventElapsedTime", "cuEventElapsedTime_v2"],
            operations: &["elapsed_since"],
            codes: &[],
            may: Deviation::AnswerAsClean,
            reason: "the contract searches the reason, and calls again if there is none",
        },
        AllowedOutcome {
            functions: &["cuEventElapsedTime", "cuEventElapsedTime_v2"],
            operations: &["foreign event:"],
            codes: &[],
            may: Deviation::AnswerAsClean,
            reason: "the check of a foreign event finds nothing, and the next call answers",
        },
        AllowedOutcome {
            functions: &["cuStreamGetCtx"],
            operations: &[
                "wrap",
                "record",
                "wait_stream",
                "fork",
                "join",
                "new event of the stream",
            ],
            codes: &[],
            may: Deviation::AnswerAsClean,
            reason: "the slow path asks again",
        },
        AllowedOutcome {
            functions: &[
                "cuStreamGetId",
                "cuStreamIsCapturing",
                "cuCtxGetCurrent",
                "cuCtxPushCurrent_v2",
            ],
            operations: &["host function", "pending: host function"],
            codes: &[],
            may: Deviation::AnswerAsClean,
            reason: "without the stream's id, no later call reports a panic of the function",
        },
        AllowedOutcome {
            functions: &["cuStreamGetCaptureInfo_v2"],
            operations: &["capture: record_event"],
            codes: &[],
            may: Deviation::AnswerAsClean,
            reason: "the record's capture is unknown",
        },
        AllowedOutcome {
            functions: &["cuStreamGetCaptureInfo_v2"],
            operations: &["capture: event"],
            codes: &[],
            may: Deviation::Say(ErrorKind::InvalidEvent),
            reason: "a capture without an id counts as ended",
        },
        AllowedOutcome {
            functions: &["cuEventQuery", "cuEventElapsedTime", "cuEventElapsedTime_v2"],
            operations: &["elapsed_since"],
            codes: &[600],
            may: Deviation::Say(ErrorKind::EventPending),
            reason: "not ready is the contract's `EventPending`",
        },
    ];

    fn kind_of(code: i32) -> ErrorKind {
        CudaCode::new(code).kind()
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
        let (context, mode) = bare::thread_state();
        format!("context {context:#x}, capture mode {mode}")
    }

    /// The first setting is the one that makes the backend change the most.
    fn enter(setting: usize) -> bool {
        let (context, mode) = match setting {
            0 => (std::ptr::null_mut(), 0),
            1 => (second_context(), 0),
            2 => (bare::primary_context(), 1),
            3 => (second_context(), 2),
            _ => return false,
        };
        bare::set_current(context);
        bare::set_capture_mode(mode);
        true
    }

    fn new_stream(sort: Sort) -> Option<usize> {
        let (context, flags) = match sort {
            Sort::Ordinary => (bare::primary_context(), 1),
            Sort::Blocking => (bare::primary_context(), 0),
            Sort::Elsewhere => (second_context(), 1),
        };
        Some(bare::new_stream(context, flags, 0).expose_provenance())
    }

    fn event_for(
        stream: &StreamOf<Self>,
        options: EventOptions,
    ) -> Result<EventOf<Self>, ErrorOf<Self>> {
        stream.new_event(options)
    }

    fn gate(stream: usize) -> bare::Gate {
        bare::Space::primary().gate(pointer(stream))
    }

    fn begin_capture(stream: usize) {
        const GLOBAL: c_int = 0;
        bare::begin_capture(pointer(stream), GLOBAL);
    }

    fn is_capture_alive(stream: usize) -> bool {
        support::capture::status_of(pointer(stream)) == Ok(1)
    }

    fn end_capture(stream: usize) {
        let mut graph = std::ptr::null_mut();
        // SAFETY: the stream is alive, `&mut graph` is a valid out-pointer, and the graph is used no more.
        unsafe {
            if (bare().end_capture)(pointer(stream), &mut graph) == 0 {
                (bare().graph_destroy)(graph);
            }
        }
    }

    fn more(world: &TestStreams<Self>) -> Vec<Operation<'_>> {
        let interprocess = || {
            let options = EventOptions::builder().interprocess(true).build()?;
            Cuda::new_event(device(), options)
        };
        let plain = || Cuda::new_event(device(), EventOptions::new());
        let mut all = kin(world);
        all.extend(foreign_events(world));
        all.extend([
            Operation {
                name: "ipc_handle".into(),
                run: Box::new(move |stage| {
                    let event = interprocess();
                    let _ = stage.act(|| event.as_ref().map_err(Clone::clone)?.ipc_handle());
                }),
            },
            Operation {
                name: "ipc_handle of a plain event".into(),
                run: Box::new(move |stage| {
                    let event = plain();
                    let _ = stage.act(|| event.as_ref().map_err(Clone::clone)?.ipc_handle());
                }),
            },
            Operation {
                name: "ipc open of zeros".into(),
                run: Box::new(|stage| {
                    let handle = IpcEventHandle::from_bytes([0; 64]);
                    // SAFETY: no process created the event, so none destroys it.
                    drop(stage.act(|| unsafe { handle.open(device()) }));
                }),
            },
            Operation {
                name: "text of a code".into(),
                run: Box::new(|stage| {
                    let text = stage.act_silent(|| CudaCode::new(1).to_string());
                    let has_number = text.is_some_and(|text| text.contains('1'));
                    stage.check(has_number, "the text has the number");
                }),
            },
            Operation {
                name: "debug of an event".into(),
                run: Box::new(move |stage| {
                    let event = plain().expect("an event");
                    let text = stage.act_silent(|| format!("{event:?}"));
                    stage.check(text.is_some_and(|text| text.contains("CudaEvent")), "its name");
                    event.synchronize().expect("synchronize");
                }),
            },
        ]);
        all
    }
}

/// The events and streams that each kind of stream creates in its own context, and its flags.
fn kin(world: &TestStreams<OnCuda>) -> Vec<Operation<'_>> {
    let mut all = Vec::new();
    for (sort, stream) in &world.streams {
        all.push(Operation {
            name: format!("is_blocking, {sort}"),
            run: Box::new(move |stage| _ = stage.act(|| stream.is_blocking())),
        });
        for (name, options) in [
            ("plain", StreamOptions::new()),
            ("blocking", StreamOptions::new().blocking(true)),
            ("priority 99", StreamOptions::new().priority(99)),
        ] {
            all.push(Operation {
                name: format!("new_stream of the stream, {name}, {sort}"),
                run: Box::new(move |stage| {
                    if let Some(made) = stage.act(|| stream.new_stream(options)) {
                        made.wait_stream(stream).expect("where nothing fails");
                        made.synchronize().expect("where nothing fails");
                    }
                }),
            });
        }
    }
    all
}

/// Returns an event that another library created, in the first device's primary context.
fn foreign_event() -> RawEvent<Cuda> {
    static MADE: OnceLock<usize> = OnceLock::new();
    let bits = MADE.get_or_init(|| {
        let _current = bare::enter(bare::primary_context());
        let mut event = std::ptr::null_mut();
        // SAFETY: the out-pointer is valid. The event is never destroyed.
        bare::ok("event_create", unsafe { (bare().event_create)(&mut event, 0) });
        event.expose_provenance()
    });
    RawEvent::from_bits(*bits)
}

fn foreign_events(world: &TestStreams<OnCuda>) -> Vec<Operation<'_>> {
    // SAFETY: the event is never destroyed.
    let wrap = |device| unsafe { Cuda::event_from_raw(foreign_event(), device) };
    let event = move || wrap(Some(device())).expect("where nothing fails");
    let (_, stream) = &world.streams[0];
    fn operation<'w>(name: &str, run: Box<dyn Fn(&CallProbe) + 'w>) -> Operation<'w> {
        Operation { name: name.into(), run }
    }
    foreign_event();
    vec![
        operation("wrap_event, no device", Box::new(move |stage| drop(stage.act(|| wrap(None))))),
        operation(
            "wrap_event, a device",
            Box::new(move |stage| drop(stage.act(|| wrap(Some(device()))))),
        ),
        operation(
            "foreign event: record",
            Box::new(move |stage| {
                let event = event();
                stage.act(|| stream.record(&event));
            }),
        ),
        operation(
            "foreign event: wait_event",
            Box::new(move |stage| {
                let event = event();
                stage.act(|| stream.wait_event(&event));
            }),
        ),
        operation(
            "foreign event: status",
            Box::new(move |stage| {
                let event = event();
                stage.act(|| event.status());
            }),
        ),
        operation(
            "foreign event: synchronize",
            Box::new(move |stage| {
                let event = event();
                stage.act(|| event.synchronize());
            }),
        ),
    ]
}
