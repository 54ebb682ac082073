//! Misuse that is found before any driver is asked: [`ContractError`].

use super::{Error, ErrorKind};
use crate::{BackendKind, Device};

/// Misuse that is found before any driver is asked. Backends carry it inside their own error.
///
/// Each text names the call, the value that was given and the remedy.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContractError {
    /// See [`ErrorKind::DeviceMismatch`].
    #[error(
        "{operation}: {given} was given, but this belongs to {actual}; use one device for both, or let the device be \
         taken from the handle"
    )]
    DeviceMismatch {
        /// The call.
        operation: &'static str,
        /// The device that the caller gave.
        given: Device,
        /// The device that the handle belongs to.
        actual: Device,
    },
    /// The event of a record was made for another device. See [`ErrorKind::DeviceMismatch`].
    #[error(
        "{operation}: the stream belongs to {stream}, and the event to {event}; record on a stream of the event's \
         device, or create the event with `Stream::new_event`"
    )]
    RecordAcrossDevices {
        /// The call.
        operation: &'static str,
        /// The device of the stream.
        stream: Device,
        /// The device of the event.
        event: Device,
    },
    /// The events of `elapsed_since` belong to two devices. See [`ErrorKind::DeviceMismatch`].
    #[error(
        "Event::elapsed_since: the start event belongs to {start}, and the end event to {end}; record two events of \
         one device"
    )]
    ElapsedAcrossDevices {
        /// The device of the start event.
        start: Device,
        /// The device of the end event.
        end: Device,
    },
    /// See [`ErrorKind::BackendMismatch`].
    #[error(
        "{operation}: the argument belongs to backend {given}, and must belong to backend {expected}{}",
        same_name(expected, given)
    )]
    BackendMismatch {
        /// The call.
        operation: &'static str,
        /// The backend that carries the call out.
        expected: BackendKind,
        /// The backend of what was given.
        given: BackendKind,
    },
    /// See [`ErrorKind::InvalidDevice`].
    #[error("{operation}: there is no device {given}; the backend has {count}, counted from 0")]
    InvalidDevice {
        /// The call.
        operation: &'static str,
        /// The device that was asked for.
        given: Device,
        /// The number of devices that the backend has.
        count: u32,
    },
    /// See [`ErrorKind::InvalidHandle`].
    #[error("{operation}: handle {bits:#x} {reason}")]
    InvalidHandle {
        /// The call.
        operation: &'static str,
        /// The handle as an integer.
        bits: usize,
        /// What is wrong with it and the remedy, as the end of the sentence.
        reason: &'static str,
    },
    /// See [`ErrorKind::InvalidOptions`].
    #[error(
        "{operation}: priority {given} is outside {least} (least urgent) to {greatest} (most urgent)"
    )]
    InvalidPriority {
        /// The call.
        operation: &'static str,
        /// The priority that was asked for.
        given: i32,
        /// The least urgent priority of the device.
        least: i32,
        /// The most urgent priority of the device.
        greatest: i32,
    },
    /// See [`ErrorKind::InvalidOptions`].
    #[error(
        "EventOptions: an interprocess event cannot keep time; turn one of `timing` and `interprocess` off"
    )]
    InterprocessTiming,
    /// See [`ErrorKind::EventNotTimed`].
    #[error(
        "Event::elapsed_since: the {which} event keeps no time; create it with `EventOptions::timed()`"
    )]
    EventNotTimed {
        /// `start` or `end`.
        which: &'static str,
    },
    /// See [`ErrorKind::EventNotRecorded`].
    #[error(
        "Event::elapsed_since: the {which} event was never recorded; record it on a stream first"
    )]
    EventNotRecorded {
        /// `start` or `end`.
        which: &'static str,
    },
    /// See [`ErrorKind::EventPending`].
    #[error("Event::elapsed_since: the {which} event is not complete; synchronize it first")]
    EventPending {
        /// `start` or `end`.
        which: &'static str,
    },
    /// See [`ErrorKind::Unsupported`].
    #[error("{operation}: backend {backend} does not have this: {reason}")]
    Unsupported {
        /// The call.
        operation: &'static str,
        /// The backend.
        backend: BackendKind,
        /// The reason, or what the capability needs.
        reason: &'static str,
    },
    /// See [`ErrorKind::NotPermitted`].
    #[error("{operation} is not permitted here: {reason}")]
    NotPermitted {
        /// The call.
        operation: &'static str,
        /// The reason, and what to do instead.
        reason: &'static str,
    },
    /// A call of a backend in the child of a fork whose parent had used it. Threads and the
    /// driver's state stay with the parent. See [`ErrorKind::NotPermitted`].
    #[error(
        "backend {backend} is not permitted in this process: it was forked from one that had used the backend, and a \
         fork takes no threads and no device along; fork before the first use, or start a new program (exec, spawn)"
    )]
    ProcessForked {
        /// The backend.
        backend: BackendKind,
    },
    /// A call while the process is ending, when the backend accepts no more. See
    /// [`ErrorKind::NotPermitted`].
    #[error(
        "backend {backend} is not permitted any more: the process is ending (main has returned, or exit was called); \
         submit and wait before that"
    )]
    ProcessEnding {
        /// The backend.
        backend: BackendKind,
    },
    /// The system refused to start a thread. See [`ErrorKind::OutOfMemory`].
    #[error(
        "{operation}: the system refused to start a thread{}; raise the limit on threads and try again",
        os_code(code)
    )]
    NoThread {
        /// The call.
        operation: &'static str,
        /// The system's error code, if it has one.
        code: Option<i32>,
    },
    /// A captured stream was to wait for work that its capture cannot hold. See
    /// [`ErrorKind::Capturing`].
    #[error(
        "{operation}: stream {waiter:#x} is being captured into a graph, and {waited_for} {bits:#x}, which it would wait \
         for, {reason}"
    )]
    CaptureIsolation {
        /// The call.
        operation: &'static str,
        /// The handle of the captured stream.
        waiter: usize,
        /// `stream` or `event`.
        waited_for: &'static str,
        /// The handle of that stream or event.
        bits: usize,
        /// The reason and the remedy, as the end of the sentence.
        reason: &'static str,
    },
    /// The default stream was to wait for work of a capture, and cannot become part of it. See
    /// [`ErrorKind::Capturing`].
    #[error(
        "{operation}: the default stream (stream {waiter:#x}) cannot become part of a capture, and {waited_for} {bits:#x} \
         belongs to one; use a non-blocking stream of `Backend::new_stream`, or wait after the capture"
    )]
    DefaultStreamCapture {
        /// The call.
        operation: &'static str,
        /// The handle of the default stream.
        waiter: usize,
        /// `stream` or `event`.
        waited_for: &'static str,
        /// The handle of that stream or event.
        bits: usize,
    },
    /// A host function for a stream that is captured. See [`ErrorKind::Capturing`].
    #[error(
        "{operation}: stream {bits:#x} is being captured into a graph, which may be launched many times, and the closure \
         runs once; launch it before the capture begins or after it has ended"
    )]
    CaptureHostFunc {
        /// The call.
        operation: &'static str,
        /// The handle of the stream.
        bits: usize,
    },
    /// Two numbers of DLPack that name no device of a backend. See [`ErrorKind::BackendMismatch`].
    #[error(
        "{operation}: ({device_type}, {device_id}) of DLPack is no device with streams here; use an array on the CPU (1), \
         CUDA (2) or ROCm (10)"
    )]
    DeviceType {
        /// The call.
        operation: &'static str,
        /// DLPack's device type.
        device_type: i32,
        /// DLPack's device id.
        device_id: i32,
    },
    /// Another library could not tell its current stream. See [`ErrorKind::Driver`].
    #[error(
        "{operation}: the other library answered {code} when asked for its current stream of {device}; its own error (in \
         Python, the exception that is set) has the reason"
    )]
    CurrentStream {
        /// The call.
        operation: &'static str,
        /// The device.
        device: Device,
        /// What the library answered; 0 would be a success.
        code: i32,
    },
    /// See [`ErrorKind::NotCompiled`].
    #[error("backend {backend} is not part of this build: {reason}")]
    NotCompiled {
        /// The backend.
        backend: BackendKind,
        /// The cargo feature, or the release, that has it.
        reason: &'static str,
    },
}

