//! A channel and a thread for each stream, over any channel.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use super::latch::Latch;
use super::{Queue, Task};

/// The sending half of an unbounded channel of tasks.
pub trait Sender: Sized {
    /// A channel: its sending half, and what its thread iterates over until that half is dropped.
    fn channel() -> (Self, impl IntoIterator<Item = Task> + Send + 'static);

    /// Sends, without blocking, to a thread that is known to live.
    fn give(&self, task: Task);
}

/// A thread that runs what comes through a channel.
pub struct ThreadStream<S> {
    /// `None` only while the stream is dropped.
    sender: Option<S>,
    thread: Option<JoinHandle<()>>,
}

impl<S: Sender> ThreadStream<S> {
    /// Starts the thread.
    pub fn new() -> Self {
        let (sender, tasks) = S::channel();
        let thread = thread::spawn(move || tasks.into_iter().for_each(|task| task()));
        ThreadStream { sender: Some(sender), thread: Some(thread) }
    }

    fn give(&self, task: Task) {
        self.sender.as_ref().expect("the stream is not being dropped").give(task);
    }
}

impl<S: Sender> Queue for ThreadStream<S> {
    type Event = Arc<Latch>;

    fn launch(&self, task: impl FnOnce() + Send + 'static) {
        self.give(Box::new(task));
    }

    fn record(&self) -> Arc<Latch> {
        let latch = Arc::new(Latch::default());
        let event = Arc::clone(&latch);
        self.give(Box::new(move || latch.open()));
        event
    }

    fn wait(&self, event: &Arc<Latch>) {
        let latch = Arc::clone(event);
        self.give(Box::new(move || latch.block()));
    }

    fn synchronize(&self) {
        self.record().block();
    }
}

impl<S> Drop for ThreadStream<S> {
    fn drop(&mut self) {
        // The thread ends when its channel does.
        drop(self.sender.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("no task panics");
        }
    }
}
