//! Times batches of calls of several contenders, interleaved.

use std::fmt;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// A library whose calls are timed. The closure makes the given number of calls and returns the time
/// they took, or the error of a call that failed.
pub type Contender<'a> = Box<dyn FnMut(u64) -> Result<Duration, String> + 'a>;

/// Creates a contender that makes `call` repeatedly.
///
/// The first error ends the batch, because a failing call may be faster than a successful one.
pub fn calling<'a, T, E: fmt::Display>(
    mut call: impl FnMut() -> Result<T, E> + 'a,
) -> Contender<'a> {
    Box::new(move |calls| {
        let since = Instant::now();
        for _ in 0..calls {
            match call() {
                // By reference: a move of the result would be measured too.
                Ok(answer) => {
                    black_box(&answer);
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(since.elapsed())
    })
}

/// The number and the length of the batches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    /// The number of counted rounds. In each round, every contender runs one batch.
    pub rounds: u32,
    /// The minimum duration of a batch.
    pub batch: Duration,
    /// The number of warm-up rounds, which are not counted.
    pub warm_up: u32,
    /// The time after which measuring stops, once [`FEWEST`](Self::FEWEST) rounds are counted.
    pub limit: Duration,
}

impl Plan {
    /// The usual plan: 31 rounds of batches of 1 ms.
    pub const USUAL: Plan = Plan {
        rounds: 31,
        batch: Duration::from_millis(1),
        warm_up: 3,
        limit: Duration::from_secs(60),
    };

    /// A plan that only shows that everything runs. Its figures mean nothing.
    pub const QUICK: Plan = Plan {
        rounds: 3,
        batch: Duration::from_micros(20),
        warm_up: 1,
        limit: Duration::from_millis(200),
    };

    /// The minimum number of counted rounds, however long they take.
    pub const FEWEST: usize = 3;

    /// The maximum number of calls in a batch, in case the clock does not advance.
    const MAX_CALLS: u64 = 1 << 26;
}

/// The times of one contender.
#[derive(Clone, PartialEq, Debug)]
pub struct Series {
    /// The number of calls in each batch.
    pub calls: u64,
    /// Nanoseconds per call, one value for each round, in the order of the rounds.
    pub ns: Vec<f64>,
}

/// A failed measurement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The index of the failed contender. `None` if the work between two batches failed.
    pub contender: Option<usize>,
    /// The error text.
    pub reason: String,
}

