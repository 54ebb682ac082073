//! One thread, and what it does.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gpu_stream_conformance::fixture::{BackendOf, EventOf, StreamOf};
use gpu_stream_conformance::outcome::{check, check_eq};
use gpu_stream_conformance::{Fixture, Outcome, Verdict};
use gpu_stream_core::{
    Backend, BackendKind, Error, ErrorKind, Event, EventOptions, Stream, StreamOptions,
};

use crate::ordering_checks::submit;
use crate::shared_handles::{SharedHandles, foreign};

/// How many streams and events a thread has for itself.
const OWN: usize = 3;

/// How far a thread has come, for who looks whether anything moves.
#[derive(Default, Debug)]
#[repr(align(128))]
pub(crate) struct Seen {
    pub(crate) calls: AtomicU64,
    pub(crate) doing: AtomicU64,
}

pub(crate) struct Worker<'w, F: Fixture> {
    pub(crate) world: &'w SharedHandles<F>,
    pub(crate) rng: fastrand::Rng,
    seen: &'w Seen,
    streams: Vec<StreamOf<F>>,
    events: Vec<EventOf<F>>,
    timed: [EventOf<F>; 2],
    number: F::Data,
    /// How often each deed is done, of all.
    weights: Vec<u32>,
    made: u64,
}

/// A thing to do, and how often of all.
type StressOp<F> = (&'static str, u32, for<'a, 'w> fn(&'a mut Worker<'w, F>) -> Outcome);

/// What there is to do.
struct StressOps<F>(std::marker::PhantomData<F>);

impl<F: Fixture> StressOps<F> {
    const ALL: &'static [StressOp<F>] = &[
        ("query", 140, |hand| {
            hand.any().query()?;
            hand.made(1);
            Ok(())
        }),
        ("record", 120, |hand| hand.record()),
        ("record_event", 120, |hand| {
            hand.any().record_event()?;
            hand.made(1);
            Ok(())
        }),
        ("wait_event", 120, |hand| hand.wait_event()),
        ("wait_stream", 120, |hand| {
            let (one, other) = (hand.any(), hand.any());
            hand.made(1);
            Ok(one.wait_stream(&other)?)
        }),
        ("fork", 40, |hand| {
            let (from, to) = (hand.any(), [hand.any(), hand.any(), hand.any()]);
            hand.made(1);
            Ok(from.fork(&to)?)
        }),
        ("join", 40, |hand| {
            let (to, from) = (hand.any(), [hand.any(), hand.any(), hand.any()]);
            hand.made(1);
            Ok(to.join(&from)?)
        }),
        ("query of an event", 80, |hand| {
            hand.made(1);
            let event = hand.some_event();
            Ok(event.query().map(drop)?)
        }),
        ("status of an event", 60, |hand| {
            hand.made(1);
            let event = hand.some_event();
            Ok(event.status().map(drop)?)
        }),
        ("host function", 40, |hand| {
            let stream = hand.any();
            hand.made(1);
            submit(&hand.world.counters, &stream, |_| ())
        }),
        ("work", 40, |hand| hand.work_on_the_device()),
        ("facts", 30, |hand| hand.facts()),
        ("synchronize", 12, |hand| {
            hand.made(1);
            Ok(hand.any().synchronize()?)
        }),
        ("synchronize of an event", 12, |hand| {
            hand.made(1);
            let event = hand.some_event();
            Ok(event.synchronize()?)
        }),
        ("proof of an order", 14, |hand| hand.prove_an_order()),
        ("proof of a wait", 10, |hand| hand.prove_a_wait()),
        ("new_event", 10, |hand| hand.new_event()),
        ("wrap", 10, |hand| hand.wrap()),
        ("elapsed", 6, |hand| hand.elapsed()),
        ("per-thread stream", 6, |hand| hand.per_thread()),
        ("object-safe form", 4, |hand| hand.object_safe()),
        ("new_stream", 3, |hand| hand.new_stream()),
        ("foreign stream", 2, |hand| hand.foreign_stream()),
        ("gate", 1, |hand| hand.gate()),
        #[cfg(feature = "plant")]
        ("planted defect", 4, crate::seeded_bug::act),
    ];
}

/// The name of the deed with this number, plus one; 0 is none.
pub(crate) fn name_of<F: Fixture>(doing: u64) -> &'static str {
    let index = usize::try_from(doing).ok().and_then(|doing| doing.checked_sub(1));
    index.and_then(|index| StressOps::<F>::ALL.get(index)).map_or("nothing", |deed| deed.0)
}

