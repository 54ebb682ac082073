//! The random programs are tested themselves: on the conformance suite's mutants, host backends with
//! one thing done wrong each, they fail.
//!
//! Not every mutant can be caught: some are wrong about what no program does. [`out_of_reach`] says
//! so of each of them, so that a new one has to be thought of.

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
use gpu_stream_model::campaign::{self, Campaign, Caught};
use gpu_stream_model::corpus;
use gpu_stream_model::run::{Options, Runner};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

use fixture::MutantFixture;
use mutation::Mutation;

/// Several times what is needed for any of them.
const PROGRAMS: u64 = 1_500;

/// How long a program may take. A hang is what some mutants do wrong; the control has longer.
const LIMIT: Duration = Duration::from_secs(2);

/// Why no program catches the mutant.
fn out_of_reach(mutation: Mutation) -> Option<&'static str> {
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
        | M::ErrorsNameNothing => Some("programs have no mistakes in them"),
        M::HandleZeroIsPooled | M::HandleOneIsAnother | M::HandleTwoIsDefault => {
            Some("programs wrap no handle that has a meaning of its own")
        }
        M::LeavesDeviceCurrent | M::LeavesLastError => {
            Some("programs do not look at the state of the thread")
        }
        M::ElapsedUntimed
        | M::ElapsedPending
        | M::ElapsedUnrecorded
        | M::ElapsedRecordsFirst
        | M::ElapsedNamesTheOther
        | M::ElapsedWithoutSign
        | M::ElapsedInSeconds
        | M::ElapsedToItselfIsOne
        | M::ElapsedAcrossDevices => Some("programs do not ask how long something took"),
        M::QueryHidesErrors
        | M::UnrunTasksLeak
        | M::FaultIsForgotten
        | M::FaultSpreads
        | M::SynchronizeHidesFaults
        | M::EventHidesFaults
        | M::WorkBehindFaultIsRun
        | M::PayloadDropHidesTheFault
        | M::PayloadDropStopsTheStream
        | M::UnrunDropPanicLosesTheRest
        | M::ForkStopsAtABadBranch
        | M::JoinStopsAtABadBranch => Some("no task of a program fails"),
        M::ForkRecordsForEach => {
            Some("nothing is submitted between the branches of a fork while it is being made")
        }
        M::PriorityForgotten | M::PriorityRangeReversed | M::IdsAreShared | M::IdOfTheWrapper => {
            Some("programs ask for no priorities and no ids")
        }
        M::MiddlePriorityStarves => Some("programs make no streams with priorities"),
        M::SynchronizeFollowsRecords
        | M::SynchronizeEndsWithARecord
        | M::RecordPassesThroughDone => {
            Some("no event is recorded again while another thread asks it or waits for it")
        }
        M::LooksCaptured
        | M::QuestionOfCaptureAnswered
        | M::QuestionEndsCapture
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
        | M::QuestionBreaksCaptures => Some("programs have no captures"),
        M::RefusedFunctionIsKept | M::DestructorsUnderALock | M::OwnersPileUp => {
            Some("programs drop no owner in a host function")
        }
        M::EventKeepsEveryOwner => {
            Some("programs look at an owner when the events that kept it are gone")
        }
        M::ResetIsHidden | M::PoolOutlivesReset => Some("programs reset no device"),
        M::SameByHandle | M::NewObjectOfTheFirstDevice | M::NewObjectOfTheFirstContext => {
            Some("programs make streams and events by device")
        }
        M::BlockingOrdersNothing | M::BlockingFlagForgotten | M::EveryStreamBlocks => {
            Some("programs make no blocking streams")
        }
        M::ForeignEventDestroyed
        | M::ForeignEventOwnerDropped
        | M::ForeignEventLooksOwn
        | M::ForeignEventZeroAccepted
        | M::ForeignRecordIgnored => Some("programs have no events of another library"),
        _ => None,
    }
}

fn hunt(mutation: Option<Mutation>, limit: Duration) -> Result<Option<Box<Caught>>, Failed> {
    *event::lock(&stream::SPREAD) = None;
    vendor::reset_state();
    // Once caught is enough, however large the program.
    let options = Options { exact: true, limit, candidates: 0 };
    let runner = Runner::new(Arc::new(MutantFixture), options);
    let mut runner = runner.map_err(|verdict| verdict.reason().to_string())?;
    mutation::set(mutation);
    let outcome = campaign::run(&mut runner, &Campaign::new(PROGRAMS), &options);
    mutation::set(None);
    Ok(outcome.err())
}

fn must_be_caught(mutation: Mutation) -> Result<Completion, Failed> {
    if let Some(why) = out_of_reach(mutation) {
        return Ok(Completion::ignored_with(why));
    }
    let (rule, wrong) = (mutation.breaks(), mutation.wrong());
    match hunt(Some(mutation), LIMIT)? {
        Some(caught) => {
            let (number, seen) = (caught.number, &caught.failure.seen);
            println!("{:4} {wrong}\n     program {number} saw: {seen}", rule.id);
            Ok(Completion::Completed)
        }
        None => Err(format!("{wrong}: none of {PROGRAMS} programs failed; {rule}").into()),
    }
}

/// A kept program still catches what it was kept for.
fn must_catch(text: &str, name: &str) -> Result<(), Failed> {
    let mutation = Mutation::ALL.iter().find(|mutation| format!("{mutation:?}") == name);
    let mutation = mutation.ok_or_else(|| format!("there is no mutant {name}"))?;
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

/// In a process of its own: runs a program that hangs whatever is opened, without care.
const HANG: &str = "GPU_STREAM_MODEL_HANG";

const NEVER_ENDS: &str = "s0 = stream 0\ns0 wait s0\nsync s0\n";

fn hang() -> Result<(), Failed> {
    let options = Options { exact: false, limit: Duration::from_millis(200), candidates: 0 };
    let runner = Runner::new(Arc::new(MutantFixture), options);
    let mut runner = runner.map_err(|verdict| verdict.reason().to_string())?;
    mutation::set(Some(Mutation::WaitForOneselfNeverEnds));
    let outcome = campaign::replay(&mut runner, NEVER_ENDS, 1);
    Err(format!("the program should hang: {outcome:?}").into())
}

/// The watchdog ends such a process, and says which program it was.
fn a_hang_is_told() -> Result<(), Failed> {
    let program = std::env::current_exe()?;
    let output = std::process::Command::new(program).env(HANG, "1").output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(101) && text.contains("hangs") && text.contains(NEVER_ENDS) {
        return Ok(());
    }
    Err(format!("it ended with {} and said: {text}", output.status).into())
}

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
    // There is one mutation at a time in the process.
    arguments.test_threads = Some(1);
    let mut all = Mutation::ALL.to_vec();
    // What these do wrong stays: the default stream never comes to its end after them.
    let spoils = [Mutation::WaitForOneselfNeverEnds, Mutation::UnrecordedWaitNeverEnds];
    all.sort_by_key(|mutation| spoils.contains(mutation));
    let mut trials =
        vec![Trial::test("control", control), Trial::test("a_hang_is_told", a_hang_is_told)];
    for (program, text) in corpus::ALL {
        trials.extend(corpus::catches(text).map(|name| {
            Trial::test(format!("kept::{program}::{name}"), move || must_catch(text, name))
        }));
    }
    trials.extend(all.into_iter().map(|mutation| {
        Trial::ignorable_test(format!("{mutation:?}"), move || must_be_caught(mutation))
    }));
    let conclusion = libtest_mimic::run(&arguments, trials);
    // Some mutants hang, and their threads are still there.
    end_process(if conclusion.has_failed() { 101 } else { 0 })
}
