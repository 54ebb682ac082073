//! Runs the statements of a program.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use gpu_stream_conformance::fixture::{EventOf, StreamOf};
use gpu_stream_conformance::outcome::{check, check_eq};
use gpu_stream_conformance::{Fixture, Outcome, Verdict};
use gpu_stream_core::{
    Backend, Device, Event, EventOptions, EventStatus, Stream, StreamOptions, StreamOwner,
};

use super::{Interpreter, ThreadState, TrackedOwner, Wrapper, get, missing};
use crate::program::{EventKind, Op, StreamKind};
use crate::watchdog::lock;

/// Evaluates an expression with the stream of a name, which can be a per-thread stream or a wrapper.
macro_rules! with {
    ($self:ident, $state:ident, $name:expr, |$stream:ident| $body:expr) => {
        match $state.own.iter().find(|(name, _)| *name == $name) {
            Some((_, $stream)) => $body,
            None => {
                let wrapper = $self.wrapper($name)?;
                let $stream = &wrapper.stream;
                $body
            }
        }
    };
}

impl<F: Fixture> Interpreter<'_, F> {
    /// Runs one statement, and checks its result.
    pub(super) fn statement(&self, state: &mut ThreadState<F>, index: usize, op: &Op) -> Outcome {
        match op {
            Op::Stream { stream, kind, device } => {
                self.create_stream(state, index, *stream, *kind, *device)
            }
            Op::Clone { stream, of } => {
                let of = self.wrapper(*of)?;
                self.insert_wrapper(*stream, index, of.stream.clone(), of.owner.clone())
            }
            Op::Event { event, kind, device } => self.create_event(*event, *kind, *device),
            Op::RecordNew { event, stream } => self.record_new(state, *event, *stream),
            Op::Task { stream, task, reads } => {
                let position = self.order().tasks.iter().position(|task| task.statement == index);
                let position = position.ok_or_else(|| missing('t', *task))?;
                with!(self, state, *stream, |stream| self.task(stream, position, reads))
            }
            Op::Gate { stream, .. } => {
                let gate = with!(self, state, *stream, |stream| self.fixture.gate(stream))?;
                self.running.add_gate(gate);
                Ok(())
            }
            Op::Open { .. } => self.open_gate(index),
            Op::Record { stream, event } => {
                let recorded = self.event(*event)?;
                with!(self, state, *stream, |stream| stream.record(&recorded))?;
                self.set_recorded_owner(*stream, *event);
                Ok(())
            }
            Op::Wait { stream, event } => {
                let event = self.event(*event)?;
                Ok(with!(self, state, *stream, |stream| stream.wait_event(&event))?)
            }
            Op::WaitStream { stream, other } => {
                Ok(with!(self, state, *stream, |stream| with!(self, state, *other, |other| {
                    stream.wait_stream(other)
                }))?)
            }
            Op::Fork { stream, branches } => self.fork_or_join(state, *stream, branches, true),
            Op::Join { stream, branches } => self.fork_or_join(state, *stream, branches, false),
            Op::Query { stream } => self.query(state, index, *stream),
            Op::QueryEvent { event } => self.query_event(state, index, *event),
            Op::Sync { stream } => self.sync_stream(state, index, *stream),
            Op::SyncEvent { event } => self.sync_event(state, index, *event),
            Op::Check => self.check(index),
            Op::DropStream { stream } => self.drop_stream(state, *stream),
            Op::DropEvent { event } => {
                *lock(&self.events[usize::from(*event)]) = None;
                self.check_owners()
            }
            // Run by `sync_threads`.
            Op::Barrier | Op::Send { .. } | Op::Recv { .. } => Ok(()),
            // Only for programs that `crate::checked` runs.
            Op::Region { .. }
            | Op::Access { .. }
            | Op::HostAccess { .. }
            | Op::Elapsed { .. }
            | Op::BeginCapture { .. }
            | Op::EndCapture { .. } => Ok(()),
        }
    }

    /// Asks a stream whether its work is done, and checks the answer.
    fn query(&self, state: &mut ThreadState<F>, index: usize, stream: u8) -> Outcome {
        let done = with!(self, state, stream, |stream| stream.query())?;
        // An engine whose queries may be true late has no per-thread streams, which are stored elsewhere.
        let again = || Ok(self.wrapper(stream)?.stream.query()?);
        self.check_query(state, index, "query", done, again)
    }

    /// Checks the blocked tasks, then opens the gate.
    fn open_gate(&self, index: usize) -> Outcome {
        self.check_tasks(index)?;
        let gate = self.order().gate_at(index).and_then(|gate| self.running.gate(gate));
        if let Some(gate) = gate {
            self.fixture.open(&gate);
        }
        Ok(())
    }

    /// Drops a per-thread stream or a wrapper, and checks the owners.
    fn drop_stream(&self, state: &mut ThreadState<F>, stream: u8) -> Outcome {
        match state.own.iter().position(|(name, _)| *name == stream) {
            Some(own) => drop(state.own.swap_remove(own)),
            None => *lock(&self.streams[usize::from(stream)]) = None,
        }
        self.check_owners()
    }

    /// Runs `record_event`, and stores the new event.
    fn record_new(&self, state: &ThreadState<F>, event: u8, stream: u8) -> Outcome {
        let new = with!(self, state, stream, |stream| stream.record_event())?;
        self.insert_event(event, new, EventOptions::new())?;
        self.set_recorded_owner(stream, event);
        Ok(())
    }

    /// Creates an event, and stores it.
    fn create_event(&self, event: u8, kind: EventKind, device: u8) -> Outcome {
        let options = match kind {
            EventKind::Plain => EventOptions::new(),
            EventKind::Timed => EventOptions::timed(),
            EventKind::Blocking => EventOptions::builder().blocking(true).build()?,
        };
        let new = F::Backend::new_event(self.device(device)?, options)?;
        self.insert_event(event, new, options)
    }

    /// Runs `fork` or `join`.
    fn fork_or_join(
        &self,
        state: &ThreadState<F>,
        stream: u8,
        branches: &[u8],
        is_fork: bool,
    ) -> Outcome {
        let wrappers = branches.iter().map(|branch| self.wrapper(*branch));
        let wrappers = wrappers.collect::<Result<Vec<_>, _>>()?;
        let branches = wrappers.iter().map(|wrapper| &wrapper.stream);
        Ok(with!(self, state, stream, |stream| match is_fork {
            true => stream.fork(branches),
            false => stream.join(branches),
        })?)
    }

    /// Runs `query` and `status`, and checks both.
    fn query_event(&self, state: &mut ThreadState<F>, index: usize, event: u8) -> Outcome {
        let event = self.event(event)?;
        let (done, status) = (event.query()?, event.status()?);
        self.check_status(&self.order().expectations[index], done, status)?;
        self.check_query(state, index, "query", done, || Ok(event.query()?))?;
        self.check_query(state, index, "status", status != EventStatus::Pending, || {
            Ok(event.status()? != EventStatus::Pending)
        })
    }

    /// Runs `synchronize` of a stream, and checks what it shows.
    fn sync_stream(&self, state: &mut ThreadState<F>, index: usize, stream: u8) -> Outcome {
        if self.settle_first && self.is_settled(self.order().expectations[index].queue) {
            self.settle();
            let done = self.wrapper(stream)?.stream.query()?;
            check(done, "the stream is stuck: no closed gate blocks it")?;
        }
        with!(self, state, stream, |stream| stream.synchronize())?;
        self.check_synchronized(state, index)?;
        if self.threads() > 1 {
            return Ok(());
        }
        let done = with!(self, state, stream, |stream| stream.query())?;
        if !done && !self.fixture.queries_are_exact() {
            let again = || Ok(self.wrapper(stream)?.stream.query()?);
            return self.wait_until(again, format_args!("query stays false"));
        }
        check(done, "query is false after synchronize has returned")
    }

    /// Runs `synchronize` of an event, and checks what it shows.
    fn sync_event(&self, state: &mut ThreadState<F>, index: usize, event: u8) -> Outcome {
        let event = self.event(event)?;
        if self.settle_first && self.is_settled(self.order().expectations[index].queue) {
            self.settle();
            let done = event.query()?;
            check(done, "the event is stuck: no closed gate blocks it")?;
        }
        event.synchronize()?;
        self.check_synchronized(state, index)?;
        let done = self.threads() > 1 || event.query()?;
        check(done, "query is false after synchronize has returned")
    }

    /// Returns the device with this number.
    fn device(&self, device: u8) -> Result<Device, Verdict> {
        let found = self.devices.get(usize::from(device)).copied();
        found.ok_or_else(|| Verdict::failed(format_args!("there is no device {device}")))
    }

    /// Creates or wraps a stream, and stores its wrapper.
    fn create_stream(
        &self,
        state: &mut ThreadState<F>,
        index: usize,
        name: u8,
        kind: StreamKind,
        device: u8,
    ) -> Outcome {
        let device = self.device(device)?;
        let options = StreamOptions::new();
        let (stream, owner) = match kind {
            StreamKind::New => (F::Backend::new_stream(device, options)?, None),
            StreamKind::Blocking => (F::Backend::new_stream(device, options.blocking(true))?, None),
            StreamKind::Default => (F::Backend::default_stream(device)?, None),
            StreamKind::Own => {
                state.own.push((name, F::Backend::per_thread_stream(device)?));
                return Ok(());
            }
            StreamKind::Owner => {
                let gone = Arc::new(AtomicBool::new(false));
                let foreign = self.fixture.foreign(device, options)?;
                let owner = TrackedOwner::<F> { foreign, gone: Arc::clone(&gone) };
                lock(&self.owners).push(Arc::clone(&gone));
                (F::Backend::stream_from_owner(Arc::new(owner), None)?, Some(gone))
            }
            StreamKind::Raw => {
                let foreign = self.fixture.foreign(device, options)?;
                let raw = foreign.raw_stream();
                lock(&self.foreign).push(foreign);
                // SAFETY: `raw` is the handle of `foreign`, which `self.foreign` keeps alive. `close` destroys it
                // after all wrappers and events.
                (unsafe { F::Backend::stream_from_raw(raw, Some(device)) }?, None)
            }
        };
        check_eq(stream.device(), device, "the device of a new wrapper")?;
        self.insert_wrapper(name, index, stream, owner)
    }

    /// Stores a wrapper under its name. Checks that wrappers are equal exactly if they wrap one stream.
    fn insert_wrapper(
        &self,
        name: u8,
        index: usize,
        stream: StreamOf<F>,
        owner: Option<Arc<AtomicBool>>,
    ) -> Outcome {
        let queue = self.order().queue_of[index];
        let queue = queue.ok_or_else(|| missing('s', name))?;
        if self.threads() == 1 {
            for other in self.wrappers() {
                let same = other.queue == queue;
                check_eq(other.stream == stream, same, "two wrappers are equal")?;
                check_eq(stream.is_same(&other.stream), same, "is_same of two wrappers")?;
                let hashes = hash_of(&other.stream) == hash_of(&stream);
                check(!same || hashes, "equal wrappers have different hashes")?;
            }
        }
        *lock(&self.streams[usize::from(name)]) = Some(Arc::new(Wrapper { stream, queue, owner }));
        Ok(())
    }

    /// Stores an event under its name. Checks its options and, where it has a handle before a record, that this is new.
    fn insert_event(&self, name: u8, event: EventOf<F>, options: EventOptions) -> Outcome {
        check_eq(event.options(), options, "the options of a new event")?;
        // Reading the handle lets it escape. Then only a timed event can tell whether it was recorded.
        if options.is_timed() && self.fixture.events_keep_their_handle() {
            let others = self.events.iter().filter_map(|slot| lock(slot).clone());
            let mut timed = others.into_iter().filter(|other| other.options().is_timed());
            let is_new = timed.all(|other| other.raw() != event.raw());
            check(is_new, "a new event has the handle of another event")?;
        }
        *lock(&self.events[usize::from(name)]) = Some(Arc::new(event));
        *lock(&self.recorded[usize::from(name)]) = None;
        Ok(())
    }

    /// Remembers the owner of the stream on which the event was recorded.
    fn set_recorded_owner(&self, stream: u8, event: u8) {
        let owner = get(&self.streams, stream).and_then(|wrapper| wrapper.owner.clone());
        *lock(&self.recorded[usize::from(event)]) = owner;
    }

    /// Submits a task: copies the numbers that it reads, then stores its own.
    fn task<S>(&self, stream: &S, position: usize, reads: &[u8]) -> Outcome
    where
        S: Stream<Backend = F::Backend>,
    {
        let (fx, numbers) = (self.fixture, &self.numbers);
        for (read, target) in reads.iter().zip(self.reads[position].clone()) {
            let source = self.order().tasks.iter().position(|task| task.name == *read);
            let source = source.ok_or_else(|| missing('t', *read))?;
            fx.copy(stream, &numbers[source].1.data, &numbers[target].1.data)?;
        }
        fx.store(stream, &numbers[position].1.data, self.value)
    }
}

fn hash_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
