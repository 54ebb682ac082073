//! What the sweep needs to know of a vendor: [`FaultFixture`] and its tables.

use std::process::Command;

use gpu_stream_core::{Backend, Device, ErrorKind, PlainHandles, RawEvent};

use super::TestStreams;
use super::hostile::SlowCall;
use crate::Controls;

/// The stream type of a vendor's backend.
pub type StreamOf<V> = <<V as FaultFixture>::Backend as Backend>::Stream;
/// The event type of a vendor's backend.
pub type EventOf<V> = <<V as FaultFixture>::Backend as Backend>::Event;
/// The error type of a vendor's backend.
pub type ErrorOf<V> = <<V as FaultFixture>::Backend as Backend>::Error;

/// What the sweep needs to know of a backend in addition to its contract, and direct driver calls.
///
/// The direct calls are made while no fault is planned, and panic if they fail.
pub trait FaultFixture: Sized + 'static {
    /// The backend.
    type Backend: PlainHandles;

    /// Holds a stream's later work back until it is dropped.
    type Gate;

    /// Every code that the vendor documents, except success.
    const CODES: &'static [i32];

    /// The allowed outcomes other than an error that names the driver's function.
    const ALLOWED: &'static [AllowedOutcome];

    /// The calls that change the thread's state and restore it.
    const STATE_CHANGES: &'static [StateChange];

    /// The required functions that the backend calls, separated by spaces.
    const REQUIRED: &'static str;

    /// The functions that the backend can do without.
    const OPTIONAL: &'static [(&'static str, WithoutIt)];

    /// The functions that return a stream's device. Without all of them no stream can be wrapped, with an
    /// error that has these parts. Empty if such a function is required.
    const DEVICE_OF_STREAM: (&'static [&'static str], &'static [&'static str]);

    /// The variable with the functions that a child process hides, separated by commas.
    const HIDE_VARIABLE: &'static str;

    /// The variable with the version that the driver reports in a child process.
    const VERSION_VARIABLE: &'static str;

    /// Versions that the backend rejects. Each has the start of the error, and what it contains.
    const REJECTED_VERSIONS: &'static [(&'static str, &'static str, &'static [&'static str])];

    /// Versions that the backend accepts, each with the one call that it cannot make.
    const ACCEPTED_VERSIONS: &'static [(&'static str, Option<&'static str>)];

    /// The functions that start the driver.
    const START: &'static [&'static str];

    /// Codes of a start that fails.
    const START_CODES: &'static [i32];

    /// The variables that make the driver reuse handles. Empty: it may reuse one or not.
    const REUSE_VARIABLES: &'static [(&'static str, &'static str)];

    /// The number of events that fill a pool of the backend.
    const POOL: usize = 4_200;

    /// `true` if a record on an idle stream is reached at once. `false` if it is work itself, which takes a moment.
    const IS_IDLE_AT_ONCE: bool = true;

    /// Returns why the vendor has no such streams or captures. Returns `None` if it has them.
    ///
    /// The operations that need them are left out, and the report counts them with this reason.
    fn lacks(_: Feature) -> Option<&'static str> {
        None
    }

    /// Blocks until no thread of the driver is inside the backend, and no stream keeps an object for a later call. All
    /// work is done.
    ///
    /// Nothing to do for a backend whose calls release what they need no more, on the calling thread.
    fn settle(_: &TestStreams<Self>) {}

    /// Returns the controls of the library that the backend uses.
    fn controls() -> &'static Controls;

    /// Returns a command that runs this program again.
    fn child() -> Command;

    /// Prepares a child process. No other thread is running.
    fn prepare_child() {}

    /// Ends a case that cannot run here.
    fn skip(reason: &str) -> !;

    /// Returns the error kind that the backend assigns to a code.
    fn kind_of(code: i32) -> ErrorKind;

    /// Returns a code as the backend prints it.
    fn text_of(code: i32) -> String;

    /// Returns `true` if such a failure of the start means that the machine has no device.
    fn means_no_device(function: &str, code: i32) -> bool;

    /// Returns the function that submits a host function.
    fn host_func() -> &'static str;

    /// Returns the functions that must block no other stream, each with a call that makes it.
    fn slow_calls() -> Vec<(&'static str, SlowCall)>;

    /// Returns the kind of object that the driver's function makes. Returns `None` if it makes none.
    fn makes(function: &str) -> Option<&'static str>;

    /// Returns the kind of object that the driver's function destroys. Returns `None` if it destroys
    /// none.
    fn destroys(function: &str) -> Option<&'static str>;

    /// Returns the thread's context or device, capture mode and last error, as text. Called right
    /// after a call of the backend.
    fn thread_state() -> String;

    /// Clears the thread's last error, if the vendor has one.
    fn clear_last_error() {}

    /// Puts the thread into the state with this number: another current device or context, or
    /// another capture mode. Returns `false` if no state has this number.
    ///
    /// State 0 is the one that makes the backend change the most.
    fn enter(setting: usize) -> bool;

    /// Creates a stream without the backend. Returns `None` if the machine has no stream of this
    /// kind.
    fn new_stream(sort: Sort) -> Option<usize>;

    /// Returns an event of the first device that the backend did not create. It is never destroyed.
    fn foreign_event() -> RawEvent<Self::Backend>;

    /// Holds the stream's later work back until the gate is dropped.
    fn gate(stream: usize) -> Self::Gate;

    /// Begins a capture of the stream. It breaks if any thread makes a call that is forbidden
    /// during captures.
    fn begin_capture(stream: usize);

    /// Returns `true` if the stream's capture is active and not broken.
    fn is_capture_alive(stream: usize) -> bool;

    /// Ends the capture, whole or broken.
    fn end_capture(stream: usize);

    /// Makes a handle of an event for another process.
    ///
    /// # Errors
    /// The backend's errors.
    fn ipc_handle(event: &EventOf<Self>) -> Result<(), ErrorOf<Self>>;

    /// Opens a handle for another process that no process made.
    ///
    /// # Errors
    /// The backend's errors.
    fn open_ipc_zeros(device: Device) -> Result<EventOf<Self>, ErrorOf<Self>>;
}

