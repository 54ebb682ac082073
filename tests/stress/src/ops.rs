//! Table of the operations that the threads choose from: [`StressOps`].

use gpu_stream_conformance::{Fixture, Outcome};
use gpu_stream_core::{Event, Stream};

use crate::ordering_checks::submit;
use crate::worker::Worker;

/// Name, relative frequency and function of an operation.
pub(crate) type StressOp<F> = (&'static str, u32, for<'a, 'w> fn(&'a mut Worker<'w, F>) -> Outcome);

/// All operations.
pub(crate) struct StressOps<F>(std::marker::PhantomData<F>);

impl<F: Fixture> StressOps<F> {
    pub(crate) const ALL: &'static [StressOp<F>] = &[
        ("query", 140, |worker| {
            worker.any_stream().query()?;
            worker.count_calls(1);
            Ok(())
        }),
        ("record", 120, |worker| worker.record()),
        ("record_event", 120, |worker| {
            worker.any_stream().record_event()?;
            worker.count_calls(1);
            Ok(())
        }),
        ("wait_event", 120, |worker| worker.wait_event()),
        ("wait_stream", 120, |worker| {
            let (one, other) = (worker.any_stream(), worker.any_stream());
            worker.count_calls(1);
            Ok(one.wait_stream(&other)?)
        }),
        ("fork", 40, |worker| {
            let (from, to) = (
                worker.any_stream(),
                [worker.any_stream(), worker.any_stream(), worker.any_stream()],
            );
            worker.count_calls(1);
            Ok(from.fork(&to)?)
        }),
        ("join", 40, |worker| {
            let (to, from) = (
                worker.any_stream(),
                [worker.any_stream(), worker.any_stream(), worker.any_stream()],
            );
            worker.count_calls(1);
            Ok(to.join(&from)?)
        }),
        ("event query", 80, |worker| {
            worker.count_calls(1);
            let event = worker.any_event();
            Ok(event.query().map(drop)?)
        }),
        ("event status", 60, |worker| {
            worker.count_calls(1);
            let event = worker.any_event();
            Ok(event.status().map(drop)?)
        }),
        ("host function", 40, |worker| {
            let stream = worker.any_stream();
            worker.count_calls(1);
            submit(&worker.handles.counters, &stream, |_| ())
        }),
        ("device work", 40, |worker| worker.device_work()),
        ("properties", 30, |worker| worker.properties()),
        ("synchronize", 12, |worker| {
            worker.count_calls(1);
            Ok(worker.any_stream().synchronize()?)
        }),
        ("event synchronize", 12, |worker| {
            worker.count_calls(1);
            let event = worker.any_event();
            Ok(event.synchronize()?)
        }),
        ("ordering check", 14, |worker| worker.check_ordering()),
        ("wait check", 10, |worker| worker.check_wait()),
        ("new_event", 10, |worker| worker.new_event()),
        ("wrap", 10, |worker| worker.wrap()),
        ("elapsed", 6, |worker| worker.elapsed()),
        ("per-thread stream", 6, |worker| worker.per_thread()),
        ("object-safe form", 4, |worker| worker.object_safe()),
        ("new_stream", 3, |worker| worker.new_stream()),
        ("foreign stream", 2, |worker| worker.foreign_stream()),
        ("gate", 1, |worker| worker.gate()),
        #[cfg(feature = "seeded-bugs")]
        ("seeded bug", 4, crate::seeded_bug::trigger),
    ];
}

/// Returns the name of the operation whose index plus one is `doing`; 0 is none.
pub(crate) fn name_of<F: Fixture>(doing: u64) -> &'static str {
    let index = usize::try_from(doing).ok().and_then(|doing| doing.checked_sub(1));
    index.and_then(|index| StressOps::<F>::ALL.get(index)).map_or("nothing", |op| op.0)
}
