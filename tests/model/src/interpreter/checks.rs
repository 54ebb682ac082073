//! What is looked at while a program runs, and what the model says of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gpu_stream_conformance::outcome::{check, check_eq};
use gpu_stream_conformance::{Fixture, Outcome};
use gpu_stream_core::{Backend, Event, EventStatus, Stream};

use super::{Interpreter, ThreadState, get};
use crate::clock::Clock;
use crate::order::{Expectation, Gates, Name, Order, Recorded};
use crate::program::Op;
use crate::watch::lock;

impl<F: Fixture> Interpreter<'_, F> {
    /// The gates that hold back what comes after `clock`, at a statement and until it is over.
    fn holding(&self, clock: &Clock, index: usize) -> Gates {
        self.order().holding(clock, index)
    }

    pub(super) fn judge(
        &self,
        actor: &mut ThreadState<F>,
        index: usize,
        what: &str,
        done: bool,
    ) -> Outcome {
        let fact = &self.order().facts[index];
        if self.holding(&fact.clock, index) != 0 {
            self.count(|counts| counts.must_be_false += 1);
            return check(!done, format_args!("{what} says done, and a shut gate comes before it"));
        }
        let mut known = fact.known.clone();
        known.join(&actor.learned);
        // With other threads about, there may be more before it than this one knows.
        if self.threads() == 1 && fact.clock.is_within(&known) {
            self.count(|counts| counts.must_be_true += 1);
            check(done, format_args!("{what} says not done, and all before it is known to be"))?;
        }
        if done { self.learn(actor, &fact.clock, &known, what) } else { Ok(()) }
    }

    pub(super) fn judge_status(
        &self,
        fact: &Expectation,
        done: bool,
        status: EventStatus,
    ) -> Outcome {
        let is_unrecorded = status == EventStatus::Unrecorded;
        match fact.recorded {
            Recorded::Never => {
                check(is_unrecorded, format_args!("status of an unrecorded event is {status:?}"))?;
                check(done, "query of an unrecorded event is false")
            }
            Recorded::Yes => check(!is_unrecorded, "status of a recorded event is Unrecorded"),
            Recorded::Unknown => Ok(()),
        }?;
        let agree = self.threads() > 1 || !done || status != EventStatus::Pending;
        check(agree, "status is Pending when query was true")
    }

    /// All that comes before `clock` is done, says the backend, and what is new of it is looked at.
    fn learn(
        &self,
        actor: &mut ThreadState<F>,
        clock: &Clock,
        known: &Clock,
        what: &str,
    ) -> Outcome {
        for (task, (_, number)) in self.order().tasks.iter().zip(&self.numbers) {
            if task.step.is_in(clock) && !task.step.is_in(known) {
                let seen = self.fixture.load(&number.data)?;
                let name = task.name;
                check(
                    seen == self.value,
                    format_args!(
                        "{what} says done, and the number of task t{name} before it is {seen} and \
                         not {}",
                        self.value
                    ),
                )?;
            }
        }
        actor.learned.join(clock);
        Ok(())
    }

    pub(super) fn synchronized(&self, actor: &mut ThreadState<F>, index: usize) -> Outcome {
        if self.order().shut_at(index) != 0 {
            self.count(|counts| counts.beside_a_gate += 1);
        }
        let fact = &self.order().facts[index];
        let known = fact.known.clone();
        self.learn(actor, &fact.clock, &known, "synchronize")
    }

    /// What a shut gate holds back has not been done.
    pub(super) fn check_tasks(&self, index: usize) -> Outcome {
        let mut held = 0;
        for (task, (_, number)) in self.order().tasks.iter().zip(&self.numbers) {
            let after = &task.after;
            // A gate's opening is a statement of this thread too, and not over yet.
            if self.holding(after, index) == 0 {
                continue;
            }
            held += 1;
            let (name, seen) = (task.name, self.fixture.load(&number.data)?);
            check(
                seen == number.now,
                format_args!("task t{name} is done, and a shut gate comes before it"),
            )?;
        }
        self.count(|counts| counts.held += held);
        Ok(())
    }

    pub(super) fn check_owners(&self) -> Outcome {
        if self.threads() > 1 {
            return Ok(());
        }
        let is_gone =
            |owner: Option<Arc<AtomicBool>>| owner.is_some_and(|gone| gone.load(Ordering::SeqCst));
        let gone = self.wrappers().iter().any(|wrapper| is_gone(wrapper.owner.clone()));
        check(!gone, "an owner was let go, and a wrapper of its stream is there")?;
        if F::Backend::EVENTS_KEEP_OWNER {
            let mut events = self.events.iter().zip(&self.recorded);
            let gone =
                events.any(|(event, owner)| lock(event).is_some() && is_gone(lock(owner).clone()));
            check(!gone, "an owner was let go, and an event of its stream is there")?;
        }
        Ok(())
    }

    pub(super) fn check(&self, index: usize) -> Outcome {
        self.settle();
        self.check_tasks(index)?;
        self.check_owners()?;
        let order = self.order();
        let Some((_, names)) = order.looks.iter().find(|(look, _)| *look == index) else {
            return Ok(());
        };
        let alone = self.threads() == 1;
        for (name, clock, queue) in names {
            let is_held = self.holding(clock, index) != 0;
            // Another thread may be about to drop it, or to use its name again.
            if !alone && is_dropped(order, *name) {
                continue;
            }
            let must_be_done = !is_held && self.exact && alone && self.is_settled(*queue);
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
                check(!done, format_args!("query of {name} is true, and it is held back"))?;
            } else {
                self.count(|counts| counts.must_be_true += 1);
                check(done, format_args!("{name} is stuck: nothing that is shut holds it back"))?;
            }
        }
        if self.exact && alone {
            let tasks = order.tasks.iter().zip(&self.numbers);
            let submitted = tasks.filter(|(task, _)| task.statement < index);
            for (task, (_, number)) in submitted {
                let queue = order.facts[task.statement].queue;
                if order.holding(&task.after, index) == 0 && self.is_settled(queue) {
                    let (name, seen) = (task.name, self.fixture.load(&number.data)?);
                    check(
                        seen == self.value,
                        format_args!("task t{name} is not done, and nothing that is shut holds it"),
                    )?;
                }
            }
        }
        Ok(())
    }

    /// Whether `settle` hears of a queue: not of one whose wrappers are dropped, or that is a thread's
    /// own.
    pub(super) fn is_settled(&self, queue: Option<usize>) -> bool {
        let live = |queue| self.wrappers().iter().any(|wrapper| wrapper.queue == queue);
        queue.is_none_or(live)
    }

    /// Each read saw the new number of what comes before, and the old one of what comes after.
    pub(super) fn check_reads(&self) -> Outcome {
        let order = self.order();
        let (mut new, mut old) = (0, 0);
        for (at, reader) in order.tasks.iter().enumerate() {
            let Op::Task { reads, .. } = &order.program.0[reader.statement].op else { continue };
            for (read, place) in reads.iter().zip(self.reads[at].clone()) {
                let Some(from) = order.tasks.iter().position(|task| task.name == *read) else {
                    continue;
                };
                let (source, before) = (&order.tasks[from], self.numbers[from].1.now);
                let seen = self.fixture.load(&self.numbers[place].1.data)?;
                let (reader_name, name) = (reader.name, source.name);
                let what =
                    format_args!("what task t{reader_name} read of task t{name}").to_string();
                if source.step.is_in(&reader.after) {
                    new += 1;
                    check_eq(format_args!("{what}, which comes before it,"), seen, self.value)?;
                } else if reader.step.is_in(&source.after) {
                    old += 1;
                    check_eq(format_args!("{what}, which comes after it,"), seen, before)?;
                } else {
                    let either = seen == self.value || seen == before;
                    check(either, format_args!("{what} is {seen}, which nobody has stored"))?;
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

fn is_dropped(order: &Order, name: Name) -> bool {
    order.program.0.iter().any(|statement| match (&statement.op, name) {
        (Op::DropStream { stream }, Name::Stream(name)) => *stream == name,
        (Op::DropEvent { event }, Name::Event(name)) => *event == name,
        _ => false,
    })
}
