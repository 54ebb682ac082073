//! Programs of streams, events and gates, and their text: [`Program`], [`Op`].

use std::fmt;

use gpu_stream_core::Access;

/// Constructor of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StreamKind {
    /// `Backend::new_stream`.
    New,
    /// Foreign stream, wrapped with `Backend::stream_from_owner`.
    Owner,
    /// Foreign stream, wrapped with `Backend::stream_from_raw`.
    Raw,
    /// `Backend::default_stream`.
    Default,
    /// `Backend::per_thread_stream`.
    Own,
    /// `Backend::new_stream` with `StreamOptions::blocking`.
    Blocking,
}

/// Options of an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventKind {
    /// For ordering only.
    Plain,
    /// Records the time.
    Timed,
    /// Blocks the thread in `synchronize` instead of spinning.
    Blocking,
}

/// Operation of one thread. Streams, events, tasks, gates, channels and regions are named by numbers.
#[expect(missing_docs, reason = "each variant's text shows what its fields are")]
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Op {
    /// `s0 = stream 0`, with `owner`, `raw`, `default`, `own` or `blocking` for another kind.
    Stream { stream: u8, kind: StreamKind, device: u8 },
    /// `s1 = clone s0`: another wrapper of the same stream.
    Clone { stream: u8, of: u8 },
    /// `e0 = event 0`, with `timed` or `blocking` for another kind.
    Event { event: u8, kind: EventKind, device: u8 },
    /// `e0 = record s0`: `Stream::record_event`.
    RecordNew { event: u8, stream: u8 },
    /// `s0 task t1 reads t0`: copies the numbers of the tasks that it reads, then stores its own.
    Task { stream: u8, task: u8, reads: Vec<u8> },
    /// `s0 gate g0`: blocks later work of the stream until the gate is opened.
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
    /// `query e0`: `query` and `status` of the event.
    QueryEvent { event: u8 },
    /// `sync s0`.
    Sync { stream: u8 },
    /// `sync e0`.
    SyncEvent { event: u8 },
    /// `check`: lets all unblocked work run, and checks what must be blocked.
    Check,
    /// `drop s0`.
    DropStream { stream: u8 },
    /// `drop e0`.
    DropEvent { event: u8 },
    /// `r0 = region 0..16`: allocates memory at these addresses. Earlier regions that overlap it are gone.
    Region { region: u8, start: u8, end: u8 },
    /// `s0 reads r0 0..4`, with `writes` or `releases` for another access: declares an access of a part of the region.
    Access { stream: u8, access: Access, region: u8, start: u8, end: u8 },
    /// `host reads r0 0..4`: declares an access of the thread itself.
    HostAccess { access: Access, region: u8, start: u8, end: u8 },
    /// `elapsed e0 e1`: `Event::elapsed_since`.
    Elapsed { event: u8, start: u8 },
    /// `capture s0`: begins a capture of the stream.
    BeginCapture { stream: u8 },
    /// `end s0`: ends the capture that began on the stream. Its graph is not launched.
    EndCapture { stream: u8 },
    /// `barrier`: waits for all threads.
    Barrier,
    /// `send c0`: lets `recv c0` on another thread return.
    Send { channel: u8 },
    /// `recv c0`: waits for `send c0`.
    Recv { channel: u8 },
}

/// Operation, and the thread that runs it. All threads take part in a barrier.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Statement {
    /// Number of the thread.
    pub thread: u8,
    /// Operation.
    pub op: Op,
}

/// List of statements, in an order in which they can run one after another.
///
/// The statements of one thread run in this order. Those of two threads are ordered only by barriers and channels.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Program(pub Vec<Statement>);

impl Program {
    /// Returns the number of threads: the highest thread number plus one.
    pub fn threads(&self) -> usize {
        self.0.iter().map(|statement| usize::from(statement.thread) + 1).max().unwrap_or(1)
    }

    /// Returns the number of devices: the highest device number plus one.
    pub fn devices(&self) -> usize {
        let needed = |statement: &Statement| match statement.op {
            Op::Stream { device, .. } | Op::Event { device, .. } => usize::from(device) + 1,
            _ => 1,
        };
        self.0.iter().map(needed).max().unwrap_or(1)
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

/// Names of one letter, separated by spaces.
struct List<'a>(char, &'a [u8]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.1.iter().try_for_each(|number| write!(f, " {}{number}", self.0))
    }
}

/// Returns the word for an access.
fn verb(access: Access) -> &'static str {
    match access {
        Access::Read => "reads",
        Access::Write => "writes",
        Access::Release => "releases",
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::Stream { stream, kind, device } => {
                let kind = match kind {
                    StreamKind::New => "stream",
                    StreamKind::Owner => "owner",
                    StreamKind::Raw => "raw",
                    StreamKind::Default => "default",
                    StreamKind::Own => "own",
                    StreamKind::Blocking => "blocking",
                };
                write!(f, "s{stream} = {kind} {device}")
            }
            Op::Clone { stream, of } => write!(f, "s{stream} = clone s{of}"),
            Op::Event { event, kind, device } => {
                let kind = match kind {
                    EventKind::Plain => "event",
                    EventKind::Timed => "timed",
                    EventKind::Blocking => "blocking",
                };
                write!(f, "e{event} = {kind} {device}")
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
            Op::Check => f.write_str("check"),
            Op::DropStream { stream } => write!(f, "drop s{stream}"),
            Op::DropEvent { event } => write!(f, "drop e{event}"),
            Op::Region { region, start, end } => write!(f, "r{region} = region {start}..{end}"),
            Op::Access { stream, access, region, start, end } => {
                write!(f, "s{stream} {} r{region} {start}..{end}", verb(*access))
            }
            Op::HostAccess { access, region, start, end } => {
                write!(f, "host {} r{region} {start}..{end}", verb(*access))
            }
            Op::Elapsed { event, start } => write!(f, "elapsed e{event} e{start}"),
            Op::BeginCapture { stream } => write!(f, "capture s{stream}"),
            Op::EndCapture { stream } => write!(f, "end s{stream}"),
            Op::Barrier => f.write_str("barrier"),
            Op::Send { channel } => write!(f, "send c{channel}"),
            Op::Recv { channel } => write!(f, "recv c{channel}"),
        }
    }
}
