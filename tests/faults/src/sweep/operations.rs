//! Every call of the contract, on streams and events of every sort: [`operations`].

use std::any::Any;
use std::cell::Cell;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use gpu_stream_core::{
    Backend, BackendKind, Device, Event, EventOptions, RawStream, Stream, StreamOptions,
};

use super::{CallProbe, EventOf, FaultFixture, Foreign, Operation, StreamOf, TestStreams};

/// What makes operations: their names and what they do.
struct Table<'w>(Vec<Operation<'w>>);

impl<'w> Table<'w> {
    /// A call that needs nothing before or after it.
    fn call<T, E: gpu_stream_core::Error>(
        &mut self,
        name: impl Into<String>,
        call: impl Fn() -> Result<T, E> + 'w,
    ) {
        self.add(name, move |stage| {
            let _ = stage.act(&call);
        });
    }

    fn add(&mut self, name: impl Into<String>, run: impl Fn(&CallProbe) + 'w) {
        self.0.push(Operation { name: name.into(), run: Box::new(run) });
    }
}

/// All operations on a world.
pub fn operations<V: FaultFixture>(world: &TestStreams<V>) -> Vec<Operation<'_>> {
    let mut table = Table(Vec::new());
    making(&mut table, world);
    wrapping(&mut table, world);
    on_streams(&mut table, world);
    on_events(&mut table, world);
    between_streams(&mut table, world);
    own_thread(&mut table, world);
    while_pending(&mut table, world);
    in_a_capture(&mut table, world);
    dropping(&mut table, world);
    let mut operations = table.0;
    operations.extend(V::more(world));
    operations
}

/// What nothing makes fail: a panic says that an object cannot be used any more.
#[track_caller]
fn clean<T, E: std::fmt::Display>(what: &str, answer: Result<T, E>) -> T {
    match answer {
        Ok(value) => value,
        Err(error) => panic!("{what}, where nothing fails: {error}"),
    }
}

/// What a call gave, to be dropped where nothing fails any more.
type Answer<V> = Result<Box<dyn Any>, super::ErrorOf<V>>;

fn keep<T: 'static, E>(answer: Result<T, E>) -> Result<Box<dyn Any>, E> {
    answer.map(|value| Box::new(value) as Box<dyn Any>)
}

fn recorded<V: FaultFixture>(stream: &StreamOf<V>, options: EventOptions) -> EventOf<V> {
    let event = clean("an event", V::event_for(stream, options));
    clean("a record", stream.record(&event));
    event
}

/// All event options that go together.
fn options() -> [(&'static str, EventOptions); 4] {
    let build = |builder: gpu_stream_core::EventOptionsBuilder| builder.build().expect("options");
    [
        ("plain", EventOptions::new()),
        ("timed", EventOptions::timed()),
        ("blocking", build(EventOptions::builder().blocking(true))),
        ("interprocess", build(EventOptions::builder().interprocess(true))),
    ]
}

fn making<'w, V: FaultFixture>(table: &mut Table<'w>, world: &'w TestStreams<V>) {
    let device = world.device;
    table.call("probe", V::Backend::probe);
    table.call("devices", V::Backend::devices);
    table.call("device", move || V::Backend::device(0));
    table.call("priority_range", move || V::Backend::priority_range(device));
    table.call("default_stream", move || V::Backend::default_stream(device));
    let other = match V::Backend::KIND {
        BackendKind::Cuda => BackendKind::Hip,
        _ => BackendKind::Cuda,
    };
    let absent = [Device::new(V::Backend::KIND, 9_999), Device::new(other, 0)];
    for device in [device, absent[0], absent[1]] {
        for priority in [0, 99] {
            table.add(format!("new_stream, {device}, priority {priority}"), move |stage| {
                let options = StreamOptions::new().priority(priority);
                let made = stage.act(|| V::Backend::new_stream(device, options));
                if let Some(made) = made {
                    clean("synchronize of a new stream", made.synchronize());
                }
            });
        }
        for (name, options) in options() {
            table.add(format!("new_event, {name}, {device}"), move |stage| {
                let made = stage.act(|| V::Backend::new_event(device, options));
                if let Some(made) = made {
                    clean("synchronize of a new event", made.synchronize());
                }
            });
        }
    }
}