/// A kind of foreign stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sort {
    /// Belongs to the first device and does not synchronise with the default stream.
    Ordinary,
    /// Belongs to the first device and synchronises with the default stream.
    Blocking,
    /// Belongs to another device, or to another context of the first device.
    Elsewhere,
}

/// A part of the contract that a vendor may lack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Feature {
    /// The streams with the handles 0 and 1, and `Backend::default_stream`.
    DefaultStream,
    /// `Backend::per_thread_stream`.
    PerThreadStream,
    /// Captures of a stream.
    Capture,
}

/// An operation that changes the thread's state for the time of its driver calls.
#[derive(Debug)]
pub struct StateChange {
    /// The operation's name.
    pub operation: &'static str,
    /// The function that changes the state, and the occurrence of its call.
    pub change: (&'static str, u32),
    /// The function that restores the state, and the occurrence of its call.
    pub restore: (&'static str, u32),
    /// `true` if the operation does so on every version and machine.
    pub is_certain: bool,
}

/// What happens without an optional function.
#[derive(Debug)]
pub enum WithoutIt {
    /// Every call works.
    Works,
    /// Exactly this call returns `Unsupported`, and names the function.
    Refuses(&'static str),
    /// Calls may fail on some versions, if their lines pass this check.
    MayFail(fn(&str) -> bool),
}

/// An outcome that a backend may have under a fault, beside an error that names the driver's
/// function.
#[derive(Debug)]
pub struct AllowedOutcome {
    /// The driver's functions that it applies to. Empty: all.
    pub functions: &'static [&'static str],
    /// Prefixes of the names of the operations that it applies to. Empty: all.
    pub operations: &'static [&'static str],
    /// The codes that it applies to. Empty: all.
    pub codes: &'static [i32],
    /// The allowed deviation.
    pub may: Deviation,
    /// The reason why it is right.
    pub reason: &'static str,
}

impl AllowedOutcome {
    /// Creates an entry for functions of the driver, in all operations and with all codes.
    pub const fn of(
        functions: &'static [&'static str],
        may: Deviation,
        reason: &'static str,
    ) -> Self {
        AllowedOutcome { functions, operations: &[], codes: &[], may, reason }
    }

    /// Limits the entry to operations whose names begin so.
    pub const fn within(self, operations: &'static [&'static str]) -> Self {
        AllowedOutcome { operations, ..self }
    }

    /// Limits the entry to codes.
    pub const fn with_codes(self, codes: &'static [i32]) -> Self {
        AllowedOutcome { codes, ..self }
    }
}

/// A deviation from the default expectation: an error that names the driver's function, and nothing
/// left behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deviation {
    /// The call answers as it does without a fault.
    AnswerAsClean,
    /// The call returns an error of this kind that does not name the driver's function.
    Say(ErrorKind),
    /// The thread's state changes.
    ChangeThread,
    /// A capture breaks.
    BreakCapture,
    /// One more event is alive afterwards.
    LeaveEvent,
    /// One more stream is alive afterwards.
    LeaveStream,
}