impl<'w, F: Fixture> Worker<'w, F> {
    pub(crate) fn new(
        world: &'w SharedHandles<F>,
        seen: &'w Seen,
        seed: u64,
        only: &[String],
    ) -> Result<Self, Verdict> {
        let device = world.device;
        let wanted = |name: &str| only.is_empty() || only.iter().any(|part| name.contains(part));
        let weight = |deed: &StressOp<F>| if wanted(deed.0) { deed.1 } else { 0 };
        let weights: Vec<u32> = StressOps::<F>::ALL.iter().map(weight).collect();
        if weights.iter().all(|&weight| weight == 0) {
            return Err(Verdict::failed(format_args!("no deed has a name like {only:?}")));
        }
        let event = |options| BackendOf::<F>::new_event(device, options);
        let stream = || BackendOf::<F>::new_stream(device, StreamOptions::new());
        let hand = Worker {
            streams: std::iter::repeat_with(stream).take(OWN).collect::<Result<_, _>>()?,
            events: std::iter::repeat_with(|| event(EventOptions::new()))
                .take(OWN)
                .collect::<Result<_, _>>()?,
            timed: [event(EventOptions::timed())?, event(EventOptions::timed())?],
            number: world.fixture.data(device, 0)?,
            rng: fastrand::Rng::with_seed(seed),
            weights,
            made: 0,
            seen,
            world,
        };
        world.counters.events.fetch_add(OWN as u64 + 2, Ordering::Relaxed);
        Ok(hand)
    }

    /// Does things by chance until so many calls were made, or all are to stop. Returns how many.
    pub(crate) fn work(&mut self, calls: u64) -> Outcome {
        let all = StressOps::<F>::ALL;
        let sum: u32 = self.weights.iter().sum();
        let end = self.made + calls;
        while self.made < end && !self.world.counters.is_stopped() {
            let mut pick = self.rng.u32(..sum);
            let index = self.weights.iter().position(|&weight| {
                let here = pick < weight;
                pick = pick.saturating_sub(weight);
                here
            });
            let index = index.unwrap_or(0);
            self.seen.doing.store(index as u64 + 1, Ordering::Relaxed);
            (all[index].2)(self)?;
            self.seen.calls.store(self.made, Ordering::Relaxed);
        }
        self.seen.doing.store(0, Ordering::Relaxed);
        Ok(())
    }

    /// Waits for this thread's own streams.
    pub(crate) fn settle(&self) -> Outcome {
        for stream in &self.streams {
            stream.synchronize()?;
        }
        Ok(BackendOf::<F>::per_thread_stream(self.world.device)?.synchronize()?)
    }

    /// How many calls were made.
    pub(crate) fn calls(&self) -> u64 {
        self.made
    }

    /// Calls were made.
    pub(crate) fn made(&mut self, calls: u64) {
        self.made += calls;
    }

    /// A stream of one's own, one that all threads have, or the default stream.
    pub(crate) fn any(&mut self) -> StreamOf<F> {
        let (own, shared) = (&self.streams, &self.world.streams);
        match self.rng.u8(..8) {
            0 => self.world.default.clone(),
            1..=3 => shared[self.rng.usize(..shared.len())].clone(),
            _ => own[self.rng.usize(..own.len())].clone(),
        }
    }

    /// A stream of one's own.
    pub(crate) fn own(&mut self) -> StreamOf<F> {
        self.streams[self.rng.usize(..OWN)].clone()
    }

    /// An event that no other thread records.
    pub(crate) fn own_event(&mut self) -> &EventOf<F> {
        &self.events[self.rng.usize(..OWN)]
    }

    /// An event of one's own, or one that all threads record.
    fn some_event(&mut self) -> &EventOf<F> {
        let shared = &self.world.events;
        if self.rng.bool() { &shared[self.rng.usize(..shared.len())] } else { self.own_event() }
    }

    fn record(&mut self) -> Outcome {
        self.made(1);
        let stream = self.any();
        Ok(stream.record(self.some_event())?)
    }

    fn wait_event(&mut self) -> Outcome {
        self.made(1);
        let stream = self.any();
        Ok(stream.wait_event(self.some_event())?)
    }

    fn work_on_the_device(&mut self) -> Outcome {
        // Not the default stream, to which not every driver can give this work.
        let shared = &self.world.streams;
        let stream = match self.rng.bool() {
            true => shared[self.rng.usize(..shared.len())].clone(),
            false => self.own(),
        };
        self.made(1);
        let value = self.rng.u32(..);
        self.world.fixture.store(&stream, &self.number, value)
    }

    /// What a stream is, which costs little.
    fn facts(&mut self) -> Outcome {
        let stream = self.any();
        let device = self.world.device;
        check_eq("the device", stream.device(), device)?;
        check(stream.is_same(&stream.clone()) && stream == stream.clone(), "a clone is another")?;
        let mut hasher = DefaultHasher::new();
        stream.hash(&mut hasher);
        std::hint::black_box((hasher.finish(), stream.raw()));
        optional(stream.priority())?;
        optional(stream.id())?;
        optional(stream.capture_status())?;
        optional(BackendOf::<F>::priority_range(device))?;
        BackendOf::<F>::default_stream(device)?;
        self.made(6);
        if self.rng.u8(..16) == 0 {
            std::hint::black_box(format!("{stream:?} {:?}", self.some_event()));
            BackendOf::<F>::devices()?;
            BackendOf::<F>::probe()?;
            self.made(4);
        }
        Ok(())
    }

