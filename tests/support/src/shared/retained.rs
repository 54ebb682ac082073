//! What retained values ask of the driver: no new event in the steady state, and few questions.
//!
//! The driver is [`Vendor::faulty_library`], which counts calls.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use gpu_stream_core::{
    Backend, CaptureStatus, Device, Error as _, ErrorKind, ErrorOf, EventOf, Stream,
};
use gpu_stream_faults::{At, Controls, InjectedFault, Threads};
use gpu_stream_retain::Reclaimer;

use crate::vendor::{MODES, StreamOf, Vendor, own_stream, ptr};
use crate::{Case, skip};

/// Returns all cases.
pub fn cases<V: Vendor>() -> Vec<Case> {
    crate::shared_cases![V, retained:
        values_create_no_event,
        collect_asks_one_event_of_each_stream,
        retain_asks_for_a_capture_and_nothing_else,
        mark_in_a_capture_is_recorded_again,
        mark_in_a_capture_that_is_over_at_once,
        mark_of_a_wrapper_type_in_a_capture_is_refused,
        mark_of_a_wrapper_type_in_a_capture_that_is_over
    ]
    .into()
}

/// Holds `stream` back until the sender is dropped.
fn hold<V: Vendor>(stream: &StreamOf<V>) -> Sender<()> {
    let (sender, receiver) = channel::<()>();
    stream.launch_host_func(Box::new(move || _ = receiver.recv())).unwrap();
    sender
}

/// A value that a reclaimer keeps, since the work of its stream lasts until `held` is dropped.
struct Retained<V: Vendor> {
    reclaimer: Reclaimer<V::Backend>,
    stream: StreamOf<V>,
    token: Arc<()>,
    held: Sender<()>,
}

impl<V: Vendor> Retained<V> {
    fn behind_work() -> Self {
        let (reclaimer, stream, token) = (Reclaimer::new(), own_stream::<V>(), Arc::new(()));
        let held = hold::<V>(&stream);
        reclaimer.retain(Arc::clone(&token), &[&stream]).unwrap();
        Retained { reclaimer, stream, token, held }
    }
}

fn retain<V: Vendor>(reclaimer: &Reclaimer<V::Backend>, streams: &[&StreamOf<V>], count: usize) {
    for number in 0..count {
        reclaimer.retain(number, streams).unwrap();
    }
}

/// Returns the number of calls whose name contains `part` since the calls are watched, and watches anew.
fn calls(controls: &Controls, part: &str) -> usize {
    let count = controls.seen().iter().filter(|call| call.contains(part)).count();
    controls.watch(Threads::All);
    count
}

/// Clears the faults when dropped, so that a held thread ends also if an assertion fails beside it.
struct ClearFaults<'a>(&'a Controls);

impl Drop for ClearFaults<'_> {
    fn drop(&mut self) {
        self.0.clear();
    }
}

/// The limit of waits that only a failure can reach.
const LIMIT: Duration = Duration::from_secs(60);

/// Waits until faults applied to `count` calls since the last clear, or `thread` has ended. Returns `false` if neither
/// happens.
fn await_triggered<T>(controls: &Controls, count: u64, thread: &ScopedJoinHandle<'_, T>) -> bool {
    let begun = Instant::now();
    while controls.triggered() < count && !thread.is_finished() {
        if begun.elapsed() > LIMIT {
            return false;
        }
        std::thread::yield_now();
    }
    true
}

/// Returns the name of the driver's call that asks whether a stream is captured.
fn capture_question<V: Vendor>() -> String {
    format!("{}StreamIsCapturing", V::RECORDS.trim_end_matches("EventRecord"))
}

