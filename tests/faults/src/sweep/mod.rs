//! Fault sweep: every call of a backend, with each driver call that it makes failing in turn, with
//! every code.
//!
//! - A [`FaultFixture`] provides what the sweep needs in addition to the backend's contract.
//! - [`operations`] lists the calls, the same for all vendors.
//! - [`run`] injects one fault after another and checks the answer and the state afterwards.
//!
//! By default, a call that meets a fault must return an error that names the driver's function. The
//! vendor's table of [`AllowedOutcome`]s lists the exceptions, each with its reason.

mod case;
pub mod hostile;
mod operations;
mod probe;
mod report;
mod streams;

use std::collections::HashMap;

use gpu_stream_core::{Backend, ErrorKind, EventOptions, PlainHandles};

pub use self::operations::operations;
pub use self::probe::{CallProbe, Operation, Outcome};
pub use self::report::Report;
pub use self::streams::{Foreign, TestStreams};
use crate::{At, Controls, InjectedFault, Threads};

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

    /// Returns the error kind that the backend assigns to a code.
    fn kind_of(code: i32) -> ErrorKind;

    /// Returns the kind of object that the driver's function makes. Returns `None` if it makes
    /// none.
    fn makes(function: &str) -> Option<&'static str>;

    /// Returns the kind of object that the driver's function destroys. Returns `None` if it
    /// destroys none.
    fn destroys(function: &str) -> Option<&'static str>;

    /// Returns the thread's context or device, capture mode and last error, as text. Called right
    /// after a call of the backend.
    fn thread_state() -> String;

    /// Clears the thread's last error, if the vendor has one.
    fn clear_last_error() {}

    /// Puts the thread into the state with this number: another current device or context, or
    /// another capture mode. Returns `false` if no state has this number.
    fn enter(setting: usize) -> bool;

    /// Creates a stream without the backend. Returns `None` if the machine has no stream of this
    /// kind.
    fn new_stream(sort: Sort) -> Option<usize>;

    /// Creates an event that the stream can record.
    ///
    /// # Errors
    /// The backend's errors.
    fn event_for(
        stream: &StreamOf<Self>,
        options: EventOptions,
    ) -> Result<EventOf<Self>, ErrorOf<Self>>;

    /// Holds the stream's later work back until the gate is dropped.
    fn gate(stream: usize) -> Self::Gate;

    /// Begins a capture of the stream. It breaks if any thread makes a call that is forbidden
    /// during captures.
    fn begin_capture(stream: usize);

    /// Returns `true` if the stream's capture is active and not broken.
    fn is_capture_alive(stream: usize) -> bool;

    /// Ends the capture, whole or broken.
    fn end_capture(stream: usize);

    /// Returns the operations that only this backend has.
    fn more(test_streams: &TestStreams<Self>) -> Vec<Operation<'_>>;
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
}

/// The extent of a fault sweep.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Extent {
    /// Every operation and every driver function that it calls, with a rotating selection of the
    /// codes.
    Quick,
    /// All codes in one state of the thread, and a selection in the other states.
    Full,
}

/// Codes that no vendor header defines.
pub const UNKNOWN: [i32; 3] = [12_345, -1, i32::MIN];

/// Runs the fault sweep. The report lists what is wrong.
pub fn run<V: FaultFixture>(controls: &Controls, extent: Extent) -> Report {
    let mut report = Report::new(V::ALLOWED);
    let test_streams = TestStreams::<V>::new();
    let mut operations = operations(&test_streams);
    if let Ok(only) = std::env::var("GPU_STREAM_FAULT_ONLY") {
        operations.retain(|operation| operation.name.contains(&only));
    }
    report.operations = operations.len();
    let mut codes = Codes::default();
    let _silenced = SilencedPanics::new();
    for setting in 0..if extent == Extent::Full { usize::MAX } else { 1 } {
        if !V::enter(setting) {
            break;
        }
        for operation in &operations {
            let case =
                case::SweepCase { controls, test_streams: &test_streams, operation, setting };
            let Some(baseline) = case.baseline(&mut report) else { continue };
            for (function, occurrence) in baseline.calls() {
                let all = extent == Extent::Full && setting == 0;
                for code in codes.of::<V>(function, all) {
                    for fault in [InjectedFault::Answer(code), InjectedFault::PassThenAnswer(code)]
                    {
                        let at = At::Occurrence(occurrence);
                        case.inject(&baseline, (function, at), fault, &mut report);
                    }
                }
                case.check_recovery(&baseline, function, &mut report);
            }
        }
    }
    V::enter(0);
    report
}

/// Runs one combination: the operation of this name, with the `occurrence`th call of the driver's
/// function failing.
///
/// # Panics
/// If no operation has this name.
pub fn one<V: FaultFixture>(
    controls: &Controls,
    operation: &str,
    (function, occurrence): (&str, u32),
    fault: InjectedFault,
) -> Report {
    let mut report = Report::new(V::ALLOWED);
    let test_streams = TestStreams::<V>::new();
    let operations = operations(&test_streams);
    let operation = operations.iter().find(|one| one.name == operation);
    let operation = operation.expect("an operation of this name");
    let _silenced = SilencedPanics::new();
    V::enter(0);
    let case = case::SweepCase { controls, test_streams: &test_streams, operation, setting: 0 };
    if let Some(baseline) = case.baseline(&mut report) {
        case.inject(&baseline, (function, At::Occurrence(occurrence)), fault, &mut report);
        case.check_recovery(&baseline, function, &mut report);
    }
    report
}

/// Silences the panic hook while it lives. The report contains each panic's message.
struct SilencedPanics(Option<Hook>);

type Hook = Box<dyn Fn(&std::panic::PanicHookInfo<'_>) + Sync + Send>;

impl SilencedPanics {
    fn new() -> Self {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| ()));
        SilencedPanics(Some(hook))
    }
}

impl Drop for SilencedPanics {
    fn drop(&mut self) {
        if let Some(hook) = self.0.take()
            && !std::thread::panicking()
        {
            std::panic::set_hook(hook);
        }
    }
}

/// Selects the codes that each driver function fails with, from one call to the next.
#[derive(Default)]
struct Codes(HashMap<String, usize>);

impl Codes {
    /// Returns all codes, or one unknown and some documented ones. The selection rotates, so that
    /// the function has failed with each code after some calls.
    fn of<V: FaultFixture>(&mut self, function: &str, all: bool) -> Vec<i32> {
        const PER_CALL: usize = 4;
        if all {
            return UNKNOWN.iter().chain(V::CODES).copied().collect();
        }
        let round = self.0.entry(function.to_owned()).or_default();
        let documented =
            (0..PER_CALL).map(|index| V::CODES[(*round * PER_CALL + index) % V::CODES.len()]);
        let codes = [UNKNOWN[*round % UNKNOWN.len()]].into_iter().chain(documented).collect();
        *round += 1;
        codes
    }
}

/// Sets one fault for all threads.
fn plan(controls: &Controls, (function, at): (&str, At), fault: InjectedFault) {
    controls.set(function, at, Threads::All, fault);
}
