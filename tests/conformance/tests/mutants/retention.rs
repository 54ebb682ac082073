//! The faults of the mutants in retained values: a small reclaimer without batches, which the mutations break.

use std::mem::{forget, take};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};
use std::thread;

use gpu_stream_conformance::retention::{BoxedReclaimer, Retention, Value};
use gpu_stream_core::{Backend, Error, ErrorKind, Event, EventStatus, Stream};
use gpu_stream_retain::{Collected, Reclaimer, Refused, release_on};

use crate::backend::Mutant;
use crate::capture;
use crate::error::MutantError;
use crate::event::{MutantEvent, lock};
use crate::mutation::{Mutation, current, on};
use crate::stream::MutantStream;

type Refusal = Result<(), Refused<Value, MutantError>>;

/// Returns the library's reclaimer, or one with the current mutation's fault if it is about reclaimers.
pub fn reclaimer() -> Arc<dyn Retention<Mutant>> {
    let is_about_reclaimers =
        current().is_some_and(|mutation| mutation.breaks().id.starts_with('K'));
    if is_about_reclaimers { Arc::new(Faulty::default()) } else { Arc::new(BoxedReclaimer::new()) }
}

/// A value, its streams, and one mark for each of them.
struct Item {
    value: Value,
    streams: Vec<MutantStream>,
    marks: Vec<MutantEvent>,
}

