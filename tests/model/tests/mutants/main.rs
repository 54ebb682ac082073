//! Mutation tests: the random programs must fail on the conformance suite's mutants, host backends with one bug each.
//!
//! Programs cannot detect every mutant. [`undetectable`] lists the others with the reason, so every new mutant needs a
//! decision.

#[path = "../../../conformance/tests/mutants/awaiting.rs"]
mod awaiting;
#[path = "../../../conformance/tests/mutants/backend.rs"]
mod backend;
#[path = "../../../conformance/tests/mutants/capture.rs"]
mod capture;
#[path = "../../../conformance/tests/mutants/error.rs"]
mod error;
#[path = "../../../conformance/tests/mutants/event.rs"]
mod event;
#[path = "../../../conformance/tests/mutants/family.rs"]
mod family;
#[path = "../../../conformance/tests/mutants/fixture.rs"]
mod fixture;
#[path = "../../../conformance/tests/mutants/mutation.rs"]
mod mutation;
#[path = "../../../conformance/tests/mutants/retention.rs"]
mod retention;
#[path = "../../../conformance/tests/mutants/stream.rs"]
mod stream;
#[path = "../../../conformance/tests/mutants/tasks.rs"]
mod tasks;
#[path = "../../../conformance/tests/mutants/vendor.rs"]
mod vendor;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use gpu_stream_conformance::runner::end_process;
use gpu_stream_model::campaign::{self, Campaign, FailingProgram};
use gpu_stream_model::corpus;
use gpu_stream_model::run::{Options, Runner};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

use fixture::MutantFixture;
use mutation::Mutation;

/// Number of programs. It is several times what any mutant needs.
const PROGRAMS: u64 = 1_500;

/// Time limit of a program. Some mutants hang; the control run has a longer limit.
const LIMIT: Duration = Duration::from_secs(2);