/// Checks that values of two streams, which wait for marks in each round, create no event after the first rounds.
pub fn values_create_no_event<V: Vendor>() {
    const VALUES: usize = 200;
    let (controls, reclaimer) = (V::controls(), Reclaimer::new());
    let (one, other) = (own_stream::<V>(), own_stream::<V>());
    let round = || {
        let held = hold::<V>(&one);
        retain::<V>(&reclaimer, &[&one, &other], VALUES);
        assert_eq!(reclaimer.collect().unwrap().pending, VALUES);
        drop(held);
        reclaimer.drain().unwrap();
        assert_eq!(reclaimer.pending(), 0);
    };
    (0..10).for_each(|_| round());
    controls.watch(Threads::All);
    (0..20).for_each(|_| round());
    let records = controls.seen().iter().filter(|call| *call == V::RECORDS).count();
    // Three full batches and the rest, on two streams.
    assert!((20..=20 * 8).contains(&records), "{records} records of {} values", 20 * VALUES);
    assert_eq!(calls(controls, V::CREATES_EVENT), 0, "events that were created");
    controls.clear();
}

/// Checks that a collect with 10,000 values pending asks one event for each stream, and that one without values asks
/// nothing.
pub fn collect_asks_one_event_of_each_stream<V: Vendor>() {
    const VALUES: usize = 10_000;
    let (controls, reclaimer) = (V::controls(), Reclaimer::new());
    let streams = [own_stream::<V>(), own_stream::<V>()];
    for count in 1..=streams.len() {
        let streams = &streams[..count];
        let held: Vec<_> = streams.iter().map(hold::<V>).collect();
        for stream in streams {
            retain::<V>(&reclaimer, &[stream], VALUES / count);
        }
        assert_eq!(reclaimer.collect().unwrap().pending, VALUES);
        controls.watch(Threads::All);
        assert_eq!(reclaimer.collect().unwrap().pending, VALUES);
        let asked = calls(controls, "Query");
        assert!((1..=count).contains(&asked), "{asked} questions about {count} streams");
        assert_eq!(calls(controls, V::RECORDS), 0, "marks that were recorded again");
        drop(held);
        reclaimer.drain().unwrap();
        controls.watch(Threads::All);
        assert_eq!(reclaimer.collect().unwrap().pending, 0);
        assert_eq!(calls(controls, ""), 0, "calls of a collect without values");
    }
    controls.clear();
}

/// Checks that a retain into an open batch asks each stream once whether it is captured, and makes no other call. One value
/// with many parts costs one question.
pub fn retain_asks_for_a_capture_and_nothing_else<V: Vendor>() {
    let (controls, reclaimer) = (V::controls(), Reclaimer::new());
    let (one, other) = (own_stream::<V>(), own_stream::<V>());
    let held = hold::<V>(&one);
    for streams in [&[&one][..], &[&one, &other]] {
        retain::<V>(&reclaimer, streams, 1);
        controls.watch(Threads::All);
        retain::<V>(&reclaimer, streams, 50);
        let seen = controls.seen();
        assert!(seen.iter().all(|call| call.contains("IsCapturing")), "{seen:?}");
        assert_eq!(seen.len(), 50 * streams.len());
        controls.watch(Threads::All);
        reclaimer.retain((0..50).collect::<Vec<_>>(), streams).unwrap();
        assert_eq!(calls(controls, "IsCapturing"), streams.len());
    }
    drop(held);
    reclaimer.drain().unwrap();
    controls.clear();
}

/// Checks what happens if a mark's record goes into a capture that is over before the next call. CUDA's driver tells, so the
/// value stays until its stream is done. HIP's runtime reports the event as complete, so the value is dropped early.
pub fn mark_in_a_capture_that_is_over_at_once<V: Vendor>() {
    if V::plays_another_version() {
        skip("the backend destroys what captures of the real version still need");
    }
    let (controls, question) = (V::controls(), capture_question::<V>());
    for mode in MODES {
        let Retained { reclaimer, stream, token, held } = Retained::<V>::behind_work();
        controls.set(V::RECORDS, At::Occurrence(1), Threads::All, InjectedFault::Hold);
        std::thread::scope(|scope| {
            let collector = scope.spawn(|| reclaimer.collect().map(|collected| collected.pending));
            let _clear = ClearFaults(controls);
            assert!(controls.await_held(1, LIMIT), "{} is not called", V::RECORDS);
            V::begin_capture(ptr::<V>(&stream), mode);
            controls.set(&question, At::Always, Threads::Others, InjectedFault::Hold);
            controls.release();
            // The record counts as held until its thread goes on.
            let is_held = await_triggered(controls, 2, &collector) && controls.triggered() == 2;
            let ended = V::end_capture(ptr::<V>(&stream));
            controls.clear();
            assert!(is_held, "{question} is not called");
            assert!(ended.is_ok(), "mode {mode}: a broken capture");
            assert_eq!(collector.join().unwrap().unwrap(), 1, "in mode {mode}");
        });
        let left = if V::RECORDS.starts_with("hip") { (0, 1) } else { (1, 2) };
        for _ in 0..3 {
            assert_eq!((reclaimer.collect().unwrap().pending, Arc::strong_count(&token)), left);
        }
        drop(held);
        reclaimer.drain().unwrap();
        assert_eq!((reclaimer.pending(), Arc::strong_count(&token)), (0, 1));
    }
}

