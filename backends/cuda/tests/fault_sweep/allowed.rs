//! The outcomes of faults that are right without an error that names the driver's function.

use gpu_stream_core::ErrorKind;
use gpu_stream_faults::sweep::AllowedOutcome;
use gpu_stream_faults::sweep::Deviation::{AnswerAsClean, LeaveStream, Say};

/// The table, which is read from top to bottom.
pub const ALLOWED: &[AllowedOutcome] = &[
    AllowedOutcome::of(
        &["cuGetErrorName", "cuGetErrorString"],
        AnswerAsClean,
        "a code without a text is printed as its number",
    ),
    AllowedOutcome::of(
        &[],
        AnswerAsClean,
        "a drop and the end of a thread have no caller to report to",
    )
    .within(&["drop", "the end of a thread"]),
    AllowedOutcome::of(&["cuStreamQuery", "cuEventQuery"], AnswerAsClean, "not ready is a result")
        .with_codes(&[600]),
    AllowedOutcome::of(
        &["cuStreamIsCapturing"],
        Say(ErrorKind::Capturing),
        "the default stream's result beside a capture",
    )
    .with_codes(&[906]),
    AllowedOutcome::of(
        &["cuCtxPopCurrent_v2", "cuThreadExchangeStreamCaptureMode"],
        AnswerAsClean,
        "the thread's state is restored, with a second attempt",
    ),
    AllowedOutcome::of(&[], AnswerAsClean, "the call is repeated with a current context")
        .with_codes(&[201]),
    AllowedOutcome::of(
        &["cuCtxGetId"],
        AnswerAsClean,
        "a context without an answer counts as unchanged, and a destroyed one is retained again",
    ),
    AllowedOutcome::of(
        &["cuCtxGetId"],
        LeaveStream,
        "the driver destroys the streams of a context with it",
    )
    .within(&["drop"])
    .with_codes(&[201, 709]),
    AllowedOutcome::of(
        &["cuCtxGetStreamPriorityRange"],
        AnswerAsClean,
        "a driver without priorities supports 0 only",
    )
    .within(&["new_stream"])
    .with_codes(&[801]),
    AllowedOutcome::of(
        &["cuEventDestroy_v2"],
        AnswerAsClean,
        "a scratch event has no caller to report to",
    ),
    AllowedOutcome::of(&["cuStreamIsCapturing"], AnswerAsClean, "the slow path checks again")
        .within(&[
            "record",
            "wait_event",
            "wait_stream",
            "fork",
            "join",
            "pending:",
            "capture: record_event",
            "foreign event:",
            "capture_status",
            "capture: capture_status",
            "retained:",
            "await: done, busy",
        ]),
    AllowedOutcome::of(
        &["cuEventRecord", "cuEventCreate"],
        AnswerAsClean,
        "the slow path records again",
    )
    .within(&[
        "record_event",
        "wait_stream",
        "fork",
        "join",
        "pending:",
        "capture: record_event",
        "retained:",
        "await: done, busy",
    ]),
    AllowedOutcome::of(
        &["cuStreamWaitEvent"],
        AnswerAsClean,
        "the slow path checks for a reset and waits again",
    )
    .within(&["wait_event", "wait_stream", "fork", "join"])
    .with_codes(&[400]),
    AllowedOutcome::of(
        &["cuEventRecord"],
        AnswerAsClean,
        "the slow path records again, to name the event's context",
    )
    .within(&["record", "foreign event: record"])
    .with_codes(&[400]),
    AllowedOutcome::of(
        &["cuEventElapsedTime", "cuEventElapsedTime_v2"],
        AnswerAsClean,
        "the contract searches the reason, and calls again if there is none",
    )
    .within(&["elapsed_since"]),
    AllowedOutcome::of(
        &["cuEventElapsedTime", "cuEventElapsedTime_v2"],
        AnswerAsClean,
        "the check of a foreign event finds nothing, and the next call answers",
    )
    .within(&["foreign event:"]),
    AllowedOutcome::of(
        &["cuStreamGetCtx"],
        AnswerAsClean,
        "the newer function answers in its place",
    )
    .within(&["query, wrapped unchecked", "synchronize, wrapped unchecked"])
    .with_codes(&[801]),
    AllowedOutcome::of(&["cuStreamGetCtx"], AnswerAsClean, "the slow path asks again").within(&[
        "wrap",
        "record",
        "wait_stream",
        "fork",
        "join",
        "new event of the stream",
    ]),
    AllowedOutcome::of(
        &["cuStreamGetId", "cuStreamIsCapturing", "cuCtxGetCurrent", "cuCtxPushCurrent_v2"],
        AnswerAsClean,
        "without the stream's id, no later call reports a panic of the function",
    )
    .within(&["host function", "pending: host function"]),
    AllowedOutcome::of(
        &["cuStreamGetCaptureInfo_v2"],
        AnswerAsClean,
        "the record's capture is unknown",
    )
    .within(&["capture: record_event"]),
    AllowedOutcome::of(
        &["cuStreamGetCaptureInfo_v2"],
        Say(ErrorKind::InvalidEvent),
        "a capture without an id counts as ended",
    )
    .within(&["capture: event"]),
    AllowedOutcome::of(
        &["cuEventQuery", "cuEventElapsedTime", "cuEventElapsedTime_v2"],
        Say(ErrorKind::EventPending),
        "not ready is the contract's `EventPending`",
    )
    .within(&["elapsed_since"])
    .with_codes(&[600]),
    AllowedOutcome::of(
        &["cuEventQuery", "cuEventSynchronize"],
        Say(ErrorKind::InvalidEvent),
        "the driver has this code for an event of a past capture",
    )
    .with_codes(&[1]),
    AllowedOutcome::of(
        &["cuEventQuery"],
        AnswerAsClean,
        "the mark counts as one of a past capture, and is recorded again",
    )
    .within(&["retained:"])
    .with_codes(&[1]),
    AllowedOutcome::of(
        &["cuEventQuery"],
        AnswerAsClean,
        "the error is about earlier values, which stay, and the next collect returns it",
    )
    .within(&["retained: retain"]),
    AllowedOutcome::of(
        &["cuStreamIsCapturing", "cuCtxGetCurrent", "cuCtxPushCurrent_v2"],
        AnswerAsClean,
        "a driver without captures captures no stream, and one beside a capture is asked again",
    )
    .within(&["retained:"])
    .with_codes(&[801, 906]),
    AllowedOutcome::of(
        &[],
        AnswerAsClean,
        "values of a captured stream stay, and get a mark after the capture",
    )
    .within(&["retained: collect", "retained: drain"])
    .with_codes(&[900, 901, 902, 903, 904, 905, 906, 907, 908, 909]),
];
