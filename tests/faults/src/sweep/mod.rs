//! A walk through all that can fail: every call of a backend, with every call that it makes of the
//! driver failing in turn, with every code.
//!
//! A [`FaultFixture`] says what the backend's own tests know of it; [`operations`] are the calls, the same
//! for all vendors; [`run`] fails them one by one and looks at what is left behind. What a backend
//! may answer beside an error that names the driver's call is in the vendor's table of [`AllowedOutcome`]s,
//! each with its reason.

mod combination;
pub mod hostile;
mod operations;
mod report;
mod stage;
mod world;

use std::collections::HashMap;

use gpu_stream_core::{Backend, ErrorKind, EventOptions, PlainHandles};

pub use self::operations::operations;
pub use self::report::Report;
pub use self::stage::{CallProbe, Operation, Outcome};
pub use self::world::{Foreign, TestStreams};
use crate::{At, Controls, InjectedFault, Threads};

/// The stream type of a vendor's backend.
pub type StreamOf<V> = <<V as FaultFixture>::Backend as Backend>::Stream;
/// The event type of a vendor's backend.
pub type EventOf<V> = <<V as FaultFixture>::Backend as Backend>::Event;
/// The error type of a vendor's backend.
pub type ErrorOf<V> = <<V as FaultFixture>::Backend as Backend>::Error;

/// What is known of a backend beside its contract, and the driver's own calls. These are made while
/// nothing is planned, and panic if they fail.
pub trait FaultFixture: Sized + 'static {
    /// The backend.
    type Backend: PlainHandles;

    /// Holds a stream back until it is dropped.
    type Gate;

    /// Every code that the vendor documents, but success.
    const CODES: &'static [i32];

    /// What the backend may answer beside an error that names the driver's call.
    const EXCUSES: &'static [AllowedOutcome];

    /// What the backend says of a code.
    fn kind_of(code: i32) -> ErrorKind;

    /// The sort of object that the driver's function makes, if it makes any.
    fn makes(function: &str) -> Option<&'static str>;

    /// The sort of object that the driver's function destroys, if it destroys any.
    fn destroys(function: &str) -> Option<&'static str>;

    /// The thread's context or device, capture mode and last error, as text. Called right after a
    /// call of the backend.
    fn thread_state() -> String;

    /// Clears the thread's last error, where the vendor has such a thing.
    fn forget_error() {}

    /// Puts the thread in a state of this number: another device or context current, another capture
    /// mode. False if there is no such state.
    fn enter(setting: usize) -> bool;

    /// Makes a stream without the backend.
    fn new_stream(sort: Sort) -> Option<usize>;

    /// An event that the stream can record.
    ///
    /// # Errors
    /// The backend's.
    fn event_for(
        stream: &StreamOf<Self>,
        options: EventOptions,
    ) -> Result<EventOf<Self>, ErrorOf<Self>>;

    /// Holds the stream back.
    fn gate(stream: usize) -> Self::Gate;

    /// Begins a capture of the stream, which breaks if any thread does what it should not.
    fn begin_capture(stream: usize);

    /// Whether the stream's capture is alive.
    fn is_capture_alive(stream: usize) -> bool;

    /// Ends the capture, whole or broken.
    fn end_capture(stream: usize);

    /// Calls that only this backend has.
    fn more(world: &TestStreams<Self>) -> Vec<Operation<'_>>;
}

/// A sort of foreign stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sort {
    /// Of the first device, not synchronising with the default stream.
    Ordinary,
    /// Of the first device, synchronising with the default stream.
    Blocking,
    /// Of another device, or of another context of the first.
    Elsewhere,
}

/// What a backend may answer to a fault beside an error that names the driver's call, and why.
#[derive(Debug)]
pub struct AllowedOutcome {
    /// The driver's functions; none are named: all.
    pub functions: &'static [&'static str],
    /// How the names of the backend's calls begin; none are named: all.
    pub operations: &'static [&'static str],
    /// The codes; none are named: all.
    pub codes: &'static [i32],
    /// What may be answered.
    pub may: Deviation,
    /// Why.
    pub reason: &'static str,
}

