//! Tests of a thread whose lock is held by a stalled one: it sleeps, so that a thread of a lower
//! priority can run.

use crate::executor::asleep::sleeps_until;
use crate::executor::item::Task;
use crate::sync::Arc;

use super::{IDLE, TaskQueue};

#[test]
fn submitter_sleeps_while_another_submitter_holds_the_tail() {
    let tasks = Arc::new(TaskQueue::new());
    let guard = tasks.tail.lock();
    let pushing = Arc::clone(&tasks);
    sleeps_until(move || assert!(pushing.push(Task(|| ())).is_some()), || guard.release(IDLE));
    assert_eq!(tasks.submitted(), 1);
}

#[test]
fn runner_sleeps_while_another_reader_holds_the_head() {
    let tasks = Arc::new(TaskQueue::new());
    let reader = tasks.read();
    let running = Arc::clone(&tasks);
    sleeps_until(move || drop(running.read()), || drop(reader));
}