fn wrapping<'w, V: FaultFixture>(table: &mut Table<'w>, world: &'w TestStreams<V>) {
    let absent = Device::new(V::Backend::KIND, 9_999);
    let sorts = [("0", 0), ("1", 1), ("2", 2), ("explicit", world.raw)];
    for (name, bits) in sorts {
        let raw = RawStream::from_bits(bits);
        for given in [None, Some(world.device), Some(absent)] {
            let of = given.map_or("no device".to_owned(), |device| device.to_string());
            table.add(format!("wrap, {name}, {of}"), move |stage| {
                // SAFETY: the world's stream is never destroyed, and the others are refused or
                // always there.
                drop(stage.act(|| unsafe { V::Backend::stream_from_raw(raw, given) }));
            });
        }
        let device = world.device;
        table.add(format!("wrap unchecked, {name}"), move |stage| {
            // SAFETY: as above.
            drop(stage.act(|| unsafe { V::Backend::stream_from_raw_unchecked(raw, device) }));
        });
        type Call<V> = fn(&StreamOf<V>, &StreamOf<V>) -> Answer<V>;
        let calls: [(&str, Call<V>); 4] = [
            ("record_event", |stream, _| keep(stream.record_event())),
            ("query", |stream, _| keep(stream.query())),
            ("wait_stream", |stream, other| keep(stream.wait_stream(other))),
            ("synchronize", |stream, _| keep(stream.synchronize())),
        ];
        // Handle 2 is refused.
        for (call, run) in calls.into_iter().filter(|_| bits != 2) {
            table.add(format!("{call}, wrapped unchecked, {name}"), move |stage| {
                // SAFETY: as above.
                let wrapped = unsafe { V::Backend::stream_from_raw_unchecked(raw, device) };
                let wrapped = clean("wrapping", wrapped);
                stage.act(|| run(&wrapped, &world.streams[0].1));
            });
        }
    }
    table.add("wrap, from an owner", move |stage| {
        let owner = Arc::clone(&world.owners[0]);
        let shares = Arc::strong_count(&owner);
        let wrapped =
            stage.act(|| V::Backend::stream_from_owner::<Foreign>(Arc::clone(&owner), None));
        let more = usize::from(wrapped.is_some());
        stage.check(Arc::strong_count(&owner) == shares + more, "the wrapper has one share");
        drop(wrapped);
        stage.check(Arc::strong_count(&owner) == shares, "the share was given up");
    });
}

fn on_streams<'w, V: FaultFixture>(table: &mut Table<'w>, world: &'w TestStreams<V>) {
    for (sort, stream) in &world.streams {
        table.call(format!("query, {sort}"), move || stream.query());
        table.call(format!("synchronize, {sort}"), move || stream.synchronize());
        table.call(format!("priority, {sort}"), move || stream.priority());
        table.call(format!("id, {sort}"), move || stream.id());
        table.call(format!("capture_status, {sort}"), move || stream.capture_status());
        table.add(format!("record_event, {sort}"), move |stage| {
            if let Some(event) = stage.act(|| stream.record_event()) {
                clean("synchronize", event.synchronize());
            }
        });
        for (name, options) in [("plain", EventOptions::new()), ("timed", EventOptions::timed())] {
            table.call(format!("new event of the stream, {name}, {sort}"), move || {
                V::event_for(stream, options)
            });
            table.add(format!("record, {name}, {sort}"), move |stage| {
                let event = clean("an event", V::event_for(stream, options));
                stage.act(|| stream.record(&event));
                // Whatever became of the record, the event can be recorded and asked.
                clean("a record", stream.record(&event));
                clean("synchronize", event.synchronize());
            });
            table.add(format!("record again, {name}, {sort}"), move |stage| {
                let event = recorded::<V>(stream, options);
                stage.act(|| stream.record(&event));
                clean("a wait for it", stream.wait_event(&event));
                clean("synchronize", event.synchronize());
            });
        }
        table.add(format!("record after the handle was given out, {sort}"), move |stage| {
            let event = recorded::<V>(stream, EventOptions::new());
            event.raw();
            stage.act(|| stream.record(&event));
            clean("synchronize", event.synchronize());
        });
        table.add(format!("record of the first device's event, {sort}"), move |stage| {
            let event = clean("an event", V::Backend::new_event(world.device, EventOptions::new()));
            stage.act(|| stream.record(&event));
        });
        table.add(format!("host function, {sort}"), move |stage| {
            let (token, ran) = (Arc::new(()), Arc::new(AtomicUsize::new(0)));
            let (held, count) = (Arc::clone(&token), Arc::clone(&ran));
            stage.act(|| {
                stream.launch_host_func(Box::new(move || {
                    count.fetch_add(1, Ordering::SeqCst);
                    drop(held);
                }))
            });
            clean("synchronize", stream.synchronize());
            let runs = ran.load(Ordering::SeqCst);
            stage.check(runs <= 1, "the function ran twice");
            stage.check(runs == 1 || !stage.is_done(), "the function did not run");
            stage.check(Arc::strong_count(&token) == 1, "what the function held is still there");
        });
        table.add(format!("clone, compare, hash, {sort}"), move |stage| {
            stage.act_silent(|| {
                let mut hasher = DefaultHasher::new();
                stream.clone().hash(&mut hasher);
                let equal = stream.clone() == *stream;
                (equal, hasher.finish())
            });
        });
    }
}