impl ContractError {
    /// Creates the error for a captured stream that would wait for uncaptured work of a stream or
    /// event. For backend authors.
    pub const fn capture_of_uncaptured(
        operation: &'static str,
        waiter: usize,
        waited_for: &'static str,
        bits: usize,
    ) -> Self {
        let reason = "is not part of that capture: a graph holds no order with work outside of it; make the wait before \
                      the capture begins, or first let the other stream wait for a captured one, which takes it into \
                      the capture";
        ContractError::CaptureIsolation { operation, waiter, waited_for, bits, reason }
    }

    /// Creates the error for a captured stream that would wait for a stream or event of another
    /// capture. For backend authors.
    pub const fn capture_of_another(
        operation: &'static str,
        waiter: usize,
        waited_for: &'static str,
        bits: usize,
    ) -> Self {
        let reason = "is part of another capture: two graphs have no order between them; capture both streams into one \
                      graph, or order the launches of the two graphs";
        ContractError::CaptureIsolation { operation, waiter, waited_for, bits, reason }
    }
}

/// Returns the system's error code as an addition to the text.
fn os_code(code: &Option<i32>) -> impl core::fmt::Display {
    struct Code(Option<i32>);
    impl core::fmt::Display for Code {
        fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            self.0.map_or(Ok(()), |code| write!(f, " (error {code} of the operating system)"))
        }
    }
    Code(*code)
}

