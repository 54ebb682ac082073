//! The rules that the cases check, each with its number and its words.
//!
//! `R1` to `R30` are the numbered rules of the contract, `T1` to `T6` what torch documents of
//! `ExternalStream`, and `C1` to `C10` what the contract adds to both. Numbers that are missing here
//! are about captures and about exchanging handles with other libraries, which no case checks yet.

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
    R27 "a wait binds to the record that is current at the call, never to the event"
    R28 "a stream runs its tasks in order, never two at once, and has dropped them before it says that it is done"
    R29 "failed work is a fault that every later call on its stream reports, and other streams live"
    R30 "dropping the last handle of an owned stream lets submitted work finish"
    C1 "fork makes every branch wait for one record of this stream"
    C2 "join makes this stream wait for every branch"
    C3 "the object-safe form says what the typed form says"
    C4 "a stream has the priority that it was made with, and one that the device does not have is refused"
    C5 "a stream's id is its own"
    C6 "a host function runs when its stream comes to it"
    C7 "a stream that nobody captures says so"
    C8 "each kind of bad input has its own kind of error, whose text names what was given"
    C9 "the owner is let go with the last that needs it"
    C10 "a stream that has work gets its turn, whatever the priorities of the others"
}

#[cfg(test)]
mod tests {
    use crate::cases;

    #[test]
    fn every_rule_has_a_case() {
        for rule in super::ALL {
            let found = cases::ALL.iter().any(|case| case.rules.contains(rule));
            assert!(found, "no case checks {rule}");
        }
    }
}
