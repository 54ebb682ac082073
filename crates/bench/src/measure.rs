//! Batches of calls, in turn.

use std::fmt;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Somebody whose calls are timed: makes so many of them, and says how long that took, and what
/// went wrong if a call failed.
pub type Contender<'a> = Box<dyn FnMut(u64) -> Result<Duration, String> + 'a>;

/// A contender that makes this call. The first error ends the batch: a call that fails may be a
/// quick one.
pub fn calling<'a, T, E: fmt::Display>(
    mut call: impl FnMut() -> Result<T, E> + 'a,
) -> Contender<'a> {
    Box::new(move |calls| {
        let since = Instant::now();
        for _ in 0..calls {
            match call() {
                // Where it lies, as a program has it: to move it would be measured too.
                Ok(answer) => {
                    black_box(&answer);
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(since.elapsed())
    })
}

/// How to measure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Rounds that count. In each, every contender has one batch.
    pub rounds: u32,
    /// How long a batch should last, at the least.
    pub batch: Duration,
    /// Rounds before those that count.
    pub warm_up: u32,
    /// When so much time has passed and [`FEWEST`](Self::FEWEST) rounds are there, it is enough.
    pub limit: Duration,
}

impl Plan {
    /// 31 rounds of batches of 1 ms.
    pub const USUAL: Plan = Plan {
        rounds: 31,
        batch: Duration::from_millis(1),
        warm_up: 3,
        limit: Duration::from_secs(60),
    };

    /// To see that everything runs. The figures mean nothing.
    pub const QUICK: Plan = Plan {
        rounds: 3,
        batch: Duration::from_micros(20),
        warm_up: 1,
        limit: Duration::from_millis(200),
    };

    /// What is measured in any case, be it as slow as it may.
    pub const FEWEST: usize = 3;

    /// The most calls of a batch, for a clock that stands still.
    const MOST_CALLS: u64 = 1 << 26;
}

/// What came of one contender.
#[derive(Clone, PartialEq, Debug)]
pub struct Series {
    /// Calls in each batch.
    pub calls: u64,
    /// Nanoseconds a call, one value for each round, in the order of the rounds.
    pub ns: Vec<f64>,
}

/// Which contender failed, by its place in the list, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The contender; `None` if it was what comes between two batches.
    pub contender: Option<usize>,
    /// In words.
    pub reason: String,
}

/// Measures the contenders in turn, and each of the rounds begins with another of them, so that a
/// machine that grows slower or busier does so for all. `settle` is called before each batch, and
/// its time does not count: it waits for what the batch before has left behind. Blocks until all is
/// measured.
///
/// # Errors
/// The first contender that fails ends it.
pub fn in_turn(
    plan: &Plan,
    contenders: &mut [Contender<'_>],
    mut settle: impl FnMut() -> Result<(), String>,
) -> Result<Vec<Series>, Failure> {
    let mut batch = |index: usize, contender: &mut Contender<'_>, calls: u64| {
        settle().map_err(|reason| Failure { contender: None, reason })?;
        contender(calls).map_err(|reason| Failure { contender: Some(index), reason })
    };
    let mut series = Vec::new();
    for (index, contender) in contenders.iter_mut().enumerate() {
        let calls = enough_calls(plan.batch, |calls| batch(index, contender, calls))?;
        series.push(Series { calls, ns: Vec::new() });
    }
    let since = Instant::now();
    for round in 0..plan.warm_up + plan.rounds {
        for index in order(round as usize, contenders.len()) {
            let calls = series[index].calls;
            let time = batch(index, &mut contenders[index], calls)?;
            if round >= plan.warm_up {
                series[index].ns.push(time.as_secs_f64() * 1e9 / calls as f64);
            }
        }
        let rounds = series.first().map_or(0, |one| one.ns.len());
        if rounds >= Plan::FEWEST && since.elapsed() > plan.limit {
            break;
        }
    }
    Ok(series)
}

/// So many calls that two batches in a row last as long as they should: one alone may have been
/// slow by chance.
fn enough_calls(
    wanted: Duration,
    mut batch: impl FnMut(u64) -> Result<Duration, Failure>,
) -> Result<u64, Failure> {
    let mut calls = 1;
    loop {
        let time = batch(calls)?.min(batch(calls)?);
        if time >= wanted || calls >= Plan::MOST_CALLS {
            return Ok(calls);
        }
        let missing = wanted.as_secs_f64() / time.as_secs_f64().max(1e-9);
        let factor = (missing * 1.1).clamp(1.2, 10.0);
        calls = ((calls as f64 * factor).ceil() as u64).min(Plan::MOST_CALLS);
    }
}

