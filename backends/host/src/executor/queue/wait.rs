//! Blocks a thread until an item of a queue is complete.

use super::{MAX_NESTING, Queue};
use crate::executor::fault::Fault;
use crate::executor::item::Control;
use crate::executor::local::Local;
use crate::executor::parker::Parker;
use crate::executor::progress::Waiter;
use crate::executor::record::Record;
use crate::executor::run_state::Phase;
use crate::sync::{Arc, spin_loop};

/// The number of times that a waiting thread checks the progress before it sleeps.
#[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
const SPIN_LIMIT: u32 = 256;
#[cfg(any(gpu_stream_loom, gpu_stream_shuttle))]
const SPIN_LIMIT: u32 = 0;

/// The reason why a wait failed.
pub(crate) enum WaitError {
    /// The item will never complete.
    Faulted(Fault),
    /// A task that has to complete first is inside `exit`, which never returns.
    ProcessEnding,
}

impl Queue {
    /// Blocks until item `number` is complete.
    ///
    /// With `help`, the calling thread runs the queue itself if no other thread does. It also runs
    /// a queue that this one waits for.
    ///
    /// # Errors
    /// [`WaitError`] if the item will never complete.
    pub(crate) fn wait_for(self: &Arc<Self>, number: u64, help: bool) -> Result<(), WaitError> {
        let mut spins = 0;
        while !self.progress.check(number).map_err(WaitError::Faulted)? {
            if help && self.help(number) {
                continue;
            }
            if spins < SPIN_LIMIT {
                spins += 1;
                spin_loop();
                continue;
            }
            let parker = Parker::of_this_thread();
            if self.progress.watch(number, Waiter::Thread(Arc::clone(&parker))) {
                // Registered once: the entry stays in the list until it is woken.
                while !parker.wait_a_second() {
                    if self.is_blocked_by_exit() {
                        return Err(WaitError::ProcessEnding);
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns `true` if a task that blocks this queue is inside `exit`.
    ///
    /// Also reports a queue that is still ready to [`Pool::report_stall`], so that it gets a
    /// thread.
    ///
    /// [`Pool::report_stall`]: crate::executor::pool::Pool::report_stall
    fn is_blocked_by_exit(self: &Arc<Self>) -> bool {
        let mut queue = Arc::clone(self);
        loop {
            queue = match queue.state().get() {
                Phase::Running => return queue.state().runner().is_in_exit(),
                Phase::Suspended => match queue.blocked_on() {
                    Some(record) => Arc::clone(record.queue()),
                    None => return false,
                },
                Phase::Ready => {
                    queue.pool.report_stall();
                    return false;
                }
                Phase::Idle | Phase::External => return false,
            };
        }
    }

    /// Runs the queue on this thread up to `number`, or else the queue that it waits for. Returns
    /// `true` if either was ready.
    fn help(self: &Arc<Self>, number: u64) -> bool {
        let mut local = Local::new(&self.pool);
        let mut helped = self.run(&mut local, Some(number));
        if !helped && let Some(record) = self.blocked_on() {
            helped = record.run(&mut local, MAX_NESTING);
            // That run can have resumed this queue, which is then in the slot.
            if let Some(resumed) = local.take_lifo_if(self) {
                resumed.run(&mut local, Some(number));
            }
        }
        local.flush();
        helped
    }

    /// Returns the record that the queue waits for. Returns `None` if the queue is not suspended,
    /// or if another thread accesses its head.
    pub(super) fn blocked_on(&self) -> Option<Record> {
        if self.state().get() != Phase::Suspended {
            return None;
        }
        match self.tasks.try_read()?.front()?.control()? {
            Control::Wait(record) => Some(record.clone()),
            Control::Timestamp(_) => None,
        }
    }
}
