//! What an event is at the moment, and how records change it: [`EventInner`].
//!
//! No lock is held across a record, so records in place (of a handle that stays) may overlap. The
//! runtime then makes them in one order, and they may be noted here in another. So records are
//! numbered as they are noted, and each knows how many had been when it [began](EventInner::begin): those
//! are over, and it replaces them. Of any other the event keeps the stream as a [`Doubt`].
//!
//! The doubts are few. Of two records that did not overlap the earlier one is replaced for certain, so
//! what is left are records that were made at the same time as the last one that began, one of each
//! thread at most, and those that failed since then, once for each owner.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::record::ReplacedRecord;
use crate::owned_event::{DeferredDrop, Doubt, EventRef, Record, Stand, StreamKeepAlive};

/// What an event is at the moment. Locked for reads and changes of these fields only, and never across
/// a call of the runtime or code of a user.
#[derive(Debug)]
pub(super) struct EventInner {
    pub(super) now: Stand,
    /// For the next record.
    pub(super) spare: Option<EventRef>,
    /// What records in place have replaced, while calls are inside the runtime with the handle.
    pub(super) retired: Vec<DeferredDrop>,
    /// What those share who synchronize, and wait for the current record.
    pub(super) pin: Option<Arc<WaitTarget>>,
    /// Pins that a record in place has found, and that have no mark yet.
    unmarked: Vec<Arc<WaitTarget>>,
    /// How many records were noted, failed ones included.
    noted: u64,
    /// The number of the record in `now.last`.
    number: u64,
}

/// Where those who synchronize find what they wait for, once the handle was recorded anew in place: a
/// *mark*, an event of their own that stands for the earlier record.
#[derive(Debug, Default)]
pub(super) struct WaitTarget(Mutex<Option<Stand>>);

impl WaitTarget {
    fn lock(&self) -> MutexGuard<'_, Option<Stand>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the mark, if there is one.
    pub(super) fn marker(&self) -> Option<Stand> {
        self.lock().clone()
    }

    /// Stores the mark, unless there is one. A second mark may stand for a later record.
    pub(super) fn set_mark(&self, marker: &Stand) {
        self.lock().get_or_insert_with(|| marker.clone());
    }
}

impl Drop for WaitTarget {
    fn drop(&mut self) {
        if let Some(marker) = self.lock().as_mut() {
            marker.discard_keepers();
        }
    }
}

/// How many records had been noted when a record began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun(u64);

impl EventInner {
    #[inline]
    pub(super) fn of(now: Stand) -> Self {
        let (spare, pin, retired, unmarked) = (None, None, Vec::new(), Vec::new());
        EventInner { now, spare, retired, pin, unmarked, noted: 0, number: 0 }
    }

    /// Begins a record. The runtime is asked for it after this.
    #[inline]
    pub(super) fn begin(&self) -> Begun {
        Begun(self.noted)
    }

    #[inline]
    fn next_number(&mut self) -> u64 {
        self.noted += 1;
        self.noted
    }

    /// Takes what may be dropped, if no call has the handle any more.
    #[inline]
    pub(super) fn take_retired(&mut self) -> Vec<DeferredDrop> {
        if self.retired.is_empty() || !self.now.handle.is_only() {
            return Vec::new();
        }
        std::mem::take(&mut self.retired)
    }

    /// Returns the pins that have no mark and that threads wait for, to give them one. Threads that
    /// synchronize from now on get another pin: the mark may be older than what they have to wait for.
    ///
    /// They stay with the event until they are [`marked`](Self::marked). So a mark that could not be
    /// made is made by the next record, and a record that begins meanwhile makes one, too.
    pub(super) fn close_pins(&mut self) -> Vec<Arc<WaitTarget>> {
        self.unmarked.extend(self.pin.take());
        self.unmarked.retain(|pin| Arc::strong_count(pin) > 1);
        self.unmarked.clone()
    }

    /// Notes that these pins have a mark.
    pub(super) fn marked(&mut self, pins: &[Arc<WaitTarget>]) {
        self.unmarked.retain(|pin| !pins.iter().any(|marked| Arc::ptr_eq(pin, marked)));
    }

