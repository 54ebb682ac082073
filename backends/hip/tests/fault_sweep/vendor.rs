//! What the fault sweep has to know of HIP: [`OnHip`].

use std::ffi::c_int;

use gpu_stream_core::{Backend, ErrorKind, Event as _, EventOptions, RawEvent, Stream as _};
use gpu_stream_faults::sweep::{
    AllowedOutcome, Deviation, ErrorOf, EventOf, FaultFixture, Operation, Sort, StreamOf,
    TestStreams,
};
use gpu_stream_hip::ipc::IpcEventHandle;
use gpu_stream_hip::{Hip, HipCode};

use crate::support;
use crate::support::bare::{self, bare};
use crate::support::{device, devices};

/// What the fault sweep has to know of HIP.
pub struct OnHip;

impl FaultFixture for OnHip {
    type Backend = Hip;
    type Gate = bare::Gate;

    const CODES: &'static [i32] = &[
        1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 17, 21, 35, 52, 53, 98, 100, 101, 200, 201, 202, 205,
        206, 207, 208, 209, 210, 211, 212, 213, 214, 215, 216, 217, 218, 219, 300, 301, 302, 303,
        304, 400, 401, 500, 600, 700, 701, 702, 704, 705, 708, 709, 710, 712, 713, 719, 720, 801,
        900, 901, 902, 903, 904, 905, 906, 907, 908, 910, 911, 912, 999, 1052, 1053,
    ];

    const ALLOWED: &'static [AllowedOutcome] = &[
        AllowedOutcome {
            functions: &["hipPeekAtLastError", "hipGetLastError"],
            operations: &[],
            codes: &[],
            may: Deviation::AnswerAsClean,
            reason: "the last error is looked at to be left as it was; it says nothing of the call",
        },
        AllowedOutcome {
            functions: &["hipGetErrorName", "hipGetErrorString"],
            operations: &[],
            codes: &[],
            may: Deviation::AnswerAsClean,
            reason: "a code without a text is told by its number",
        },
        AllowedOutcome {
            functions: &[],
            operations: &["drop", "the end of a thread"],
            codes: &[],
            may: Deviation::AnswerAsClean,
            reason: "a drop and the end of a thread have nobody to tell",
        },
        AllowedOutcome {
            functions: &["hipStreamQuery", "hipEventQuery"],
            operations: &[],
            codes: &[600],
            may: Deviation::AnswerAsClean,
            reason: "not ready is an answer",
        },
        AllowedOutcome {
            functions: &["hipStreamIsCapturing"],
            operations: &[],
            codes: &[1],
            may: Deviation::Say(ErrorKind::InvalidHandle),
            reason: "what HIP 5.2 says of a handle that is no stream",
        },
        AllowedOutcome {
            functions: &["hipStreamIsCapturing"],
            operations: &[],
            codes: &[906],
            may: Deviation::Say(ErrorKind::Capturing),
            reason: "what the default stream says beside a capture",
        },
        AllowedOutcome {
            functions: &["hipSetDevice", "hipThreadExchangeStreamCaptureMode"],
            operations: &[],
            codes: &[],
            may: Deviation::AnswerAsClean,
            reason: "what was changed is put back, and if that fails, once more",
        },
        AllowedOutcome {
            functions: &["hipStreamIsCapturing"],
            operations: &[
                "record",
                "pending: record",
                "wait_stream",
                "fork",
                "join",
                "synchronize",
                "pending: wait_stream",
                "pending: fork",
                "pending: join",
                "capture: record_event",
            ],
            codes: &[],
            may: Deviation::AnswerAsClean,
            reason: "the look behind a record only makes sure; the record was made",
        },
        AllowedOutcome {
            functions: &["hipStreamIsCapturing"],
            operations: &["wait_event", "pending: wait_event"],
            codes: &[],
            may: Deviation::AnswerAsClean,
            reason: "the fast path gives up, and the slow one asks again, or makes no call at all",
        },
        AllowedOutcome {
            functions: &[],
            operations: &[],
            codes: &[1, 400, 709],
            may: Deviation::Say(ErrorKind::ContextDestroyed),
            reason: "the stream's owner has not destroyed it, so the device was reset",
        },
        AllowedOutcome {
            functions: &["hipStreamGetDevice"],
            operations: &[
                "query",
                "pending: query",
                "capture: query",
                "synchronize",
                "capture: synchronize",
            ],
            codes: &[],
            may: Deviation::AnswerAsClean,
            reason: "it is asked only whether the runtime knows the stream, which other codes do not deny",
        },
        AllowedOutcome {
            functions: &["hipEventElapsedTime"],
            operations: &[],
            codes: &[],
            may: Deviation::AnswerAsClean,
            reason: "it is asked first, and once more after the reasons were looked for",
        },
        AllowedOutcome {
            functions: &["hipStreamWaitEvent"],
            operations: &[],
            codes: &[905, 907],
            may: Deviation::Say(ErrorKind::Capturing),
            reason: "HIP says so of an event from before a capture that goes on",
        },
        AllowedOutcome {
            functions: &["hipEventQuery"],
            operations: &[],
            codes: &[907],
            may: Deviation::Say(ErrorKind::Capturing),
            reason: "HIP says so of an event from before a capture that goes on",
        },
        AllowedOutcome {
            functions: &["hipEventQuery", "hipEventElapsedTime"],
            operations: &["elapsed_since"],
            codes: &[600],
            may: Deviation::Say(ErrorKind::EventPending),
            reason: "not ready is what the contract calls pending",
        },
        AllowedOutcome {
            functions: &["hipStreamQuery"],
            operations: &[],
            codes: &[900],
            may: Deviation::AnswerAsClean,
            reason: "beside a capture HIP 5.7 refuses the question, and takes one for an event",
        },
        AllowedOutcome {
            functions: &["hipGetStreamDeviceId"],
            operations: &[],
            codes: &[],
            may: Deviation::Say(ErrorKind::InvalidHandle),
            reason: "it answers with a device, and with none for what is no stream",
        },
        AllowedOutcome {
            functions: &["hipGetStreamDeviceId"],
            operations: &[],
            codes: &[1],
            may: Deviation::AnswerAsClean,
            reason: "it answers with a device, and 1 is one",
        },
        AllowedOutcome {
            functions: &["hipGetStreamDeviceId"],
            operations: &[],
            codes: &[1],
            may: Deviation::Say(ErrorKind::DeviceMismatch),
            reason: "it answers with a device, and 1 is another",
        },
        AllowedOutcome {
            functions: &["hipStreamGetCaptureInfo_v2"],
            operations: &["capture: record_event"],
            codes: &[],
            may: Deviation::AnswerAsClean,
            reason: "the record is known to be of a capture, and not of which",
        },
        AllowedOutcome {
            functions: &["hipStreamGetCaptureInfo_v2", "hipGetDevice", "hipSetDevice"],
            operations: &["capture: event"],
            codes: &[],
            may: Deviation::Say(ErrorKind::InvalidEvent),
            reason: "a capture that the runtime does not name is taken to be over",
        },
        AllowedOutcome {
            functions: &["hipStreamGetDevice"],
            operations: &[],
            codes: &[400, 709],
            may: Deviation::Say(ErrorKind::InvalidHandle),
            reason: "what HIP says of a handle that is no stream",
        },
        AllowedOutcome {
            functions: &["hipStreamGetId", "hipStreamIsCapturing", "hipGetDevice"],
            operations: &["host function", "pending: host function"],
            codes: &[],
            may: Deviation::AnswerAsClean,
            reason: "without the id of the stream, a panic of the function is told by no later call",
        },
        AllowedOutcome {
            functions: &["hipStreamIsCapturing"],
            operations: &["the thread's first call", "per_thread_stream"],
            codes: &[906],
            may: Deviation::AnswerAsClean,
            reason: "the call is there to make the stream, and a capture does not matter to that",
        },
        AllowedOutcome {
            functions: &["hipPeekAtLastError", "hipGetLastError"],
            operations: &[],
            codes: &[],
            may: Deviation::ChangeThread,
            reason: "what the last error was cannot be known from a runtime that does not say",
        },
        AllowedOutcome {
            functions: &[],
            operations: &["capture:"],
            codes: &[],
            may: Deviation::LeaveEvent,
            reason: "up to HIP 5.4 the end of a capture writes to its events, so they are not destroyed",
        },
        AllowedOutcome {
            functions: &["hipGetStreamDeviceId", "hipStreamGetDevice"],
            operations: &["wrap"],
            codes: &[],
            may: Deviation::AnswerAsClean,
            reason: "the quick way gives up, and the careful one asks again",
        },
    ];

    fn kind_of(code: i32) -> ErrorKind {
        HipCode::new(code).kind()
    }

    fn makes(function: &str) -> Option<&'static str> {
        match function {
            "hipStreamCreateWithPriority" => Some("stream"),
            "hipEventCreateWithFlags" | "hipIpcOpenEventHandle" => Some("event"),
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
        // First, since up to HIP 6 every other call replaces it.
        let error = bare::peek_error();
        let (device, mode) = bare::thread_state();
        format!("device {device}, capture mode {mode}, last error {error}")
    }

    fn clear_last_error() {
        bare::fetch_error();
    }

    /// First the one that makes the backend change the most.
    fn enter(setting: usize) -> bool {
        let (device, mode) = match setting {
            0 => (devices() - 1, 0),
            1 => (0, 0),
            2 => (devices() - 1, 1),
            3 => (0, 2),
            _ => return false,
        };
        bare::set_device(device);
        bare::set_capture_mode(mode);
        true
    }

    fn new_stream(sort: Sort) -> Option<usize> {
        let (device, flags) = match sort {
            Sort::Ordinary => (0, 1),
            Sort::Blocking => (0, 0),
            Sort::Elsewhere if devices() > 1 => (1, 1),
            Sort::Elsewhere => return None,
        };
        Some(bare::new_stream(device, flags, 0).expose_provenance())
    }

    fn event_for(
        stream: &StreamOf<Self>,
        options: EventOptions,
    ) -> Result<EventOf<Self>, ErrorOf<Self>> {
        stream.new_event(options)
    }

    fn gate(stream: usize) -> bare::Gate {
        static WORDS: std::sync::OnceLock<bare::Words> = std::sync::OnceLock::new();
        let words = WORDS.get_or_init(|| bare::words(1));
        words.gate(std::ptr::with_exposed_provenance_mut(stream), 0)
    }

    fn begin_capture(stream: usize) {
        const GLOBAL: c_int = 0;
        bare::begin_capture(std::ptr::with_exposed_provenance_mut(stream), GLOBAL);
    }

    fn is_capture_alive(stream: usize) -> bool {
        support::capture::status_of(std::ptr::with_exposed_provenance_mut(stream)) == Ok(1)
    }

    fn end_capture(stream: usize) {
        let mut graph = std::ptr::null_mut();
        // SAFETY: the stream is alive, `graph` is a place for one graph, and it is used no more.
        unsafe {
            let stream = std::ptr::with_exposed_provenance_mut(stream);
            if (bare().end_capture)(stream, &mut graph) == 0 {
                (bare().graph_destroy)(graph);
            }
        }
    }

    fn more(_: &TestStreams<Self>) -> Vec<Operation<'_>> {
        let interprocess = || {
            let options = EventOptions::builder().interprocess(true).build()?;
            Hip::new_event(device(), options)
        };
        let plain = || Hip::new_event(device(), EventOptions::new());
        vec![
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
                    // SAFETY: no process made it.
                    drop(stage.act(|| unsafe { handle.open(device()) }));
                }),
            },
            Operation {
                name: "is_blocking".into(),
                run: Box::new(|stage| {
                    static RAW: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
                    let raw = RAW.get_or_init(|| Self::new_stream(Sort::Ordinary).unwrap());
                    let stream = support::wrap(std::ptr::with_exposed_provenance_mut(*raw));
                    let _ = stage.act(|| stream.is_blocking());
                }),
            },
            Operation {
                name: "wrap a foreign event".into(),
                run: Box::new(move |stage| {
                    let mut event = std::ptr::null_mut();
                    // SAFETY: a place for one event.
                    bare::ok("event_create", unsafe { (bare().event_create)(&mut event, 2) });
                    let raw = RawEvent::from_ptr(event);
                    // SAFETY: the event is destroyed after the wrapper.
                    drop(stage.act(|| unsafe { Hip::event_from_raw(raw, None) }));
                    // SAFETY: its last use.
                    bare::ok("event_destroy", unsafe { (bare().event_destroy)(event) });
                }),
            },
            Operation {
                name: "text of a code".into(),
                run: Box::new(|stage| {
                    let text = stage.act_silent(|| HipCode::new(1).to_string());
                    let has_number = text.is_some_and(|text| text.starts_with('1'));
                    stage.check(has_number, "the text has the number");
                }),
            },
            Operation {
                name: "debug of an event".into(),
                run: Box::new(move |stage| {
                    let event = plain().expect("an event");
                    let text = stage.act_silent(|| format!("{event:?}"));
                    stage.check(text.is_some_and(|text| text.contains("HipEvent")), "its name");
                    event.synchronize().expect("synchronize");
                }),
            },
        ]
    }
}