/// Returns the reason why no program can detect the mutant, if there is one.
fn undetectable(mutation: Mutation) -> Option<&'static str> {
    use Mutation as M;
    match mutation {
        M::DeviceNotChecked
        | M::OwnersWordIgnored
        | M::AnyOrdinalIsADevice
        | M::RecordOnAnyDevice
        | M::AbsentDeviceAccepted
        | M::StrangeDeviceAccepted
        | M::StaleHandleAccepted
        | M::PriorityClamped
        | M::OwnerKeptByFailure
        | M::ErrorsNameNothing
        | M::ErrorsNameAnotherCall => Some("programs contain no invalid calls"),
        M::HandleZeroIsPooled | M::HandleOneIsAnother | M::HandleTwoIsDefault => {
            Some("programs wrap no handle with a special meaning")
        }
        M::LeavesDeviceCurrent | M::LeavesLastError => {
            Some("programs do not check the state of the thread")
        }
        M::ElapsedUntimed
        | M::ElapsedPending
        | M::ElapsedUnrecorded
        | M::ElapsedRecordsFirst
        | M::ElapsedNamesTheOther
        | M::ElapsedWithoutSign
        | M::ElapsedInSeconds
        | M::ElapsedToItselfIsOne
        | M::ElapsedAcrossDevices => Some("programs do not measure time"),
        M::QueryHidesErrors
        | M::UnrunTasksLeak
        | M::FaultIsForgotten
        | M::FaultSpreads
        | M::SynchronizeHidesFaults
        | M::EventHidesFaults
        | M::FaultReachesEarlierRecords
        | M::WorkAfterFaultIsRun
        | M::PayloadDropHidesTheFault
        | M::PayloadDropStopsTheStream
        | M::UnrunDropPanicLosesTheRest
        | M::ForkStopsAtABadBranch
        | M::JoinStopsAtABadBranch => Some("no task of a program fails"),
        M::ForkRecordsForEach => Some("no program submits work between the branches of a fork"),
        M::PriorityForgotten | M::PriorityRangeReversed | M::IdsAreShared | M::IdOfTheWrapper => {
            Some("programs read no priorities and no ids")
        }
        M::MiddlePriorityStarves => Some("programs create no streams with priorities"),
        M::SynchronizeFollowsRecords
        | M::SynchronizeEndsWithARecord
        | M::RecordPassesThroughDone => {
            Some("no event is re-recorded while another thread queries it or waits for it")
        }
        M::ReportsCapture
        | M::CapturedQueryAnswered
        | M::QueryEndsCapture
        | M::EventOfCaptureIsDone
        | M::EventOfCaptureForgotten
        | M::WaiterStaysOutside
        | M::DropBreaksCapture
        | M::NewStreamBreaksCapture
        | M::OwnWaitIsANode
        | M::OutsideWaitAccepted
        | M::OutsideWaitBreaks
        | M::CaptureWaitAccepted
        | M::HostFunctionIsCaptured
        | M::HostFunctionMisleads
        | M::QueryBreaksCaptures => Some("programs have no captures"),
        M::RefusedFunctionIsKept | M::DestructorsUnderALock | M::OwnersAccumulate => {
            Some("programs drop no owner in a host function")
        }
        M::EventKeepsEveryOwner => {
            Some("programs check an owner only after the events that kept it were dropped")
        }
        M::ResetIsHidden | M::PoolOutlivesReset => Some("programs reset no device"),
        M::SameByHandle | M::NewObjectOfTheFirstDevice | M::NewObjectOfTheFirstContext => {
            Some("programs create streams and events by device")
        }
        M::BlockingOrdersNothing | M::BlockingFlagForgotten | M::EveryStreamBlocks => {
            Some("programs create no blocking streams")
        }
        M::ForeignEventDestroyed
        | M::ForeignEventOwnerDropped
        | M::ForeignEventLooksOwn
        | M::ForeignEventZeroAccepted
        | M::ForeignRecordIgnored => Some("programs have no events of another library"),
        M::ValueDroppedEarly
        | M::FirstStreamKeeps
        | M::MarkedBeforeTheValue
        | M::DroppedReclaimerDrops
        | M::NewestMarkIsAsked
        | M::MarkedAgain
        | M::DrainReturns
        | M::DroppedByTheStream
        | M::DroppedUnderTheLock
        | M::DroppedInReverse
        | M::DroppedOnAFault
        | M::AbandonLosesValues
        | M::DropPanicLosesTheRest
        | M::DropPanicIsHidden
        | M::RefusedValueIsDropped
        | M::CapturedStreamTakesValues
        | M::CaptureIsAskedOnce
        | M::RetainBreaksCaptures
        | M::ReleaseForgetsTheLast
        | M::ReleasedValueIsKept
        | M::OwnerIsForgotten
        | M::OwnerIsKept => Some("programs retain no values"),
        M::FutureIsReadyEarly
        | M::FuturesShareAnEvent
        | M::FutureOfACaptureIsOk
        | M::TaskIsNotWoken
        | M::FirstTaskIsWoken
        | M::TaskIsWokenTwice
        | M::FutureHidesFaults
        | M::FaultLeavesFuturesPending
        | M::WakerRunsOnTheStream
        | M::CapturedStreamIsAwaited
        | M::AwaitMissesACapture
        | M::AwaitBreaksCaptures => Some("programs await no streams"),
        _ => None,
    }
}

/// Runs the programs on a mutant, or on the correct backend. Returns the failing program.
fn hunt(
    mutation: Option<Mutation>,
    limit: Duration,
) -> Result<Option<Box<FailingProgram>>, Failed> {
    *event::lock(&stream::SPREAD) = None;
    vendor::reset_state();
    // One failure is enough, so programs are not shrunk.
    let options = Options { exact: true, limit, candidates: 0 };
    let runner = Runner::new(Arc::new(MutantFixture), options);
    let mut runner = runner.map_err(|verdict| verdict.reason().to_string())?;
    mutation::set(mutation);
    let outcome = campaign::run(&mut runner, &Campaign::new(PROGRAMS), &options);
    mutation::set(None);
    Ok(outcome.err())
}

