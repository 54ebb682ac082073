use gpu_stream_core::{KeepAlive, RawEvent, RawStream};

use super::*;
use crate::event_state::CapturedRecord;
use crate::owned_event::OwnedEvent;
use crate::thread_exit::Rundown;

/// Creates the owner of a stream with this handle, and a record on it.
fn record(bits: usize) -> (Arc<usize>, Record) {
    let owner = Arc::new(bits);
    let keeper = StreamKeepAlive::Owner(KeepAlive::owner(Arc::clone(&owner)));
    (owner, Record { stream: RawStream::from_bits(bits), keeper, captured: None })
}

fn is_kept(owner: &Arc<usize>) -> bool {
    Arc::strong_count(owner) > 1
}

/// Creates an event whose handle another library has.
fn inner() -> EventInner {
    let handle = OwnedEvent::new(RawEvent::from_bits(8), 0, false);
    handle.set_escaped();
    EventInner::of(EventState::new(handle, None))
}

fn end(inner: &mut EventInner, start: RecordStart, last: Record) {
    inner.store_in_place(start, last);
    drop(inner.take_retired());
}

#[test]
fn overlapping_records_keep_both_streams_in_either_order() {
    for first_is_stored_first in [false, true] {
        let mut inner = inner();
        let ((before, of_before), (one, of_one), (other, of_other)) =
            (record(16), record(32), record(48));
        let start = inner.begin();
        end(&mut inner, start, of_before);
        let both = (inner.begin(), inner.begin());
        let (first, second) =
            if first_is_stored_first { (of_one, of_other) } else { (of_other, of_one) };
        end(&mut inner, both.0, first);
        assert!(!is_kept(&before), "both records began after it");
        end(&mut inner, both.1, second);
        assert!(is_kept(&one) && is_kept(&other) && !inner.now.can_query_directly());
        // A record that begins after all others replaces them.
        let (start, (last, of_last)) = (inner.begin(), record(64));
        end(&mut inner, start, of_last);
        assert!(is_kept(&last) && !is_kept(&one) && !is_kept(&other));
        assert!(inner.now.can_query_directly());
    }
}

#[test]
fn endless_overlapping_records_keep_only_overlapping_streams() {
    let (mut inner, mut owners) = (inner(), Vec::new());
    let mut start = inner.begin();
    for round in 0..100 {
        // The next record begins before this one is stored.
        let next = inner.begin();
        let (owner, last) = record(16 + round);
        end(&mut inner, start, last);
        owners.push(owner);
        assert!(owners.iter().filter(|owner| is_kept(owner)).count() <= 3);
        start = next;
    }
    // One more record overlaps all others.
    let long = inner.begin();
    for round in 0..100 {
        let (owner, last) = record(1_016 + round);
        let start = inner.begin();
        end(&mut inner, start, last);
        owners.push(owner);
        assert!(owners.iter().filter(|owner| is_kept(owner)).count() <= 3);
    }
    end(&mut inner, long, record(8_000).1);
    assert!(is_kept(&owners[199]) && !is_kept(&owners[198]));
}

#[test]
fn failed_record_keeps_its_stream_once_until_a_later_record() {
    let mut inner = inner();
    let (owner, Record { keeper, .. }) = record(16);
    let overlaps = inner.begin();
    for _ in 0..100 {
        inner.store_failure(&keeper);
    }
    drop(keeper);
    assert_eq!((inner.now.possibly_referenced.len(), Arc::strong_count(&owner)), (1, 2));
    end(&mut inner, overlaps, record(32).1);
    assert!(is_kept(&owner), "it may have come later");
    let start = inner.begin();
    end(&mut inner, start, record(48).1);
    assert!(!is_kept(&owner));
}

#[test]
fn calls_with_the_handle_keep_replaced_streams_and_recording_threads() {
    let mut inner = inner();
    let (owner, last) = record(16);
    let start = inner.begin();
    end(&mut inner, start, last);
    let call = inner.now.clone();
    let rundown = Arc::<Rundown>::default();
    for failed in [false, true] {
        let start = inner.begin();
        let keeper = StreamKeepAlive::PerThread(Arc::clone(&rundown));
        if failed {
            inner.store_failure(&keeper);
        } else {
            let stream = RawStream::from_bits(2);
            inner.store_in_place(start, Record { stream, keeper, captured: None });
        }
        let holds = |known: &&DeferredDrop| matches!(known, DeferredDrop::RundownGuard(_));
        assert_eq!(
            inner.retired.iter().filter(holds).count(),
            1,
            "one guard of a thread is enough"
        );
    }
    assert!(inner.take_retired().is_empty() && is_kept(&owner));
    drop(call);
    assert_eq!(inner.take_retired().len(), 2);
    assert!(!is_kept(&owner));
}

#[test]
fn handle_that_a_capture_may_have_is_leaked_to_it() {
    let captured = || Some(CapturedRecord { id: None, nodes: [].into() });
    for captured_is_stored_first in [false, true] {
        let mut inner = inner();
        let both = (inner.begin(), inner.begin());
        let (mut one, other) = (record(16).1, record(32).1);
        one.captured = captured();
        let (first, second) = if captured_is_stored_first { (one, other) } else { (other, one) };
        inner.store_in_place(both.0, first);
        assert!(!inner.now.handle.is_leaked_to_capture());
        inner.store_in_place(both.1, second);
        assert!(inner.now.handle.is_leaked_to_capture());
    }
}

#[test]
fn target_stays_with_the_event_until_its_first_marker() {
    let mut inner = inner();
    let waiting = Arc::clone(inner.target.get_or_insert_default());
    let [first, second] = [inner.detach_waiters(), inner.detach_waiters()];
    assert!(first.len() == 1 && Arc::ptr_eq(&first[0], &waiting));
    assert!(second.len() == 1 && Arc::ptr_eq(&second[0], &waiting));
    // A thread that synchronizes now may wait for a later record than that of the marker.
    assert!(inner.target.is_none());
    let later = Arc::clone(inner.target.get_or_insert_default());
    let marker = |bits| EventState::new(OwnedEvent::new(RawEvent::from_bits(bits), 0, false), None);
    waiting.set_marker(&marker(24));
    waiting.set_marker(&marker(32));
    assert_eq!(waiting.marker().map(|marker| marker.handle.raw.to_bits()), Some(24));
    inner.markers_set(&first);
    let third = inner.detach_waiters();
    assert!(third.len() == 1 && Arc::ptr_eq(&third[0], &later));
    drop((later, third));
    assert!(inner.detach_waiters().is_empty(), "no thread waits for it");
}