    /// Returns the handle if it was never recorded and no call has it. While it is recorded, the event
    /// goes on to be unrecorded, which asks the runtime nothing.
    #[inline]
    pub(super) fn unrecorded(&mut self) -> Option<EventRef> {
        let is_new = self.now.is_unrecorded() && self.now.handle.is_only();
        is_new.then(|| self.now.handle.clone())
    }

    /// Keeps a handle whose record failed for the next one. Returns what is left over.
    #[cold]
    pub(super) fn record_failed(
        &mut self,
        handle: EventRef,
        keeper: &StreamKeepAlive,
    ) -> Option<EventRef> {
        if handle.is_same(&self.now.handle) {
            // Not the last share.
            drop(handle);
            self.failed_in_place(keeper);
            return None;
        }
        self.spare.replace(handle)
    }

    /// Puts a new record in the place of the current one.
    ///
    /// # Errors
    /// The new handle, if the current one has to stay and is another.
    #[inline]
    pub(super) fn replace(
        &mut self,
        handle: EventRef,
        begun: Begun,
        last: Record,
    ) -> Result<ReplacedRecord, EventRef> {
        if self.now.handle.is_fixed() {
            if handle.is_same(&self.now.handle) {
                // Given out meanwhile.
                drop(handle);
                self.recorded_in_place(begun, last);
                let retired = self.take_retired();
                return Ok(ReplacedRecord { retired, ..ReplacedRecord::default() });
            }
            return Err(handle);
        }
        // Those who synchronize have the handle that they wait for.
        self.pin = None;
        self.number = self.next_number();
        // A share that is not the last needs no care.
        let is_same = |old: &Record| old.keeper.is_same(&last.keeper);
        let old = self.now.last.take().filter(|old| !is_same(old));
        self.now.last = Some(last);
        let possibly_referenced = std::mem::take(&mut self.now.possibly_referenced);
        let mut replaced =
            ReplacedRecord { last: old, possibly_referenced, ..ReplacedRecord::default() };
        if handle.is_same(&self.now.handle) {
            // The first record of the event.
            drop(handle);
            return Ok(replaced);
        }
        let mut old = std::mem::replace(&mut self.now.handle, handle);
        if self.spare.is_none() && old.is_only() && old.is_reusable() {
            self.spare = Some(old);
        } else {
            replaced.handle = Some(old);
        }
        Ok(replaced)
    }

    /// Notes a record of the handle that stays. What it has replaced is kept until no call has the
    /// handle, since those that have it may follow the pointer to the earlier stream, or to the new.
    #[cold]
    pub(super) fn recorded_in_place(&mut self, Begun(begun): Begun, last: Record) {
        if last.captured.is_some() {
            self.now.handle.mark_captured();
        }
        self.hold_for_calls(&last.keeper);
        let number = self.next_number();
        let replaced_number = std::mem::replace(&mut self.number, number);
        let is_overlapped = replaced_number > begun;
        // If records overlapped, the runtime may have made the one in the capture first.
        if self.now.is_captured() || is_overlapped && !self.now.handle.is_free_of_captures() {
            self.now.handle.leaked_to_capture();
        }
        let possibly_referenced = std::mem::take(&mut self.now.possibly_referenced);
        let (over, open): (Vec<_>, Vec<_>) = possibly_referenced
            .into_iter()
            .partition(|possibly_referenced| possibly_referenced.number <= begun);
        self.now.possibly_referenced = open;
        over.into_iter().for_each(|possibly_referenced| self.retire(possibly_referenced.keeper));
        let is_alike = |old: &Record| old.stream == last.stream && old.keeper.is_same(&last.keeper);
        let old = self.now.last.replace(last.clone());
        match old {
            Some(old) if is_overlapped && !is_alike(&old) => {
                self.possibly_referenced(old.keeper, replaced_number);
            }
            Some(old) => self.retire(old.keeper),
            None => {}
        }
    }

