//! Priority levels, and the order in which a worker searches them: [`Level`].

use gpu_stream_core::PriorityRange;

/// The number of ready lists, one for each level.
#[cfg(not(gpu_stream_loom))]
pub(super) const LEVELS: usize = 3;
/// The number of ready lists: loom's models need one level, and pay for each check of a list.
#[cfg(gpu_stream_loom)]
pub(super) const LEVELS: usize = 1;

/// One queue in this many is taken from another level than the most urgent, from each in turn.
///
/// A level with work therefore waits for a bounded number of other queues only.
pub(super) const FAIRNESS: usize = 32;

/// The priority level of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Level {
    /// Priority −1.
    Urgent,
    /// Priority 0.
    Normal,
    /// Priority 1.
    Idle,
}

impl Level {
    /// The priorities that have a level.
    pub(crate) const PRIORITIES: PriorityRange = PriorityRange { least: 1, greatest: -1 };

    /// Returns the level of a priority in [`Self::PRIORITIES`].
    pub(crate) fn from_priority(priority: i32) -> Self {
        match priority {
            ..0 => Level::Urgent,
            0 => Level::Normal,
            1.. => Level::Idle,
        }
    }

    /// Returns the priority of this level.
    pub(crate) fn priority(self) -> i32 {
        self as i32 - 1
    }
}

/// Returns the level that a worker searches first, as its queue number `taken`. The others follow
/// in the order of their urgency.
pub(super) fn first_level(taken: usize) -> usize {
    if LEVELS == 1 || taken % FAIRNESS != FAIRNESS - 1 {
        return 0;
    }
    1 + taken / FAIRNESS % (LEVELS - 1)
}
