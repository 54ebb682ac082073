//! What a thread does while another one stands still with a lock of the log: it sleeps, so that a
//! thread of a lower priority can run.

use crate::executor::asleep::sleeps_until;
use crate::executor::item::Task;
use crate::sync::Arc;

use super::{IDLE, TaskQueue};

#[test]
fn a_submitter_sleeps_while_another_one_stands_still() {
    let log = Arc::new(TaskQueue::new());
    let turn = log.tail.lock();
    let pushing = Arc::clone(&log);
    sleeps_until(move || assert!(pushing.push(Task(|| ())).is_some()), || turn.release(IDLE));
    assert_eq!(log.submitted(), 1);
}

#[test]
fn a_runner_sleeps_while_a_reader_stands_still() {
    let log = Arc::new(TaskQueue::new());
    let reader = log.read();
    let running = Arc::clone(&log);
    sleeps_until(move || drop(running.read()), || drop(reader));
}
