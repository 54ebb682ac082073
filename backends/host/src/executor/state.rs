//! Who may run a queue.

use super::runner::Runner;
use crate::sync::{AtomicBool, AtomicU8, Ordering};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Run {
    /// Nothing to do.
    Idle,
    /// Something to do, and somebody is about to run it, or it lies in the pool.
    Ready,
    /// Somebody runs it.
    Running,
    /// It waits for another queue, among whose waiters it is.
    Suspended,
    /// Nobody's to run: a gate, which the program opens.
    External,
}

impl Run {
    const ALL: [Run; 5] = [Run::Idle, Run::Ready, Run::Running, Run::Suspended, Run::External];

    /// Whether the one whose turn it is makes this change.
    fn may_become(self, next: Run) -> bool {
        match next {
            Run::Idle | Run::Suspended => self == Run::Running,
            Run::Ready => matches!(self, Run::Idle | Run::Running | Run::Suspended),
            Run::Running => self == Run::Suspended,
            Run::External => false,
        }
    }
}

/// The state of one queue. One change is raced for, from `Ready` to `Running`, and gives the right
/// to run the queue. All others are made by the one whose turn it is: the runner, the one who was
/// told to resume the queue, or the one who submitted to it and found it quiet.
pub(crate) struct State {
    run: AtomicU8,
    /// Whether the pool holds the queue: once is enough, however often it becomes ready.
    in_pool: AtomicBool,
    runner: Runner,
}

impl State {
    pub(crate) fn new(run: Run) -> Self {
        State {
            run: AtomicU8::new(run as u8),
            in_pool: AtomicBool::new(false),
            runner: Runner::new(),
        }
    }

    #[inline]
    pub(crate) fn get(&self) -> Run {
        Run::ALL[usize::from(self.run.load(Ordering::Acquire))]
    }

    #[inline]
    pub(crate) fn set(&self, run: Run) {
        // So that a second runner is noticed, which the lock of the log's other side would hide.
        if cfg!(any(debug_assertions, gpu_stream_loom, gpu_stream_shuttle)) {
            let before = self.get();
            assert!(before.may_become(run), "a queue that is {before:?} was made {run:?}");
        }
        self.run.store(run as u8, Ordering::Release);
    }

    /// From `Ready` to `Running`, if it is ready.
    #[inline]
    pub(crate) fn take(&self) -> bool {
        let (from, to) = (Run::Ready as u8, Run::Running as u8);
        // The look spares the cache line: a queue that one waits for is mostly run by another.
        let taken = self.get() == Run::Ready
            && self.run.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if taken {
            self.runner.set_current();
        }
        taken
    }

    /// Returns the thread that runs the queue, or has run it last.
    pub(crate) fn runner(&self) -> &Runner {
        &self.runner
    }

    /// Says that the pool holds the queue or does not, and whether it did.
    #[inline]
    pub(crate) fn set_in_pool(&self, held: bool) -> bool {
        self.in_pool.swap(held, Ordering::AcqRel)
    }
}
