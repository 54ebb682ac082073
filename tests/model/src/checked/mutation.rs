//! Wrong checks, for tests of the campaign: [`Mutation`].

use std::sync::atomic::{AtomicUsize, Ordering};

/// A call that the check does not see, or sees as another one. So it has one bug.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mutation {
    /// `wait_event` is not seen.
    WaitLost,
    /// `wait_stream` is not seen.
    WaitStreamLost,
    /// `wait_stream` orders the other stream instead.
    WaitStreamTurned,
    /// `fork` orders only its first branch.
    ForkFirstOnly,
    /// `join` waits only for its first branch.
    JoinFirstOnly,
    /// `fork` makes the branches wait for what the stream waits for, and not for its own work.
    ForkLost,
    /// The records of an event are not seen, except that of `record_event`.
    RecordLost,
    /// A wait is for the work of the recorded stream up to the wait, and not up to the record.
    RecordIsOfTheWait,
    /// `synchronize` of a stream is not seen.
    SyncLost,
    /// `synchronize` of an event is not seen.
    SyncEventLost,
    /// `query` of a stream is not seen.
    QueryLost,
    /// `query` and `status` of an event are not seen.
    QueryEventLost,
    /// A clone of a stream is taken for another stream.
    CloneIsAnother,
    /// Each access covers its whole region.
    WholeRegion,
    /// Only the first byte of an access is seen.
    FirstByte,
    /// A read is taken for a write.
    ReadIsWrite,
    /// A write is taken for a read.
    WriteIsRead,
    /// Releases are not seen.
    ReleaseLost,
    /// A new allocation is taken for the old one at its address.
    AllocationKept,
    /// The implicit order of blocking streams and the default stream is not seen.
    BlockingLost,
    /// Streams that are not blocking are taken for blocking ones.
    AllAreBlocking,
    /// Captures are not seen: captured work is taken for executed work.
    CaptureLost,
    /// A wait that adds a stream to a capture is not seen.
    CaptureJoinLost,
    /// The handles of captured streams are taken before the first call, so that captures in a row count as one.
    HandleKept,
}

impl Mutation {
    /// All mutations.
    pub const ALL: &'static [Mutation] = &[
        Self::WaitLost,
        Self::WaitStreamLost,
        Self::WaitStreamTurned,
        Self::ForkFirstOnly,
        Self::JoinFirstOnly,
        Self::ForkLost,
        Self::RecordLost,
        Self::RecordIsOfTheWait,
        Self::SyncLost,
        Self::SyncEventLost,
        Self::QueryLost,
        Self::QueryEventLost,
        Self::CloneIsAnother,
        Self::WholeRegion,
        Self::FirstByte,
        Self::ReadIsWrite,
        Self::WriteIsRead,
        Self::ReleaseLost,
        Self::AllocationKept,
        Self::BlockingLost,
        Self::AllAreBlocking,
        Self::CaptureLost,
        Self::CaptureJoinLost,
        Self::HandleKept,
    ];

    /// Returns `true` if a program can detect the mutation only where default streams and blocking streams wait for each
    /// other.
    pub fn needs_implicit_order(self) -> bool {
        matches!(self, Self::BlockingLost | Self::AllAreBlocking)
    }

    /// Returns `true` if a program can detect the mutation only where there are captures.
    pub fn needs_captures(self) -> bool {
        matches!(self, Self::CaptureLost | Self::CaptureJoinLost | Self::HandleKept)
    }
}

/// Index of the current mutation in [`Mutation::ALL`], plus 1; 0 for none.
static CURRENT: AtomicUsize = AtomicUsize::new(0);

/// Sets the mutation of all programs that run from now on in this process. `None` ends it.
pub fn set(mutation: Option<Mutation>) {
    let index = mutation.and_then(|mutation| Mutation::ALL.iter().position(|m| *m == mutation));
    CURRENT.store(index.map_or(0, |index| index + 1), Ordering::SeqCst);
}

/// Returns `true` if this is the current mutation.
pub(in crate::checked) fn is(mutation: Mutation) -> bool {
    let current = CURRENT.load(Ordering::Relaxed);
    current.checked_sub(1).and_then(|index| Mutation::ALL.get(index)) == Some(&mutation)
}

/// Returns `true` if there is a mutation. It may change what is captured, so that other calls than before are refused.
pub(in crate::checked) fn is_any() -> bool {
    CURRENT.load(Ordering::Relaxed) != 0
}