fn on_events<'w, V: FaultFixture>(table: &mut Table<'w>, world: &'w TestStreams<V>) {
    for (sort, stream) in &world.streams {
        type Make<V> = fn(&StreamOf<V>) -> EventOf<V>;
        let make: [(&str, Make<V>); 2] = [
            ("unrecorded", |stream| clean("event", V::event_for(stream, EventOptions::new()))),
            ("recorded", |stream| recorded::<V>(stream, EventOptions::new())),
        ];
        for (name, make) in make {
            // Done, so that no question has to be asked twice.
            let make = move || {
                let event = make(stream);
                clean("synchronize", stream.synchronize());
                clean("synchronize", event.synchronize());
                event
            };
            table.add(format!("status, {name}, {sort}"), move |stage| {
                let event = make();
                stage.act(|| event.status());
            });
            table.add(format!("event query, {name}, {sort}"), move |stage| {
                let event = make();
                stage.act(|| event.query());
            });
            table.add(format!("event synchronize, {name}, {sort}"), move |stage| {
                let event = make();
                stage.act(|| event.synchronize());
            });
            table.add(format!("wait_event, {name}, {sort}"), move |stage| {
                let event = make();
                stage.act(|| stream.wait_event(&event));
                clean("wait_event", stream.wait_event(&event));
            });
        }
        table.add(format!("elapsed_since, {sort}"), move |stage| {
            let (start, end) = (
                recorded::<V>(stream, EventOptions::timed()),
                recorded::<V>(stream, EventOptions::timed()),
            );
            clean("synchronize", end.synchronize());
            stage.act(|| end.elapsed_since(&start));
            clean("elapsed_since", end.elapsed_since(&start));
        });
        table.add(format!("elapsed_since of an event without time, {sort}"), move |stage| {
            let event = recorded::<V>(stream, EventOptions::new());
            stage.act(|| event.elapsed_since(&event));
        });
    }
}

fn between_streams<'w, V: FaultFixture>(table: &mut Table<'w>, world: &'w TestStreams<V>) {
    for (sort, stream) in &world.streams {
        for (of, other) in &world.streams {
            table.call(format!("wait_stream, {sort} for {of}"), move || stream.wait_stream(other));
            table.add(format!("wait_event, {sort} for {of}"), move |stage| {
                let event = recorded::<V>(other, EventOptions::new());
                stage.act(|| stream.wait_event(&event));
            });
            table.call(format!("fork, {sort} to {of} and one more"), move || {
                stream.fork([other, &world.streams[0].1])
            });
            table.call(format!("join, {of} and one more into {sort}"), move || {
                stream.join([other, &world.streams[0].1])
            });
        }
    }
}

