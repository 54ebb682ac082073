use super::*;

/// Creates the owner of a stream with this handle, and a record on it.
fn record(bits: usize) -> (Arc<usize>, Record) {
    let owner = Arc::new(bits);
    let (stream, keep) = (RawStream::from_bits(bits), KeepAlive::owner(Arc::clone(&owner)));
    (owner, Record { stream, owner: keep, captured: None })
}

fn is_kept(owner: &Arc<usize>) -> bool {
    Arc::strong_count(owner) > 1
}

/// Creates an event whose handle another library has.
fn inner() -> EventInner {
    let mut inner = EventInner::new(EventState::new(RawEvent::from_bits(8), 0, false, None));
    inner.fix();
    inner
}

fn end(inner: &mut EventInner, start: u64, record: Record) {
    drop(inner.store_in_place(record, start));
}

/// Returns the number of owners that calls with the event keep.
fn count(inner: &EventInner) -> usize {
    inner.now.others.len() + usize::from(inner.now.last.is_some())
}

#[test]
fn overlapping_records_keep_both_streams_in_either_order() {
    for first_is_stored_first in [false, true] {
        let mut inner = inner();
        let ((before, of_before), (one, of_one), (other, of_other)) =
            (record(16), record(32), record(48));
        let start = inner.stored;
        end(&mut inner, start, of_before);
        let both = inner.stored;
        let (first, second) =
            if first_is_stored_first { (of_one, of_other) } else { (of_other, of_one) };
        end(&mut inner, both, first);
        assert!(!is_kept(&before), "both records began after it");
        end(&mut inner, both, second);
        assert!(is_kept(&one) && is_kept(&other) && count(&inner) == 2);
        // A record that begins after all others replaces them.
        let (start, (last, of_last)) = (inner.stored, record(64));
        end(&mut inner, start, of_last);
        assert!(is_kept(&last) && !is_kept(&one) && !is_kept(&other));
        assert_eq!(count(&inner), 1);
    }
}

#[test]
fn endless_overlapping_records_keep_only_overlapping_streams() {
    let (mut inner, mut owners) = (inner(), Vec::new());
    let mut start = inner.stored;
    for round in 0..100 {
        // The next record begins before this one is stored.
        let next = inner.stored;
        let (owner, last) = record(16 + round);
        end(&mut inner, start, last);
        owners.push(owner);
        assert!(owners.iter().filter(|owner| is_kept(owner)).count() <= 3);
        start = next;
    }
    // One more record overlaps all others.
    let long = inner.stored;
    for round in 0..100 {
        let (owner, last) = record(1_016 + round);
        let start = inner.stored;
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
    let (owner, failed) = record(16);
    let overlaps = inner.stored;
    for _ in 0..100 {
        drop(inner.store_failure(&failed));
    }
    drop(failed);
    assert_eq!((count(&inner), Arc::strong_count(&owner)), (1, 2));
    end(&mut inner, overlaps, record(32).1);
    assert!(is_kept(&owner), "it may have come later");
    let start = inner.stored;
    end(&mut inner, start, record(48).1);
    assert!(!is_kept(&owner));
}

/// A call holds the state that was current when it began. The chain behind it is long.
#[test]
fn call_keeps_replaced_streams_and_later_ones() {
    let mut inner = inner();
    let ((before, of_before), (later, of_later)) = (record(16), record(32));
    end(&mut inner, 0, of_before);
    let call = Arc::clone(&inner.now);
    let start = inner.stored;
    end(&mut inner, start, of_later);
    for round in 0..100_000 {
        let start = inner.stored;
        end(&mut inner, start, record(48 + round).1);
    }
    assert!(is_kept(&before) && is_kept(&later));
    drop(call);
    assert!(!is_kept(&before) && !is_kept(&later));
}

/// Calls of several threads may overlap without end.
#[test]
fn overlapping_calls_keep_only_the_streams_since_the_oldest() {
    let (mut inner, mut owners) = (inner(), Vec::new());
    let mut calls = [Arc::clone(&inner.now), Arc::clone(&inner.now)];
    for round in 0..100 {
        let (start, (owner, next)) = (inner.stored, record(16 + round));
        end(&mut inner, start, next);
        owners.push(owner);
        calls[round % 2] = Arc::clone(&inner.now);
        assert!(owners.iter().filter(|owner| is_kept(owner)).count() <= 2, "{round}");
    }
    drop(calls);
}

#[test]
fn handle_that_a_capture_may_have_is_leaked_to_it() {
    for captured_is_stored_first in [false, true] {
        let mut inner = inner();
        let both = inner.stored;
        let (mut one, other) = (record(16).1, record(32).1);
        let captured = CapturedRecord { id: None, nodes: Vec::new(), thread: 1 };
        one.captured = Some(captured);
        let (first, second) = if captured_is_stored_first { (one, other) } else { (other, one) };
        end(&mut inner, both, first);
        assert!(!inner.fixed.as_ref().expect("fixed").is_leaked);
        end(&mut inner, both, second);
        assert!(inner.fixed.as_ref().expect("fixed").is_leaked);
    }
}
