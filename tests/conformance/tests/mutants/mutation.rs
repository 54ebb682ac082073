//! The list of mutants: the fault of each one, and the rule that it breaks.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use gpu_stream_conformance::rules::{self, Rule};

macro_rules! mutations {
    ($($name:ident $rule:ident $wrong:literal;)*) => {
        /// A seeded fault.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Mutation {
            $(#[doc = $wrong] $name,)*
        }

        impl Mutation {
            pub const ALL: &[Mutation] = &[$(Mutation::$name),*];

            /// Returns the rule that the mutation breaks; the suite must name it.
            pub fn breaks(self) -> Rule {
                match self {
                    $(Mutation::$name => rules::$rule,)*
                }
            }

            /// Returns the description of the fault.
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
    DeviceIsZero R2 "a wrapper has device 0, whatever device its handle belongs to";
    OwnersWordIgnored R2 "an owner and a caller that name two devices are not compared";
    AnyOrdinalIsADevice R2 "every ordinal names a device";
    HandleZeroIsPooled R3 "handle 0 becomes some stream of a pool";
    HandleOneIsAnother R3 "handle 1 becomes another stream than the default one";
    HandleTwoIsDefault R3 "handle 2 is accepted, as the default stream";
    OwnerNotKeptByStream R4 "a wrapper does not keep its owner";
    OwnerNotKeptByEvent R5 "an event does not keep the owner of its stream";
    EventDiesWithStream R5 "an event cannot be queried after its stream is dropped";
    EqualByIdentity R6 "two wrappers of one stream are not equal";
    HashByIdentity R6 "two wrappers of one stream have different hashes";
    EqualAcrossDevices R6 "the default streams of two devices are equal";
    AllAreEqual R6 "all streams of a device are equal";
    CloneIsAnotherStream R6 "a clone is a new stream";
    LeavesDeviceCurrent R7 "making a stream leaves its device current";
    UsesCurrentDevice R7 "a new stream is on the current device";
    LeavesLastError R7 "a query that is not ready leaves an error in the thread";
    QueryIsTrue T2 "query is always true";
    QueryIsFalse R8 "query is always false";
    QueryPendingIsError R8 "query of a pending stream is an error";
    QueryHidesErrors R8 "query turns errors into false";
    RecordEventIsTimed R9 "record_event makes an event with timing";
    EventsShareAHandle R9 "all events have one handle";
    RecordDoesNotReplace R10 "a second record does nothing";
    WaitStreamTakesLaterWork R11 "wait_stream waits for later work of the other stream, too";
    WaitForItselfRefused R12 "a stream that waits for itself gets an error";
    WaitForItselfNeverEnds R12 "a stream that waits for itself never ends";
    WaitBlocksHost R13 "a wait blocks the caller until the event is complete";
    RecordOnAnyDevice R14 "a record on another device's stream is accepted, and does nothing";
    WaitAcrossDevicesRefused R14 "a wait for another device's event is an error";
    UnrecordedWaitNeverEnds R15 "a wait for an event that was never recorded never ends";
    UnrecordedWaitRefused R15 "a wait for an event that was never recorded is an error";
    UnrecordedIsPending R16 "an event that was never recorded is pending";
    UnrecordedIsComplete R16 "an event that was never recorded is complete";
    UnrecordedSynchronizeRefused R16 "synchronize of an event that was never recorded is an error";
    DroppedEventReleases R17 "dropping an event releases its waiters";
    TimedByDefault R18 "events keep time by default";
    BlockingForgotten R18 "an event forgets that it is blocking";
    BlockingWaitIsNothing R18 "a wait for a blocking event waits for nothing";
    ElapsedUntimed R19 "elapsed time of untimed events is 0";
    ElapsedPending R19 "elapsed time of pending events is 0";
    ElapsedUnrecorded R19 "elapsed time of unrecorded events is 0";
    ElapsedRecordsFirst R19 "elapsed time checks the records before the timing";
    ElapsedNamesTheOther R19 "elapsed time names the wrong one of the two events";
    ElapsedWithoutSign R19 "elapsed time is never negative";
    ElapsedInSeconds R19 "elapsed time is in seconds";
    ElapsedToItselfIsOne R19 "elapsed time of an event and itself is not 0";
    ElapsedAcrossDevices R20 "elapsed time between devices is returned";
    InterprocessIgnored R21 "an interprocess event silently becomes an ordinary one";
    PerThreadStreamIsShared R22 "the threads' own streams are one stream";
    PerThreadStreamIsFresh R22 "the thread's own stream is a new one at each call";
    WaitBindsToEvent R27 "a wait binds to the record that is current when later work is submitted";
    TasksOverlap R28 "a task starts while another one of its stream runs";
    TasksOutOfOrder R28 "every second task runs before the previous one";
    TasksRunAfterDone R28 "tasks are run and dropped after the stream reported done";
    UnrunTasksLeak R28 "tasks that do not run are never dropped";
    FaultIsForgotten R29 "a fault is reported once, and then the stream is done";
    FaultSpreads R29 "a fault spreads to all other streams";
    SynchronizeHidesFaults R29 "synchronize returns Ok after a fault";
    EventHidesFaults R29 "an event after a fault is complete";
    FaultReachesEarlierRecords R29 "a wait for a record from before a fault returns the fault";
    WorkAfterFaultIsRun R29 "work after a fault is run";
    OwnedDropAbandons R30 "dropping the last handle discards pending work";
    ForkForgetsTheLast C1 "fork leaves the last branch out";
    ForkRecordsForEach C1 "fork makes a record for each branch, when it reaches the branch";
    ForkRefusesItself C1 "fork with the stream itself among the branches is an error";
    ForkStopsAtABadBranch C1 "fork leaves out the branches after a bad one";
    JoinStopsAtABadBranch C2 "join leaves out the branches after a bad one";
    JoinForgetsTheLast C2 "join leaves the last branch out";
    JoinForgetsTheFirst C2 "join leaves the first branch out";
    PriorityClamped C4 "a priority out of range is silently clamped";
    PriorityForgotten C4 "every stream reports normal priority";
    PriorityRangeReversed C4 "the range of priorities is reversed";
    IdsAreShared C5 "all streams have one id";
    IdOfTheWrapper C5 "each wrapper of a stream has another id";
    HostFunctionsRunAtOnce C6 "a host function runs when it is submitted";
    ReportsCapture C7 "every stream reports a capture";
    AbsentDeviceAccepted C8 "a device that does not exist becomes the first one";
    StrangeDeviceAccepted C8 "another backend's device becomes the first one";
    StaleHandleAccepted C8 "a handle that is not a stream becomes the default stream";
    ErrorsNameNothing C8 "errors do not name the given value";
    ErrorsNameAnotherCall C8 "an error names a call that the backend makes for the program";
    OwnerKeptForEver C9 "the owner is never dropped";
    OwnerKeptByFailure C9 "the owner is kept when wrapping fails";
    CapturedQueryAnswered R23 "query of a captured stream returns an answer";
    QueryEndsCapture R23 "query of a captured stream breaks the capture";
    EventOfCaptureIsDone R24 "an event of a capture is complete at once";
    EventOfCaptureForgotten R24 "an event of an ended capture is unrecorded";
    WaiterStaysOutside R25 "a stream that waits for a captured one does not join the capture";
    DropBreaksCapture R31 "dropping a stream of a capture breaks the capture";
    NewStreamBreaksCapture R31 "making a stream breaks captures in the global mode";
    OwnWaitIsANode R32 "a wait for the stream's own record adds a node to the graph";
    OutsideWaitAccepted R33 "a wait of a captured stream for work outside returns Ok and does nothing";
    OutsideWaitBreaks R33 "a wait of a captured stream for work outside is refused, and the capture is broken";
    CaptureWaitAccepted R34 "a wait between two captures is accepted, and does nothing";
    HostFunctionIsCaptured R35 "a host function of a captured stream becomes a node of the graph";
    HostFunctionMisleads R35 "a host function of a captured stream is refused without the reason";
    QueryBreaksCaptures R36 "query of any stream breaks captures in the global mode";
    RefusedFunctionIsKept R37 "a host function that is refused is never dropped";
    DestructorsUnderALock R38 "deferred values are dropped in wait_stream, under its lock";
    ResetIsHidden R39 "a reset is not reported";
    PoolOutlivesReset R39 "wait_stream takes an event from before a reset";
    SameByHandle R40 "two streams of one handle are the same, whatever their devices are";
    BlockingOrdersNothing R41 "a blocking stream and the default stream do not wait for each other";
    BlockingFlagForgotten R41 "no stream reports that it is blocking";
    EveryStreamBlocks R41 "every stream waits for the default stream";
    NewObjectOfTheFirstDevice C10 "new_stream of a stream is on the first device";
    NewObjectOfTheFirstContext C10 "a stream makes events and streams in its device's own context";
    ForeignEventDestroyed C11 "dropping the wrapper of a foreign event destroys the event";
    ForeignEventOwnerDropped C11 "the wrapper of a foreign event does not keep its owner";
    ForeignEventLooksOwn C11 "a foreign event reports that it is not foreign";
    ForeignEventZeroAccepted C11 "handle 0 is wrapped as a new event";
    ForeignRecordIgnored C12 "an event that another library recorded is unrecorded";
    OwnersAccumulate C13 "owners that a host function drops are leaked";
    QueryMissesLateSubmissions T2 "query misses what a thread submits right after another thread";
    RecordMissesLateSubmissions T3 "a record misses what a thread submits right after another thread";
    SynchronizeMissesLateSubmissions T4 "synchronize misses what a thread submits right after another thread";
    SynchronizeFollowsRecords R27 "synchronize of an event waits for later records, too";
    SynchronizeEndsWithARecord R10 "synchronize of an event returns when the event is recorded again";
    RecordPassesThroughDone R10 "an event that is recorded again is briefly done";
    PayloadDropHidesTheFault R29 "a panic in the drop of a panic's value hides the fault";
    PayloadDropStopsTheStream R29 "a panic in the drop of a panic's value stops the stream forever";
    UnrunDropPanicLosesTheRest R28 "if the drop of an unrun function panics, later functions are not dropped";
    MiddlePriorityStarves C14 "a stream of middle priority never runs while others have work";
    OwnerKeptByDroppedEvent C9 "an event that is dropped after its stream leaks the owner";
    EventKeepsEveryOwner C9 "an event keeps the owner of every stream that it was recorded on";
    ValueDroppedEarly K1 "the first collect drops a value, whatever its streams do";
    FirstStreamKeeps K1 "only the first of its streams keeps a value";
    MarkedBeforeTheValue K1 "a value waits for the mark that was recorded for the value before it";
    DroppedReclaimerDrops K1 "dropping a reclaimer drops its values";
    NewestMarkIsAsked K2 "collect asks only the newest mark, and drops nothing until that is reached";
    MarkedAgain K2 "each collect records the marks again, so that later work keeps a value";
    DrainReturns K2 "drain waits for nothing";
    DroppedByTheStream K3 "a host function drops the value, when its stream comes to it";
    DroppedUnderTheLock K3 "values are dropped under the lock of the reclaimer";
    DroppedInReverse K4 "the newest value is dropped first";
    DroppedOnAFault K5 "a value is dropped if its stream reports an error";
    AbandonLosesValues K5 "abandon returns all values but one";
    DropPanicLosesTheRest K6 "a panic in a destructor leaks the values after it";
    DropPanicIsHidden K6 "a panic in a destructor does not reach the caller";
    RefusedValueIsDropped K7 "a value that is refused is dropped";
    CapturedStreamTakesValues K7 "a captured stream takes values";
    CaptureIsAskedOnce K7 "only the first value of a batch is refused by a captured stream";
    RetainBreaksCaptures K7 "a retain breaks the capture of its stream";
    ReleaseForgetsTheLast K8 "release_on leaves the last user out";
    ReleasedValueIsKept K8 "release_on drops the value on another thread";
    OwnerIsForgotten K9 "a value's stream is kept without its owner";
    OwnerIsKept K9 "an owner lives on after the values of its stream are dropped";
    FutureIsReadyEarly W1 "a future is ready at its first poll, whatever the stream does";
    FuturesShareAnEvent W1 "a future waits for the work before a later call, too";
    FutureOfACaptureIsOk W1 "a future whose record went into a capture is Ok";
    TaskIsNotWoken W2 "no task is woken";
    FirstTaskIsWoken W2 "the task that polled first is woken";
    TaskIsWokenTwice W2 "a task is woken twice";
    FutureHidesFaults W3 "failed work and a lost context are the end of the work";
    FaultLeavesFuturesPending W3 "a future of failed work is never ready";
    WakerRunsOnTheStream W4 "a host function of the stream wakes the task";
    CapturedStreamIsAwaited W5 "a captured stream is awaited";
    AwaitMissesACapture W5 "a capture that begins before the record is not noticed";
    AwaitBreaksCaptures W5 "the question whether the work is done breaks captures of other streams";
}

// One value for the process, so that the cases are compiled once for all mutants. 0 means no
// mutation.
static CURRENT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static BYPASSED: Cell<bool> = const { Cell::new(false) };
}

/// Activates `mutation`, or none.
pub fn set(mutation: Option<Mutation>) {
    CURRENT.store(mutation.map_or(0, |mutation| mutation as usize + 1), Ordering::SeqCst);
}

/// Returns the mutation that is active on this thread.
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

/// Runs `body` without a mutation: for the fixture, whose gates must hold.
pub fn bypass<T>(body: impl FnOnce() -> T) -> T {
    let before = BYPASSED.replace(true);
    let result = body();
    BYPASSED.set(before);
    result
}