/// The thread's own default stream, and the end of a thread.
fn own_thread<'w, V: FaultFixture>(table: &mut Table<'w>, world: &'w TestStreams<V>) {
    let device = world.device;
    let mine = move || clean("the thread's stream", V::Backend::per_thread_stream(device));
    table.call("per_thread_stream", move || V::Backend::per_thread_stream(device));
    table.call("query, the thread's", move || mine().query());
    table.call("synchronize, the thread's", move || mine().synchronize());
    table.call("priority, the thread's", move || mine().priority());
    table.call("id, the thread's", move || mine().id());
    table.call("capture_status, the thread's", move || mine().capture_status());
    table.add("record_event, the thread's", move |stage| {
        let event = stage.act(|| mine().record_event());
        clean("synchronize", mine().synchronize());
        drop(event);
    });
    table.add("record, the thread's", move |stage| {
        let event = clean("an event", V::Backend::new_event(device, EventOptions::timed()));
        stage.act(|| mine().record(&event));
        clean("synchronize", event.synchronize());
    });
    table.add("wait_event, the thread's", move |stage| {
        let event = recorded::<V>(&world.streams[0].1, EventOptions::new());
        stage.act(|| mine().wait_event(&event));
        clean("synchronize", mine().synchronize());
    });
    table.add("wait_stream, for the thread's", move |stage| {
        let mine = mine();
        stage.act(|| world.streams[0].1.wait_stream(&mine));
    });
    table.add("host function, the thread's", move |stage| {
        let ran = Arc::new(AtomicUsize::new(0));
        let held = Arc::clone(&ran);
        let count = Box::new(move || {
            held.fetch_add(1, Ordering::SeqCst);
        });
        let mine = mine();
        stage.act(|| mine.launch_host_func(count));
        clean("synchronize", mine.synchronize());
        stage.check(ran.load(Ordering::SeqCst) == 1 || !stage.is_done(), "it did not run");
        stage.check(Arc::strong_count(&ran) == 1, "what the function held is still there");
    });
    table.add("the thread's first call", move |stage| {
        let first = || std::thread::spawn(move || V::Backend::per_thread_stream(device).map(drop));
        stage.act(|| first().join().expect("the thread"));
    });
    table.add("the end of a thread", move |stage| {
        let (may_end, wait) = mpsc::channel::<()>();
        let (send, receive) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mine = mine();
            let events = [EventOptions::new(), EventOptions::timed()].map(|options| {
                let event = clean("an event", V::Backend::new_event(device, options));
                clean("a record", mine.record(&event));
                event
            });
            send.send(events).expect("the test");
            wait.recv().expect("the test");
        });
        let events = receive.recv().expect("the thread");
        let thread = Cell::new(Some(thread));
        stage.act_silent(|| {
            may_end.send(()).expect("the thread");
            thread.take().expect("a thread").join().expect("the thread");
        });
        for event in events {
            // It may be told that the end of the thread failed, in so many words.
            let _ = (event.status(), event.synchronize());
            let stream = &world.streams[0].1;
            clean("a record after the end of the thread", stream.record(&event));
            clean("synchronize", event.synchronize());
        }
    });
}

/// A stream that is held back, with work in front of the call and behind it, and one that waits.
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
    fn new(world: &TestStreams<V>) -> Self {
        let producer = world.streams[0].1.clone();
        let gate = V::gate(producer.raw().to_bits());
        let consumer =
            clean("new_stream", V::Backend::new_stream(world.device, StreamOptions::new()));
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

    /// A function that counts itself, and whether it ran before the gate was opened.
    fn work(&mut self, on_consumer: bool) {
        let (ran, too_early) = (Arc::clone(&self.ran), Arc::clone(&self.too_early));
        let open = Arc::clone(&self.open);
        let stream = if on_consumer { &self.consumer } else { &self.producer };
        let count = move || {
            ran.fetch_add(1, Ordering::SeqCst);
            too_early.fetch_add(usize::from(!open.load(Ordering::SeqCst)), Ordering::SeqCst);
        };
        clean("work", stream.launch_host_func(Box::new(count)));
        self.launched += 1;
    }

    /// All that was submitted runs, and in order, where the call said that it made one.
    fn end(self, stage: &CallProbe, orders: bool) {
        let (ran, too_early) = (Arc::clone(&self.ran), Arc::clone(&self.too_early));
        let launched = self.launched + 2;
        self.open_and_wait();
        stage.check(ran.load(Ordering::SeqCst) == launched, "submitted work was lost");
        if orders && stage.is_done() {
            let early = too_early.load(Ordering::SeqCst);
            stage.check(early == 0, "a wait that was said to be made does not hold");
        }
    }

    fn open_and_wait(mut self) {
        self.work(false);
        self.work(true);
        // Time for what must not happen.
        for _ in 0..50 {
            std::thread::yield_now();
        }
        self.open.store(true, Ordering::SeqCst);
        self.gate.take();
        clean("synchronize", self.producer.synchronize());
        clean("synchronize", self.consumer.synchronize());
    }
}

