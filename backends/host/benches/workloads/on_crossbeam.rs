//! `crossbeam-channel` and a thread for each stream, as a contender.

use super::threads::{Sender, ThreadStream};
use super::{Contender, Task};

/// `crossbeam-channel` and a thread for each stream.
pub struct Crossbeam;

impl Contender for Crossbeam {
    const NAME: &'static str = "crossbeam-channel, a thread a stream";

    type Stream = ThreadStream<crossbeam_channel::Sender<Task>>;

    fn start() -> Self {
        Crossbeam
    }

    fn stream(&self) -> Self::Stream {
        ThreadStream::new()
    }
}

impl Sender for crossbeam_channel::Sender<Task> {
    fn channel() -> (Self, impl IntoIterator<Item = Task> + Send + 'static) {
        crossbeam_channel::unbounded()
    }

    fn send_task(&self, task: Task) {
        assert!(self.send(task).is_ok(), "the thread ended before its stream");
    }
}
