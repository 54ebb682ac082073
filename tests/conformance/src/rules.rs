//! The rules that the cases check, each with its number and its words.
//!
//! `R1` to `R41` are the numbered rules of the contract, `T1` to `T6` what torch documents of
//! `ExternalStream`, and `C1` to `C14` what the contract adds to both. [`ELSEWHERE`] lists the rules
//! that no case of the suite checks.

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
    T2 "query says whether all work submitted so far is done"
    T3 "a record stands for all work submitted to its stream so far"
    T4 "synchronize blocks the caller until all work submitted so far is done"
    T5 "wait_event holds later work back until the event's record is reached, and earlier work not at all"
    T6 "wait_stream holds later work back until the other stream's work so far is done"
    R1 "a wrapper neither creates nor owns nor destroys the stream"
    R2 "the device is taken from the handle, and a wrong one is an error that names both"
    R3 "handles 0, 1 and 2 are what they are: default stream, default stream, the thread's own, which has its own type"
    R4 "safe code cannot outlive the owner of a stream: every wrapper keeps it alive"
    R5 "an event stays good after its stream is gone; where the vendor's events need the stream, they keep its owner"
    R6 "equality and hash go by backend, device and handle"
    R7 "calls answer the same whatever device is current, and leave the thread as they found it"
    R8 "query is true when done, false when pending, and anything else is an error"
    R9 "record_event without an argument makes a new event, without timing"
    R10 "a second record replaces the first: who waits already keeps the old one, who asks later sees the new one"
    R11 "wait_stream is a snapshot: later work of the other stream is not waited for"
    R12 "waiting for oneself is legal and changes nothing"
    R13 "a wait never blocks the host"
    R14 "a wait across devices is allowed; a record of another device's event is a device mismatch"
    R15 "a wait for an event that was never recorded is nothing"
    R16 "an event that was never recorded is done: query is true, synchronize returns, status says Unrecorded"
    R17 "an event may be dropped while pending: waits that were made hold"
    R18 "events keep no time unless asked; blocking changes nothing but how synchronize waits"
    R19 "elapsed time needs both events timed, recorded and complete, checked in this order; milliseconds, with a sign"
    R20 "elapsed time between events of two devices is an error"
    R21 "interprocess needs timing off, which is found when the options are built"
    R22 "streams and events are used from any thread, but for a thread's own stream, which is another on each"
    R23 "a question about a captured stream is refused as Capturing, and the capture lives"
    R24 "an event recorded in a capture is Capturing until that ends, then InvalidEvent until it is recorded outside"
    R25 "wait_stream for a captured stream takes the waiter into the capture"
    R26 "a stream integer means what its exchange protocol says, and what the protocol forbids is an error"
    R27 "a wait binds to the record that is current at the call, never to the event"
    R28 "a stream runs its tasks in order, never two at once, and has dropped them before it says that it is done"
    R29 "failed work is a fault that every later call on its stream reports, and other streams live"
    R30 "dropping the last handle of an owned stream lets submitted work finish"
    R31 "forks, joins and dropped streams of a library in its caller's capture add nodes and break nothing, in every mode"
    R32 "a wait for the same stream's own latest record makes no call"
    R33 "a captured stream that would wait for work outside its capture is refused, both named, and the capture lives"
    R34 "a wait between two captures is refused, both named, and both captures live"
    R35 "a host function for a captured stream is refused, since a graph may run it many times"
    R36 "questions leave every capture of every thread alive, whichever stream is asked"
    R37 "a host function runs once or is dropped once: behind a fault, behind a panic and after an error"
    R38 "destructors of users run with nothing held, and a panic in one harms no other call"
    R39 "what belonged to a context that was reset answers ContextDestroyed, and a new stream works"
    R40 "two streams are the same if backend type, device and handle are; a backend's name does not count"
    R41 "a blocking stream and the default stream wait for each other's work; a non-blocking one does not"
    C1 "fork makes every branch wait for one record of this stream"
    C2 "join makes this stream wait for every branch"
    C3 "the object-safe form says what the typed form says"
    C4 "a stream has the priority that it was made with, and one that the device does not have is refused"
    C5 "a stream's id is its own"
    C6 "a host function runs when its stream comes to it"
    C7 "a stream that nobody captures says so"
    C8 "each kind of bad input has its own kind of error, whose text names what was given"
    C9 "the owner is let go with the last that needs it"
    C10 "new_event and new_stream of a stream make what fits that stream's own context"
    C11 "a foreign event can be waited for, asked, synchronized and recorded; its wrapper keeps its owner and destroys nothing"
    C12 "an event of ours that another library records answers by that record"
    C13 "what is dropped in host functions does not pile up"
    C14 "a stream that has work gets its turn, whatever the priorities of the others"
}

/// Rules that no case checks, each with the test of the repository that does.
///
/// `R26` is about integers, which the contract's own code decodes for every backend.
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
