//! Tests of the order in which a worker takes queues. They start no workers.

use super::{LEVELS, Local, Pool};
use crate::executor::level::{FAIRNESS, Level};
use crate::executor::local::RUN_BUDGET;
use crate::executor::queue::Queue;
use crate::executor::record::{Record, Timestamp};
use crate::executor::run_state::Phase;
use crate::sync::Arc;

const ALL: [Level; LEVELS] = [Level::Urgent, Level::Normal, Level::Idle];

/// Pushes a ready queue of this level.
fn push(pool: &Arc<Pool>, level: Level) {
    pool.push(&Queue::ready_for_tests(level, pool));
}

/// Takes `count` queues, pushes each again, and returns how many were taken from each level.
fn take(pool: &Arc<Pool>, taken: &mut usize, count: usize) -> [usize; LEVELS] {
    let mut by_level = [0; LEVELS];
    for _ in 0..count {
        let queue = pool.pop(taken).expect("the pool is never empty");
        assert_eq!(queue.state().get(), Phase::Ready);
        by_level[queue.level() as usize] += 1;
        pool.push(&queue);
    }
    by_level
}

#[test]
fn pool_takes_from_each_busy_level_within_a_bound() {
    // Tests each set of levels with work, from each position of the cycle.
    for set in 1_usize..1 << LEVELS {
        let busy = ALL.into_iter().filter(|level| set & 1 << *level as usize != 0);
        let busy: Vec<_> = busy.collect();
        for start in (0..FAIRNESS * LEVELS).step_by(if cfg!(miri) { 25 } else { 1 }) {
            let (pool, mut taken) = (Pool::new(), start);
            busy.iter().for_each(|level| (0..3).for_each(|_| push(&pool, *level)));
            let by_level = take(&pool, &mut taken, FAIRNESS * (LEVELS - 1));
            for level in &busy {
                assert_ne!(by_level[*level as usize], 0, "{level:?} of {busy:?} from {start}");
            }
        }
    }
}

#[test]
fn pool_takes_mostly_from_the_most_urgent_level() {
    let (pool, mut taken) = (Pool::new(), 0);
    ALL.into_iter().for_each(|level| push(&pool, level));
    let cycles = 10;
    let by_level = take(&pool, &mut taken, cycles * FAIRNESS * (LEVELS - 1));
    assert_eq!(by_level[1..], [cycles; 2]);
}

#[cfg(all(target_os = "linux", not(miri)))]
#[test]
fn pop_sleeps_while_another_thread_holds_the_list() {
    let pool = Pool::new();
    push(&pool, Level::Normal);
    let stalled = pool.ready[Level::Normal as usize].stall();
    let taking = Arc::clone(&pool);
    let take = move || assert!(taking.pop(&mut 1).is_some());
    crate::executor::asleep::sleeps_until(take, || drop(stalled));
}

#[test]
fn pop_takes_from_another_level_if_one_is_stalled() {
    let pool = Pool::new();
    push(&pool, Level::Urgent);
    push(&pool, Level::Idle);
    let _stalled = pool.ready[Level::Urgent as usize].stall();
    assert_eq!(pool.pop(&mut 1).map(|queue| queue.level()), Some(Level::Idle));
}

/// A thread in `synchronize` repeats the call as long as it returns `true`, so a complete record
/// must return `false`.
#[test]
fn record_runs_nothing_once_it_is_complete() {
    let pool = Pool::new();
    let queue = Queue::new(0, Level::Normal, &pool);
    for _ in 0..2 {
        assert!(queue.launch(|| ()).is_ok());
    }
    let first = Record::new(Arc::clone(&queue), 1, None);
    let mut local = Local::new(&pool);
    assert!(first.run(&mut local, 0));
    assert!(matches!(first.is_complete(), Ok(true)));
    assert_eq!(queue.state().get(), Phase::Ready);
    assert!(!first.run(&mut local, 0));
}

/// A thread that waits for an event runs the stream up to the event. It stops there although others
/// keep submitting timestamps.
#[test]
fn run_with_a_limit_stops_within_one_budget_after_it() {
    let timestamps = 2 * u64::from(RUN_BUDGET);
    let pool = Pool::new();
    let queue = Queue::new(0, Level::Normal, &pool);
    assert!(queue.launch(|| ()).is_ok());
    for _ in 0..timestamps {
        assert!(queue.submit_timestamp(Arc::new(Timestamp::default())).is_ok());
    }
    // Empties the pool: another ready queue would end the run as well.
    assert!(pool.pop(&mut 0).is_some());
    assert!(queue.run(&mut Local::new(&pool), Some(1)));
    assert!((1..timestamps).contains(&queue.progress.done()));
}
