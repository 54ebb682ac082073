//! A queue for each stream, drained as a task of rayon's global pool.
//!
//! No thread is held by a stream that waits: what is left of it goes into the event's list, and is
//! spawned again when the event is complete.

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
    /// Whether the stream is drained, is about to be, or is suspended in some event's list.
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
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    complete: bool,
    suspended: Vec<Runner>,
}

/// The right to run a stream, with what was already taken from its inbox.
struct Runner {
    inbox: Arc<Mutex<Inbox>>,
    work: VecDeque<Item>,
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
        let latch = Arc::new(Latch::default());
        let theirs = Arc::clone(&latch);
        self.launch(move || theirs.open());
        latch.block();
    }
}

impl Stream {
    fn give(&self, item: Item) {
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

    /// Takes all that came meanwhile; if that is nothing, the stream is idle.
    fn refill(&mut self) -> bool {
        let mut inbox = lock(&self.inbox);
        // The emptied buffer goes back: no allocation once both have grown.
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

    /// Keeps `runner` until the event is complete, or gives it back if it is.
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
