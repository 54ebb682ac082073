//! One thread of the stress test: [`Worker`].

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

use crate::ops::{StressOp, StressOps};
use crate::ordering_checks::submit;
use crate::shared_handles::{SharedHandles, wrap_foreign};

/// Number of private streams, and of private events, of a thread.
const OWN: usize = 3;

/// Progress of a thread, read by the watchdog.
#[derive(Default, Debug)]
#[repr(align(128))]
pub(crate) struct Progress {
    pub(crate) calls: AtomicU64,
    /// Index of the current operation, plus one; 0 is none.
    pub(crate) doing: AtomicU64,
}

/// One thread of the stress test, with its private streams and events.
pub(crate) struct Worker<'w, F: Fixture> {
    pub(crate) handles: &'w SharedHandles<F>,
    pub(crate) rng: fastrand::Rng,
    progress: &'w Progress,
    streams: Vec<StreamOf<F>>,
    events: Vec<EventOf<F>>,
    timed: [EventOf<F>; 2],
    number: F::Data,
    /// Relative frequency of each operation.
    weights: Vec<u32>,
    calls: u64,
}

impl<'w, F: Fixture> Worker<'w, F> {
    /// Creates the streams and events of a thread. `only` filters the operations by name.
    pub(crate) fn new(
        handles: &'w SharedHandles<F>,
        progress: &'w Progress,
        seed: u64,
        only: &[String],
    ) -> Result<Self, Verdict> {
        let device = handles.device;
        let is_selected =
            |name: &str| only.is_empty() || only.iter().any(|part| name.contains(part));
        let weight = |op: &StressOp<F>| if is_selected(op.0) { op.1 } else { 0 };
        let weights: Vec<u32> = StressOps::<F>::ALL.iter().map(weight).collect();
        if weights.iter().all(|&weight| weight == 0) {
            return Err(Verdict::failed(format_args!(
                "no operation has a name that contains one of {only:?}; pass another `--only`"
            )));
        }
        let event = |options| BackendOf::<F>::new_event(device, options);
        let stream = || BackendOf::<F>::new_stream(device, StreamOptions::new());
        let worker = Worker {
            streams: std::iter::repeat_with(stream).take(OWN).collect::<Result<_, _>>()?,
            events: std::iter::repeat_with(|| event(EventOptions::new()))
                .take(OWN)
                .collect::<Result<_, _>>()?,
            timed: [event(EventOptions::timed())?, event(EventOptions::timed())?],
            number: handles.fixture.data(device, 0)?,
            rng: fastrand::Rng::with_seed(seed),
            weights,
            calls: 0,
            progress,
            handles,
        };
        handles.counters.events.fetch_add(OWN as u64 + 2, Ordering::Relaxed);
        Ok(worker)
    }

    /// Runs random operations until `calls` more calls were made, or all threads must stop.
    pub(crate) fn work(&mut self, calls: u64) -> Outcome {
        let all = StressOps::<F>::ALL;
        let sum: u32 = self.weights.iter().sum();
        let end = self.calls + calls;
        while self.calls < end && !self.handles.counters.is_stopped() {
            let mut pick = self.rng.u32(..sum);
            let index = self.weights.iter().position(|&weight| {
                let here = pick < weight;
                pick = pick.saturating_sub(weight);
                here
            });
            let index = index.unwrap_or(0);
            self.progress.doing.store(index as u64 + 1, Ordering::Relaxed);
            (all[index].2)(self)?;
            self.progress.calls.store(self.calls, Ordering::Relaxed);
        }
        self.progress.doing.store(0, Ordering::Relaxed);
        Ok(())
    }

    /// Waits for this thread's private streams and its per-thread stream.
    pub(crate) fn settle(&self) -> Outcome {
        for stream in &self.streams {
            stream.synchronize()?;
        }
        match BackendOf::<F>::per_thread_stream(self.handles.device) {
            Err(error) if error.kind() == ErrorKind::Unsupported => Ok(()),
            own => Ok(own?.synchronize()?),
        }
    }

    /// Returns the number of calls so far.
    pub(crate) fn calls(&self) -> u64 {
        self.calls
    }

    /// Adds `calls` to the number of calls.
    pub(crate) fn count_calls(&mut self, calls: u64) {
        self.calls += calls;
    }

