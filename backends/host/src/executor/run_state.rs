//! The run state of a queue, which decides the thread that may run it: [`RunState`].

use super::runner::Runner;
use crate::sync::{AtomicBool, AtomicU8, Ordering};

/// One of the states of a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// Empty.
    Idle,
    /// Non-empty. The queue is in the pool, or a thread is about to run it.
    Ready,
    /// A thread runs the queue.
    Running,
    /// The queue waits for another queue, and is in its list of waiters.
    Suspended,
    /// A gate: no thread runs the queue, the program completes it.
    External,
}

impl Phase {
    const ALL: [Phase; 5] =
        [Phase::Idle, Phase::Ready, Phase::Running, Phase::Suspended, Phase::External];

    /// Returns `true` if the thread that owns the transition may make it.
    ///
    /// `Ready` to `Running` is missing: threads race for it in [`RunState::try_run`].
    fn may_become(self, next: Phase) -> bool {
        match next {
            Phase::Idle | Phase::Suspended => self == Phase::Running,
            Phase::Ready => matches!(self, Phase::Idle | Phase::Running | Phase::Suspended),
            Phase::Running => self == Phase::Suspended,
            Phase::External => false,
        }
    }
}

/// The state of one queue.
///
/// Threads race for one transition only, from `Ready` to `Running`. It gives the right to run the
/// queue. Every other transition has one owner:
/// - the runner, while the queue is `Running`,
/// - the thread that completed the item for which the queue was `Suspended`,
/// - the thread whose submission found the queue `Idle`.
pub(crate) struct RunState {
    phase: AtomicU8,
    /// `true` while the pool contains the queue. It contains a queue at most once, however often
    /// the queue becomes ready.
    in_pool: AtomicBool,
    runner: Runner,
}

impl RunState {
    /// Creates the state of a queue in `phase`.
    pub(crate) fn new(phase: Phase) -> Self {
        RunState {
            phase: AtomicU8::new(phase as u8),
            in_pool: AtomicBool::new(false),
            runner: Runner::new(),
        }
    }

    /// Returns the current phase.
    #[inline]
    pub(crate) fn get(&self) -> Phase {
        Phase::ALL[usize::from(self.phase.load(Ordering::Acquire))]
    }

    /// Makes a transition that the calling thread owns.
    #[inline]
    pub(crate) fn set(&self, phase: Phase) {
        // Detects a second runner, which the lock on the head of the task queue would hide.
        if cfg!(any(debug_assertions, gpu_stream_loom, gpu_stream_shuttle)) {
            let before = self.get();
            assert!(before.may_become(phase), "a queue that is {before:?} was made {phase:?}");
        }
        self.phase.store(phase as u8, Ordering::Release);
    }

    /// Tries to change `Ready` to `Running`. Returns `true` if this thread now runs the queue.
    #[inline]
    pub(crate) fn try_run(&self) -> bool {
        let (from, to) = (Phase::Ready as u8, Phase::Running as u8);
        // The plain load keeps the cache line shared: a queue that a thread waits for is mostly run
        // by another.
        let won = self.get() == Phase::Ready
            && self.phase.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if won {
            self.runner.set_current();
        }
        won
    }

    /// Returns the thread that runs the queue, or that ran it last.
    pub(crate) fn runner(&self) -> &Runner {
        &self.runner
    }

    /// Sets whether the pool contains the queue, and returns the previous value.
    #[inline]
    pub(crate) fn set_in_pool(&self, in_pool: bool) -> bool {
        self.in_pool.swap(in_pool, Ordering::AcqRel)
    }
}