/// Returns what to add to the text if both backends have one name and only their types differ.
fn same_name(expected: &BackendKind, given: &BackendKind) -> &'static str {
    if expected == given {
        ", which is another type (are two versions of one crate linked?)"
    } else {
        ""
    }
}

impl Error for ContractError {
    fn kind(&self) -> ErrorKind {
        match self {
            ContractError::DeviceMismatch { .. }
            | ContractError::RecordAcrossDevices { .. }
            | ContractError::ElapsedAcrossDevices { .. } => ErrorKind::DeviceMismatch,
            ContractError::BackendMismatch { .. } | ContractError::DeviceType { .. } => {
                ErrorKind::BackendMismatch
            }
            ContractError::InvalidDevice { .. } => ErrorKind::InvalidDevice,
            ContractError::InvalidHandle { .. } => ErrorKind::InvalidHandle,
            ContractError::InvalidPriority { .. } | ContractError::InterprocessTiming => {
                ErrorKind::InvalidOptions
            }
            ContractError::EventNotTimed { .. } => ErrorKind::EventNotTimed,
            ContractError::EventNotRecorded { .. } => ErrorKind::EventNotRecorded,
            ContractError::EventPending { .. } => ErrorKind::EventPending,
            ContractError::Unsupported { .. } => ErrorKind::Unsupported,
            ContractError::NotPermitted { .. }
            | ContractError::ProcessForked { .. }
            | ContractError::ProcessEnding { .. } => ErrorKind::NotPermitted,
            ContractError::NoThread { .. } => ErrorKind::OutOfMemory,
            ContractError::CaptureIsolation { .. }
            | ContractError::DefaultStreamCapture { .. }
            | ContractError::CaptureHostFunc { .. } => ErrorKind::Capturing,
            ContractError::NotCompiled { .. } => ErrorKind::NotCompiled,
            ContractError::CurrentStream { .. } => ErrorKind::Driver,
        }
    }
}
