//! One program on a backend: its streams, events and numbers, and what is looked at when.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use gpu_stream_conformance::fixture::{EventOf, StreamOf};
use gpu_stream_conformance::outcome::{check, check_eq};
use gpu_stream_conformance::{Fixture, Outcome, Verdict};
use gpu_stream_core::{
    Backend, Device, Event, EventOptions, EventStatus, PerThread, Stream, StreamOptions,
    StreamOwner,
};

use crate::clock::Clock;
use crate::order::{Name, Order};
use crate::program::{EventKind, Op, StreamKind};
use crate::run::{Counts, Failure};
use crate::watch::{Over, Running, lock};

mod checks;

/// A number of the fixture's, and what it holds when a program begins.
pub(crate) struct Number<F: Fixture> {
    pub(crate) data: F::Data,
    pub(crate) now: u32,
}

/// A thread of a program.
pub(crate) struct ThreadState<F: Fixture> {
    thread: usize,
    /// Its own default streams, which stay here.
    own: Vec<(u8, PerThread<StreamOf<F>>)>,
    /// What the answers to its questions have told it to be done.
    learned: Clock,
}

impl<F: Fixture> ThreadState<F> {
    pub(crate) fn new(thread: usize) -> Self {
        ThreadState { thread, own: Vec::new(), learned: Clock::default() }
    }
}

/// The owner of a foreign stream, whose end can be seen.
struct TrackedOwner<F: Fixture> {
    foreign: F::Foreign,
    gone: Arc<AtomicBool>,
}

impl<F: Fixture> Drop for TrackedOwner<F> {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::SeqCst);
    }
}

// SAFETY: the handle is that of the stream inside, which lives as long as this.
unsafe impl<F: Fixture> StreamOwner<F::Backend> for TrackedOwner<F> {
    fn raw_stream(&self) -> <F::Backend as Backend>::RawStream {
        self.foreign.raw_stream()
    }
}

type Slot<T> = Mutex<Option<Arc<T>>>;

/// A live wrapper, and its queue in the model.
struct Wrapper<F: Fixture> {
    stream: StreamOf<F>,
    queue: usize,
    /// Whether its owner is gone, if it has one.
    owner: Option<Arc<AtomicBool>>,
}

pub(crate) struct Interpreter<'a, F: Fixture> {
    fixture: &'a F,
    devices: &'a [Device],
    running: Arc<Running<F>>,
    /// The tasks' numbers, then those of their reads.
    numbers: Vec<(u8, Number<F>)>,
    /// The numbers of each task's reads.
    reads: Vec<Range<usize>>,
    value: u32,
    exact: bool,
    careful: bool,
    streams: Vec<Slot<Wrapper<F>>>,
    events: Vec<Slot<EventOf<F>>>,
    owners: Mutex<Vec<Arc<AtomicBool>>>,
    /// The owner of the stream on which each event was recorded last, if it has one.
    recorded: Vec<Mutex<Option<Arc<AtomicBool>>>>,
    /// What raw wrappers wrap: it outlives all of them, and all events.
    foreign: Mutex<Vec<F::Foreign>>,
    /// Where each thread is.
    places: Vec<AtomicUsize>,
    counts: Mutex<Counts>,
}

/// The stream with this name, whichever type it has.
macro_rules! with {
    ($scene:ident, $actor:ident, $name:expr, |$stream:ident| $body:expr) => {
        match $actor.own.iter().find(|(name, _)| *name == $name) {
            Some((_, $stream)) => $body,
            None => {
                let wrapper = $scene.wrapper($name)?;
                let $stream = &wrapper.stream;
                $body
            }
        }
    };
}

fn get<T>(slots: &[Slot<T>], name: u8) -> Option<Arc<T>> {
    slots.get(usize::from(name)).and_then(|slot| lock(slot).clone())
}

