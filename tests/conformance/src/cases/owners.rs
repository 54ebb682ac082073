//! Reference cycles: owners that keep an event of their own stream.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::support::*;

/// An owner that keeps events, and calls the backend when it is dropped.
struct CyclicOwner<F: Fixture> {
    watched: Arc<TrackedOwner<F>>,
    events: Mutex<Vec<Arc<EventOf<F>>>>,
    /// A stream to query when the owner is dropped.
    other: StreamOf<F>,
}

// SAFETY: the handle is that of the stream inside, which lives as long as `self`.
unsafe impl<F: Fixture> StreamOwner<F::Backend> for CyclicOwner<F> {
    fn raw_stream(&self) -> <F::Backend as Backend>::RawStream {
        self.watched.raw_stream()
    }
}

impl<F: Fixture> Drop for CyclicOwner<F> {
    fn drop(&mut self) {
        // Other cases check the answers, and the time limit catches a call that never returns.
        let _ = self.other.query();
        let _ = self.other.record_event();
        self.take();
    }
}

impl<F: Fixture> CyclicOwner<F> {
    fn keep(&self, event: Arc<EventOf<F>>) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }

    /// Drops all events, and returns how many there were.
    fn take(&self) -> usize {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = std::mem::take(&mut *events);
        drop(events);
        taken.len()
    }
}

/// An owner, the observer of its drop, and a wrapper of its stream.
type OwnerParts<F> = (Weak<CyclicOwner<F>>, DropObserver, StreamOf<F>);

fn owner_parts<F: Fixture>(fx: &F) -> Result<OwnerParts<F>, Verdict> {
    let (watched, watch) = watched(fx, None)?;
    let owner = CyclicOwner { watched, events: Mutex::default(), other: stream(fx)? };
    let owner = Arc::new(owner);
    let weak = Arc::downgrade(&owner);
    Ok((weak, watch, F::Backend::stream_from_owner(owner, None)?))
}

/// Checks that an owner that keeps an event of its own stream is dropped when that event is
/// dropped, or recorded on another stream.
pub fn owner_that_keeps_its_event<F: Fixture>(fx: &F) -> Outcome {
    for is_recorded_elsewhere in [false, true] {
        let (owner, watch, stream) = owner_parts(fx)?;
        let event = Arc::new(event(fx)?);
        stream.record(&event)?;
        stream.synchronize()?;
        if let Some(owner) = owner.upgrade() {
            owner.keep(Arc::clone(&event));
        }
        // Now the owner keeps the event, and the event the owner, on backends where it does.
        drop(stream);
        if is_recorded_elsewhere {
            let other = super::support::stream(fx)?;
            other.record(&event)?;
            other.synchronize()?;
            watch.check_gone("the event that it keeps was recorded elsewhere")?;
            check_eq(event.status()?, EventStatus::Complete, "the status of the event")?;
        } else {
            drop(event);
            if let Some(owner) = owner.upgrade() {
                check_eq(owner.take(), 1, "how many events the owner kept")?;
            }
            watch.check_gone("the event that it kept is dropped")?;
        }
    }
    Ok(())
}

/// Checks that an owner shares the event that keeps it. It may be dropped inside the record that
/// releases it, and may call the backend there.
pub fn owner_is_dropped_inside_a_record<F: Fixture>(fx: &F) -> Outcome {
    let (owner, watch, stream) = owner_parts(fx)?;
    let (first, second) = (Arc::new(event(fx)?), Arc::new(event(fx)?));
    for event in [&first, &second] {
        stream.record(event)?;
        if let Some(owner) = owner.upgrade() {
            owner.keep(Arc::clone(event));
        }
    }
    stream.synchronize()?;
    drop(stream);
    let (other, gate) = gated(fx)?;
    // The last reference to the owner is dropped inside the second record.
    other.record(&first)?;
    other.record(&second)?;
    watch.check_gone("both events that it keeps were recorded elsewhere")?;
    for event in [&first, &second] {
        check_eq(event.status()?, EventStatus::Pending, "the status of the event")?;
    }
    fx.open(&gate);
    second.synchronize()?;
    check_eq(first.status()?, EventStatus::Complete, "the status of the event")
}
