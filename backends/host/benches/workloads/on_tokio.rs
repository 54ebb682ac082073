//! An unbounded channel and a task of tokio's multi-thread runtime for each stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Runtime;
use tokio::sync::{Notify, mpsc, oneshot};

use super::{Contender, Queue, Task};

/// A channel and a tokio task for each stream.
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

/// A stream on tokio. Its task ends when it is dropped.
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
        // Made before the look, so that `notify_waiters` in between is not missed.
        let completed = self.completed.notified();
        if !self.complete.load(Ordering::Acquire) {
            completed.await;
        }
    }
}

impl Queue for Stream {
    type Event = Arc<Event>;

    fn launch(&self, task: impl FnOnce() + Send + 'static) {
        self.give(Item::Task(Box::new(task)));
    }

    fn record(&self) -> Arc<Event> {
        let event = Arc::default();
        self.give(Item::Record(Arc::clone(&event)));
        event
    }

    fn wait(&self, event: &Arc<Event>) {
        self.give(Item::Wait(Arc::clone(event)));
    }

    fn synchronize(&self) {
        let (told, done) = oneshot::channel();
        self.launch(move || told.send(()).expect("who synchronizes is there until told"));
        done.blocking_recv().expect("the stream tells before it ends");
    }
}

impl Stream {
    fn give(&self, item: Item) {
        assert!(self.0.send(item).is_ok(), "the runtime ended before its stream");
    }
}
