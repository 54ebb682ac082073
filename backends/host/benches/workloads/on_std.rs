//! `std::sync::mpsc` and a thread for each stream, as a contender.

use std::sync::mpsc;

use super::threads::{Sender, ThreadStream};
use super::{Contender, Task};

/// `std::sync::mpsc` and a thread for each stream. The baseline of the comparison.
pub struct StdChannel;

impl Contender for StdChannel {
    const NAME: &'static str = "std channel, a thread a stream";

    type Stream = ThreadStream<mpsc::Sender<Task>>;

    fn start() -> Self {
        StdChannel
    }

    fn stream(&self) -> Self::Stream {
        ThreadStream::new()
    }
}

impl Sender for mpsc::Sender<Task> {
    fn channel() -> (Self, impl IntoIterator<Item = Task> + Send + 'static) {
        mpsc::channel()
    }

    fn send_task(&self, task: Task) {
        assert!(self.send(task).is_ok(), "the thread ended before its stream");
    }
}