/// The order of a round: it begins one further than the round before, and after all have begun, the
/// direction changes, so that nobody always comes after the same one.
fn order(round: usize, count: usize) -> impl Iterator<Item = usize> {
    let (lap, first) = (round / count.max(1), round % count.max(1));
    (0..count).map(move |step| match lap % 2 {
        0 => (first + step) % count,
        _ => (first + count - step) % count,
    })
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    const PLAN: Plan = Plan {
        rounds: 31,
        batch: Duration::from_millis(1),
        warm_up: 2,
        limit: Duration::from_secs(60),
    };

    /// A contender whose call takes so many nanoseconds, by a clock of its own.
    fn fake(ns: u64) -> Contender<'static> {
        Box::new(move |calls| Ok(Duration::from_nanos(ns * calls)))
    }

    #[test]
    fn a_batch_is_as_long_as_it_should_be() {
        let found = in_turn(&PLAN, &mut [fake(1), fake(250), fake(7_000_000)], || Ok(())).unwrap();
        for (series, ns) in found.iter().zip([1.0, 250.0, 7_000_000.0]) {
            assert_eq!(series.ns, vec![ns; 31]);
            let long = series.calls as f64 * ns;
            assert!((1e6..=1e7).contains(&long), "{} calls of {ns} ns", series.calls);
        }
        assert_eq!(found[2].calls, 1);
    }

    #[test]
    fn a_clock_that_stands_still_does_not_stop_it() {
        let found = in_turn(&PLAN, &mut [fake(0)], || Ok(())).unwrap();
        assert_eq!((found[0].calls, found[0].ns.len()), (Plan::MOST_CALLS, 31));
    }

    /// The first batch is slow by chance: the number of calls does not follow from it.
    #[test]
    fn one_slow_batch_does_not_decide() {
        let first = Cell::new(true);
        let contender: Contender<'_> = Box::new(|calls| {
            let slow = if first.replace(false) { Duration::from_secs(1) } else { Duration::ZERO };
            Ok(slow + Duration::from_nanos(100 * calls))
        });
        let found = in_turn(&PLAN, &mut [contender], || Ok(())).unwrap();
        assert!(found[0].calls >= 10_000, "{}", found[0].calls);
    }

    #[test]
    fn everybody_has_one_batch_a_round_and_nobody_always_comes_first() {
        let log = RefCell::new(Vec::new());
        let one = |name| -> Contender<'_> {
            let log = &log;
            Box::new(move |_| {
                log.borrow_mut().push(name);
                Ok(Duration::from_millis(2))
            })
        };
        let settled = Cell::new(0);
        let settle = || {
            settled.set(settled.get() + 1);
            Ok(())
        };
        in_turn(&PLAN, &mut [one('a'), one('b')], settle).unwrap();
        let log = log.borrow();
        assert_eq!(settled.get(), log.len(), "each batch begins with nothing left behind");
        let rounds: Vec<&[char]> = log[4..].chunks(2).collect();
        assert_eq!(rounds.len(), 33);
        let count = |order: &[char]| rounds.iter().filter(|round| **round == order).count();
        assert_eq!((count(&['a', 'b']), count(&['b', 'a'])), (17, 16));
        // With three, the neighbours change too.
        let orders: Vec<Vec<_>> = (0..6).map(|round| order(round, 3).collect()).collect();
        assert_eq!(orders[0], [0, 1, 2]);
        assert_eq!(orders[1], [1, 2, 0]);
        assert_eq!(orders[3], [0, 2, 1]);
        assert_eq!(orders[5], [2, 1, 0]);
    }

    #[test]
    fn who_fails_is_named() {
        let broken: Contender<'_> = Box::new(|_| Err("no such stream".into()));
        let failure = in_turn(&PLAN, &mut [fake(10), broken], || Ok(())).unwrap_err();
        assert_eq!(failure.contender, Some(1));
        assert_eq!(failure.reason, "no such stream");
        let failure = in_turn(&PLAN, &mut [fake(10)], || Err("stuck".into())).unwrap_err();
        assert_eq!((failure.contender, failure.reason.as_str()), (None, "stuck"));
    }

    #[test]
    fn a_call_that_fails_ends_its_batch() {
        let made = Cell::new(0);
        let call = || {
            made.set(made.get() + 1);
            if made.get() == 5 { Err("the fifth") } else { Ok(()) }
        };
        assert_eq!(calling(call)(100), Err("the fifth".into()));
        assert_eq!(made.get(), 5);
    }

    #[test]
    fn time_that_runs_out_ends_it_with_as_many_rounds_as_there_are() {
        let plan = Plan { limit: Duration::ZERO, ..PLAN };
        let found = in_turn(&plan, &mut [fake(10)], || Ok(())).unwrap();
        assert_eq!(found[0].ns.len(), Plan::FEWEST);
    }
}