/// Checks that if a mark's record may have gone into a capture that began at the same moment, the value stays, the
/// capture lives, and the value is dropped after it.
pub fn mark_in_a_capture_is_recorded_again<V: Vendor>() {
    if V::plays_another_version() {
        skip("the backend destroys what captures of the real version still need");
    }
    let controls = V::controls();
    for mode in MODES {
        let Retained { reclaimer, stream, token, held } = Retained::<V>::behind_work();
        controls.set(V::RECORDS, At::Occurrence(1), Threads::All, InjectedFault::Hold);
        std::thread::scope(|scope| {
            let collector = scope.spawn(|| reclaimer.collect().map(|collected| collected.pending));
            let _clear = ClearFaults(controls);
            assert!(controls.await_held(1, LIMIT), "{} is not called", V::RECORDS);
            V::begin_capture(ptr::<V>(&stream), mode);
            controls.clear();
            assert_eq!(collector.join().unwrap().unwrap(), 1, "in mode {mode}");
        });
        for _ in 0..3 {
            assert_eq!((reclaimer.collect().unwrap().pending, Arc::strong_count(&token)), (1, 2));
        }
        drop(held);
        assert_eq!(V::capture_status(ptr::<V>(&stream)), Ok(1), "in mode {mode}");
        assert!(V::end_capture(ptr::<V>(&stream)).is_ok(), "the capture is broken in mode {mode}");
        reclaimer.drain().unwrap();
        assert_eq!((reclaimer.pending(), Arc::strong_count(&token)), (0, 1));
    }
}

/// A type around a stream. The reclaimer cannot keep it, so each retain records its marks.
struct Wrapper<V: Vendor>(StreamOf<V>);

// SAFETY: every method calls its namesake of the stream inside, which upholds the contract. The others are the contract's.
unsafe impl<V: Vendor> Stream for Wrapper<V> {
    type Backend = V::Backend;

    fn raw(&self) -> <V::Backend as Backend>::RawStream {
        self.0.raw()
    }

    fn device(&self) -> Device {
        self.0.device()
    }

    fn query(&self) -> Result<bool, ErrorOf<Self>> {
        self.0.query()
    }

    fn synchronize(&self) -> Result<(), ErrorOf<Self>> {
        self.0.synchronize()
    }

    fn record(&self, event: &EventOf<Self>) -> Result<(), ErrorOf<Self>> {
        self.0.record(event)
    }

    fn wait_event(&self, event: &EventOf<Self>) -> Result<(), ErrorOf<Self>> {
        self.0.wait_event(event)
    }

    fn capture_status(&self) -> Result<CaptureStatus, ErrorOf<Self>> {
        self.0.capture_status()
    }
}

