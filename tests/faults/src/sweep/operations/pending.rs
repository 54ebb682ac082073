//! Calls while earlier work of the stream is held back: [`add_calls`], [`add_drops`].

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use gpu_stream_core::{Backend, Event, EventOptions, Stream, StreamOptions};

use super::{Answer, Table, boxed, expect_ok, recorded_event};
use crate::sweep::{CallProbe, FaultFixture, StreamOf, TestStreams};

/// A producer that is held back, with work submitted before and after the call under test, and a
/// consumer that waits.
struct Pending<V: FaultFixture> {
    producer: StreamOf<V>,
    consumer: StreamOf<V>,
    gate: Option<V::Gate>,
    open: Arc<AtomicBool>,
    ran: Arc<AtomicUsize>,
    too_early: Arc<AtomicUsize>,
    launched: usize,
}

impl<V: FaultFixture> Pending<V> {
    fn new(test_streams: &TestStreams<V>) -> Self {
        let producer = test_streams.streams[0].1.clone();
        let gate = V::gate(producer.raw().to_bits());
        let consumer = expect_ok(
            "new_stream",
            V::Backend::new_stream(test_streams.device, StreamOptions::new()),
        );
        let mut pending = Pending {
            producer,
            consumer,
            gate: Some(gate),
            open: Arc::default(),
            ran: Arc::default(),
            too_early: Arc::default(),
            launched: 0,
        };
        pending.work(false);
        pending
    }

    /// Submits a function that counts its run, and whether it ran before the gate was opened.
    fn work(&mut self, on_consumer: bool) {
        let (ran, too_early) = (Arc::clone(&self.ran), Arc::clone(&self.too_early));
        let open = Arc::clone(&self.open);
        let stream = if on_consumer { &self.consumer } else { &self.producer };
        let count = move || {
            ran.fetch_add(1, Ordering::SeqCst);
            too_early.fetch_add(usize::from(!open.load(Ordering::SeqCst)), Ordering::SeqCst);
        };
        expect_ok("work", stream.launch_host_func(Box::new(count)));
        self.launched += 1;
    }

    /// Checks that all submitted work runs. If the call reported an order, also checks the order.
    fn end(self, probe: &CallProbe, orders: bool) {
        let (ran, too_early) = (Arc::clone(&self.ran), Arc::clone(&self.too_early));
        let launched = self.launched + 2;
        self.open_and_wait();
        probe.check(ran.load(Ordering::SeqCst) == launched, "submitted work was lost");
        if orders && probe.is_done() {
            let early = too_early.load(Ordering::SeqCst);
            probe.check(early == 0, "a wait that the call reported as made has no effect");
        }
    }

    fn open_and_wait(mut self) {
        self.work(false);
        self.work(true);
        // Gives work that runs too early the time to do so.
        for _ in 0..50 {
            std::thread::yield_now();
        }
        self.open.store(true, Ordering::SeqCst);
        self.gate.take();
        expect_ok("synchronize", self.producer.synchronize());
        expect_ok("synchronize", self.consumer.synchronize());
    }
}

/// The time after which a test gives up that would hang otherwise.
const TOO_LONG: Duration = Duration::from_secs(10);

/// Adds calls between work that is held back and work that is submitted after them.
pub(super) fn add_calls<'w, V: FaultFixture>(
    table: &mut Table<'w>,
    test_streams: &'w TestStreams<V>,
) {
    type Call<V> = fn(&Pending<V>) -> Answer<V>;
    let calls: [(&str, bool, Call<V>); 6] = [
        ("query", false, |pending| boxed(pending.producer.query())),
        ("record_event", false, |pending| boxed(pending.producer.record_event())),
        ("wait_stream", true, |pending| boxed(pending.consumer.wait_stream(&pending.producer))),
        ("fork", true, |pending| boxed(pending.producer.fork([&pending.consumer]))),
        ("join", true, |pending| boxed(pending.consumer.join([&pending.producer]))),
        ("host function", false, |pending| {
            boxed(pending.producer.launch_host_func(Box::new(|| ())))
        }),
    ];
    for (name, orders, call) in calls {
        table.add(format!("pending: {name}"), move |probe| {
            let pending = Pending::new(test_streams);
            probe.act(|| call(&pending));
            pending.end(probe, orders);
        });
    }
    table.add("pending: wait_event", move |probe| {
        let pending = Pending::new(test_streams);
        let event = recorded_event::<V>(&pending.producer, EventOptions::new());
        probe.act(|| pending.consumer.wait_event(&event));
        pending.end(probe, true);
    });
    table.add("pending: status", move |probe| {
        let pending = Pending::new(test_streams);
        let event = recorded_event::<V>(&pending.producer, EventOptions::timed());
        probe.act(|| event.status());
        pending.end(probe, false);
    });
    table.add("pending: record again", move |probe| {
        let pending = Pending::new(test_streams);
        let event = recorded_event::<V>(&pending.producer, EventOptions::new());
        // The wait is bound to the first record.
        expect_ok("wait_event", pending.consumer.wait_event(&event));
        let other = expect_ok(
            "new_stream",
            V::Backend::new_stream(test_streams.device, Default::default()),
        );
        probe.act(|| other.record(&event));
        pending.end(probe, true);
    });
}

/// Adds drops of objects that pending work uses.
pub(super) fn add_drops<'w, V: FaultFixture>(
    table: &mut Table<'w>,
    test_streams: &'w TestStreams<V>,
) {
    table.add("drop, pending: an event that is waited for", move |probe| {
        let pending = Pending::new(test_streams);
        let event = recorded_event::<V>(&pending.producer, EventOptions::timed());
        expect_ok("wait_event", pending.consumer.wait_event(&event));
        probe.act_silent(|| drop(event));
        pending.end(probe, true);
    });
    table.add("drop, pending: a stream", move |probe| {
        let mut pending = Pending::new(test_streams);
        expect_ok("wait_stream", pending.consumer.wait_stream(&pending.producer));
        pending.work(true);
        let other = expect_ok(
            "new_stream",
            V::Backend::new_stream(test_streams.device, Default::default()),
        );
        let dropped = std::mem::replace(&mut pending.consumer, other);
        let (send, receive) = mpsc::channel();
        let blocks = Cell::new(false);
        let thread = probe.act_silent(|| {
            let thread = std::thread::spawn(move || {
                drop(dropped);
                // The receiver is gone if the drop took too long.
                let _ = send.send(());
            });
            blocks.set(receive.recv_timeout(TOO_LONG).is_err());
            thread
        });
        probe.check(!blocks.get(), "a drop waits for the stream's work");
        let (ran, launched) = (Arc::clone(&pending.ran), pending.launched + 2);
        pending.open_and_wait();
        let since = Instant::now();
        while ran.load(Ordering::SeqCst) < launched && since.elapsed() < TOO_LONG {
            std::thread::yield_now();
        }
        probe.check(ran.load(Ordering::SeqCst) == launched, "work of the dropped stream was lost");
        if let Some(thread) = thread {
            thread.join().expect("the drop");
        }
    });
}
