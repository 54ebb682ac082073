//! Checks the results of statements against the model.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gpu_stream_conformance::outcome::{check, check_eq};
use gpu_stream_conformance::{Fixture, Outcome, Verdict};
use gpu_stream_core::{Backend, Event, EventStatus, Stream};

use super::{Interpreter, ThreadState, get};
use crate::clock::Clock;
use crate::order::{Expectation, Gates, Name, Order, Recorded};
use crate::program::Op;
use crate::watchdog::lock;

impl<F: Fixture> Interpreter<'_, F> {
    /// Returns the gates that happen before `clock` and are closed during the statement.
    fn holding(&self, clock: &Clock, index: usize) -> Gates {
        self.order().holding(clock, index)
    }

    /// Checks the result of a query. `what` names the query in the failure. `again` repeats it, where a query may be true
    /// late.
    pub(super) fn check_query(
        &self,
        state: &mut ThreadState<F>,
        index: usize,
        what: &str,
        mut done: bool,
        again: impl Fn() -> Result<bool, Verdict>,
    ) -> Outcome {
        let expectation = &self.order().expectations[index];
        if self.holding(&expectation.clock, index) != 0 {
            self.count(|counts| counts.must_be_false += 1);
            return check(!done, format_args!("{what} is true, but a closed gate comes before it"));
        }
        let mut known = expectation.known.clone();
        known.join(&state.learned);
        // With several threads, more work may come before it than this thread knows.
        if self.threads() == 1 && expectation.clock.is_within(&known) {
            self.count(|counts| counts.must_be_true += 1);
            if !done && !self.fixture.queries_are_exact() {
                self.wait_until(again, format_args!("{what} stays false"))?;
                done = true;
            }
            check(
                done,
                format_args!("{what} is false, but all work before it is known to be complete"),
            )?;
        }
        if done { self.learn(state, &expectation.clock, &known, what) } else { Ok(()) }
    }

    /// Checks the status of an event against its records and its query.
    pub(super) fn check_status(
        &self,
        expectation: &Expectation,
        done: bool,
        status: EventStatus,
    ) -> Outcome {
        let is_unrecorded = status == EventStatus::Unrecorded;
        match expectation.recorded {
            Recorded::Never => {
                check(is_unrecorded, format_args!("status of an unrecorded event is {status:?}"))?;
                check(done, "query of an unrecorded event is false")
            }
            Recorded::Yes => check(!is_unrecorded, "status of a recorded event is Unrecorded"),
            Recorded::Unknown => Ok(()),
        }?;
        let agree = self.threads() > 1 || !done || status != EventStatus::Pending;
        check(agree, "status is Pending after query was true")
    }

    /// Checks that all work before `clock` has run, except what is in `known`. Adds it to what the thread knows.
    fn learn(
        &self,
        state: &mut ThreadState<F>,
        clock: &Clock,
        known: &Clock,
        what: &str,
    ) -> Outcome {
        for (task, (_, number)) in self.order().tasks.iter().zip(&self.numbers) {
            if task.step.is_in(clock) && !task.step.is_in(known) {
                let number = self.fixture.load(&number.data)?;
                let name = task.name;
                check(
                    number == self.value,
                    format_args!(
                        "{what} is true, but the number of task t{name} before it is {number} instead \
                         of {}",
                        self.value
                    ),
                )?;
            }
        }
        state.learned.join(clock);
        Ok(())
    }

    /// Checks that all work before a `synchronize` is complete, after it has returned.
    pub(super) fn check_synchronized(&self, state: &mut ThreadState<F>, index: usize) -> Outcome {
        if self.order().closed_at(index) != 0 {
            self.count(|counts| counts.beside_a_gate += 1);
        }
        let expectation = &self.order().expectations[index];
        let known = expectation.known.clone();
        self.learn(state, &expectation.clock, &known, "synchronize")
    }

    /// Checks that no task that a closed gate blocks has run.
    pub(super) fn check_tasks(&self, index: usize) -> Outcome {
        let mut held = 0;
        for (task, (_, number)) in self.order().tasks.iter().zip(&self.numbers) {
            let after = &task.after;
            // A statement that opens a gate is not over yet, so its gate still counts as closed.
            if self.holding(after, index) == 0 {
                continue;
            }
            held += 1;
            let (name, current) = (task.name, self.fixture.load(&number.data)?);
            check(
                current == number.initial,
                format_args!("task t{name} has run, but a closed gate comes before it"),
            )?;
        }
        self.count(|counts| counts.held += held);
        Ok(())
    }

    /// Checks that each owner lives while a wrapper or, where the backend says so, an event needs it.
    pub(super) fn check_owners(&self) -> Outcome {
        if self.threads() > 1 {
            return Ok(());
        }
        let is_gone =
            |owner: Option<Arc<AtomicBool>>| owner.is_some_and(|gone| gone.load(Ordering::SeqCst));
        let gone = self.wrappers().iter().any(|wrapper| is_gone(wrapper.owner.clone()));
        check(!gone, "an owner was dropped before a wrapper of its stream")?;
        if F::Backend::EVENTS_KEEP_OWNER {
            let mut events = self.events.iter().zip(&self.recorded);
            let gone =
                events.any(|(event, owner)| lock(event).is_some() && is_gone(lock(owner).clone()));
            check(!gone, "an owner was dropped before an event of its stream")?;
        }
        Ok(())
    }

    /// Runs a `check` statement.
    pub(super) fn check(&self, index: usize) -> Outcome {
        self.settle();
        self.check_tasks(index)?;
        self.check_owners()?;
        let order = self.order();
        let Some((_, names)) = order.checks.iter().find(|(statement, _)| *statement == index)
        else {
            return Ok(());
        };
        let is_single_threaded = self.threads() == 1;
        for (name, clock, queue) in names {
            let is_held = self.holding(clock, index) != 0;
            // Another thread may drop the handle or reuse its name concurrently.
            if !is_single_threaded && is_dropped(order, *name) {
                continue;
            }
            let must_be_done =
                !is_held && self.exact && is_single_threaded && self.is_settled(*queue);
            if !is_held && !must_be_done {
                continue;
            }
            let done = match name {
                Name::Stream(stream) => match get(&self.streams, *stream) {
                    Some(wrapper) => wrapper.stream.query()?,
                    None => continue,
                },
                Name::Event(event) => match get(&self.events, *event) {
                    Some(event) => event.query()?,
                    None => continue,
                },
            };
            if is_held {
                self.count(|counts| counts.must_be_false += 1);
                check(!done, format_args!("query of {name} is true, but a closed gate blocks it"))?;
            } else {
                self.count(|counts| counts.must_be_true += 1);
                check(done, format_args!("{name} is stuck: no closed gate blocks it"))?;
            }
        }
        if self.exact && is_single_threaded { self.check_progress(index) } else { Ok(()) }
    }

    /// Checks that every submitted task that no closed gate blocks has run.
    fn check_progress(&self, index: usize) -> Outcome {
        let order = self.order();
        let tasks = order.tasks.iter().zip(&self.numbers);
        for (task, (_, number)) in tasks.filter(|(task, _)| task.statement < index) {
            let queue = order.expectations[task.statement].queue;
            if order.holding(&task.after, index) == 0 && self.is_settled(queue) {
                let (name, current) = (task.name, self.fixture.load(&number.data)?);
                check(
                    current == self.value,
                    format_args!("task t{name} has not run, but no closed gate blocks it"),
                )?;
            }
        }
        Ok(())
    }

    /// Returns `true` if `settle` includes the queue.
    ///
    /// It does not include a per-thread stream, or a stream whose wrappers are dropped.
    pub(super) fn is_settled(&self, queue: Option<usize>) -> bool {
        let live = |queue| self.wrappers().iter().any(|wrapper| wrapper.queue == queue);
        queue.is_none_or(live)
    }

    /// Checks that each read saw the new number of an earlier task, and the old number of a later one.
    pub(super) fn check_reads(&self) -> Outcome {
        let order = self.order();
        let (mut new, mut old) = (0, 0);
        for (index, reader) in order.tasks.iter().enumerate() {
            let Op::Task { reads, .. } = &order.program.0[reader.statement].op else { continue };
            for (read, target) in reads.iter().zip(self.reads[index].clone()) {
                let Some(source) = order.tasks.iter().position(|task| task.name == *read) else {
                    continue;
                };
                let (source, before) = (&order.tasks[source], self.numbers[source].1.initial);
                let value = self.fixture.load(&self.numbers[target].1.data)?;
                let (reader_name, name) = (reader.name, source.name);
                let what = format_args!("the number that task t{reader_name} read of task t{name}")
                    .to_string();
                if source.step.is_in(&reader.after) {
                    new += 1;
                    check_eq(value, self.value, format_args!("{what}, which runs before it,"))?;
                } else if reader.step.is_in(&source.after) {
                    old += 1;
                    check_eq(value, before, format_args!("{what}, which runs after it,"))?;
                } else {
                    let either = value == self.value || value == before;
                    check(either, format_args!("{what} is {value}, which no task has stored"))?;
                }
            }
        }
        let program = &order.program;
        self.count(|counts| {
            counts.programs += 1;
            counts.with_threads += u64::from(program.threads() > 1);
            counts.with_devices += u64::from(program.devices() > 1);
            counts.statements += program.0.len() as u64;
            counts.tasks += order.tasks.len() as u64;
            counts.read_new += new;
            counts.read_old += old;
        });
        Ok(())
    }
}

/// Returns `true` if the program drops the name.
fn is_dropped(order: &Order, name: Name) -> bool {
    order.program.0.iter().any(|statement| match (&statement.op, name) {
        (Op::DropStream { stream }, Name::Stream(name)) => *stream == name,
        (Op::DropEvent { event }, Name::Event(name)) => *event == name,
        _ => false,
    })
}
