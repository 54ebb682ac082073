//! The contenders and what they are asked to do, for both bench targets.
//!
//! A contender is a way to have streams: ours, or one of the things that a user would otherwise
//! write. Each has a file of its own, written with the care that its users would take, and orders
//! two streams in the way natural to it. The workloads are generic over the contender, so that
//! nothing but the contender itself lies in the timed part.

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

/// A task in the form in which it is kept until its turn comes.
type Task = Box<dyn FnOnce() + Send + 'static>;

/// A way to have streams.
pub trait Contender {
    /// What it is, for the first column of a table.
    const NAME: &'static str;

    /// Its streams. They are dropped before the contender is.
    type Stream: Queue + Sync;

    /// Starts whatever runs the streams.
    fn start() -> Self;

    /// A new stream.
    fn stream(&self) -> Self::Stream;
}

/// A stream of a contender: runs what it is given in order, one at a time.
pub trait Queue {
    /// A place in a stream, which any number of streams may wait for.
    type Event;

    /// Runs `task` after all that was given before. Does not block.
    fn launch(&self, task: impl FnOnce() + Send + 'static);

    /// A new event that stands for all that was given so far. Does not block.
    fn record(&self) -> Self::Event;

    /// Has all that is given from now on wait for `event`. Does not block.
    fn wait(&self, event: &Self::Event);

    /// Blocks until all that was given has run.
    fn synchronize(&self);
}