fn while_pending<'w, V: FaultFixture>(table: &mut Table<'w>, world: &'w TestStreams<V>) {
    type Call<V> = fn(&Pending<V>) -> Answer<V>;
    let calls: [(&str, bool, Call<V>); 6] = [
        ("query", false, |pending| keep(pending.producer.query())),
        ("record_event", false, |pending| keep(pending.producer.record_event())),
        ("wait_stream", true, |pending| keep(pending.consumer.wait_stream(&pending.producer))),
        ("fork", true, |pending| keep(pending.producer.fork([&pending.consumer]))),
        ("join", true, |pending| keep(pending.consumer.join([&pending.producer]))),
        ("host function", false, |pending| {
            keep(pending.producer.launch_host_func(Box::new(|| ())))
        }),
    ];
    for (name, orders, call) in calls {
        table.add(format!("pending: {name}"), move |stage| {
            let pending = Pending::new(world);
            stage.act(|| call(&pending));
            pending.end(stage, orders);
        });
    }
    table.add("pending: wait_event", move |stage| {
        let pending = Pending::new(world);
        let event = recorded::<V>(&pending.producer, EventOptions::new());
        stage.act(|| pending.consumer.wait_event(&event));
        pending.end(stage, true);
    });
    table.add("pending: status", move |stage| {
        let pending = Pending::new(world);
        let event = recorded::<V>(&pending.producer, EventOptions::timed());
        stage.act(|| event.status());
        pending.end(stage, false);
    });
    table.add("pending: record again", move |stage| {
        let pending = Pending::new(world);
        let event = recorded::<V>(&pending.producer, EventOptions::new());
        // The wait keeps the first record.
        clean("wait_event", pending.consumer.wait_event(&event));
        let other = clean("new_stream", V::Backend::new_stream(world.device, Default::default()));
        stage.act(|| other.record(&event));
        pending.end(stage, true);
    });
    table.add("drop, pending: an event that is waited for", move |stage| {
        let pending = Pending::new(world);
        let event = recorded::<V>(&pending.producer, EventOptions::timed());
        clean("wait_event", pending.consumer.wait_event(&event));
        stage.act_silent(|| drop(event));
        pending.end(stage, true);
    });
    table.add("drop, pending: a stream", move |stage| {
        let mut pending = Pending::new(world);
        clean("wait_stream", pending.consumer.wait_stream(&pending.producer));
        pending.work(true);
        let other = clean("new_stream", V::Backend::new_stream(world.device, Default::default()));
        let dropped = std::mem::replace(&mut pending.consumer, other);
        let (send, receive) = mpsc::channel();
        let blocks = Cell::new(false);
        let thread = stage.act_silent(|| {
            let thread = std::thread::spawn(move || {
                drop(dropped);
                // Nobody listens any more if it took too long.
                let _ = send.send(());
            });
            blocks.set(receive.recv_timeout(TOO_LONG).is_err());
            thread
        });
        stage.check(!blocks.get(), "a drop waits for the stream's work");
        let (ran, launched) = (Arc::clone(&pending.ran), pending.launched + 2);
        pending.open_and_wait();
        let since = Instant::now();
        while ran.load(Ordering::SeqCst) < launched && since.elapsed() < TOO_LONG {
            std::thread::yield_now();
        }
        stage.check(ran.load(Ordering::SeqCst) == launched, "work of the dropped stream was lost");
        if let Some(thread) = thread {
            thread.join().expect("the drop");
        }
    });
}

/// When a test gives up that would hang else.
const TOO_LONG: Duration = Duration::from_secs(10);

