//! Who may run a queue.

use crate::sync::{AtomicU8, Ordering};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Run {
    /// Nothing to do.
    Idle,
    /// Something to do, and it lies in the pool.
    Ready,
    /// Somebody runs it.
    Running,
    /// It waits for another queue, among whose waiters it is.
    Suspended,
    /// Nobody's to run: a gate, which the program opens.
    Held,
}

impl Run {
    const ALL: [Run; 5] = [Run::Idle, Run::Ready, Run::Running, Run::Suspended, Run::Held];
}

/// The state of one queue. Two changes are raced for, and the winner has what goes with it: from
/// `Idle` to `Ready` the duty to put the queue into the pool, from `Ready` to `Running` the right
/// to run it. All others are made by the runner, or by the one who was told to resume the queue.
pub(crate) struct State(AtomicU8);

impl State {
    pub(crate) fn new(run: Run) -> Self {
        State(AtomicU8::new(run as u8))
    }

    pub(crate) fn get(&self) -> Run {
        Run::ALL[usize::from(self.0.load(Ordering::Acquire))]
    }

    pub(crate) fn set(&self, run: Run) {
        self.0.store(run as u8, Ordering::Release);
    }

    /// From `Idle` to `Ready`, if it is idle.
    pub(crate) fn make_ready(&self) -> bool {
        // The look spares the cache line, since most submissions find the queue running.
        self.get() == Run::Idle && self.change(Run::Idle, Run::Ready)
    }

    /// From `Ready` to `Running`, if it is ready.
    pub(crate) fn take(&self) -> bool {
        self.change(Run::Ready, Run::Running)
    }

    fn change(&self, from: Run, to: Run) -> bool {
        let (from, to) = (from as u8, to as u8);
        self.0.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}
