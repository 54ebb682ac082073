//! A channel and a task of tokio's multi-thread runtime for each stream, as a contender.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Runtime;
use tokio::sync::{Notify, mpsc, oneshot};

use super::{Contender, Queue, Task};

/// An unbounded channel and a tokio task for each stream.
pub struct Tokio(Runtime);

impl Contender for Tokio {
    const NAME: &'static str = "tokio, a task a stream";

    type Stream = Stream;

    fn start() -> Self {
        Tokio(Runtime::new().expect("tokio starts its threads"))
    }

    fn stream(&self) -> Stream {
        let (sender, items) = mpsc::unbounded_channel();
        self.0.spawn(run(items));
        Stream(sender)
    }
}

/// A stream on tokio. Its tokio task ends when the stream is dropped.
pub struct Stream(mpsc::UnboundedSender<Item>);

enum Item {
    Task(Task),
    Record(Arc<Event>),
    Wait(Arc<Event>),
}

/// An event that tasks await.
#[derive(Default)]
pub struct Event {
    complete: AtomicBool,
    completed: Notify,
}

async fn run(mut items: mpsc::UnboundedReceiver<Item>) {
    while let Some(item) = items.recv().await {
        match item {
            Item::Task(task) => task(),
            Item::Record(event) => event.complete(),
            Item::Wait(event) => event.wait().await,
        }
    }
}

impl Event {
    fn complete(&self) {
        self.complete.store(true, Ordering::Release);
        self.completed.notify_waiters();
    }

    async fn wait(&self) {
        // Created before the check, so that a `notify_waiters` in between is not missed.
        let completed = self.completed.notified();
        if !self.complete.load(Ordering::Acquire) {
            completed.await;
        }
    }
}

impl Queue for Stream {
    type Event = Arc<Event>;

    fn launch(&self, task: impl FnOnce() + Send + 'static) {
        self.submit(Item::Task(Box::new(task)));
    }

    fn record(&self) -> Arc<Event> {
        let event = Arc::default();
        self.submit(Item::Record(Arc::clone(&event)));
        event
    }

    fn wait(&self, event: &Arc<Event>) {
        self.submit(Item::Wait(Arc::clone(event)));
    }

    fn synchronize(&self) {
        let (sender, receiver) = oneshot::channel();
        self.launch(move || sender.send(()).expect("the synchronizing thread waits"));
        receiver.blocking_recv().expect("the stream runs all tasks");
    }
}

impl Stream {
    fn submit(&self, item: Item) {
        assert!(self.0.send(item).is_ok(), "the runtime ended before its stream");
    }
}
