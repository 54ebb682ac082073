//! The contenders and the workloads of both bench targets.
//!
//! A contender is an implementation of streams: this crate's, or one that a user would write
//! instead. Each has its own file, is as careful as its users would be, and orders two streams in
//! its natural way. The workloads are generic over the contender, so the timed part contains only
//! the contender.

mod latch;
mod loads;
mod on_crossbeam;
mod on_host;
mod on_rayon;
mod on_std;
mod on_tokio;
mod threads;

pub use loads::{Join, Load, ManyStreams, OneStream, OwnStreams, SharedStream, TakingTurns, rest};
pub use on_crossbeam::Crossbeam;
pub use on_host::OnHost;
pub use on_rayon::Rayon;
pub use on_std::StdChannel;
pub use on_tokio::Tokio;

/// A task that is stored until it runs.
type Task = Box<dyn FnOnce() + Send + 'static>;

/// An implementation of streams.
pub trait Contender {
    /// The name in the first column of a table.
    const NAME: &'static str;

    /// A stream. All streams are dropped before the contender.
    type Stream: Queue + Sync;

    /// Starts the threads that run the streams.
    fn start() -> Self;

    /// Creates a stream.
    fn stream(&self) -> Self::Stream;
}

/// A stream of a contender, which runs tasks in order, one at a time.
pub trait Queue {
    /// A position in a stream, for which any number of streams can wait.
    type Event;

    /// Submits `task`, which runs after all earlier tasks. Does not block.
    fn launch(&self, task: impl FnOnce() + Send + 'static);

    /// Creates an event that completes after all tasks submitted so far. Does not block.
    fn record(&self) -> Self::Event;

    /// Makes all later tasks wait for `event`. Does not block.
    fn wait(&self, event: &Self::Event);

    /// Blocks until all submitted tasks have run.
    fn synchronize(&self);
}