    /// Returns a random stream: private, shared, or the default stream.
    pub(crate) fn any_stream(&mut self) -> StreamOf<F> {
        let (own, shared) = (&self.streams, &self.handles.streams);
        match self.rng.u8(..8) {
            0 => self.handles.default.clone(),
            1..=3 => shared[self.rng.usize(..shared.len())].clone(),
            _ => own[self.rng.usize(..own.len())].clone(),
        }
    }

    /// Returns a random private stream.
    pub(crate) fn own_stream(&mut self) -> StreamOf<F> {
        self.streams[self.rng.usize(..OWN)].clone()
    }

    /// Returns a random private event, which no other thread records.
    pub(crate) fn own_event(&mut self) -> &EventOf<F> {
        &self.events[self.rng.usize(..OWN)]
    }

    /// Returns a random event: private or shared.
    pub(crate) fn any_event(&mut self) -> &EventOf<F> {
        let shared = &self.handles.events;
        if self.rng.bool() { &shared[self.rng.usize(..shared.len())] } else { self.own_event() }
    }

    /// Records a random event on a random stream.
    pub(crate) fn record(&mut self) -> Outcome {
        self.count_calls(1);
        let stream = self.any_stream();
        Ok(stream.record(self.any_event())?)
    }

    /// Makes a random stream wait for a random event.
    pub(crate) fn wait_event(&mut self) -> Outcome {
        self.count_calls(1);
        let stream = self.any_stream();
        Ok(stream.wait_event(self.any_event())?)
    }

    /// Submits work of the device.
    pub(crate) fn device_work(&mut self) -> Outcome {
        // Not the default stream: not every driver accepts this work there.
        let shared = &self.handles.streams;
        let stream = match self.rng.bool() {
            true => shared[self.rng.usize(..shared.len())].clone(),
            false => self.own_stream(),
        };
        self.count_calls(1);
        let value = self.rng.u32(..);
        self.handles.fixture.store(&stream, &self.number, value)
    }

    /// Reads the cheap properties of a stream, and now and then those of the backend.
    pub(crate) fn properties(&mut self) -> Outcome {
        let stream = self.any_stream();
        let device = self.handles.device;
        check_eq(stream.device(), device, "the device")?;
        check(
            stream.is_same(&stream.clone()) && stream == stream.clone(),
            "a clone is not equal to its stream",
        )?;
        let mut hasher = DefaultHasher::new();
        stream.hash(&mut hasher);
        std::hint::black_box((hasher.finish(), stream.raw()));
        optional(stream.priority())?;
        optional(stream.id())?;
        optional(stream.capture_status())?;
        optional(BackendOf::<F>::priority_range(device))?;
        optional(BackendOf::<F>::default_stream(device))?;
        self.count_calls(6);
        if self.rng.u8(..16) == 0 {
            std::hint::black_box(format!("{stream:?} {:?}", self.any_event()));
            BackendOf::<F>::devices()?;
            BackendOf::<F>::probe()?;
            self.count_calls(4);
        }
        Ok(())
    }

    /// Replaces a private event, whatever it was used for.
    pub(crate) fn new_event(&mut self) -> Outcome {
        let blocking = EventOptions::builder().blocking(self.rng.bool()).build()?;
        let event = BackendOf::<F>::new_event(self.handles.device, blocking)?;
        self.handles.counters.events.fetch_add(1, Ordering::Relaxed);
        std::hint::black_box(event.raw());
        self.events[self.rng.usize(..OWN)] = event;
        self.count_calls(2);
        Ok(())
    }

    /// Wraps the raw handle of a random stream, with and without the check.
    pub(crate) fn wrap(&mut self) -> Outcome {
        let (stream, device) = (self.any_stream(), self.handles.device);
        let raw = stream.raw();
        // SAFETY: `stream` keeps the stream of `raw` alive, nothing is recorded through the wrappers, and
        // the stream belongs to `device`.
        let [checked, unchecked] = unsafe {
            [
                BackendOf::<F>::stream_from_raw(raw, Some(device))?,
                BackendOf::<F>::stream_from_raw_unchecked(raw, device)?,
            ]
        };
        check(checked == stream && unchecked == stream, "a wrapper is not equal to its stream")?;
        checked.query()?;
        unchecked.wait_stream(&stream)?;
        self.count_calls(4);
        Ok(())
    }

