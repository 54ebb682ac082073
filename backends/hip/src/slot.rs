//! One event of the runtime, and what keeps the stream of its last record alive: [`State`].
//!
//! A HIP event has a bare pointer to the stream that it was recorded on, and a wait, a query or a
//! synchronize may follow it. So an event shares what keeps that stream alive, until it is recorded
//! elsewhere or dropped; and while one thread gives the event to the runtime, no other may record it
//! on a second stream and so give up the first. A lock is held for each of these calls. None of
//! them blocks: a wait of the host is made of short questions ([`crate::event`]).

use std::sync::Arc;

use gpu_stream_core::{EventOptions, KeepAlive, RawEvent, RawStream};

use crate::driver::capture::Relaxed;
use crate::driver::symbols::Ptr;
use crate::driver::{Driver, loaded};
use crate::thread_end::{End, Life, visit};
use crate::{Hip, host_func};

/// What keeps a stream alive.
#[derive(Clone, Debug)]
pub(crate) enum Keeper {
    /// Its owner, or, if that is nothing, a promise or the device.
    Owner(KeepAlive),
    /// The thread whose default stream it is, which cannot be kept, but visited.
    Thread(Arc<Life>),
}

impl Keeper {
    /// Whether both keep the same, so that one does for the other.
    #[inline]
    fn is_same(&self, other: &Keeper) -> bool {
        match (self, other) {
            (Keeper::Owner(one), Keeper::Owner(other)) => one.is_same(other),
            (Keeper::Thread(one), Keeper::Thread(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

/// The last record of an event.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) stream: RawStream<Hip>,
    pub(crate) keeper: Keeper,
    /// Set if it was made in a capture: which one, if the runtime has numbers for them.
    pub(crate) captured: Option<Option<u64>>,
}

/// An event of the runtime: destroyed, or given to the pool, when this is dropped.
#[derive(Debug)]
pub(crate) struct State {
    device: u32,
    pub(crate) raw: RawEvent<Hip>,
    pub(crate) last: Option<Record>,
    /// Streams to which a record that failed may have moved the runtime's pointer: up to 5.7 it
    /// does.
    doubt: Vec<Keeper>,
    /// Whether somebody else has the handle.
    pub(crate) given_out: bool,
    /// Whether a capture may have it that is not the one of the last record, and writes to it when
    /// it ends. It is not destroyed then.
    left_to_a_capture: bool,
    /// Whether it can go to the pool: not if it has options, or was in a capture.
    pub(crate) for_the_pool: bool,
}

/// What is no longer needed. To be dropped where code of a user may run: it may let an owner go.
#[must_use = "to be dropped where code of a user may run"]
#[derive(Debug, Default)]
#[allow(dead_code, reason = "it is there to be dropped")]
pub(crate) struct Old {
    record: Option<Record>,
    doubt: Vec<Keeper>,
}

impl State {
    #[inline]
    pub(crate) fn new(
        raw: RawEvent<Hip>,
        device: u32,
        options: EventOptions,
        for_the_pool: bool,
    ) -> Self {
        let for_the_pool = for_the_pool && options == EventOptions::new();
        let (last, doubt) = (None, Vec::new());
        let (given_out, left_to_a_capture) = (false, false);
        State { device, raw, last, doubt, given_out, left_to_a_capture, for_the_pool }
    }

    /// Whether the runtime may be asked without more care: the last record was made outside of
    /// captures, if there was one, and what the event points to is kept.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        let is_plain =
            |last: &Record| last.captured.is_none() && matches!(last.keeper, Keeper::Owner(_));
        self.doubt.is_empty() && self.last.as_ref().is_none_or(is_plain)
    }

    /// Whether the last record was made in a capture.
    pub(crate) fn is_captured(&self) -> bool {
        self.last.as_ref().is_some_and(|last| last.captured.is_some())
    }

    /// Calls `call` while whatever stream the runtime's event points to is alive. If that was the
    /// default stream of a thread that has ended: how its work ended; the runtime must not be asked
    /// then.
    #[inline]
    pub(crate) fn visit<T>(&self, call: impl FnOnce() -> T) -> Result<T, End> {
        match &self.last {
            // As good as always: nothing to visit.
            None | Some(Record { keeper: Keeper::Owner(_), .. }) if self.doubt.is_empty() => {
                Ok(call())
            }
            last => {
                let keepers = last.iter().map(|last| &last.keeper).chain(&self.doubt);
                let lives = keepers.filter_map(|keeper| match keeper {
                    Keeper::Thread(life) => Some(&**life),
                    Keeper::Owner(_) => None,
                });
                visit(&mut { lives }, call)
            }
        }
    }

    /// A record was made, outside of captures. `None`: what is kept is what was.
    #[inline]
    pub(crate) fn recorded_outside(
        &mut self,
        stream: RawStream<Hip>,
        keeper: &Keeper,
    ) -> Option<Old> {
        let is_it = |last: &Record| {
            last.captured.is_none() && last.stream == stream && last.keeper.is_same(keeper)
        };
        if self.doubt.is_empty() && self.last.as_ref().is_some_and(is_it) {
            return None;
        }
        Some(self.recorded(Record { stream, keeper: keeper.clone(), captured: None }))
    }

    /// A record was made.
    #[inline]
    pub(crate) fn recorded(&mut self, record: Record) -> Old {
        self.left_to_a_capture |= self.is_captured();
        if record.captured.is_some() {
            self.for_the_pool = false;
        }
        let doubt = std::mem::take(&mut self.doubt);
        Old { record: self.last.replace(record), doubt }
    }

    /// A record, of which nothing is kept, may have been made in a capture.
    #[cold]
    pub(crate) fn taken_by_a_capture(&mut self, driver: &Driver) {
        self.for_the_pool = false;
        self.left_to_a_capture |= driver.captures_keep_destroyed;
    }

    /// The runtime was asked for a record, and refused.
    #[cold]
    pub(crate) fn not_recorded(&mut self, keeper: &Keeper) {
        self.doubt.push(keeper.clone());
    }

    /// Takes out all that keeps streams.
    pub(crate) fn take(&mut self) -> Old {
        let doubt = std::mem::take(&mut self.doubt);
        Old { record: self.last.take(), doubt }
    }

    /// As another, but for the handle.
    pub(crate) fn copy(&mut self, other: &State) {
        (self.last, self.doubt) = (other.last.clone(), other.doubt.clone());
    }
}

impl Drop for State {
    #[inline]
    fn drop(&mut self) {
        // It exists only if the runtime does.
        let Some(driver) = loaded() else { return };
        let left = match driver.events(self.device) {
            // It is recorded anew before it is asked or waited for, and until then the pointer that
            // it has to its old stream is not followed.
            Some(events) if self.for_the_pool && !self.given_out => events.give(self.raw).err(),
            _ if self.is_left_to_a_capture(driver) => None,
            _ => Some(self.raw),
        };
        if left.is_some() || self.has_owner() {
            self.let_go(driver, left);
        }
    }
}

impl State {
    /// Whether it must not be destroyed. HIP's captures have bare pointers to the events that were
    /// recorded in them, and write to those when they end.
    fn is_left_to_a_capture(&self, driver: &Driver) -> bool {
        self.left_to_a_capture || driver.captures_keep_destroyed && self.is_captured()
    }

    /// Destroys the event, if it is given, and lets owners go.
    fn let_go(&mut self, driver: &'static Driver, left: Option<RawEvent<Hip>>) {
        let old = self.take();
        host_func::outside(move || {
            if let Some(raw) = left {
                destroy(driver, raw.as_ptr());
            }
            // Runs code of a user, in the mode that the thread had.
            drop(old);
        });
    }

    #[inline]
    fn has_owner(&self) -> bool {
        let keepers = self.last.iter().map(|record| &record.keeper).chain(&self.doubt);
        keepers.into_iter().any(|keeper| match keeper {
            Keeper::Owner(owner) => owner.is_owned(),
            Keeper::Thread(_) => false,
        })
    }
}

pub(crate) fn destroy(driver: &'static Driver, event: Ptr) {
    // Without it a capture may break; without destroying, the event leaks.
    let _relaxed = Relaxed::enter(driver, "HipEvent::drop").ok();
    // SAFETY: the event is the slot's, and this is its last use. At the end of the process the
    // runtime may be gone, and says so; there is nobody to tell.
    driver.ignore(unsafe { (driver.symbols.event_destroy)(event) });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_failed_keeps_both_streams() {
        let counted = Arc::new(());
        let keeper = || Keeper::Owner(KeepAlive::owner(Arc::clone(&counted)));
        let mut state = State::new(RawEvent::from_bits(8), 0, EventOptions::timed(), false);
        let record =
            || Record { stream: RawStream::from_bits(16), keeper: keeper(), captured: None };
        drop(state.recorded(record()));
        state.not_recorded(&keeper());
        assert_eq!(Arc::strong_count(&counted), 3);
        assert!(!state.is_plain());
        drop(state.recorded(record()));
        assert_eq!(Arc::strong_count(&counted), 2);
        assert!(state.is_plain() && state.visit(|| ()).is_ok());
        drop(state);
        assert_eq!(Arc::strong_count(&counted), 1);
    }

    #[test]
    fn a_record_like_the_last_one_changes_nothing_that_is_kept() {
        let owner = || Keeper::Owner(KeepAlive::owner(Arc::new(())));
        let (one, other, nothing) = (owner(), owner(), Keeper::Owner(KeepAlive::nothing()));
        let (stream, elsewhere) = (RawStream::from_bits(16), RawStream::from_bits(32));
        let mut state = State::new(RawEvent::from_bits(8), 0, EventOptions::timed(), false);
        assert!(state.recorded_outside(stream, &one).is_some());
        assert!(state.recorded_outside(stream, &one.clone()).is_none());
        for (stream, keeper) in
            [(stream, &other), (stream, &nothing), (elsewhere, &nothing), (stream, &one)]
        {
            assert!(state.recorded_outside(stream, keeper).is_some());
            assert!(state.last.as_ref().is_some_and(|last| last.keeper.is_same(keeper)));
        }
        // After a capture, and after a record that failed.
        let captured = Record { stream, keeper: one.clone(), captured: Some(None) };
        drop(state.recorded(captured));
        assert!(!state.is_plain());
        assert!(state.recorded_outside(stream, &one).is_some());
        state.not_recorded(&other);
        assert!(state.recorded_outside(stream, &one).is_some());
        assert!(state.is_plain());
    }
}