    /// Notes that a record of the handle failed. Up to 5.7 it has moved the runtime's pointer.
    #[cold]
    pub(super) fn failed_in_place(&mut self, keeper: &StreamKeepAlive) {
        self.hold_for_calls(keeper);
        let number = self.next_number();
        self.possibly_referenced(keeper.clone(), number);
    }

    /// Has the end of the thread wait for the calls that have the handle, if the stream is the default
    /// one of a thread: they began before they could visit it.
    fn hold_for_calls(&mut self, keeper: &StreamKeepAlive) {
        if let StreamKeepAlive::PerThread(life) = keeper
            && !self.now.handle.is_only()
        {
            self.retired.extend(life.hold().map(DeferredDrop::RundownGuard));
        }
    }

    /// Keeps a stream that the runtime's event may point to. An owner that is kept already is kept once.
    fn possibly_referenced(&mut self, keeper: StreamKeepAlive, number: u64) {
        match self.now.possibly_referenced.iter_mut().find(|known| known.keeper.is_same(&keeper)) {
            Some(known) => known.number = known.number.max(number),
            None => self.now.possibly_referenced.push(Doubt { keeper, number }),
        }
    }

    /// Keeps what was replaced until no call has the handle.
    fn retire(&mut self, keeper: StreamKeepAlive) {
        let is_it = |known: &DeferredDrop| matches!(known, DeferredDrop::StreamKeepAlive(known) if known.is_same(&keeper));
        if keeper.is_owner() && !self.retired.iter().any(is_it) {
            self.retired.push(DeferredDrop::StreamKeepAlive(keeper));
        }
    }
}

#[cfg(test)]
mod tests {
    use gpu_stream_core::{KeepAlive, RawEvent, RawStream};

    use super::*;
    use crate::owned_event::{CapturedRecord, OwnedEvent};
    use crate::thread_exit::Rundown;

    /// The owner of a stream, and a record of it with this handle.
    fn record(bits: usize) -> (Arc<usize>, Record) {
        let owner = Arc::new(bits);
        let keeper = StreamKeepAlive::Owner(KeepAlive::owner(Arc::clone(&owner)));
        (owner, Record { stream: RawStream::from_bits(bits), keeper, captured: None })
    }

    fn is_kept(owner: &Arc<usize>) -> bool {
        Arc::strong_count(owner) > 1
    }

    /// An event whose handle others have.
    fn place() -> EventInner {
        let handle = OwnedEvent::new(RawEvent::from_bits(8), 0, false);
        handle.give_out();
        EventInner::of(Stand::new(handle, None))
    }

    fn end(place: &mut EventInner, begun: Begun, last: Record) {
        place.recorded_in_place(begun, last);
        drop(place.take_retired());
    }

    #[test]
    fn records_that_overlapped_keep_both_streams_whichever_was_noted_last() {
        for first_is_noted_first in [false, true] {
            let mut place = place();
            let ((before, of_before), (one, of_one), (other, of_other)) =
                (record(16), record(32), record(48));
            let begun = place.begin();
            end(&mut place, begun, of_before);
            let both = (place.begin(), place.begin());
            let (first, second) =
                if first_is_noted_first { (of_one, of_other) } else { (of_other, of_one) };
            end(&mut place, both.0, first);
            assert!(!is_kept(&before), "both records began when it was over");
            end(&mut place, both.1, second);
            assert!(is_kept(&one) && is_kept(&other) && !place.now.can_query_directly());
            // One that begins when all are over replaces them.
            let (begun, (last, of_last)) = (place.begin(), record(64));
            end(&mut place, begun, of_last);
            assert!(is_kept(&last) && !is_kept(&one) && !is_kept(&other));
            assert!(place.now.can_query_directly());
        }
    }

