//! The cases of the table: [`CASES`].
//!
//! Each case makes as many objects as its size says. The streams and events of a case are all alive
//! at once. In most cases a gate holds the work back until all of it is submitted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gpu_stream_core::{Backend, Device, Stream, StreamOptions};
use gpu_stream_host::{Gate, Host, HostStream};

/// A case of the table.
pub struct Case {
    /// The name in the first column, and on the command line.
    pub name: &'static str,
    /// The unit that the size counts.
    pub item: &'static str,
    /// The greatest size.
    pub largest: u64,
    /// Runs the case with a size.
    pub run: fn(u64) -> Times,
}

/// The times of one case.
pub struct Times {
    /// The time in which all objects are made or submitted.
    pub submit: Duration,
    /// The time after that, until the work has run or the objects are dropped.
    pub finish: Duration,
}

/// All cases.
pub const CASES: [Case; 8] = [
    Case { name: "idle streams", item: "stream", largest: 1_000_000, run: idle_streams },
    Case { name: "used streams", item: "stream", largest: 1_000_000, run: used_streams },
    Case { name: "events", item: "event", largest: 1_000_000, run: events },
    Case { name: "tasks behind a gate", item: "task", largest: 10_000_000, run: held_tasks },
    Case { name: "tasks without a gate", item: "task", largest: 10_000_000, run: tasks },
    Case { name: "chain over two streams", item: "wait", largest: 1_000_000, run: chain_of_two },
    Case { name: "chain over streams", item: "wait", largest: 1_000_000, run: chain_of_all },
    Case { name: "streams behind a gate", item: "wait", largest: 1_000_000, run: fan_out },
];

/// The work of one case: tasks that count, and the check that all of them ran in order.
struct Work(Arc<AtomicU64>);

impl Work {
    fn new() -> Self {
        Work(Arc::new(AtomicU64::new(0)))
    }

    /// Launches a task that asserts that `before` tasks ran before it. `None`: any number.
    fn launch(&self, stream: &HostStream, before: Option<u64>) {
        let count = Arc::clone(&self.0);
        let task = move || {
            let ran = count.fetch_add(1, Ordering::Relaxed);
            assert!(before.is_none_or(|before| ran == before), "{ran} tasks ran before this one");
        };
        stream.launch(task).expect("the stream is alive");
    }

    fn check(&self, expected: u64) {
        assert_eq!(self.0.load(Ordering::Relaxed), expected, "tasks run (left), submitted (right)");
    }
}

fn device() -> Device {
    Host::device(0).expect("there is a device 0")
}

fn new_stream() -> HostStream {
    Host::new_stream(device(), StreamOptions::new()).expect("the device has streams")
}

fn new_gate() -> Gate {
    Gate::new(device()).expect("the device has gates")
}

fn wait(stream: &HostStream, gate: &Gate) {
    stream.wait_event(gate.event()).expect("the stream is alive");
}

fn synchronize(stream: &HostStream) {
    stream.synchronize().expect("no task panics");
}

/// Times `submit`, and then `finish` with its result.
fn time<T>(submit: impl FnOnce() -> T, finish: impl FnOnce(T)) -> Times {
    let start = Instant::now();
    let made = submit();
    let submitted = Instant::now();
    finish(made);
    Times { submit: submitted - start, finish: submitted.elapsed() }
}

/// Streams without work, which are then destroyed.
fn idle_streams(size: u64) -> Times {
    time(|| (0..size).map(|_| new_stream()).collect::<Vec<_>>(), drop)
}

/// Streams that each get a task, and for which the caller then waits.
fn used_streams(size: u64) -> Times {
    let work = Work::new();
    let streams: Vec<_> = (0..size).map(|_| new_stream()).collect();
    let submit = || streams.iter().for_each(|stream| work.launch(stream, None));
    let times = time(submit, |()| streams.iter().for_each(synchronize));
    work.check(size);
    times
}

/// Recorded events, which are then dropped.
fn events(size: u64) -> Times {
    let stream = new_stream();
    let record = || stream.record_event().expect("the stream is alive");
    time(|| (0..size).map(|_| record()).collect::<Vec<_>>(), drop)
}

/// Tasks in one stream that a gate holds back.
fn held_tasks(size: u64) -> Times {
    let (work, stream, gate) = (Work::new(), new_stream(), new_gate());
    wait(&stream, &gate);
    let submit = || (0..size).for_each(|number| work.launch(&stream, Some(number)));
    let finish = |()| {
        gate.open();
        synchronize(&stream);
    };
    let times = time(submit, finish);
    work.check(size);
    times
}

/// Tasks in one stream that run as soon as they are submitted.
fn tasks(size: u64) -> Times {
    let (work, stream) = (Work::new(), new_stream());
    let submit = || (0..size).for_each(|number| work.launch(&stream, Some(number)));
    let times = time(submit, |()| synchronize(&stream));
    work.check(size);
    times
}

/// Two streams that alternate: each task follows a wait for the other stream's last task.
fn chain_of_two(size: u64) -> Times {
    let (work, streams, gate) = (Work::new(), [new_stream(), new_stream()], new_gate());
    wait(&streams[0], &gate);
    let submit = || {
        for number in 0..size {
            let stream = &streams[(number % 2) as usize];
            let other = &streams[((number + 1) % 2) as usize];
            stream.wait_stream(other).expect("the stream is alive");
            work.launch(stream, Some(number));
        }
    };
    let finish = |()| {
        gate.open();
        streams.iter().for_each(synchronize);
    };
    let times = time(submit, finish);
    work.check(size);
    times
}

/// As many streams as waits, each of which waits for the one before. The first waits for a gate.
fn chain_of_all(size: u64) -> Times {
    let (work, gate) = (Work::new(), new_gate());
    let streams: Vec<_> = (0..size).map(|_| new_stream()).collect();
    let submit = || {
        wait(&streams[0], &gate);
        work.launch(&streams[0], Some(0));
        for (before, pair) in (1..).zip(streams.windows(2)) {
            pair[1].wait_stream(&pair[0]).expect("the stream is alive");
            work.launch(&pair[1], Some(before));
        }
    };
    let finish = |()| {
        gate.open();
        streams.iter().for_each(synchronize);
    };
    let times = time(submit, finish);
    work.check(size);
    times
}

/// As many streams as waits, all for one gate.
fn fan_out(size: u64) -> Times {
    let (work, gate) = (Work::new(), new_gate());
    let streams: Vec<_> = (0..size).map(|_| new_stream()).collect();
    let submit = || {
        for stream in &streams {
            wait(stream, &gate);
            work.launch(stream, None);
        }
    };
    let finish = |()| {
        gate.open();
        streams.iter().for_each(synchronize);
    };
    let times = time(submit, finish);
    work.check(size);
    times
}
