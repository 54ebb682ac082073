//! The outcomes of faults that are right without an error that names OpenCL's function.

use gpu_stream_faults::sweep::AllowedOutcome;
use gpu_stream_faults::sweep::Deviation::AnswerAsClean;

/// The table, which is read from top to bottom.
pub const ALLOWED: &[AllowedOutcome] = &[
    AllowedOutcome::of(
        &["clReleaseEvent", "clReleaseCommandQueue"],
        AnswerAsClean,
        "a release has no caller to report to",
    ),
    AllowedOutcome::of(
        &["clSetUserEventStatus"],
        AnswerAsClean,
        "the status is set again, since work waits for it",
    ),
    AllowedOutcome::of(&[], AnswerAsClean, "the calls are made again after the check for reasons")
        .within(&["elapsed_since"]),
    AllowedOutcome::of(
        &["clRetainEvent", "clGetEventInfo"],
        AnswerAsClean,
        "the error is about earlier values, which stay, and the next collect returns it",
    )
    .within(&["retained: retain"]),
];