impl<'a, F: Fixture> Interpreter<'a, F> {
    pub(crate) fn new(
        fixture: &'a F,
        devices: &'a [Device],
        running: Arc<Running<F>>,
        numbers: Vec<(u8, Number<F>)>,
        value: u32,
        (exact, careful): (bool, bool),
    ) -> Self {
        let order = &running.order;
        let mut next = order.tasks.len();
        let reads = order.tasks.iter().map(|task| {
            let count = match &order.program.0[task.statement].op {
                Op::Task { reads, .. } => reads.len(),
                _ => 0,
            };
            next += count;
            next - count..next
        });
        let reads = reads.collect();
        let (mut streams, mut events) = (0, 0);
        for statement in &order.program.0 {
            match statement.op {
                Op::Stream { stream, .. } | Op::Clone { stream, .. } => {
                    streams = streams.max(usize::from(stream) + 1);
                }
                Op::Event { event, .. } | Op::RecordNew { event, .. } => {
                    events = events.max(usize::from(event) + 1);
                }
                _ => {}
            }
        }
        Interpreter {
            fixture,
            devices,
            numbers,
            reads,
            value,
            exact,
            careful,
            streams: (0..streams).map(|_| Mutex::new(None)).collect(),
            events: (0..events).map(|_| Mutex::new(None)).collect(),
            owners: Mutex::default(),
            recorded: (0..events).map(|_| Mutex::new(None)).collect(),
            foreign: Mutex::default(),
            places: (0..order.program.threads()).map(|_| AtomicUsize::new(0)).collect(),
            counts: Mutex::default(),
            running,
        }
    }

    fn order(&self) -> &Order {
        &self.running.order
    }

    pub(crate) fn threads(&self) -> usize {
        self.places.len()
    }

    /// The statement at which a thread was when the program was given up.
    pub(crate) fn stuck_at(&self) -> Option<usize> {
        let places = self.places.iter().map(|place| place.load(Ordering::SeqCst));
        places.filter(|place| *place < self.order().program.0.len()).min()
    }

    fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut lock(&self.counts));
    }

    /// What thread `actor` does, from the first statement to the last.
    pub(crate) fn run_thread(&self, actor: &mut ThreadState<F>) -> Result<(), Failure> {
        let all = self.order().program.0.iter().enumerate();
        for (index, statement) in all {
            let mine = usize::from(statement.thread) == actor.thread;
            if !mine && statement.op != Op::Barrier {
                continue;
            }
            self.places[actor.thread].store(index, Ordering::SeqCst);
            if self.running.meeting.is_over() {
                return Err(Failure { statement: None, seen: "another thread failed".into() });
            }
            let outcome = match self.sync_threads(&statement.op) {
                Some(Ok(())) => continue,
                Some(Err(Over)) => {
                    return Err(Failure { statement: None, seen: "another thread failed".into() });
                }
                None => self.statement(actor, index, &statement.op),
            };
            if let Err(verdict) = outcome {
                // Who waits for this thread would wait for ever, or for a shut gate.
                self.running.end(self.fixture);
                return Err(Failure { statement: Some(index), seen: verdict.reason().into() });
            }
        }
        self.places[actor.thread].store(usize::MAX, Ordering::SeqCst);
        Ok(())
    }

    fn sync_threads(&self, op: &Op) -> Option<Result<(), Over>> {
        let meeting = &self.running.meeting;
        match op {
            Op::Barrier => Some(meeting.barrier(self.threads())),
            Op::Send { channel } => {
                meeting.tell(*channel);
                Some(Ok(()))
            }
            Op::Recv { channel } => Some(meeting.hear(*channel)),
            _ => None,
        }
    }

    fn wrapper(&self, name: u8) -> Result<Arc<Wrapper<F>>, Verdict> {
        get(&self.streams, name).ok_or_else(|| missing('s', name))
    }

    fn event(&self, name: u8) -> Result<Arc<EventOf<F>>, Verdict> {
        get(&self.events, name).ok_or_else(|| missing('e', name))
    }

    fn wrappers(&self) -> Vec<Arc<Wrapper<F>>> {
        self.streams.iter().filter_map(|slot| lock(slot).clone()).collect()
    }

    fn settle(&self) {
        let wrappers = self.wrappers();
        let streams: Vec<_> = wrappers.iter().map(|wrapper| &wrapper.stream).collect();
        self.fixture.settle(&streams);
    }

    fn statement(&self, actor: &mut ThreadState<F>, index: usize, op: &Op) -> Outcome {
        let fact = &self.order().facts[index];
        match op {
            Op::Stream { stream, sort, device } => self.make(actor, index, *stream, *sort, *device),
            Op::Clone { stream, of } => {
                let of = self.wrapper(*of)?;
                self.put(*stream, index, of.stream.clone(), of.owner.clone())
            }
            Op::Event { event, sort, device } => {
                let options = match sort {
                    EventKind::Plain => EventOptions::new(),
                    EventKind::Timed => EventOptions::timed(),
                    EventKind::Blocking => EventOptions::builder().blocking(true).build()?,
                };
                let made = F::Backend::new_event(self.device(*device)?, options)?;
                self.put_event(*event, made, options)
            }
            Op::RecordNew { event, stream } => {
                let made = with!(self, actor, *stream, |stream| stream.record_event())?;
                self.put_event(*event, made, EventOptions::new())?;
                self.note_owner(*stream, *event);
                Ok(())
            }
            Op::Task { stream, task, reads } => {
                let at = self.order().tasks.iter().position(|place| place.statement == index);
                let at = at.ok_or_else(|| missing('t', *task))?;
                with!(self, actor, *stream, |stream| self.task(stream, at, reads))
            }
            Op::Gate { stream, .. } => {
                let gate = with!(self, actor, *stream, |stream| self.fixture.gate(stream))?;
                self.running.shut(gate);
                Ok(())
            }
            Op::Open { .. } => {
                self.check_tasks(index)?;
                let gate = self.order().gate_at(index).and_then(|gate| self.running.gate(gate));
                if let Some(gate) = gate {
                    self.fixture.open(&gate);
                }
                Ok(())
            }
            Op::Record { stream, event } => {
                let recorded = self.event(*event)?;
                with!(self, actor, *stream, |stream| stream.record(&recorded))?;
                self.note_owner(*stream, *event);
                Ok(())
            }
            Op::Wait { stream, event } => {
                let event = self.event(*event)?;
                Ok(with!(self, actor, *stream, |stream| stream.wait_event(&event))?)
            }
            Op::WaitStream { stream, other } => {
                Ok(with!(self, actor, *stream, |stream| with!(self, actor, *other, |other| {
                    stream.wait_stream(other)
                }))?)
            }
            Op::Fork { stream, branches } | Op::Join { stream, branches } => {
                let wrappers = branches.iter().map(|branch| self.wrapper(*branch));
                let wrappers = wrappers.collect::<Result<Vec<_>, _>>()?;
                let branches = wrappers.iter().map(|wrapper| &wrapper.stream);
                let is_fork = matches!(op, Op::Fork { .. });
                Ok(with!(self, actor, *stream, |stream| match is_fork {
                    true => stream.fork(branches),
                    false => stream.join(branches),
                })?)
            }
            Op::Query { stream } => {
                let done = with!(self, actor, *stream, |stream| stream.query())?;
                self.judge(actor, index, "query", done)
            }
            Op::QueryEvent { event } => {
                let event = self.event(*event)?;
                let (done, status) = (event.query()?, event.status()?);
                self.judge_status(fact, done, status)?;
                self.judge(actor, index, "query", done)?;
                self.judge(actor, index, "status", status != EventStatus::Pending)
            }
            Op::Sync { stream } => {
                if self.careful && self.is_settled(fact.queue) {
                    self.settle();
                    let done = self.wrapper(*stream)?.stream.query()?;
                    check(done, "the stream is stuck: nothing that is shut holds it back")?;
                }
                with!(self, actor, *stream, |stream| stream.synchronize())?;
                self.synchronized(actor, index)?;
                if self.threads() > 1 {
                    return Ok(());
                }
                let done = with!(self, actor, *stream, |stream| stream.query())?;
                check(done, "query is false when synchronize has returned")
            }
            Op::SyncEvent { event } => {
                let event = self.event(*event)?;
                if self.careful && self.is_settled(fact.queue) {
                    self.settle();
                    let done = event.query()?;
                    check(done, "the event is stuck: nothing that is shut holds it back")?;
                }
                event.synchronize()?;
                self.synchronized(actor, index)?;
                let done = self.threads() > 1 || event.query()?;
                check(done, "query is false when synchronize has returned")
            }
            Op::Check => self.check(index),
            Op::DropStream { stream } => {
                let own = actor.own.iter().position(|(name, _)| name == stream);
                match own {
                    Some(own) => drop(actor.own.swap_remove(own)),
                    None => *lock(&self.streams[usize::from(*stream)]) = None,
                }
                self.check_owners()
            }
            Op::DropEvent { event } => {
                *lock(&self.events[usize::from(*event)]) = None;
                self.check_owners()
            }
            // Those are met elsewhere.
            Op::Barrier | Op::Send { .. } | Op::Recv { .. } => Ok(()),
        }
    }

    fn device(&self, device: u8) -> Result<Device, Verdict> {
        let found = self.devices.get(usize::from(device)).copied();
        found.ok_or_else(|| Verdict::failed(format_args!("there is no device {device}")))
    }

    fn make(
        &self,
        actor: &mut ThreadState<F>,
        index: usize,
        name: u8,
        sort: StreamKind,
        device: u8,
    ) -> Outcome {
        let device = self.device(device)?;
        let options = StreamOptions::new();
        let (stream, owner) = match sort {
            StreamKind::New => (F::Backend::new_stream(device, options)?, None),
            StreamKind::Default => (F::Backend::default_stream(device)?, None),
            StreamKind::Own => {
                actor.own.push((name, F::Backend::per_thread_stream(device)?));
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
                // SAFETY: the stream is destroyed in `close`, behind all wrappers and events.
                (unsafe { F::Backend::stream_from_raw(raw, Some(device)) }?, None)
            }
        };
        check_eq("the device of a new wrapper", stream.device(), device)?;
        self.put(name, index, stream, owner)
    }

    /// Gives a wrapper its name. Wrappers are equal if they are of one stream.
    fn put(
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
                check_eq("two wrappers are equal", other.stream == stream, same)?;
                check_eq("is_same of two wrappers", stream.is_same(&other.stream), same)?;
                let hashes = hash_of(&other.stream) == hash_of(&stream);
                check(!same || hashes, "equal wrappers have different hashes")?;
            }
        }
        *lock(&self.streams[usize::from(name)]) = Some(Arc::new(Wrapper { stream, queue, owner }));
        Ok(())
    }

    /// Gives an event its name. It is what was asked for, and no other event.
    fn put_event(&self, name: u8, event: EventOf<F>, options: EventOptions) -> Outcome {
        check_eq("the options of a new event", event.options(), options)?;
        // To ask for the handle gives it out, and then only timing tells whether the event was recorded.
        if options.is_timed() {
            let others = self.events.iter().filter_map(|slot| lock(slot).clone());
            let mut timed = others.into_iter().filter(|other| other.options().is_timed());
            let is_new = timed.all(|other| other.raw() != event.raw());
            check(is_new, "a new event has the handle of another")?;
        }
        *lock(&self.events[usize::from(name)]) = Some(Arc::new(event));
        *lock(&self.recorded[usize::from(name)]) = None;
        Ok(())
    }

    fn note_owner(&self, stream: u8, event: u8) {
        let owner = get(&self.streams, stream).and_then(|wrapper| wrapper.owner.clone());
        *lock(&self.recorded[usize::from(event)]) = owner;
    }

    fn task<S>(&self, stream: &S, at: usize, reads: &[u8]) -> Outcome
    where
        S: Stream<Backend = F::Backend>,
    {
        let (fx, numbers) = (self.fixture, &self.numbers);
        for (read, place) in reads.iter().zip(self.reads[at].clone()) {
            let from = self.order().tasks.iter().position(|task| task.name == *read);
            let from = from.ok_or_else(|| missing('t', *read))?;
            fx.copy(stream, &numbers[from].1.data, &numbers[place].1.data)?;
        }
        fx.store(stream, &numbers[at].1.data, self.value)
    }

    /// Lets everything come to its end, and looks at all the numbers.
    pub(crate) fn finish(&self, mut actor: ThreadState<F>) -> Result<(), Failure> {
        self.end(&mut actor).map_err(|verdict| {
            self.running.end(self.fixture);
            Failure { statement: None, seen: verdict.reason().into() }
        })
    }

    fn end(&self, actor: &mut ThreadState<F>) -> Outcome {
        self.check_tasks(self.order().program.0.len())?;
        self.running.open_all(self.fixture);
        if self.careful {
            self.settle();
            for wrapper in self.wrappers() {
                let done = wrapper.stream.query()?;
                check(done, "a stream is stuck in the end, with all gates open")?;
            }
        }
        for wrapper in self.wrappers() {
            wrapper.stream.synchronize()?;
        }
        for (_, own) in &actor.own {
            own.synchronize()?;
        }
        // Streams that have been dropped cannot be asked.
        for (task, (_, number)) in self.order().tasks.iter().zip(&self.numbers) {
            let name = task.name;
            self.until(
                || Ok(self.fixture.load(&number.data)? == self.value),
                format_args!("task t{name} was never done"),
            )?;
        }
        for event in self.events.iter().filter_map(|slot| lock(slot).clone()) {
            event.synchronize()?;
            check(event.query()?, "query of an event is false in the end")?;
        }
        self.check_reads()?;
        self.check_owners()?;
        for foreign in lock(&self.foreign).iter() {
            self.fixture.foreign_works(foreign)?;
        }
        actor.own.clear();
        self.drop_all();
        let owners = lock(&self.owners).clone();
        owners.iter().try_for_each(|gone| {
            let is_gone = || Ok(gone.load(Ordering::SeqCst));
            self.until(is_gone, format_args!("an owner is still kept when all is dropped"))
        })
    }

    /// Waits until something holds. Only a hang ends the wait otherwise.
    fn until(
        &self,
        holds: impl Fn() -> Result<bool, Verdict>,
        otherwise: std::fmt::Arguments<'_>,
    ) -> Outcome {
        while !holds()? {
            if self.running.is_hung() {
                return Err(Verdict::failed(otherwise));
            }
            std::thread::yield_now();
        }
        Ok(())
    }

    fn drop_all(&self) {
        self.streams.iter().for_each(|slot| *lock(slot) = None);
        self.events.iter().for_each(|slot| *lock(slot) = None);
    }

    /// Drops everything, and gives back the numbers, with what they hold.
    pub(crate) fn close(mut self) -> (Vec<(u8, Number<F>)>, Counts) {
        self.drop_all();
        lock(&self.foreign).clear();
        for (_, number) in &mut self.numbers {
            number.now = self.fixture.load(&number.data).unwrap_or(number.now);
        }
        let counts = *lock(&self.counts);
        (self.numbers, counts)
    }
}

fn missing(letter: char, name: u8) -> Verdict {
    Verdict::failed(format_args!("the program has no {letter}{name} here"))
}

fn hash_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Name::Stream(stream) => write!(f, "s{stream}"),
            Name::Event(event) => write!(f, "e{event}"),
        }
    }
}
