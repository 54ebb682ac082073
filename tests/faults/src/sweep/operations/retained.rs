//! Calls of a reclaimer: [`add_retained`]. After each fault, no value is lost, dropped early, dropped twice, or dropped
//! on another thread.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};

use gpu_stream_core::{Backend, Stream};
use gpu_stream_retain::Reclaimer;

use super::{Capture, Table, expect_ok};
use crate::sweep::{CallProbe, ErrorOf, FaultFixture, Feature, StreamOf, TestStreams};

/// The values that were dropped, each with the thread that dropped it.
type Log = Arc<Mutex<Vec<(usize, ThreadId)>>>;

/// A value whose drop is observed.
struct Value {
    number: usize,
    log: Log,
}

impl Drop for Value {
    fn drop(&mut self) {
        let entry = (self.number, thread::current().id());
        self.log.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }
}

/// A reclaimer with values of two streams, the first of which may be held back.
struct Scene<V: FaultFixture> {
    kept: Reclaimer<V::Backend>,
    streams: [StreamOf<V>; 2],
    gate: Option<V::Gate>,
    log: Log,
    /// The number of values that were made.
    made: usize,
    /// Values that came back.
    returned: RefCell<Vec<Value>>,
}

impl<V: FaultFixture> Scene<V> {
    fn new(test_streams: &TestStreams<V>, is_held: bool) -> Self {
        let first = test_streams.streams[0].1.clone();
        let gate = is_held.then(|| V::gate(first.raw().to_bits()));
        // Not a new one: its destruction could be put off, and would meet the fault of a later operation.
        let second = test_streams.streams[test_streams.streams.len() - 1].1.clone();
        Scene {
            kept: Reclaimer::new(),
            streams: [first, second],
            gate,
            log: Log::default(),
            made: 0,
            returned: RefCell::default(),
        }
    }

    /// Returns the numbers of the dropped values, in the order of the drops.
    fn dropped(&self) -> Vec<usize> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.iter().map(|(number, _)| *number).collect()
    }

    fn value(&mut self) -> Value {
        self.made += 1;
        Value { number: self.made - 1, log: Arc::clone(&self.log) }
    }

    /// Retains `value` on the first `width` streams. A value that is refused comes back.
    fn retain(&self, value: Value, width: usize) -> Result<(), ErrorOf<V>> {
        let streams = [&self.streams[0], &self.streams[1]];
        self.kept.retain(value, &streams[..width]).map_err(|refused| {
            let (value, error) = refused.into_parts();
            self.returned.borrow_mut().push(value);
            error
        })
    }

    /// Retains `count` values where no fault is set.
    fn fill(&mut self, count: usize, width: usize) {
        for _ in 0..count {
            let value = self.value();
            expect_ok("retain", self.retain(value, width));
        }
    }

    /// Opens the gate, drains, and checks that each value was dropped once, in order, and on this thread.
    fn end(mut self, probe: &CallProbe) {
        if self.gate.is_some() {
            probe.check(self.dropped().is_empty(), "a value was dropped early");
        }
        let pending = self.kept.pending();
        let count = self.dropped().len() + self.returned.borrow().len() + pending;
        probe.check(count == self.made, "a value was lost");
        self.gate.take();
        expect_ok("drain", self.kept.drain());
        probe.check(self.kept.pending() == 0, "drain has left a value");
        self.check_drops(probe);
    }

    fn check_drops(self, probe: &CallProbe) {
        let mut dropped = self.dropped();
        let is_sorted = dropped.is_sorted();
        let returned: Vec<_> = self.returned.into_inner();
        dropped.extend(returned.iter().map(|value| value.number));
        dropped.sort_unstable();
        probe.check(is_sorted, "values were dropped in another order");
        let is_complete = dropped.iter().copied().eq(0..self.made);
        probe.check(is_complete, "a value was not dropped exactly once");
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let here = thread::current().id();
        let is_here = log.iter().all(|(_, thread)| *thread == here);
        drop(log);
        probe.check(is_here, "a value was dropped on another thread");
    }
}

