//! A channel and a thread for each stream, for any kind of channel.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use super::latch::Latch;
use super::{Queue, Task};

/// The sending half of an unbounded channel of tasks.
pub trait Sender: Sized {
    /// Creates a channel: its sending half, and an iterator of its tasks, which ends when that half
    /// is dropped.
    fn channel() -> (Self, impl IntoIterator<Item = Task> + Send + 'static);

    /// Sends `task` without blocking, to a thread that is known to be alive.
    fn send_task(&self, task: Task);
}

/// A thread that runs the tasks of a channel.
pub struct ThreadStream<S> {
    /// The sending half. `None` only while the stream is being dropped.
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

    fn send_task(&self, task: Task) {
        self.sender.as_ref().expect("the stream is not being dropped").send_task(task);
    }
}

impl<S: Sender> Queue for ThreadStream<S> {
    type Event = Arc<Latch>;

    fn launch(&self, task: impl FnOnce() + Send + 'static) {
        self.send_task(Box::new(task));
    }

    fn record(&self) -> Arc<Latch> {
        let latch = Arc::new(Latch::default());
        let event = Arc::clone(&latch);
        self.send_task(Box::new(move || latch.open()));
        event
    }

    fn wait(&self, event: &Arc<Latch>) {
        let latch = Arc::clone(event);
        self.send_task(Box::new(move || latch.block()));
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
