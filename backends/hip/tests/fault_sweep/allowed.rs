//! The outcomes of faults that are right without an error that names the runtime's function.

use gpu_stream_core::ErrorKind;
use gpu_stream_faults::sweep::AllowedOutcome;
use gpu_stream_faults::sweep::Deviation::{
    AnswerAsClean, BreakCapture, ChangeThread, LeaveEvent, Say,
};

/// The table, which is read from top to bottom.
pub const ALLOWED: &[AllowedOutcome] = &[
    AllowedOutcome::of(
        &["hipPeekAtLastError", "hipGetLastError"],
        AnswerAsClean,
        "the last error is only read to be restored; it is no result of the call",
    ),
    AllowedOutcome::of(
        &["hipGetErrorName", "hipGetErrorString"],
        AnswerAsClean,
        "a code without a text is shown as its number",
    ),
    AllowedOutcome::of(&[], AnswerAsClean, "a drop and the end of a thread cannot return an error")
        .within(&["drop", "the end of a thread"]),
    AllowedOutcome::of(
        &["hipStreamQuery", "hipEventQuery"],
        AnswerAsClean,
        "not ready is a result",
    )
    .with_codes(&[600]),
    AllowedOutcome::of(
        &["hipStreamIsCapturing"],
        Say(ErrorKind::InvalidHandle),
        "HIP 5.2 returns this code for a handle that is not a stream",
    )
    .with_codes(&[1]),
    AllowedOutcome::of(
        &["hipStreamIsCapturing"],
        Say(ErrorKind::Capturing),
        "the default stream returns this code beside a capture",
    )
    .with_codes(&[906]),
    AllowedOutcome::of(
        &["hipSetDevice", "hipThreadExchangeStreamCaptureMode"],
        AnswerAsClean,
        "the restore is repeated if it fails",
    ),
    AllowedOutcome::of(
        &["hipThreadExchangeStreamCaptureMode"],
        BreakCapture,
        "a function that is not supported counts as missing, and without it the call is not safe",
    )
    .within(&["capture:"])
    .with_codes(&[801]),
    AllowedOutcome::of(
        &["hipThreadExchangeStreamCaptureMode"],
        Say(ErrorKind::Driver),
        "a function that is not supported counts as missing, and without it the call is not safe",
    )
    .within(&["capture:"])
    .with_codes(&[801]),
    AllowedOutcome::of(
        &["hipStreamIsCapturing"],
        AnswerAsClean,
        "the fast path falls back, and the slow path checks again",
    )
    .within(&[
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
        "foreign event: record",
        "retained: collect",
        "retained: drain",
        "retained: retain, last of a batch",
        "retained: retain, the thread's stream",
        "await: done, busy",
    ]),
    AllowedOutcome::of(
        &["hipStreamIsCapturing"],
        AnswerAsClean,
        "the fast path falls back; the slow path checks again, or makes no call at all",
    )
    .within(&["wait_event", "pending: wait_event", "foreign event: wait_event"]),
    AllowedOutcome::of(
        &["hipEventRecord"],
        Say(ErrorKind::InvalidHandle),
        "the contract names the event, which may belong to another device than the one given",
    )
    .within(&["foreign event: record"])
    .with_codes(&[400]),
    AllowedOutcome::of(
        &[],
        Say(ErrorKind::ContextDestroyed),
        "the stream's owner has not destroyed it, so the device was reset",
    )
    .with_codes(&[1, 400, 709]),
    AllowedOutcome::of(
        &["hipStreamGetDevice"],
        AnswerAsClean,
        "it only tells whether the runtime knows the stream, and other codes do not deny that",
    )
    .within(&[
        "query",
        "pending: query",
        "capture: query",
        "capture_status",
        "priority",
        "is_blocking",
        "id",
        "synchronize",
        "capture: synchronize",
        "host function",
        "pending: host function",
        "record, the thread's",
        "record_event, the thread's",
        "wait_stream, for the thread's",
        "pending: wait_stream, for the thread's",
        "retained: ",
        "await: done",
    ]),
    AllowedOutcome::of(
        &["hipEventElapsedTime"],
        AnswerAsClean,
        "it is called first, and once more after the check for reasons",
    ),
    AllowedOutcome::of(
        &["hipStreamWaitEvent"],
        Say(ErrorKind::Capturing),
        "HIP returns this code for an event from before an active capture",
    )
    .with_codes(&[905, 907]),
    AllowedOutcome::of(
        &["hipEventQuery", "hipEventSynchronize"],
        Say(ErrorKind::Capturing),
        "HIP returns this code for an event from before an active capture",
    )
    .with_codes(&[907]),
    AllowedOutcome::of(
        &["hipEventQuery"],
        AnswerAsClean,
        "a future asks again after the capture of its stream",
    )
    .within(&["await: the future"])
    .with_codes(&[907]),
    AllowedOutcome::of(
        &["hipEventQuery", "hipEventElapsedTime"],
        Say(ErrorKind::EventPending),
        "the contract maps not ready to pending",
    )
    .within(&["elapsed_since"])
    .with_codes(&[600]),
    AllowedOutcome::of(
        &["hipStreamQuery"],
        AnswerAsClean,
        "HIP 5.7 rejects the query beside a capture, and the backend queries an event instead",
    )
    .with_codes(&[900]),
    AllowedOutcome::of(
        &["hipEventSynchronize"],
        AnswerAsClean,
        "HIP 5.7 rejects the wait beside a capture, and the backend polls instead",
    )
    .with_codes(&[600, 900]),
    AllowedOutcome::of(
        &["hipGetStreamDeviceId"],
        Say(ErrorKind::InvalidHandle),
        "it returns a device, and none for a handle that is not a stream",
    ),
    AllowedOutcome::of(
        &["hipGetStreamDeviceId"],
        AnswerAsClean,
        "it returns a device, and 1 is a device",
    )
    .with_codes(&[1]),
    AllowedOutcome::of(
        &["hipGetStreamDeviceId"],
        Say(ErrorKind::DeviceMismatch),
        "it returns a device, and 1 is another device",
    )
    .with_codes(&[1]),
    AllowedOutcome::of(
        &["hipStreamGetCaptureInfo_v2"],
        AnswerAsClean,
        "the record is known to be captured, but not by which capture",
    )
    .within(&["capture: record_event"]),
    AllowedOutcome::of(
        &["hipStreamGetCaptureInfo_v2", "hipGetDevice", "hipSetDevice"],
        Say(ErrorKind::InvalidEvent),
        "a capture that the runtime does not name counts as ended",
    )
    .within(&["capture: event"]),
    AllowedOutcome::of(
        &["hipStreamGetDevice"],
        Say(ErrorKind::InvalidHandle),
        "HIP returns these codes for a handle that is not a stream",
    )
    .with_codes(&[400, 709]),
    AllowedOutcome::of(
        &["hipStreamGetId", "hipStreamIsCapturing", "hipGetDevice"],
        AnswerAsClean,
        "without the stream's id, no later call reports a panic of the function",
    )
    .within(&["host function", "pending: host function"]),
    AllowedOutcome::of(
        &["hipStreamIsCapturing"],
        AnswerAsClean,
        "the call only has to create the stream, which a capture does not affect",
    )
    .within(&["the thread's first call", "per_thread_stream"])
    .with_codes(&[906]),
    AllowedOutcome::of(
        &["hipPeekAtLastError", "hipGetLastError"],
        ChangeThread,
        "the last error is unknown if the runtime does not return it",
    ),
    AllowedOutcome::of(
        &[],
        LeaveEvent,
        "up to HIP 5.4 the end of a capture writes to its events, so they are not destroyed",
    )
    .within(&["capture:"]),
    AllowedOutcome::of(
        &["hipStreamIsCapturing"],
        LeaveEvent,
        "a capture may have the event whose check failed, so it is neither reused nor, up to HIP 5.4, destroyed",
    )
    .within(&["drop, a stream", "record", "pending: record", "foreign event: record"]),
    AllowedOutcome::of(
        &["hipEventQuery"],
        AnswerAsClean,
        "the error is about earlier values, which stay, and the next collect returns it",
    )
    .within(&["retained: retain"]),
    AllowedOutcome::of(
        &["hipStreamIsCapturing"],
        AnswerAsClean,
        "HIP 6.4 asks it before a query of an earlier value's mark; the next collect returns the error",
    )
    .within(&["retained: retain, next"]),
    AllowedOutcome::of(
        &["hipStreamIsCapturing", "hipGetDevice"],
        AnswerAsClean,
        "a runtime without captures captures no stream, and one beside a capture is asked again",
    )
    .within(&["retained:"])
    .with_codes(&[801, 906]),
    AllowedOutcome::of(
        &[],
        AnswerAsClean,
        "values of a captured stream stay, and get a mark after the capture",
    )
    .within(&["retained: collect", "retained: drain", "retained: retain, last of a batch"])
    .with_codes(&[900, 901, 902, 903, 904, 905, 906, 907, 908]),
];