/// Adds the calls of a reclaimer.
pub(super) fn add_retained<'w, V: FaultFixture>(
    table: &mut Table<'w>,
    test_streams: &'w TestStreams<V>,
) {
    // The number of values that have a mark by the call, and of values that have none.
    let states = [("first", 0, 0), ("another", 0, 1), ("last of a batch", 0, 63), ("next", 5, 0)];
    for (name, marked, open) in states {
        for (width, streams) in [(1, "one stream"), (2, "two streams")] {
            for (is_held, course) in [(false, "idle"), (true, "held")] {
                let name = format!("retained: retain, {name}, {streams}, {course}");
                table.add(name, move |probe| {
                    let mut scene = scene(test_streams, is_held, width, marked, open);
                    let value = scene.value();
                    probe.act(|| scene.retain(value, width));
                    scene.end(probe);
                });
            }
        }
    }
    add_drops_of_values(table, test_streams);
    table.add_with::<V>(Feature::PerThreadStream, |table| add_thread(table, test_streams));
    table.add_with::<V>(Feature::Capture, |table| {
        table.add("retained: collect, beside a capture", move |probe| {
            let scene = scene(test_streams, true, 2, 5, 5);
            let end = Capture::<V>::begin(test_streams.captured);
            probe.act(|| scene.kept.collect());
            probe.check_capture(V::is_capture_alive(test_streams.captured));
            drop(end);
            scene.end(probe);
        });
    });
}

/// Adds the call that retains a value on the stream of a thread.
fn add_thread<'w, V: FaultFixture>(table: &mut Table<'w>, test_streams: &'w TestStreams<V>) {
    table.add("retained: retain, the thread's stream", move |probe| {
        let mut scene = Scene::new(test_streams, false);
        let own = expect_ok("its stream", V::Backend::per_thread_stream(test_streams.device));
        // The stream of a thread exists from its first use on.
        expect_ok("synchronize", own.synchronize());
        let value = scene.value();
        probe.act(|| {
            scene.kept.retain(value, &[&own]).map_err(|refused| {
                let (value, error) = refused.into_parts();
                scene.returned.borrow_mut().push(value);
                error
            })
        });
        scene.end(probe);
    });
}

/// Adds the calls that drop values, or hand them over.
fn add_drops_of_values<'w, V: FaultFixture>(
    table: &mut Table<'w>,
    test_streams: &'w TestStreams<V>,
) {
    for (marked, open, name) in [(5, 0, "marked"), (0, 5, "not marked"), (5, 5, "both")] {
        for (is_held, course) in [(false, "idle"), (true, "held")] {
            table.add(format!("retained: collect, {name}, {course}"), move |probe| {
                let scene = scene(test_streams, is_held, 2, marked, open);
                probe.act(|| scene.kept.collect());
                scene.end(probe);
            });
        }
        table.add(format!("retained: drain, {name}"), move |probe| {
            let mut scene = scene(test_streams, true, 2, marked, open);
            scene.gate.take();
            probe.act(|| scene.kept.drain());
            scene.end(probe);
        });
        table.add(format!("drop, retained: abandon, {name}"), move |probe| {
            let mut scene = scene(test_streams, true, 2, marked, open);
            let kept = std::mem::take(&mut scene.kept);
            let values = probe.act_silent(|| kept.abandon()).unwrap_or_default();
            probe.check(values.len() == scene.made, "abandon has lost a value");
            probe.check(scene.dropped().is_empty(), "abandon has dropped a value");
            scene.gate.take();
            drop(values);
            scene.check_drops(probe);
        });
        table.add(format!("drop, retained: a reclaimer, {name}"), move |probe| {
            let mut scene = scene(test_streams, true, 2, marked, open);
            let kept = std::mem::take(&mut scene.kept);
            probe.act_silent(|| drop(kept));
            probe.check(scene.dropped().is_empty(), "a value was dropped early");
            scene.gate.take();
            expect_ok("drain", Reclaimer::<V::Backend>::process_wide().drain());
            scene.check_drops(probe);
        });
    }
}

/// Returns a scene with `marked` values that have a mark, and `open` values that have none, on `width` streams.
fn scene<V: FaultFixture>(
    test_streams: &TestStreams<V>,
    is_held: bool,
    width: usize,
    marked: usize,
    open: usize,
) -> Scene<V> {
    // Only a held stream gets a mark. One that is idle drops its values.
    let mut scene = Scene::new(test_streams, is_held || marked > 0);
    if marked > 0 {
        scene.fill(marked, width);
        expect_ok("collect", scene.kept.collect());
    }
    scene.fill(open, width);
    if !is_held && scene.gate.take().is_some() {
        for stream in &scene.streams {
            expect_ok("synchronize", stream.synchronize());
        }
    }
    scene
}