/// What may be answered, or left behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deviation {
    /// Success, or the error that the call gives without any fault.
    AnswerAsClean,
    /// An error of this kind, which says it in words of the contract.
    Say(ErrorKind),
    /// The thread's state may be another.
    ChangeThread,
    /// A capture may be broken.
    BreakCapture,
    /// One more event may be alive.
    LeaveEvent,
}

/// How much of the walk is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Extent {
    /// Every call and every function that it calls, with some of the codes in turn.
    Quick,
    /// With all codes in one state of the thread, and with some in the others.
    Full,
}

/// Codes that no header has.
pub const UNKNOWN: [i32; 3] = [12_345, -1, i32::MIN];

/// Makes the walk. What is wrong is in the report.
pub fn run<V: FaultFixture>(controls: &Controls, extent: Extent) -> Report {
    let mut report = Report::new(V::EXCUSES);
    let world = TestStreams::<V>::new();
    let mut operations = operations(&world);
    if let Ok(only) = std::env::var("GPU_STREAM_FAULT_ONLY") {
        operations.retain(|operation| operation.name.contains(&only));
    }
    report.operations = operations.len();
    let mut codes = Codes::default();
    let _quiet = Quiet::new();
    for setting in 0..if extent == Extent::Full { usize::MAX } else { 1 } {
        if !V::enter(setting) {
            break;
        }
        for operation in &operations {
            let walk = combination::SweepCase { controls, world: &world, operation, setting };
            let Some(clean) = walk.clean(&mut report) else { continue };
            for (function, occurrence) in clean.calls() {
                let all = extent == Extent::Full && setting == 0;
                for code in codes.of::<V>(function, all) {
                    for fault in [InjectedFault::Answer(code), InjectedFault::PassThenAnswer(code)]
                    {
                        let at = At::Occurrence(occurrence);
                        walk.fail(&clean, (function, at), fault, &mut report);
                    }
                }
                walk.still_works(&clean, function, &mut report);
            }
        }
    }
    V::enter(0);
    report
}

/// One combination of the walk: the operation of this name, with the driver's function failing when
/// it is called for the `occurrence`th time in it.
///
/// # Panics
/// If there is no such operation.
pub fn one<V: FaultFixture>(
    controls: &Controls,
    operation: &str,
    (function, occurrence): (&str, u32),
    fault: InjectedFault,
) -> Report {
    let mut report = Report::new(V::EXCUSES);
    let world = TestStreams::<V>::new();
    let operations = operations(&world);
    let operation = operations.iter().find(|one| one.name == operation);
    let operation = operation.expect("an operation of this name");
    let _quiet = Quiet::new();
    V::enter(0);
    let walk = combination::SweepCase { controls, world: &world, operation, setting: 0 };
    if let Some(clean) = walk.clean(&mut report) {
        walk.fail(&clean, (function, At::Occurrence(occurrence)), fault, &mut report);
        walk.still_works(&clean, function, &mut report);
    }
    report
}

/// While it lives, panics print nothing: what panics is in the report, with what it was.
struct Quiet(Option<Hook>);

type Hook = Box<dyn Fn(&std::panic::PanicHookInfo<'_>) + Sync + Send>;

impl Quiet {
    fn new() -> Self {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| ()));
        Quiet(Some(hook))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if let Some(hook) = self.0.take()
            && !std::thread::panicking()
        {
            std::panic::set_hook(hook);
        }
    }
}

/// Which codes a driver's function fails with, of one call to the next.
#[derive(Default)]
struct Codes(HashMap<String, usize>);

impl Codes {
    /// All of them, or one that nobody knows and some others, so that after some calls the function
    /// has failed with each.
    fn of<V: FaultFixture>(&mut self, function: &str, all: bool) -> Vec<i32> {
        const EACH: usize = 4;
        if all {
            return UNKNOWN.iter().chain(V::CODES).copied().collect();
        }
        let turn = self.0.entry(function.to_owned()).or_default();
        let others = (0..EACH).map(|index| V::CODES[(*turn * EACH + index) % V::CODES.len()]);
        let codes = [UNKNOWN[*turn % UNKNOWN.len()]].into_iter().chain(others).collect();
        *turn += 1;
        codes
    }
}

/// Sets one fault for all threads.
fn plan(controls: &Controls, (function, at): (&str, At), fault: InjectedFault) {
    controls.set(function, at, Threads::All, fault);
}
