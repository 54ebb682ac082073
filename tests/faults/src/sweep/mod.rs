//! Fault sweep: every call of a backend, with each driver call that it makes failing in turn, with
//! every code.
//!
//! - A [`FaultFixture`] provides what the sweep needs in addition to the backend's contract.
//! - [`operations`] lists the calls, the same for all vendors.
//! - [`run`] injects one fault after another and checks the answer and the state afterwards.
//! - [`cases()`] lists the tests: the sweep, and drivers that are hostile in other ways.
//!
//! By default, a call that meets a fault must return an error that names the driver's function. The
//! vendor's table of [`AllowedOutcome`]s lists the exceptions, each with its reason.

mod case;
mod cases;
mod children;
mod fixture;
mod hostile;
mod operations;
mod probe;
mod report;
mod streams;
mod watchdog;

use std::collections::HashMap;
use std::time::Duration;

pub use self::cases::{Case, cases, expect_combination};
pub use self::children::run_as_child;
pub use self::fixture::{
    AllowedOutcome, Deviation, ErrorOf, EventOf, FaultFixture, Feature, Sort, StateChange,
    StreamOf, WithoutIt,
};
pub use self::hostile::SlowCall;
pub use self::operations::operations;
pub use self::probe::{CallProbe, Operation, Outcome};
pub use self::report::Report;
pub use self::streams::{Foreign, TestStreams};
use self::watchdog::Watchdog;
use crate::{At, Controls, InjectedFault, Threads};

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

/// The time after which a combination counts as one that hangs.
const HANG: Duration = Duration::from_secs(60);

/// Runs the fault sweep. The report lists what is wrong.
pub fn run<V: FaultFixture>(extent: Extent) -> Report {
    let controls = V::controls();
    let mut report = Report::new(V::ALLOWED);
    let test_streams = TestStreams::<V>::new();
    let (mut operations, skipped) = operations(&test_streams);
    report.skipped = skipped;
    if let Ok(only) = std::env::var("GPU_STREAM_FAULT_ONLY") {
        operations.retain(|operation| operation.name.contains(&only));
    }
    report.operations = operations.len();
    let mut codes = Codes::default();
    let _silenced = SilencedPanics::new();
    let watchdog = &Watchdog::new(HANG);
    for setting in 0..if extent == Extent::Full { usize::MAX } else { 1 } {
        if !V::enter(setting) {
            break;
        }
        for operation in &operations {
            let test_streams = &test_streams;
            let case = case::SweepCase { controls, test_streams, operation, setting, watchdog };
            let Some(baseline) = case.baseline(&mut report) else { continue };
            for (function, occurrence) in baseline.calls() {
                let all = extent == Extent::Full && setting == 0;
                for code in codes.of::<V>(function, occurrence, all) {
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
    operation: &str,
    (function, occurrence): (&str, u32),
    fault: InjectedFault,
) -> Report {
    let (mut report, controls) = (Report::new(V::ALLOWED), V::controls());
    let test_streams = TestStreams::<V>::new();
    let (operations, _) = operations(&test_streams);
    let operation = operations.iter().find(|one| one.name == operation);
    let operation = operation.expect("an operation of this name");
    let _silenced = SilencedPanics::new();
    V::enter(0);
    let (test_streams, watchdog) = (&test_streams, &Watchdog::new(HANG));
    let case = case::SweepCase { controls, test_streams, operation, setting: 0, watchdog };
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

/// Selects the codes that each driver function fails with, from one operation to the next.
#[derive(Default)]
struct Codes(HashMap<String, usize>);

impl Codes {
    /// Returns all codes, or one unknown and some documented ones for each occurrence of the function in an operation.
    ///
    /// The selection rotates, so that the function has failed with each code after some operations. How often the
    /// function occurs, which can depend on the time that a wait takes, does not change what a later operation selects.
    fn of<V: FaultFixture>(&mut self, function: &str, occurrence: u32, all: bool) -> Vec<i32> {
        const PER_CALL: usize = 4;
        if all {
            return UNKNOWN.iter().chain(V::CODES).copied().collect();
        }
        let operations = self.0.entry(function.to_owned()).or_default();
        *operations += usize::from(occurrence == 1);
        let round = *operations + occurrence as usize - 2;
        let documented =
            (0..PER_CALL).map(|index| V::CODES[(round * PER_CALL + index) % V::CODES.len()]);
        [UNKNOWN[round % UNKNOWN.len()]].into_iter().chain(documented).collect()
    }
}

/// Sets one fault for all threads.
fn plan(controls: &Controls, (function, at): (&str, At), fault: InjectedFault) {
    controls.set(function, at, Threads::All, fault);
}