/// Checks that a program detects the mutant.
fn must_be_detected(mutation: Mutation) -> Result<Completion, Failed> {
    if let Some(why) = undetectable(mutation) {
        return Ok(Completion::ignored_with(why));
    }
    let (rule, wrong) = (mutation.breaks(), mutation.wrong());
    match hunt(Some(mutation), LIMIT)? {
        Some(caught) => {
            let (number, message) = (caught.number, &caught.failure.message);
            println!("{:4} {wrong}\n     program {number}: {message}", rule.id);
            Ok(Completion::Completed)
        }
        None => Err(format!("{wrong}: none of {PROGRAMS} programs failed; {rule}").into()),
    }
}

/// Checks that a program of the corpus detects the mutant that it names.
fn corpus_must_detect(text: &str, name: &str) -> Result<(), Failed> {
    let mutation = Mutation::ALL.iter().find(|mutation| format!("{mutation:?}") == name);
    let mutation = mutation.ok_or_else(|| format!("{name} is not a mutant"))?;
    let options = Options { exact: true, limit: LIMIT, candidates: 0 };
    let runner = Runner::new(Arc::new(MutantFixture), options);
    let mut runner = runner.map_err(|verdict| verdict.reason().to_string())?;
    mutation::set(Some(*mutation));
    let outcome = campaign::replay(&mut runner, text, 4);
    mutation::set(None);
    match outcome {
        Err(verdict) if verdict.is_failed() => Ok(()),
        other => Err(format!("{}: {other:?}", mutation.wrong()).into()),
    }
}

/// Environment variable that is set in the child process that runs a program that hangs.
const HANG: &str = "GPU_STREAM_MODEL_HANG";

/// Program that hangs on the mutant, even with all gates open.
const NEVER_ENDS: &str = "s0 = stream 0\ns0 wait s0\nsync s0\n";

/// Runs the program that hangs.
fn hang() -> Result<(), Failed> {
    let options = Options { exact: false, limit: Duration::from_millis(200), candidates: 0 };
    let runner = Runner::new(Arc::new(MutantFixture), options);
    let mut runner = runner.map_err(|verdict| verdict.reason().to_string())?;
    mutation::set(Some(Mutation::WaitForItselfNeverEnds));
    let outcome = campaign::replay(&mut runner, NEVER_ENDS, 1);
    Err(format!("the program did not hang: {outcome:?}").into())
}

/// Checks that the watchdog ends a process that hangs, and prints the program.
fn watchdog_reports_a_hang() -> Result<(), Failed> {
    let program = std::env::current_exe()?;
    let output = std::process::Command::new(program).env(HANG, "1").output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(101) && text.contains("hangs") && text.contains(NEVER_ENDS) {
        return Ok(());
    }
    Err(format!("the process ended with {} and wrote: {text}", output.status).into())
}

/// Checks that no program fails on the correct backend.
fn control() -> Result<(), Failed> {
    match hunt(None, Options::default().limit)? {
        None => Ok(()),
        Some(caught) => Err(caught.to_string().into()),
    }
}

fn main() -> ExitCode {
    if std::env::var_os(HANG).is_some() {
        if let Err(failed) = hang() {
            eprintln!("{}", failed.message().unwrap_or_default());
        }
        return ExitCode::FAILURE;
    }
    let mut arguments = Arguments::from_args();
    // The mutation is global to the process, so one test runs at a time.
    arguments.test_threads = Some(1);
    let mut all = Mutation::ALL.to_vec();
    // These run last, because the default stream of the process stays blocked after them.
    let blocking = [Mutation::WaitForItselfNeverEnds, Mutation::UnrecordedWaitNeverEnds];
    all.sort_by_key(|mutation| blocking.contains(mutation));
    let mut trials = vec![
        Trial::test("control", control),
        Trial::test("watchdog_reports_a_hang", watchdog_reports_a_hang),
    ];
    for (program, text) in corpus::ALL {
        trials.extend(corpus::catches(text).map(|name| {
            Trial::test(format!("corpus::{program}::{name}"), move || {
                corpus_must_detect(text, name)
            })
        }));
    }
    trials.extend(all.into_iter().map(|mutation| {
        Trial::ignorable_test(format!("{mutation:?}"), move || must_be_detected(mutation))
    }));
    let conclusion = libtest_mimic::run(&arguments, trials);
    // Threads of mutants that hang still run, so the process exits at once.
    end_process(if conclusion.has_failed() { 101 } else { 0 })
}
