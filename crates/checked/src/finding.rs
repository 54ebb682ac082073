//! What a check found: [`Report`], [`Finding`].

use std::panic::Location;
use std::sync::Arc;

use gpu_stream_core::{Access, Device, Region};

/// What a check found, in the order of the calls that found it.
#[derive(Clone, Default, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The findings. Findings of one kind at the same two places are one finding.
    pub findings: Vec<Finding>,
}

/// A mistake, or a call that is probably one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Finding {
    /// What is wrong.
    pub kind: FindingKind,
    /// The later of the two calls: the one that completes the mistake.
    pub second: Site,
    /// The earlier one, if two calls make the mistake.
    pub first: Option<Site>,
    /// The wait that would order the two.
    pub missing: Option<MissingWait>,
    /// The number of times that it was found.
    pub count: u64,
    /// The streams that take part, in the order of their numbers.
    pub streams: Vec<Arc<StreamInfo>>,
    /// The calls on these streams that lead to the finding: the latest ones, in the order in which they were made.
    pub steps: Vec<Step>,
}

/// What is wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum FindingKind {
    /// A read is not ordered after a write of another stream.
    ReadAfterWrite,
    /// A write is not ordered after a read of another stream.
    WriteAfterRead,
    /// A write is not ordered after a write of another stream.
    WriteAfterWrite,
    /// An access is not ordered before the release of its memory, or is submitted after it.
    UseAfterRelease,
    /// A wait for an event that has no record, which has no effect. No record followed.
    UnrecordedWait,
    /// A wait for an event that was first recorded after the wait, and not waited for since.
    WaitBeforeRecord,
    /// Work of a stream that waited for another one, and that nothing was ordered after.
    NotJoined,
    /// A stream is used after its owner was dropped or it was destroyed.
    UseAfterOwner,
    /// Work is submitted to a stream that has reported a fault.
    BehindFault,
}

/// How sure a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Severity {
    /// Right programs can do this. It is usually a mistake.
    Warning,
    /// The order is missing.
    Error,
}

/// A call of the program.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Site {
    /// The number of the call, counted over the process. It is that of its [`Step`].
    pub number: u64,
    /// The place of the call in the source.
    pub place: &'static Location<'static>,
    /// The stream that the call is about.
    pub stream: Arc<StreamInfo>,
    /// What the call does.
    pub action: Action,
}

/// A stream of a report.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub struct StreamInfo {
    /// The number of the stream, counted over the process. Handles are used again, and numbers are not.
    pub number: u32,
    /// `stream 3`, `default stream`, `per-thread stream`.
    pub name: String,
    /// The device.
    pub device: Device,
    /// The raw handle's bits.
    pub handle: usize,
    /// The place where it was created or first wrapped.
    pub created: &'static Location<'static>,
}

/// A wait that is missing: the call `waiter.wait_stream(&awaited)`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MissingWait {
    /// The stream that has to wait, or none where the host has to.
    pub waiter: Option<Arc<StreamInfo>>,
    /// The stream that it has to wait for.
    pub awaited: Arc<StreamInfo>,
    /// The place before which the call belongs.
    pub before: &'static Location<'static>,
}

/// A call on a stream, in the order of the calls.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Step {
    /// The number of the call, counted over the process.
    pub number: u64,
    /// The place of the call.
    pub place: &'static Location<'static>,
    /// The number of the stream: [`StreamInfo::number`].
    pub stream: u32,
    /// What the call does.
    pub action: Action,
}

/// What a call does.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Action {
    /// A declared access.
    Access(Access, Region),
    /// A record of an event, with the number of the event.
    Record {
        /// The number of the event, counted over the process.
        event: u32,
    },
    /// A wait for a record.
    Wait {
        /// The number of the call that made the record, if it has one that is known.
        record: Option<u64>,
    },
    /// The program's handle was taken, or a host function was launched: work may follow.
    Submit,
    /// The host has seen that the stream's earlier work is done: `synchronize`, or `query` that returned `true`.
    HostWait,
    /// The last wrapper was dropped.
    Drop,
}

impl FindingKind {
    /// All kinds.
    pub const ALL: [Self; 9] = [
        Self::ReadAfterWrite,
        Self::WriteAfterRead,
        Self::WriteAfterWrite,
        Self::UseAfterRelease,
        Self::UnrecordedWait,
        Self::WaitBeforeRecord,
        Self::NotJoined,
        Self::UseAfterOwner,
        Self::BehindFault,
    ];

    /// Returns how sure a finding of this kind is.
    pub const fn severity(self) -> Severity {
        match self {
            Self::ReadAfterWrite
            | Self::WriteAfterRead
            | Self::WriteAfterWrite
            | Self::UseAfterRelease
            | Self::UseAfterOwner => Severity::Error,
            Self::UnrecordedWait | Self::WaitBeforeRecord | Self::NotJoined | Self::BehindFault => {
                Severity::Warning
            }
        }
    }

    /// Returns the name in reports: `read-after-write`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReadAfterWrite => "read-after-write",
            Self::WriteAfterRead => "write-after-read",
            Self::WriteAfterWrite => "write-after-write",
            Self::UseAfterRelease => "use-after-release",
            Self::UnrecordedWait => "unrecorded-wait",
            Self::WaitBeforeRecord => "wait-before-record",
            Self::NotJoined => "not-joined",
            Self::UseAfterOwner => "use-after-owner",
            Self::BehindFault => "behind-fault",
        }
    }
}

impl Report {
    /// Returns `true` if nothing was found, not even a warning.
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    /// Returns the findings whose order is missing.
    pub fn errors(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.kind.severity() == Severity::Error)
    }
}
