//! A queue for each stream, drained as a task of rayon's global pool, as a contender.
//!
//! A stream that waits holds no thread. Its remaining items go to the event's list, and are spawned
//! again when the event is complete.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::latch::Latch;
use super::{Contender, Queue, Task};

/// A queue for each stream, drained as a rayon task.
pub struct Rayon;

impl Contender for Rayon {
    const NAME: &'static str = "rayon, a stream drained as a task";

    type Stream = Stream;

    fn start() -> Self {
        Rayon
    }

    fn stream(&self) -> Stream {
        Stream(Arc::default())
    }
}

/// A stream on rayon.
pub struct Stream(Arc<Mutex<Inbox>>);

#[derive(Default)]
struct Inbox {
    items: VecDeque<Item>,
    /// `true` if the stream is being drained, is about to be, or is suspended in an event's list.
    active: bool,
}

enum Item {
    Task(Task),
    Record(Arc<Event>),
    Wait(Arc<Event>),
}

/// An event with the streams that are suspended until it is complete.
#[derive(Default)]
pub struct Event {
    state: Mutex<EventState>,
}

#[derive(Default)]
struct EventState {
    complete: bool,
    suspended: Vec<Runner>,
}

/// The right to run a stream, with the items that were already taken from its inbox.
struct Runner {
    inbox: Arc<Mutex<Inbox>>,
    work: VecDeque<Item>,
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
        let latch = Arc::new(Latch::default());
        let opened = Arc::clone(&latch);
        self.launch(move || opened.open());
        latch.block();
    }
}

impl Stream {
    fn submit(&self, item: Item) {
        let mut inbox = lock(&self.0);
        inbox.items.push_back(item);
        let idle = !std::mem::replace(&mut inbox.active, true);
        drop(inbox);
        if idle {
            Runner { inbox: Arc::clone(&self.0), work: VecDeque::new() }.spawn();
        }
    }
}

impl Runner {
    fn spawn(self) {
        rayon::spawn(|| self.drain());
    }

    /// Runs the stream until it is empty or has to wait.
    fn drain(mut self) {
        loop {
            let Some(item) = self.work.pop_front() else {
                if self.refill() {
                    continue;
                }
                return;
            };
            match item {
                Item::Task(task) => task(),
                Item::Record(event) => event.complete(),
                Item::Wait(event) => match event.suspend(self) {
                    Some(runner) => self = runner,
                    None => return,
                },
            }
        }
    }

    /// Takes all new items. Returns `false` if there are none; the stream is then idle.
    fn refill(&mut self) -> bool {
        let mut inbox = lock(&self.inbox);
        // The emptied buffer is reused, so nothing is allocated once both have grown.
        std::mem::swap(&mut inbox.items, &mut self.work);
        inbox.active = !self.work.is_empty();
        inbox.active
    }
}

impl Event {
    fn complete(&self) {
        let mut state = lock(&self.state);
        state.complete = true;
        let suspended = std::mem::take(&mut state.suspended);
        drop(state);
        suspended.into_iter().for_each(Runner::spawn);
    }

    /// Keeps `runner` until the event is complete. Returns it if the event already is.
    fn suspend(&self, runner: Runner) -> Option<Runner> {
        let mut state = lock(&self.state);
        if state.complete {
            return Some(runner);
        }
        state.suspended.push(runner);
        None
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
