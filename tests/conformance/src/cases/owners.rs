//! Owners that keep what keeps them: an event of their own stream.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::support::*;

/// An owner that keeps events, and makes calls when it ends.
struct Keeper<F: Fixture> {
    watched: Arc<TrackedOwner<F>>,
    events: Mutex<Vec<Arc<EventOf<F>>>>,
    /// A stream to ask when the owner ends.
    other: StreamOf<F>,
}

// SAFETY: the handle is that of the stream inside, which lives as long as this.
unsafe impl<F: Fixture> StreamOwner<F::Backend> for Keeper<F> {
    fn raw_stream(&self) -> <F::Backend as Backend>::RawStream {
        self.watched.raw_stream()
    }
}

impl<F: Fixture> Drop for Keeper<F> {
    fn drop(&mut self) {
        // An answer that is wrong, or that never comes, is for other cases to see, and for the limit.
        let _ = self.other.query();
        let _ = self.other.record_event();
        self.take();
    }
}

impl<F: Fixture> Keeper<F> {
    fn keep(&self, event: Arc<EventOf<F>>) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }

    /// Gives up all events, and returns how many.
    fn take(&self) -> usize {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = std::mem::take(&mut *events);
        drop(events);
        taken.len()
    }
}

/// An owner, what tells of its end, and a wrapper of its stream.
type Kept<F> = (Weak<Keeper<F>>, Watch, StreamOf<F>);

fn kept<F: Fixture>(fx: &F) -> Result<Kept<F>, Verdict> {
    let (watched, watch) = watched(fx, None)?;
    let keeper = Keeper { watched, events: Mutex::default(), other: stream(fx)? };
    let keeper = Arc::new(keeper);
    let weak = Arc::downgrade(&keeper);
    Ok((weak, watch, F::Backend::stream_from_owner(keeper, None)?))
}

/// An owner that keeps an event of its own stream is let go when that event is dropped, or recorded
/// elsewhere.
pub fn owner_that_keeps_its_event<F: Fixture>(fx: &F) -> Outcome {
    for is_recorded_elsewhere in [false, true] {
        let (keeper, watch, stream) = kept(fx)?;
        let event = Arc::new(event(fx)?);
        stream.record(&event)?;
        stream.synchronize()?;
        if let Some(keeper) = keeper.upgrade() {
            keeper.keep(Arc::clone(&event));
        }
        // Now the owner keeps the event, and the event the owner, on backends where it does.
        drop(stream);
        if is_recorded_elsewhere {
            let other = super::support::stream(fx)?;
            other.record(&event)?;
            other.synchronize()?;
            watch.check_gone("the event that it keeps was recorded elsewhere")?;
            check_eq("the status of the event", event.status()?, EventStatus::Complete)?;
        } else {
            drop(event);
            if let Some(keeper) = keeper.upgrade() {
                check_eq("how many events the owner kept", keeper.take(), 1)?;
            }
            watch.check_gone("the event that it kept is dropped")?;
        }
    }
    Ok(())
}

/// An owner that shares the event which kept it may end inside the record that lets it go, and call
/// the backend there.
pub fn owner_goes_inside_a_record<F: Fixture>(fx: &F) -> Outcome {
    let (keeper, watch, stream) = kept(fx)?;
    let (first, second) = (Arc::new(event(fx)?), Arc::new(event(fx)?));
    for event in [&first, &second] {
        stream.record(event)?;
        if let Some(keeper) = keeper.upgrade() {
            keeper.keep(Arc::clone(event));
        }
    }
    stream.synchronize()?;
    drop(stream);
    let (other, gate) = gated(fx)?;
    // The last reference to the owner goes inside the second record.
    other.record(&first)?;
    other.record(&second)?;
    watch.check_gone("both events that it keeps were recorded elsewhere")?;
    for event in [&first, &second] {
        check_eq("the status of the event", event.status()?, EventStatus::Pending)?;
    }
    fx.open(&gate);
    second.synchronize()?;
    check_eq("the status of the event", first.status()?, EventStatus::Complete)
}