/// Measures the contenders interleaved, batch by batch. Blocks until all are measured.
///
/// Each round starts with another contender, so that a machine that becomes slower or busier affects
/// all of them. Calls `settle` before each batch, to wait for the work of the previous one. The time
/// of `settle` is not counted.
///
/// # Errors
/// The failure of the first contender that fails, which ends the measurement.
pub fn run_interleaved(
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
        let calls = calibrate(plan.batch, |calls| batch(index, contender, calls))?;
        series.push(Series { calls, ns: Vec::new() });
    }
    let since = Instant::now();
    for round in 0..plan.warm_up + plan.rounds {
        for index in round_order(round as usize, contenders.len()) {
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

/// Finds a number of calls for which two successive batches both last at least `wanted`.
///
/// A single batch can be slow by chance.
fn calibrate(
    wanted: Duration,
    mut batch: impl FnMut(u64) -> Result<Duration, Failure>,
) -> Result<u64, Failure> {
    let mut calls = 1;
    loop {
        let time = batch(calls)?.min(batch(calls)?);
        if time >= wanted || calls >= Plan::MAX_CALLS {
            return Ok(calls);
        }
        let missing = wanted.as_secs_f64() / time.as_secs_f64().max(1e-9);
        let factor = (missing * 1.1).clamp(1.2, 10.0);
        calls = ((calls as f64 * factor).ceil() as u64).min(Plan::MAX_CALLS);
    }
}

/// Returns the order of the contenders in a round.
///
/// Each round starts one contender later than the previous one. The direction reverses after every
/// contender has started once, so that no contender always follows the same one.
fn round_order(round: usize, count: usize) -> impl Iterator<Item = usize> {
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

    /// Creates a contender whose calls take `ns` nanoseconds each, by a fake clock.
    fn fake(ns: u64) -> Contender<'static> {
        Box::new(move |calls| Ok(Duration::from_nanos(ns * calls)))
    }

    #[test]
    fn batches_last_at_least_the_planned_time() {
        let series =
            run_interleaved(&PLAN, &mut [fake(1), fake(250), fake(7_000_000)], || Ok(())).unwrap();
        for (series, ns) in series.iter().zip([1.0, 250.0, 7_000_000.0]) {
            assert_eq!(series.ns, vec![ns; 31]);
            let long = series.calls as f64 * ns;
            assert!((1e6..=1e7).contains(&long), "{} calls of {ns} ns", series.calls);
        }
        assert_eq!(series[2].calls, 1);
    }

    #[test]
    fn calibration_ends_if_the_clock_does_not_advance() {
        let series = run_interleaved(&PLAN, &mut [fake(0)], || Ok(())).unwrap();
        assert_eq!((series[0].calls, series[0].ns.len()), (Plan::MAX_CALLS, 31));
    }

    /// The first batch is slow by chance and must not determine the number of calls.
    #[test]
    fn calibration_ignores_a_single_slow_batch() {
        let first = Cell::new(true);
        let contender: Contender<'_> = Box::new(|calls| {
            let slow = if first.replace(false) { Duration::from_secs(1) } else { Duration::ZERO };
            Ok(slow + Duration::from_nanos(100 * calls))
        });
        let series = run_interleaved(&PLAN, &mut [contender], || Ok(())).unwrap();
        assert!(series[0].calls >= 10_000, "{}", series[0].calls);
    }

    #[test]
    fn each_round_has_one_batch_per_contender_in_changing_order() {
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
        run_interleaved(&PLAN, &mut [one('a'), one('b')], settle).unwrap();
        let log = log.borrow();
        assert_eq!(settled.get(), log.len(), "`settle` is called before each batch");
        let rounds: Vec<&[char]> = log[4..].chunks(2).collect();
        assert_eq!(rounds.len(), 33);
        let count = |order: &[char]| rounds.iter().filter(|round| **round == order).count();
        assert_eq!((count(&['a', 'b']), count(&['b', 'a'])), (17, 16));
        // With three contenders, the predecessor of each changes too.
        let orders: Vec<Vec<_>> = (0..6).map(|round| round_order(round, 3).collect()).collect();
        assert_eq!(orders[0], [0, 1, 2]);
        assert_eq!(orders[1], [1, 2, 0]);
        assert_eq!(orders[3], [0, 2, 1]);
        assert_eq!(orders[5], [2, 1, 0]);
    }

    #[test]
    fn failure_names_the_contender() {
        let broken: Contender<'_> = Box::new(|_| Err("no such stream".into()));
        let failure = run_interleaved(&PLAN, &mut [fake(10), broken], || Ok(())).unwrap_err();
        assert_eq!(failure.contender, Some(1));
        assert_eq!(failure.reason, "no such stream");
        let failure = run_interleaved(&PLAN, &mut [fake(10)], || Err("stuck".into())).unwrap_err();
        assert_eq!((failure.contender, failure.reason.as_str()), (None, "stuck"));
    }

    #[test]
    fn failing_call_ends_its_batch() {
        let made = Cell::new(0);
        let call = || {
            made.set(made.get() + 1);
            if made.get() == 5 { Err("the fifth") } else { Ok(()) }
        };
        assert_eq!(calling(call)(100), Err("the fifth".into()));
        assert_eq!(made.get(), 5);
    }

    #[test]
    fn time_limit_ends_the_measurement_after_the_fewest_rounds() {
        let plan = Plan { limit: Duration::ZERO, ..PLAN };
        let series = run_interleaved(&plan, &mut [fake(10)], || Ok(())).unwrap();
        assert_eq!(series[0].ns.len(), Plan::FEWEST);
    }
}