fn in_a_capture<'w, V: FaultFixture>(table: &mut Table<'w>, world: &'w TestStreams<V>) {
    type Call<V> = fn(&StreamOf<V>, &StreamOf<V>) -> Answer<V>;
    let calls: [(&str, Call<V>); 11] = [
        ("query", |captured, _| keep(captured.query())),
        ("synchronize", |captured, _| keep(captured.synchronize())),
        ("host function", |captured, _| keep(captured.launch_host_func(Box::new(|| ())))),
        ("capture_status", |captured, _| keep(captured.capture_status())),
        ("id", |captured, _| keep(captured.id())),
        ("priority", |captured, _| keep(captured.priority())),
        ("record_event", |captured, _| keep(captured.record_event())),
        ("query beside", |_, other| keep(other.query())),
        ("synchronize beside", |_, other| keep(other.synchronize())),
        ("record_event beside", |_, other| keep(other.record_event())),
        ("new stream beside", |_, other| {
            keep(V::Backend::new_stream(other.device(), StreamOptions::new()))
        }),
    ];
    for (name, call) in calls {
        table.add(format!("capture: {name}"), move |stage| {
            let raw = RawStream::from_bits(world.captured);
            // SAFETY: the world's streams are never destroyed.
            let wrapped = unsafe { V::Backend::stream_from_raw(raw, None) };
            let captured = clean("wrapping a stream", wrapped);
            let _end = Capture::<V>::begin(world.captured);
            stage.act(|| call(&captured, &world.streams[0].1));
            stage.check_capture(V::is_capture_alive(world.captured));
        });
    }
    type Ask<V> = fn(&EventOf<V>) -> Result<(), super::ErrorOf<V>>;
    let questions: [(&str, Ask<V>); 2] = [
        ("status", |event| event.status().map(drop)),
        ("synchronize", |event| event.synchronize()),
    ];
    for (name, ask) in questions {
        for of_the_capture in [true, false] {
            let of = if of_the_capture { "of the capture" } else { "beside" };
            table.add(format!("capture: event {name}, {of}"), move |stage| {
                let raw = RawStream::from_bits(world.captured);
                // SAFETY: as above.
                let wrapped = unsafe { V::Backend::stream_from_raw(raw, None) };
                let captured = clean("wrapping a stream", wrapped);
                let _end = Capture::<V>::begin(world.captured);
                let on = if of_the_capture { &captured } else { &world.streams[0].1 };
                let event = clean("a record", on.record_event());
                stage.act(|| ask(&event));
                stage.check_capture(V::is_capture_alive(world.captured));
            });
        }
    }
    table.add("drop, capture: a timed event beside", move |stage| {
        let event = recorded::<V>(&world.streams[0].1, EventOptions::timed());
        let _end = Capture::<V>::begin(world.captured);
        stage.act_silent(|| drop(event));
        stage.check_capture(V::is_capture_alive(world.captured));
    });
}

/// A capture that ends with the operation.
struct Capture<V: FaultFixture>(usize, std::marker::PhantomData<V>);

impl<V: FaultFixture> Capture<V> {
    fn begin(stream: usize) -> Self {
        V::begin_capture(stream);
        Capture(stream, std::marker::PhantomData)
    }
}

impl<V: FaultFixture> Drop for Capture<V> {
    fn drop(&mut self) {
        V::end_capture(self.0);
    }
}

fn dropping<'w, V: FaultFixture>(table: &mut Table<'w>, world: &'w TestStreams<V>) {
    let stream = &world.streams[0].1;
    let own = &world.streams[world.streams.len() - 1].1;
    for (name, options) in [("plain", EventOptions::new()), ("timed", EventOptions::timed())] {
        for (record, is_recorded) in [("unrecorded", false), ("recorded", true)] {
            table.add(format!("drop, an event, {name}, {record}"), move |stage| {
                let event = clean("an event", V::event_for(own, options));
                if is_recorded {
                    clean("a record", own.record(&event));
                }
                stage.act_silent(|| drop(event));
            });
        }
    }
    table.add("drop, an event whose handle was given out", move |stage| {
        let event = recorded::<V>(stream, EventOptions::new());
        event.raw();
        stage.act_silent(|| drop(event));
    });
    table.add("drop, a stream", move |stage| {
        let made = clean("new_stream", V::Backend::new_stream(world.device, Default::default()));
        stage.act_silent(|| drop(made));
    });
    table.add("drop, a stream and an event that was recorded on it", move |stage| {
        let made = clean("new_stream", V::Backend::new_stream(world.device, Default::default()));
        let event = recorded::<V>(&made, EventOptions::timed());
        clean("synchronize", made.synchronize());
        stage.act_silent(|| drop((made, event)));
    });
    table.add("drop, put off: dropped inside a host function", move |stage| {
        let made = clean("new_stream", V::Backend::new_stream(world.device, Default::default()));
        let event = recorded::<V>(stream, EventOptions::timed());
        let all = (made, event);
        clean("host function", stream.launch_host_func(Box::new(move || drop(all))));
        clean("synchronize", stream.synchronize());
        // Which makes what the function dropped be destroyed.
        stage.act_silent(|| {
            let unused = V::event_for(stream, EventOptions::timed());
            drop(unused);
        });
    });
}