    #[test]
    fn records_without_an_end_to_overlaps_keep_as_many_streams_as_overlap() {
        let (mut place, mut owners) = (place(), Vec::new());
        let mut begun = place.begin();
        for round in 0..100 {
            // The next record begins before the one before it is noted.
            let next = place.begin();
            let (owner, last) = record(16 + round);
            end(&mut place, begun, last);
            owners.push(owner);
            assert!(owners.iter().filter(|owner| is_kept(owner)).count() <= 3);
            begun = next;
        }
        // And one that lasts as long as all others.
        let long = place.begin();
        for round in 0..100 {
            let (owner, last) = record(1_016 + round);
            let begun = place.begin();
            end(&mut place, begun, last);
            owners.push(owner);
            assert!(owners.iter().filter(|owner| is_kept(owner)).count() <= 3);
        }
        end(&mut place, long, record(8_000).1);
        assert!(is_kept(&owners[199]) && !is_kept(&owners[198]));
    }

    #[test]
    fn a_record_that_failed_keeps_its_stream_once_until_one_that_began_later() {
        let mut place = place();
        let (owner, Record { keeper, .. }) = record(16);
        let overlaps = place.begin();
        for _ in 0..100 {
            place.failed_in_place(&keeper);
        }
        drop(keeper);
        assert_eq!((place.now.possibly_referenced.len(), Arc::strong_count(&owner)), (1, 2));
        end(&mut place, overlaps, record(32).1);
        assert!(is_kept(&owner), "it may have come later");
        let begun = place.begin();
        end(&mut place, begun, record(48).1);
        assert!(!is_kept(&owner));
    }

    #[test]
    fn calls_that_have_the_handle_keep_what_is_replaced_and_the_threads_that_record() {
        let mut place = place();
        let (owner, last) = record(16);
        let begun = place.begin();
        end(&mut place, begun, last);
        let call = place.now.clone();
        let life = Arc::<Rundown>::default();
        for failed in [false, true] {
            let begun = place.begin();
            let keeper = StreamKeepAlive::PerThread(Arc::clone(&life));
            if failed {
                place.failed_in_place(&keeper);
            } else {
                let stream = RawStream::from_bits(2);
                place.recorded_in_place(begun, Record { stream, keeper, captured: None });
            }
            let holds = |known: &&DeferredDrop| matches!(known, DeferredDrop::RundownGuard(_));
            assert_eq!(place.retired.iter().filter(holds).count(), 1 + usize::from(failed));
        }
        assert!(place.take_retired().is_empty() && is_kept(&owner));
        drop(call);
        assert_eq!(place.take_retired().len(), 3);
        assert!(!is_kept(&owner));
    }

    #[test]
    fn a_handle_that_a_capture_may_have_is_left_to_it() {
        let captured = || Some(CapturedRecord { id: None, nodes: [].into() });
        for captured_is_noted_first in [false, true] {
            let mut place = place();
            let both = (place.begin(), place.begin());
            let (mut one, other) = (record(16).1, record(32).1);
            one.captured = captured();
            let (first, second) = if captured_is_noted_first { (one, other) } else { (other, one) };
            place.recorded_in_place(both.0, first);
            assert!(!place.now.handle.is_left_to_a_capture());
            place.recorded_in_place(both.1, second);
            assert!(place.now.handle.is_left_to_a_capture());
        }
    }

    #[test]
    fn a_pin_stays_with_the_event_until_it_has_a_mark_which_no_later_one_replaces() {
        let mut place = place();
        let waiting = Arc::clone(place.pin.get_or_insert_default());
        let [first, second] = [place.close_pins(), place.close_pins()];
        assert!(first.len() == 1 && Arc::ptr_eq(&first[0], &waiting));
        assert!(second.len() == 1 && Arc::ptr_eq(&second[0], &waiting));
        // What synchronizes now may wait for a record that the mark does not stand for.
        assert!(place.pin.is_none());
        let later = Arc::clone(place.pin.get_or_insert_default());
        let marker = |bits| Stand::new(OwnedEvent::new(RawEvent::from_bits(bits), 0, false), None);
        waiting.set_mark(&marker(24));
        waiting.set_mark(&marker(32));
        assert_eq!(waiting.marker().map(|marker| marker.handle.raw.to_bits()), Some(24));
        place.marked(&first);
        let third = place.close_pins();
        assert!(third.len() == 1 && Arc::ptr_eq(&third[0], &later));
        drop((later, third));
        assert!(place.close_pins().is_empty(), "no thread waits for it");
    }
}
