//! Many futures at once.

use gpu_stream_async::DoneExt;

use super::support::*;

/// A small generator of pseudo-random numbers, the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        // The constants of Knuth's MMIX generator.
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % limit
    }
}

/// Checks 1,000 futures in flight, on streams with gates among the records. The gates are opened one by one: each time the
/// futures that nothing holds back resolve, and the others are pending.
pub fn thousand_in_flight<F: Fixture>(fx: &F) -> Outcome {
    const COUNT: usize = 1_000;
    let is_free = fx.independent() == usize::MAX;
    let streams: Vec<_> =
        (0..fx.independent().clamp(1, 40)).map(|_| stream(fx)).collect::<Result<_, _>>()?;
    let mut random = Random(1);
    // For each gate: its stream. For each stream: the gates before the next record.
    let (mut gates, mut of_stream, mut futures) =
        (Vec::new(), vec![Vec::new(); streams.len()], Vec::new());
    for index in 0..COUNT {
        let at = random.below(streams.len());
        if of_stream[at].is_empty() || (random.below(20) == 0 && gates.len() < 60) {
            of_stream[at].push(gates.len());
            gates.push(Some(fx.gate(&streams[at])?));
        }
        let (mut future, task) = (streams[at].done()?, Task::new());
        // Some are polled for the first time only when they are ready.
        if index % 7 != 0 {
            check(task.poll(&mut future).is_pending(), "the future is ready too early")?;
        }
        futures.push((future, task, of_stream[at].clone()));
    }
    let mut order: Vec<usize> = (0..gates.len()).collect();
    if is_free {
        for last in (1..order.len()).rev() {
            order.swap(last, random.below(last + 1));
        }
    }
    let mut is_open = vec![false; gates.len()];
    for gate in order {
        is_open[gate] = true;
        if let Some(gate) = gates[gate].take() {
            fx.open(&gate);
        }
        let mut left = Vec::new();
        for (mut future, task, behind) in futures {
            if behind.iter().all(|&gate| is_open[gate]) {
                task.finish(&mut future)??;
            } else {
                check(task.wakes() == 0, "a task was woken, and its work is not done")?;
                left.push((future, task, behind));
            }
        }
        futures = left;
    }
    check(futures.is_empty(), "some futures are behind no gate")
}
