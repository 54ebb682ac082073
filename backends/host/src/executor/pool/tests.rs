//! Which queue a thread takes next, without threads.

use super::{FAIRNESS, LEVELS, Level, Local, Pool};
use crate::executor::queue::Queue;
use crate::executor::record::{Record, Timestamp};
use crate::executor::state::Run;
use crate::sync::Arc;

const ALL: [Level; LEVELS] = [Level::Urgent, Level::Normal, Level::Idle];

/// Puts a queue that is ready into the pool.
fn push(pool: &Arc<Pool>, level: Level) {
    pool.push(&Queue::ready_for_tests(level, pool));
}

/// Takes so many queues, puts each back, and returns how many of each level there were.
fn take(pool: &Arc<Pool>, turns: &mut usize, count: usize) -> [usize; LEVELS] {
    let mut taken = [0; LEVELS];
    for _ in 0..count {
        let queue = pool.pop(turns).expect("the pool is never empty");
        assert_eq!(queue.state().get(), Run::Ready);
        taken[queue.level() as usize] += 1;
        pool.push(&queue);
    }
    taken
}

#[test]
fn every_level_with_work_is_first_in_a_bounded_number_of_turns() {
    // All sets of levels that have work, at all places of the cycle.
    for set in 1_usize..1 << LEVELS {
        let busy = ALL.into_iter().filter(|level| set & 1 << *level as usize != 0);
        let busy: Vec<_> = busy.collect();
        for start in (0..FAIRNESS * LEVELS).step_by(if cfg!(miri) { 25 } else { 1 }) {
            let (pool, mut turns) = (Pool::new(), start);
            busy.iter().for_each(|level| (0..3).for_each(|_| push(&pool, *level)));
            let taken = take(&pool, &mut turns, FAIRNESS * (LEVELS - 1));
            for level in &busy {
                assert_ne!(taken[*level as usize], 0, "{level:?} of {busy:?} from {start}");
            }
        }
    }
}

#[test]
fn the_most_urgent_level_has_nearly_all_turns() {
    let (pool, mut turns) = (Pool::new(), 0);
    ALL.into_iter().for_each(|level| push(&pool, level));
    let cycles = 10;
    let taken = take(&pool, &mut turns, cycles * FAIRNESS * (LEVELS - 1));
    assert_eq!(taken[1..], [cycles; 2]);
}

#[cfg(all(target_os = "linux", not(miri)))]
#[test]
fn a_thread_sleeps_while_another_one_stands_still_with_the_list() {
    let pool = Pool::new();
    push(&pool, Level::Normal);
    let stalled = pool.ready[Level::Normal as usize].stall();
    let taking = Arc::clone(&pool);
    let take = move || assert!(taking.pop(&mut 1).is_some());
    crate::executor::asleep::sleeps_until(take, || drop(stalled));
}

/// A level whose list another thread holds does not keep this one from the others.
#[test]
fn a_stalled_level_does_not_hold_up_another() {
    let pool = Pool::new();
    push(&pool, Level::Urgent);
    push(&pool, Level::Idle);
    let _stalled = pool.ready[Level::Urgent as usize].stall();
    assert_eq!(pool.pop(&mut 1).map(|queue| queue.level()), Some(Level::Idle));
}

/// A thread in `synchronize` helps again and again for as long as that runs something.
#[test]
fn there_is_nothing_to_run_for_a_record_that_is_complete() {
    let pool = Pool::new();
    let queue = Queue::new(0, Level::Normal, &pool);
    for _ in 0..2 {
        assert!(queue.launch(|| ()).is_ok());
    }
    let first = Record::new(Arc::clone(&queue), 1, None);
    let mut local = Local::new(&pool);
    assert!(first.run(&mut local, 0));
    assert!(matches!(first.is_complete(), Ok(true)));
    assert_eq!(queue.state().get(), Run::Ready);
    assert!(!first.run(&mut local, 0));
}

/// A thread that waits for an event runs the stream up to there, and not for as long as others submit
/// stamps behind.
#[test]
fn a_run_with_an_end_stops_a_turn_behind_it() {
    let stamps = 2 * u64::from(super::RUN_BUDGET);
    let pool = Pool::new();
    let queue = Queue::new(0, Level::Normal, &pool);
    assert!(queue.launch(|| ()).is_ok());
    for _ in 0..stamps {
        assert!(queue.stamp(Arc::new(Timestamp::default())).is_ok());
    }
    // Nothing else is ready, which would end the turn as well.
    assert!(pool.pop(&mut 0).is_some());
    assert!(queue.run(&mut Local::new(&pool), Some(1)));
    assert!((1..stamps).contains(&queue.progress.done()));
}