    /// Measures the time between two records.
    pub(crate) fn elapsed(&mut self) -> Outcome {
        let stream = self.own_stream();
        let [start, end] = &self.timed;
        stream.record(start)?;
        submit(&self.handles.counters, &stream, |_| ())?;
        stream.record(end)?;
        end.synchronize()?;
        let milliseconds = end.elapsed_since(start)?;
        self.count_calls(5);
        check(milliseconds >= 0.0, format_args!("{milliseconds} ms between two records"))
    }

    /// Uses the per-thread stream of this thread.
    pub(crate) fn per_thread(&mut self) -> Outcome {
        let stream = self.any_stream();
        let mine = match BackendOf::<F>::per_thread_stream(self.handles.device) {
            Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(()),
            mine => mine?,
        };
        mine.wait_stream(&stream)?;
        submit(&self.handles.counters, &mine, |_| ())?;
        let event = mine.record_event()?;
        stream.wait_event(&event)?;
        mine.query()?;
        // The record outlives the thread.
        let shared = &self.handles.events;
        mine.record(&shared[self.rng.usize(..shared.len())])?;
        self.count_calls(7);
        Ok(())
    }

    /// Makes calls through the object-safe form of the backend.
    pub(crate) fn object_safe(&mut self) -> Outcome {
        let Some(backend) = self.handles.fixture.dynamic() else { return Ok(()) };
        let one = backend.new_stream(self.handles.device, StreamOptions::new())?;
        let other = match backend.default_stream(self.handles.device) {
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                backend.new_stream(self.handles.device, StreamOptions::new())?
            }
            default => default?,
        };
        one.wait_stream(&*other)?;
        let event = one.record_event()?;
        other.wait_event(&*event)?;
        event.query()?;
        self.count_calls(6);
        Ok(())
    }

    /// Replaces a private stream, whatever work is pending on it.
    pub(crate) fn new_stream(&mut self) -> Outcome {
        let fresh = BackendOf::<F>::new_stream(self.handles.device, StreamOptions::new())?;
        self.streams[self.rng.usize(..OWN)] = fresh;
        self.count_calls(1);
        Ok(())
    }

    /// Wraps and uses a foreign stream, and drops it with its owner while work and waits are pending.
    pub(crate) fn foreign_stream(&mut self) -> Outcome {
        let (before, after) = (self.any_stream(), self.any_stream());
        let counters = Arc::clone(&self.handles.counters);
        let stream = wrap_foreign(&self.handles.fixture, self.handles.device, &counters)?;
        stream.wait_stream(&before)?;
        submit(&counters, &stream, |_| ())?;
        after.wait_stream(&stream)?;
        // The record outlives the wrapper.
        stream.record(self.own_event())?;
        drop(stream);
        after.wait_event(self.own_event())?;
        self.own_event().query()?;
        self.count_calls(7);
        Ok(())
    }

    /// Holds work back for a moment, so that waits find pending work.
    pub(crate) fn gate(&mut self) -> Outcome {
        let (held, other) = (self.own_stream(), self.own_stream());
        let gate = self.handles.fixture.gate(&held)?;
        if self.handles.fixture.device_backend() == BackendKind::Hip {
            // HIP 5.2 blocks a submission if too much work is pending, and can hold a lock meanwhile that
            // the calls below need. Then this thread could not open the gate.
            (0..64).for_each(|_| std::thread::yield_now());
            self.handles.fixture.open(&gate);
            return Ok(());
        }
        let outcome = (|| {
            submit(&self.handles.counters, &held, |_| ())?;
            other.wait_stream(&held)?;
            let event = held.record_event()?;
            check(!event.query()?, "an event after a closed gate is complete")
        })();
        self.handles.fixture.open(&gate);
        self.count_calls(4);
        outcome
    }
}

/// Accepts a result of an optional capability: a value, or `Unsupported`.
fn optional<T, E: Error>(result: Result<T, E>) -> Outcome {
    match result {
        Err(error) if error.kind() != ErrorKind::Unsupported => Err(error)?,
        _ => Ok(()),
    }
}