    /// One of the own events is dropped, whatever it was used for, and another made.
    fn new_event(&mut self) -> Outcome {
        let blocking = EventOptions::builder().blocking(self.rng.bool()).build()?;
        let event = BackendOf::<F>::new_event(self.world.device, blocking)?;
        self.world.counters.events.fetch_add(1, Ordering::Relaxed);
        std::hint::black_box(event.raw());
        self.events[self.rng.usize(..OWN)] = event;
        self.made(2);
        Ok(())
    }

    fn wrap(&mut self) -> Outcome {
        let (stream, device) = (self.any(), self.world.device);
        let raw = stream.raw();
        // SAFETY: `stream` keeps it alive, and nothing is recorded through the wrappers; the device
        // is right.
        let [checked, believed] = unsafe {
            [
                BackendOf::<F>::stream_from_raw(raw, Some(device))?,
                BackendOf::<F>::stream_from_raw_unchecked(raw, device)?,
            ]
        };
        check(checked == stream && believed == stream, "a wrapper of one stream is another")?;
        checked.query()?;
        believed.wait_stream(&stream)?;
        self.made(4);
        Ok(())
    }

    fn elapsed(&mut self) -> Outcome {
        let stream = self.own();
        let [start, end] = &self.timed;
        stream.record(start)?;
        submit(&self.world.counters, &stream, |_| ())?;
        stream.record(end)?;
        end.synchronize()?;
        let milliseconds = end.elapsed_since(start)?;
        self.made(5);
        check(milliseconds >= 0.0, format_args!("{milliseconds} ms between two records"))
    }

    fn per_thread(&mut self) -> Outcome {
        let stream = self.any();
        let mine = BackendOf::<F>::per_thread_stream(self.world.device)?;
        mine.wait_stream(&stream)?;
        submit(&self.world.counters, &mine, |_| ())?;
        let event = mine.record_event()?;
        stream.wait_event(&event)?;
        mine.query()?;
        // Stays when the thread ends.
        let shared = &self.world.events;
        mine.record(&shared[self.rng.usize(..shared.len())])?;
        self.made(7);
        Ok(())
    }

    fn object_safe(&mut self) -> Outcome {
        let Some(backend) = self.world.fixture.dynamic() else { return Ok(()) };
        let [one, other] = [
            backend.new_stream(self.world.device, StreamOptions::new())?,
            backend.default_stream(self.world.device)?,
        ];
        one.wait_stream(&*other)?;
        let event = one.record_event()?;
        other.wait_event(&*event)?;
        event.query()?;
        self.made(6);
        Ok(())
    }

    /// One of the own streams is dropped, with whatever work it has, and another made.
    fn new_stream(&mut self) -> Outcome {
        let fresh = BackendOf::<F>::new_stream(self.world.device, StreamOptions::new())?;
        self.streams[self.rng.usize(..OWN)] = fresh;
        self.made(1);
        Ok(())
    }

    /// A foreign stream comes, is used, and goes with its owner while work and waits are pending.
    fn foreign_stream(&mut self) -> Outcome {
        let (before, after) = (self.any(), self.any());
        let counters = Arc::clone(&self.world.counters);
        let stream = foreign(&self.world.fixture, self.world.device, &counters)?;
        stream.wait_stream(&before)?;
        submit(&counters, &stream, |_| ())?;
        after.wait_stream(&stream)?;
        // Outlives the stream.
        stream.record(self.own_event())?;
        drop(stream);
        after.wait_event(self.own_event())?;
        self.own_event().query()?;
        self.made(7);
        Ok(())
    }

    /// Work that is held back for a moment, so that waits have something to wait for.
    fn gate(&mut self) -> Outcome {
        let (held, other) = (self.own(), self.own());
        let gate = self.world.fixture.gate(&held)?;
        if self.world.fixture.device_backend() == BackendKind::Hip {
            // HIP 5.2 blocks a thread that submits behind too much pending work, and may hold a lock
            // meanwhile that the calls below need: then nobody would open the gate.
            (0..64).for_each(|_| std::thread::yield_now());
            self.world.fixture.open(&gate);
            return Ok(());
        }
        let outcome = (|| {
            submit(&self.world.counters, &held, |_| ())?;
            other.wait_stream(&held)?;
            let event = held.record_event()?;
            check(!event.query()?, "an event behind a shut gate is complete")
        })();
        self.world.fixture.open(&gate);
        self.made(4);
        outcome
    }
}

/// What an optional capability answers, if it is there.
fn optional<T, E: Error>(answer: Result<T, E>) -> Outcome {
    match answer {
        Err(error) if error.kind() != ErrorKind::Unsupported => Err(error)?,
        _ => Ok(()),
    }
}