/// Checks that a value comes back if the record of its mark may have gone into a capture, and no later call can record it
/// again.
pub fn mark_of_a_wrapper_type_in_a_capture_is_refused<V: Vendor>() {
    if V::plays_another_version() {
        skip("the backend destroys what captures of the real version still need");
    }
    let controls = V::controls();
    for mode in MODES {
        let (reclaimer, stream) = (Reclaimer::new(), Wrapper::<V>(own_stream::<V>()));
        let held = hold::<V>(&stream.0);
        controls.set(V::RECORDS, At::Occurrence(1), Threads::All, InjectedFault::Hold);
        std::thread::scope(|scope| {
            let retained = scope.spawn(|| reclaimer.retain(7, &[&stream]));
            let _clear = ClearFaults(controls);
            assert!(controls.await_held(1, LIMIT), "{} is not called", V::RECORDS);
            V::begin_capture(ptr::<V>(&stream.0), mode);
            controls.clear();
            let refused = retained.join().unwrap().unwrap_err();
            assert_eq!((refused.error().kind(), *refused.value()), (ErrorKind::Capturing, 7));
        });
        drop(held);
        assert_eq!(V::capture_status(ptr::<V>(&stream.0)), Ok(1), "in mode {mode}");
        assert!(
            V::end_capture(ptr::<V>(&stream.0)).is_ok(),
            "the capture is broken in mode {mode}"
        );
        assert_eq!(reclaimer.collect().unwrap().pending, 0);
        reclaimer.retain(8, &[&stream]).unwrap();
        reclaimer.drain().unwrap();
    }
}

/// Checks what happens if the mark of a wrapper type is recorded into a capture that is over before the value is kept: at
/// each of the questions whether the stream is captured, before and after the driver answers it.
///
/// The value comes back, or it is kept until its stream is done. HIP's runtime forgets a capture that was never seen, so a
/// value can be dropped early there.
pub fn mark_of_a_wrapper_type_in_a_capture_that_is_over<V: Vendor>() {
    if V::plays_another_version() {
        skip("the backend destroys what captures of the real version still need");
    }
    for mode in MODES {
        for fault in [InjectedFault::Hold, InjectedFault::PassThenHold] {
            let is_kept = |question| is_kept_at::<V>(mode, fault, question);
            let kept: Vec<_> = (1..).map_while(is_kept).collect();
            assert!(kept.contains(&true), "no value was kept in mode {mode} with {fault:?}");
        }
    }
}

/// Retains a value whose mark is recorded into a capture that is over at the question of this number. Returns whether the
/// value was kept. Returns `None` if fewer questions are asked.
fn is_kept_at<V: Vendor>(mode: i32, fault: InjectedFault, number: u32) -> Option<bool> {
    let controls = V::controls();
    let (reclaimer, stream) = (Reclaimer::new(), Wrapper::<V>(own_stream::<V>()));
    let (raw, token) = (ptr::<V>(&stream.0), Arc::new(()));
    let place = format!("in mode {mode}, with {fault:?} at question {number}");
    let held = hold::<V>(&stream.0);
    controls.set(V::RECORDS, At::Occurrence(1), Threads::All, InjectedFault::Hold);
    let (is_asked, retained) = std::thread::scope(|scope| {
        let retained = scope.spawn(|| reclaimer.retain(Arc::clone(&token), &[&stream]));
        let _clear = ClearFaults(controls);
        assert!(controls.await_held(1, LIMIT), "{} is not called", V::RECORDS);
        V::begin_capture(raw, mode);
        controls.set(&capture_question::<V>(), At::Occurrence(number), Threads::Others, fault);
        controls.release();
        let has_come = await_triggered(controls, 2, &retained);
        let is_asked = controls.triggered() >= 2;
        // The record was held, and its thread has gone on. So the question is what is held now.
        let is_answered = !is_asked || controls.await_held(1, LIMIT);
        let ended = V::end_capture(raw);
        controls.clear();
        assert!(has_come && is_answered, "the value is neither retained nor refused {place}");
        assert!(ended.is_ok(), "the capture is broken {place}");
        (is_asked, retained.join().unwrap())
    });
    let is_kept = match retained {
        Ok(()) => true,
        Err(refused) => {
            assert_eq!(refused.error().kind(), ErrorKind::Capturing, "{place}");
            false
        }
    };
    let is_seen = !V::RECORDS.starts_with("hip");
    for _ in 0..3 {
        let pending = reclaimer.collect().expect(&place).pending;
        let expected = usize::from(is_kept);
        assert_eq!(pending, Arc::strong_count(&token) - 1, "{place}");
        assert!(pending == expected || !is_seen, "{pending} values are kept {place}");
    }
    drop(held);
    reclaimer.drain().expect(&place);
    assert_eq!((reclaimer.pending(), Arc::strong_count(&token)), (0, 1), "{place}");
    is_asked.then_some(is_kept)
}
