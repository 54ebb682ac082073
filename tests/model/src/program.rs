//! A program: what threads do with streams, events and gates, and how it is written down.

use std::fmt;

/// What a stream is made with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StreamKind {
    /// `Backend::new_stream`.
    New,
    /// A stream that the bare driver made, wrapped with `Backend::stream_from_owner`.
    Owner,
    /// A stream that the bare driver made, wrapped with `Backend::stream_from_raw`.
    Raw,
    /// `Backend::default_stream`.
    Default,
    /// `Backend::per_thread_stream`.
    Own,
}

/// How an event is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventKind {
    /// For order alone.
    Plain,
    /// Keeps the time.
    Timed,
    /// Its `synchronize` sleeps.
    Blocking,
}

/// One act of one thread. Streams, events, tasks, gates and channels go by their numbers.
#[expect(missing_docs, reason = "each variant's text shows what its fields are")]
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Op {
    /// `s0 = stream 0`, with `owner`, `raw`, `default` or `own` for another sort.
    Stream { stream: u8, sort: StreamKind, device: u8 },
    /// `s1 = clone s0`: another wrapper of the same stream.
    Clone { stream: u8, of: u8 },
    /// `e0 = event 0`, with `timed` or `blocking` for another sort.
    Event { event: u8, sort: EventKind, device: u8 },
    /// `e0 = record s0`: `Stream::record_event`.
    RecordNew { event: u8, stream: u8 },
    /// `s0 task t1 reads t0`: copies what the tasks that it reads have stored, then stores.
    Task { stream: u8, task: u8, reads: Vec<u8> },
    /// `s0 gate g0`: holds back what the stream is given later.
    Gate { stream: u8, gate: u8 },
    /// `open g0`.
    Open { gate: u8 },
    /// `s0 record e0`.
    Record { stream: u8, event: u8 },
    /// `s0 wait e0`.
    Wait { stream: u8, event: u8 },
    /// `s0 wait s1`.
    WaitStream { stream: u8, other: u8 },
    /// `s0 fork s1 s2`.
    Fork { stream: u8, branches: Vec<u8> },
    /// `s0 join s1 s2`.
    Join { stream: u8, branches: Vec<u8> },
    /// `query s0`.
    Query { stream: u8 },
    /// `query e0`: its `query` and its `status`.
    QueryEvent { event: u8 },
    /// `sync s0`.
    Sync { stream: u8 },
    /// `sync e0`.
    SyncEvent { event: u8 },
    /// `look`: gives all work that can run the chance, and looks at what must be held back.
    Check,
    /// `drop s0`.
    DropStream { stream: u8 },
    /// `drop e0`.
    DropEvent { event: u8 },
    /// `barrier`: all threads meet.
    Barrier,
    /// `tell c0`: the other end is `hear c0` on another thread.
    Send { channel: u8 },
    /// `hear c0`: goes on when it has been told.
    Recv { channel: u8 },
}

/// An act, and the thread that does it. A barrier is everybody's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Statement {
    /// The thread's number.
    pub thread: u8,
    /// What it does.
    pub op: Op,
}

/// Statements in an order in which they can be carried out one after another. Those of one thread
/// keep it; those of two threads keep it only where a barrier or a channel says so.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Program(pub Vec<Statement>);

impl Program {
    /// How many threads there are: one more than the highest number.
    pub fn threads(&self) -> usize {
        self.0.iter().map(|statement| usize::from(statement.thread) + 1).max().unwrap_or(1)
    }

    /// How many devices it needs: one more than the highest number.
    pub fn devices(&self) -> usize {
        let of = |statement: &Statement| match statement.op {
            Op::Stream { device, .. } | Op::Event { device, .. } => usize::from(device) + 1,
            _ => 1,
        };
        self.0.iter().map(of).max().unwrap_or(1)
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|statement| writeln!(f, "{statement}"))
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.thread > 0 && self.op != Op::Barrier {
            write!(f, "{}: ", self.thread)?;
        }
        fmt::Display::fmt(&self.op, f)
    }
}

struct List<'a>(char, &'a [u8]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.1.iter().try_for_each(|number| write!(f, " {}{number}", self.0))
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::Stream { stream, sort, device } => {
                let sort = match sort {
                    StreamKind::New => "stream",
                    StreamKind::Owner => "owner",
                    StreamKind::Raw => "raw",
                    StreamKind::Default => "default",
                    StreamKind::Own => "own",
                };
                write!(f, "s{stream} = {sort} {device}")
            }
            Op::Clone { stream, of } => write!(f, "s{stream} = clone s{of}"),
            Op::Event { event, sort, device } => {
                let sort = match sort {
                    EventKind::Plain => "event",
                    EventKind::Timed => "timed",
                    EventKind::Blocking => "blocking",
                };
                write!(f, "e{event} = {sort} {device}")
            }
            Op::RecordNew { event, stream } => write!(f, "e{event} = record s{stream}"),
            Op::Task { stream, task, reads } if reads.is_empty() => {
                write!(f, "s{stream} task t{task}")
            }
            Op::Task { stream, task, reads } => {
                write!(f, "s{stream} task t{task} reads{}", List('t', reads))
            }
            Op::Gate { stream, gate } => write!(f, "s{stream} gate g{gate}"),
            Op::Open { gate } => write!(f, "open g{gate}"),
            Op::Record { stream, event } => write!(f, "s{stream} record e{event}"),
            Op::Wait { stream, event } => write!(f, "s{stream} wait e{event}"),
            Op::WaitStream { stream, other } => write!(f, "s{stream} wait s{other}"),
            Op::Fork { stream, branches } => write!(f, "s{stream} fork{}", List('s', branches)),
            Op::Join { stream, branches } => write!(f, "s{stream} join{}", List('s', branches)),
            Op::Query { stream } => write!(f, "query s{stream}"),
            Op::QueryEvent { event } => write!(f, "query e{event}"),
            Op::Sync { stream } => write!(f, "sync s{stream}"),
            Op::SyncEvent { event } => write!(f, "sync e{event}"),
            Op::Check => f.write_str("look"),
            Op::DropStream { stream } => write!(f, "drop s{stream}"),
            Op::DropEvent { event } => write!(f, "drop e{event}"),
            Op::Barrier => f.write_str("barrier"),
            Op::Send { channel } => write!(f, "tell c{channel}"),
            Op::Recv { channel } => write!(f, "hear c{channel}"),
        }
    }
}