impl Item {
    fn is_done(&self) -> Result<bool, MutantError> {
        let marks = match current() {
            Some(Mutation::ValueDroppedEarly) => return Ok(true),
            Some(Mutation::FirstStreamKeeps) => &self.marks[..1],
            _ => &self.marks[..],
        };
        for mark in marks {
            match mark.status() {
                Ok(EventStatus::Complete) => {}
                Ok(_) => return Ok(false),
                Err(_) if on(Mutation::DroppedOnAFault) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

#[derive(Default)]
struct Faulty {
    items: Mutex<Vec<Item>>,
    /// Held while values are dropped, by the mutant that does so.
    dropping: Mutex<()>,
}

impl Faulty {
    fn refuse(value: Value, error: MutantError) -> Refusal {
        if on(Mutation::RefusedValueIsDropped) {
            drop(value);
            return Err(Refused::new(Box::new(()), error));
        }
        Err(Refused::new(value, error))
    }

    /// Returns the new value's marks.
    fn marks(&self, streams: &[MutantStream]) -> Result<Vec<MutantEvent>, MutantError> {
        if on(Mutation::MarkedBeforeTheValue)
            && let Some(before) = lock(&self.items).last()
        {
            return Ok(before.marks.clone());
        }
        streams.iter().map(|stream| stream.record_event()).collect()
    }

    /// Takes the items that are done, the oldest first.
    fn take_done(&self) -> (Vec<Item>, Result<(), MutantError>) {
        let mut items = lock(&self.items);
        if on(Mutation::NewestMarkIsAsked)
            && matches!(items.last().map(Item::is_done), Some(Ok(false)))
        {
            return (Vec::new(), Ok(()));
        }
        let (mut done, mut kept, mut outcome) = (Vec::new(), Vec::new(), Ok(()));
        for mut item in take(&mut *items) {
            match item.is_done() {
                Ok(true) => done.push(item),
                Ok(false) => {
                    if on(Mutation::MarkedAgain) {
                        for (stream, mark) in item.streams.iter().zip(&mut item.marks) {
                            outcome = outcome.and(stream.record(mark));
                        }
                    }
                    kept.push(item);
                }
                Err(error) => {
                    let is_capture = error.kind() == ErrorKind::Capturing;
                    outcome = outcome.and(if is_capture { Ok(()) } else { Err(error) });
                    kept.push(item);
                }
            }
        }
        *items = kept;
        if on(Mutation::DroppedInReverse) {
            done.reverse();
        }
        (done, outcome)
    }

    fn drop_all(&self, items: Vec<Item>) -> usize {
        let _held = on(Mutation::DroppedUnderTheLock).then(|| lock(&self.dropping));
        let (mut count, mut first) = (0, None);
        for item in items {
            if first.is_some() && on(Mutation::DropPanicLosesTheRest) {
                forget(item);
                continue;
            }
            count += 1;
            if on(Mutation::OwnerIsKept) {
                forget(item.streams);
            }
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(item.value))) {
                first.get_or_insert(panic);
            }
        }
        match first {
            Some(panic) if !on(Mutation::DropPanicIsHidden) => resume_unwind(panic),
            _ => count,
        }
    }
}

/// Returns `streams`, or with the mutation wrappers of them without an owner.
fn keep_streams(streams: Vec<MutantStream>) -> Result<Vec<MutantStream>, MutantError> {
    if !on(Mutation::OwnerIsForgotten) {
        return Ok(streams);
    }
    let bare = |stream: &MutantStream| {
        // SAFETY: nothing keeps the stream alive, which is the mutation's fault. The host backend detects a handle that
        // was destroyed.
        unsafe { Mutant::stream_from_raw(stream.raw(), Some(stream.device())) }
    };
    streams.iter().map(bare).collect()
}

impl Retention<Mutant> for Faulty {
    fn retain(&self, value: Value, streams: &[&MutantStream]) -> Refusal {
        let streams: Vec<_> = streams.iter().map(|stream| (*stream).clone()).collect();
        for stream in &streams {
            if let Some(captured) = capture::of(stream.bits()) {
                match current() {
                    Some(Mutation::CapturedStreamTakesValues) => {
                        forget(value);
                        return Ok(());
                    }
                    Some(Mutation::CaptureIsAskedOnce) if self.pending() > 0 => {
                        forget(value);
                        return Ok(());
                    }
                    Some(Mutation::RetainBreaksCaptures) => capture::break_one(captured),
                    _ => {}
                }
            }
            if let Err(error) = stream.query() {
                return Self::refuse(value, error);
            }
        }
        if on(Mutation::DroppedByTheStream)
            && let Some(stream) = streams.first()
        {
            let launched = stream.launch_host_func(Box::new(move || drop(value)));
            return launched.map_err(|error| Refused::new(Box::new(()) as Value, error));
        }
        let streams = match keep_streams(streams) {
            Ok(streams) => streams,
            Err(error) => return Self::refuse(value, error),
        };
        match self.marks(&streams) {
            Ok(marks) => {
                lock(&self.items).push(Item { value, streams, marks });
                Ok(())
            }
            Err(error) => Self::refuse(value, error),
        }
    }

    fn collect(&self) -> Result<Collected, MutantError> {
        let (done, outcome) = self.take_done();
        let mut collected = Collected::default();
        collected.dropped = self.drop_all(done);
        collected.pending = self.pending();
        outcome.map(|()| collected)
    }

    fn drain(&self) -> Result<(), MutantError> {
        let marks: Vec<_> = lock(&self.items).iter().flat_map(|item| item.marks.clone()).collect();
        let outcome = match current() {
            Some(Mutation::DrainReturns) => Ok(()),
            _ => marks.iter().try_for_each(Event::synchronize),
        };
        self.collect().map(drop).and(outcome)
    }

    fn pending(&self) -> usize {
        let _held = on(Mutation::DroppedUnderTheLock).then(|| lock(&self.dropping));
        lock(&self.items).len()
    }

    fn abandon(self: Arc<Self>) -> Option<Vec<Value>> {
        let items = take(&mut *lock(&self.items));
        let skipped = usize::from(on(Mutation::AbandonLosesValues));
        Some(items.into_iter().skip(skipped).map(|item| item.value).collect())
    }

    fn release_on(&self, home: &MutantStream, users: &[MutantStream], value: Value) -> Refusal {
        let users = match current() {
            Some(Mutation::ReleaseForgetsTheLast) => &users[..users.len().saturating_sub(1)],
            _ => users,
        };
        if on(Mutation::ReleasedValueIsKept) {
            // A panic of the destructor stays on that thread.
            let _ = thread::spawn(move || drop(value)).join();
            return Ok(());
        }
        release_on(home, users, value)
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        for item in take(&mut *lock(&self.items)) {
            if on(Mutation::DroppedReclaimerDrops) {
                drop(item);
                continue;
            }
            // The reclaimer of the process has it from here on.
            let heir = Reclaimer::<Mutant>::process_wide();
            let streams: Vec<_> = item.streams.iter().collect();
            if let Err(refused) = heir.retain(item.value, &streams) {
                forget(refused.into_value());
            }
        }
    }
}
