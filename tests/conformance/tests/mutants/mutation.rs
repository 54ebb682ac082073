//! The list of mutants: what each one does wrong, and the rule that it breaks.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use gpu_stream_conformance::rules::{self, Rule};

macro_rules! mutations {
    ($($name:ident $rule:ident $wrong:literal;)*) => {
        /// One thing done wrong.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Mutation {
            $(#[doc = $wrong] $name,)*
        }

        impl Mutation {
            pub const ALL: &[Mutation] = &[$(Mutation::$name),*];

            /// The rule that it breaks; the suite must say so.
            pub fn breaks(self) -> Rule {
                match self {
                    $(Mutation::$name => rules::$rule,)*
                }
            }

            /// What it does.
            pub fn wrong(self) -> &'static str {
                match self {
                    $(Mutation::$name => $wrong,)*
                }
            }
        }
    };
}

mutations! {
    WrapIsAnotherStream T1 "a wrapper has the handle, and works on some other stream";
    RecordIgnoresWork T3 "a record is complete at once";
    RecordTakesLaterWork T3 "an event stands for what is submitted after its record, too";
    SynchronizeReturns T4 "synchronize of a stream returns at once";
    SynchronizeOfDoneRefused T4 "synchronize of a stream that is done is an error";
    EventSynchronizeReturns T4 "synchronize of an event returns at once";
    WaitIsNothing T5 "a wait waits for nothing";
    OnlyFirstWaiterWaits T5 "the second wait for an event waits for nothing";
    WaitStreamIsNothing T6 "wait_stream waits for nothing";
    WaitStreamBackwards T6 "wait_stream makes the other stream wait";
    DestroyOnDrop R1 "dropping a wrapper destroys the stream";
    DeviceNotChecked R2 "a wrong device is accepted when wrapping";
    DeviceIsZero R2 "a wrapper is of device 0, whatever its handle is of";
    OwnersWordIgnored R2 "an owner and a caller that name two devices are not compared";
    AnyOrdinalIsADevice R2 "every ordinal names a device";
    HandleZeroIsPooled R3 "handle 0 becomes some stream of a pool";
    HandleOneIsAnother R3 "handle 1 becomes another stream than the default one";
    HandleTwoIsDefault R3 "handle 2 is accepted, as the default stream";
    OwnerNotKeptByStream R4 "a wrapper lets its owner go";
    OwnerNotKeptByEvent R5 "an event lets the owner of its stream go";
    EventDiesWithStream R5 "an event cannot be asked when its stream is gone";
    EqualByIdentity R6 "two wrappers of one stream are not equal";
    HashByIdentity R6 "two wrappers of one stream have different hashes";
    EqualAcrossDevices R6 "the default streams of two devices are equal";
    AllAreEqual R6 "all streams of a device are equal";
    CloneIsAnotherStream R6 "a clone is a new stream";
    LeavesDeviceCurrent R7 "making a stream leaves its device current";
    UsesCurrentDevice R7 "a new stream is of the current device";
    LeavesLastError R7 "a query that is not ready leaves an error in the thread";
    QueryIsTrue T2 "query is always true";
    QueryIsFalse R8 "query is always false";
    QueryPendingIsError R8 "query of a pending stream is an error";
    QueryHidesErrors R8 "query turns errors into false";
    RecordEventIsTimed R9 "record_event makes an event with timing";
    EventsShareAHandle R9 "all events have one handle";
    RecordDoesNotReplace R10 "a second record does nothing";
    WaitStreamTakesLaterWork R11 "wait_stream waits for what the other is given later, too";
    WaitForOneselfRefused R12 "wait_stream of oneself is an error";
    WaitForOneselfNeverEnds R12 "wait_stream of oneself never ends";
    WaitBlocksHost R13 "a wait blocks the caller until the event is complete";
    RecordOnAnyDevice R14 "a record on another device's stream is accepted, and does nothing";
    WaitAcrossDevicesRefused R14 "a wait for another device's event is an error";
    UnrecordedWaitNeverEnds R15 "a wait for an event that was never recorded never ends";
    UnrecordedWaitRefused R15 "a wait for an event that was never recorded is an error";
    UnrecordedIsPending R16 "an event that was never recorded is pending";
    UnrecordedIsComplete R16 "an event that was never recorded looks complete";
    UnrecordedSynchronizeRefused R16 "synchronize of an event that was never recorded is an error";
    DroppedEventReleases R17 "dropping an event lets go who waits for it";
    TimedByDefault R18 "events keep time unless told not to";
    BlockingForgotten R18 "an event forgets that it is blocking";
    BlockingWaitIsNothing R18 "a wait for a blocking event waits for nothing";
    ElapsedUntimed R19 "elapsed time of untimed events is 0";
    ElapsedPending R19 "elapsed time of pending events is 0";
    ElapsedUnrecorded R19 "elapsed time of unrecorded events is 0";
    ElapsedRecordsFirst R19 "elapsed time looks at the records before the timing";
    ElapsedNamesTheOther R19 "elapsed time names the wrong one of the two events";
    ElapsedWithoutSign R19 "elapsed time is never negative";
    ElapsedInSeconds R19 "elapsed time is in seconds";
    ElapsedToItselfIsOne R19 "elapsed time of an event and itself is not 0";
    ElapsedAcrossDevices R20 "elapsed time between devices is answered";
    InterprocessIgnored R21 "an interprocess event is quietly an ordinary one";
    OwnStreamIsShared R22 "the threads' own streams are one stream";
    OwnStreamIsFresh R22 "the thread's own stream is a new one at each call";
    WaitBindsToEvent R27 "a wait is for the record that is current when work comes behind it";
    TasksOverlap R28 "a task starts while another one of its stream runs";
    TasksOutOfOrder R28 "every second task comes before the one in front of it";
    TasksBehindDone R28 "tasks are run and dropped after the stream said that it is done";
    UnrunTasksLeak R28 "tasks that do not run are never dropped";
    FaultIsForgotten R29 "a fault is reported once, and then the stream is done";
    FaultSpreads R29 "a fault takes all other streams with it";
    SynchronizeHidesFaults R29 "synchronize returns as if nothing had failed";
    EventHidesFaults R29 "an event behind a fault is complete";
    WorkBehindFaultIsRun R29 "work behind a fault is run";
    OwnedDropAbandons R30 "dropping the last handle throws pending work away";
    ForkForgetsTheLast C1 "fork leaves the last branch out";
    ForkRecordsForEach C1 "fork makes a record for each branch, when it comes to it";
    ForkRefusesOneself C1 "fork with oneself among the branches is an error";
    ForkStopsAtABadBranch C1 "fork leaves out the branches after a bad one";
    JoinStopsAtABadBranch C2 "join leaves out the branches after a bad one";
    JoinForgetsTheLast C2 "join leaves the last branch out";
    JoinForgetsTheFirst C2 "join leaves the first branch out";
    PriorityClamped C4 "a priority out of range is clamped without a word";
    PriorityForgotten C4 "every stream says that it has normal priority";
    PriorityRangeReversed C4 "the range of priorities is the wrong way round";
    IdsAreShared C5 "all streams have one id";
    IdOfTheWrapper C5 "the id is the wrapper's and not the stream's";
    HostFunctionsRunAtOnce C6 "a host function runs when it is submitted";
    LooksCaptured C7 "every stream looks captured";
    AbsentDeviceAccepted C8 "a device that is not there becomes the first one";
    StrangeDeviceAccepted C8 "another backend's device becomes the first one";
    StaleHandleAccepted C8 "a handle that is no stream becomes the default stream";
    ErrorsNameNothing C8 "errors do not name what was given";
    OwnerKeptForEver C9 "the owner is never let go";
    OwnerKeptByFailure C9 "the owner is kept when wrapping fails";
    QuestionOfCaptureAnswered R23 "query of a captured stream is answered";
    QuestionEndsCapture R23 "query of a captured stream breaks the capture";
    EventOfCaptureIsDone R24 "an event of a capture is complete at once";
    EventOfCaptureForgotten R24 "an event of a capture that is over looks never recorded";
    WaiterStaysOutside R25 "who waits for a captured stream is not taken into the capture";
    DropBreaksCapture R31 "dropping a stream of a capture breaks the capture";
    NewStreamBreaksCapture R31 "making a stream breaks captures in the global mode";
    OwnWaitIsANode R32 "a wait for the own record in a capture is a node of the graph";
    OutsideWaitAccepted R33 "a captured stream is told to wait for work outside, and does not";
    OutsideWaitBreaks R33 "a captured stream that is to wait for work outside is refused, and the capture is broken";
    CaptureWaitAccepted R34 "a wait between two captures is accepted, and does nothing";
    HostFunctionIsCaptured R35 "a host function of a captured stream becomes a node of the graph";
    HostFunctionMisleads R35 "a host function of a captured stream is refused without the reason";
    QuestionBreaksCaptures R36 "query of any stream breaks captures in the global mode";
    RefusedFunctionIsKept R37 "a host function that is refused is never dropped";
    DestructorsUnderALock R38 "what was put off is dropped in wait_stream, under its lock";
    ResetIsHidden R39 "a reset is not told";
    PoolOutlivesReset R39 "wait_stream takes an event from before a reset";
    SameByHandle R40 "two streams of one handle are the same, whatever their devices are";
    BlockingOrdersNothing R41 "a blocking stream and the default stream do not wait for each other";
    BlockingFlagForgotten R41 "no stream says that it is blocking";
    EveryStreamBlocks R41 "every stream waits for the default stream";
    KinOfTheFirstDevice C10 "new_stream of a stream is on the first device";
    KinOfTheFirstContext C10 "what a stream makes is of its device's own context";
    ForeignEventDestroyed C11 "dropping the wrapper of a foreign event destroys the event";
    ForeignEventOwnerDropped C11 "the wrapper of a foreign event lets its owner go";
    ForeignEventLooksOwn C11 "a foreign event says that it is not";
    ForeignEventZeroAccepted C11 "handle 0 is wrapped as a new event";
    ForeignRecordIgnored C12 "an event that another library recorded looks never recorded";
    OwnersPileUp C13 "owners that a host function drops are kept for ever";
    QueryMissesLateSubmissions T2 "query leaves out what a thread submits right after another thread";
    RecordMissesLateSubmissions T3 "a record leaves out what a thread submits right after another thread";
    SynchronizeMissesLateSubmissions T4 "synchronize leaves out what a thread submits right after another thread";
    SynchronizeFollowsRecords R27 "synchronize of an event waits for records that come after the call, too";
    SynchronizeEndsWithARecord R10 "synchronize of an event returns when the event is recorded again";
    RecordPassesThroughDone R10 "an event that is recorded again looks done for a moment";
    PayloadDropHidesTheFault R29 "a panic in the drop of a panic's value hides the fault";
    PayloadDropStopsTheStream R29 "a panic in the drop of a panic's value stops the stream for ever";
    UnrunDropPanicLosesTheRest R28 "a function that panics when it is dropped unrun keeps those behind it from being dropped";
    MiddlePriorityStarves C14 "a stream of middle priority has no turn while others have work";
    OwnerKeptByDroppedEvent C9 "an event that is dropped after its stream keeps the owner for ever";
    EventKeepsEveryOwner C9 "an event keeps the owner of every stream that it was recorded on";
}

// One value for the process, so that the cases are compiled for all mutants once. 0 is none of
// them.
static CURRENT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static BYPASSED: Cell<bool> = const { Cell::new(false) };
}

/// Makes `mutation` the one that is done wrong from now on.
pub fn set(mutation: Option<Mutation>) {
    CURRENT.store(mutation.map_or(0, |mutation| mutation as usize + 1), Ordering::SeqCst);
}

/// What is done wrong at this moment, on this thread.
pub fn current() -> Option<Mutation> {
    if BYPASSED.get() {
        return None;
    }
    let index = CURRENT.load(Ordering::SeqCst).checked_sub(1)?;
    Mutation::ALL.get(index).copied()
}

pub fn on(mutation: Mutation) -> bool {
    current() == Some(mutation)
}

/// Runs `body` with nothing done wrong: for the fixture, whose gates must hold.
pub fn bypass<T>(body: impl FnOnce() -> T) -> T {
    let before = BYPASSED.replace(true);
    let result = body();
    BYPASSED.set(before);
    result
}
