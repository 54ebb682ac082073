//! The rules that the cases check, each with its number and its text.
//!
//! `R1` to `R41` are the numbered rules of the contract. `T1` to `T6` are what torch documents of
//! `ExternalStream`, and `C1` to `C14` are what the contract adds to both. `K1` to `K9` are about
//! values that streams still use, and `W1` to `W5` about streams that are awaited. [`ELSEWHERE`]
//! lists the rules that no case of the suite checks.

use std::fmt;

/// A rule of the contract.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Rule {
    /// Its short name: `R11`, `T2`, `C1`.
    pub id: &'static str,
    /// What it says.
    pub text: &'static str,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.id, self.text)
    }
}

macro_rules! rules {
    ($($id:ident $text:literal)*) => {
        $(
            #[doc = $text]
            pub const $id: Rule = Rule { id: stringify!($id), text: $text };
        )*

        /// All of them, in order.
        pub const ALL: &[Rule] = &[$($id),*];
    };
}

rules! {
    T1 "wrapping a handle gives a stream that works on that handle"
    T2 "query returns whether all work submitted so far is done"
    T3 "a record stands for all work submitted to its stream so far"
    T4 "synchronize blocks the caller until all work submitted so far is done"
    T5 "wait_event holds back later work until the event's record is reached, and no earlier work"
    T6 "wait_stream holds back later work until the other stream's work so far is done"
    R1 "a wrapper neither creates nor owns nor destroys the stream"
    R2 "the device is taken from the handle, and another given device is an error that names both"
    R3 "handles 0 and 1 are the default stream, and handle 2 is the per-thread default stream, which has its own type; an engine without them refuses the handles"
    R4 "every wrapper keeps the owner of its stream alive, so safe code cannot use a stream after its owner is dropped"
    R5 "an event stays valid after its stream is destroyed; where the vendor's events need the stream, they keep its owner"
    R6 "equality and hash depend on backend, device and handle"
    R7 "calls return the same whatever device is current, and leave the thread's state unchanged"
    R8 "query is true when done and false when pending, and any other answer of the driver is an error"
    R9 "record_event without an argument creates a new event, without timing"
    R10 "a second record replaces the first: earlier waits keep the old record, later queries and waits use the new one"
    R11 "wait_stream is a snapshot: later work of the other stream is not waited for"
    R12 "a stream may wait for itself, and that changes nothing"
    R13 "a wait never blocks the host"
    R14 "a wait across devices is allowed; a record of another device's event is a device mismatch"
    R15 "a wait for an event that was never recorded has no effect"
    R16 "an event that was never recorded is done: query is true, synchronize returns, status is Unrecorded"
    R17 "an event may be dropped while pending: the waits for it stay in effect"
    R18 "events keep no time unless their options ask for it; blocking changes only how synchronize waits"
    R19 "elapsed time needs both events timed, recorded and complete, checked in this order; milliseconds, with a sign"
    R20 "elapsed time between events of two devices is an error"
    R21 "interprocess needs timing off, and the contradiction is an error when the options are built"
    R22 "streams and events can be used from any thread, except a per-thread default stream, which differs on each thread"
    R23 "a query of a captured stream is refused as Capturing, and the capture survives"
    R24 "an event recorded in a capture is Capturing until that ends, then InvalidEvent until it is recorded outside"
    R25 "wait_stream for a captured stream adds the waiter to the capture"
    R26 "a stream integer means what its exchange protocol says, and what the protocol forbids is an error"
    R27 "a wait binds to the record that is current at the call, never to the event"
    R28 "a stream runs its tasks in order, never two at once, and has dropped them before it reports that it is done"
    R29 "failed work is a fault that every later call on its stream reports, and other streams are not affected"
    R30 "dropping the last handle of an owned stream lets submitted work finish"
    R31 "forks, joins and dropped streams of a library in its caller's capture add nodes and break nothing, in every mode"
    R32 "a wait for the same stream's own latest record makes no driver call"
    R33 "a wait of a captured stream for work outside its capture is refused, the error names both, and the capture survives"
    R34 "a wait between two captures is refused, the error names both, and both captures survive"
    R35 "a host function for a captured stream is refused, since a graph may run it many times"
    R36 "queries leave every capture of every thread intact, whichever stream is queried"
    R37 "a host function runs once or is dropped once: after a fault, after a panic and after an error"
    R38 "users' destructors run while the backend holds no lock or claim, and a panic in one harms no other call"
    R39 "streams and events of a context that was reset return ContextDestroyed, and a new stream works"
    R40 "two streams are the same if backend type, device and handle are; a backend's name does not count"
    R41 "a blocking stream and the default stream wait for each other's work; a non-blocking one does not"
    C1 "fork makes every branch wait for one record of this stream"
    C2 "join makes this stream wait for every branch"
    C3 "the object-safe form means what the typed form means"
    C4 "a stream has the priority that it was created with, and a priority that the device does not have is refused"
    C5 "a stream's id is unique"
    C6 "a host function runs when its stream reaches it"
    C7 "a stream that is not captured reports that it is not"
    C8 "each kind of bad input has its own kind of error, whose text names the given value"
    C9 "the owner is dropped with the last value that needs it"
    C10 "new_event and new_stream of a stream create objects in that stream's own context"
    C11 "a foreign event can be waited for, queried, synchronized and recorded; its wrapper keeps its owner and destroys nothing"
    C12 "if another library records an event of the backend, the event reports that record"
    C13 "values that host functions drop are released by later calls, and do not accumulate"
    C14 "a stream that has work runs eventually, whatever the priorities of the others"
    K1 "a retained value is kept while one of its streams has work that was submitted before the retain"
    K2 "the first collect after the streams are done drops the value, and work that is submitted after an earlier collect does not keep it; drain waits until the streams are done"
    K3 "values are dropped by calls of the reclaimer, on the calling thread, while no lock is held"
    K4 "values of the same streams are dropped in the order of their retains"
    K5 "behind a fault or a lost context no value is dropped, and abandon returns it"
    K6 "a panic in the destructor of a value loses no other value, and reaches the caller"
    K7 "a value that cannot be retained comes back with the reason, and a capture of its stream survives"
    K8 "release_on makes its home stream wait for all users, and drops the value before it returns"
    K9 "a value's streams live until the value is dropped, and the reclaimer keeps no owner of them longer"
    W1 "a future of a stream's work is Ok only when all work submitted before the call is done, and waits for no later work"
    W2 "a future is ready once the work has ended: the task that polled last is woken, once"
    W3 "failed work and a lost context are errors of the future, never Ok and never a hang"
    W4 "a future submits nothing but a record: a waker that blocks holds back no stream"
    W5 "a captured stream is refused as Capturing, and awaits leave all captures alive"
}

/// Rules that no case checks, each with the test of the repository that does.
///
/// `R26` is about integers, which `gpu-stream-core` decodes for every backend.
pub const ELSEWHERE: &[(Rule, &str)] = &[(R26, "crates/core/tests/exchange.rs")];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases;

    #[test]
    fn every_rule_has_a_case() {
        for rule in ALL {
            let by_case = cases::ALL.iter().any(|case| case.rules.contains(rule));
            let elsewhere = ELSEWHERE.iter().any(|(other, _)| other == rule);
            assert!(
                by_case != elsewhere,
                "no case checks {rule}, or one does and it is in ELSEWHERE"
            );
        }
    }
}
