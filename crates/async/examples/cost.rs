//! Measures what an await costs, beside `synchronize`, a loop of `query`, and a host function that wakes the task.
//!
//! `cargo run --release -p gpu-stream-async --example cost -- host`, or `cuda` or `hip`. Prints a table in Markdown: the median
//! time of one wait, from the submission of the work to the return, and the processor time of the process for each wait.

use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use futures::executor::block_on;
use gpu_stream_async::DoneExt;
use gpu_stream_conformance::fixtures::{CudaFixture, HipFixture, HostFixture, ask_for_hip_queues};
use gpu_stream_conformance::{Fixture, Outcome, Verdict};
use gpu_stream_core::{Backend, Stream, StreamOptions};
use gpu_stream_test_drivers::cuda::Space;

type StreamOf<F> = <<F as Fixture>::Backend as Backend>::Stream;

/// The number of waits that are measured, after as many that are not.
const ROUNDS: usize = 2_000;

fn main() -> ExitCode {
    let backend = std::env::args().nth(1).unwrap_or_default();
    let outcome = match backend.as_str() {
        "host" => bench(&HostFixture::new(), host_func),
        "cuda" => CudaFixture::new().map_err(Verdict::failed).and_then(|fixture| {
            let kernel = Kernel::calibrated()?;
            bench(&fixture, |stream, _| kernel.submit(stream.raw().as_ptr()))
        }),
        "hip" => {
            // SAFETY: no other thread is running yet. Without more signals, HIP 5.2 blocks a record while many are pending.
            unsafe { ask_for_hip_queues() };
            let fixture = HipFixture::new().map_err(Verdict::failed);
            fixture.and_then(|fixture| bench(&fixture, host_func))
        }
        other => Err(Verdict::failed(format!("no backend {other:?}; name host, cuda or hip"))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(verdict) => {
            eprintln!("{}", verdict.reason());
            ExitCode::FAILURE
        }
    }
}

/// The time that the work takes.
const WORK: Duration = Duration::from_micros(50);

/// Submits a closure that spins.
fn host_func<S: Stream>(stream: &S, time: Duration) -> Outcome {
    Ok(stream.launch_host_func(Box::new(move || {
        let begin = Instant::now();
        while begin.elapsed() < time {
            std::hint::spin_loop();
        }
    }))?)
}

/// A kernel that runs for [`WORK`].
struct Kernel {
    space: &'static Space,
    number: u64,
    turns: u32,
}

impl Kernel {
    /// Finds the number of turns by doubling and interpolation.
    fn calibrated() -> Result<Self, Verdict> {
        let space = Space::primary();
        let (stream, number) = (space.stream(1, 0), space.words(1));
        let time = |turns| {
            let mut times: Vec<_> = (0..50)
                .map(|_| {
                    let begin = Instant::now();
                    space.slow_store(stream, number, 1, turns);
                    space.synchronize(stream);
                    begin.elapsed()
                })
                .collect();
            times.sort();
            times[25]
        };
        let (empty, mut turns) = (time(1), 64);
        while time(turns) < empty + WORK * 8 {
            turns *= 2;
            if turns > 1 << 28 {
                return Err(Verdict::failed("the kernel takes no time"));
            }
        }
        let each = (time(turns) - empty).as_secs_f64() / f64::from(turns);
        Ok(Kernel { space, number, turns: (WORK.as_secs_f64() / each) as u32 })
    }

    fn submit(&self, stream: gpu_stream_test_drivers::Ptr) -> Outcome {
        self.space.slow_store(stream, self.number, 1, self.turns);
        Ok(())
    }
}

/// Returns 0: the processor time is measured on Unix only.
#[cfg(not(unix))]
fn processor_time() -> Duration {
    Duration::ZERO
}

/// Returns the processor time of the process so far: of all threads, in user and system mode.
#[cfg(unix)]
fn processor_time() -> Duration {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `usage` is a valid out-pointer. All zeros is a valid value, so it is initialized also after an error.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    let time = |value: libc::timeval| {
        Duration::from_secs(value.tv_sec as u64) + Duration::from_micros(value.tv_usec as u64)
    };
    time(usage.ru_utime) + time(usage.ru_stime)
}

/// A future that a host function on the stream wakes: what programs do without a watcher.
#[derive(Default)]
struct HostFunc(Arc<Mutex<(bool, Option<Waker>)>>);

impl HostFunc {
    fn launch<S: Stream>(stream: &S) -> Result<Self, Verdict> {
        let future = HostFunc::default();
        let state = Arc::clone(&future.0);
        stream.launch_host_func(Box::new(move || {
            let mut state = state.lock().unwrap();
            state.0 = true;
            let waker = state.1.take();
            drop(state);
            waker.into_iter().for_each(Waker::wake);
        }))?;
        Ok(future)
    }
}

impl Future for HostFunc {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock().unwrap();
        if state.0 {
            return Poll::Ready(());
        }
        state.1 = Some(context.waker().clone());
        Poll::Pending
    }
}

/// Measures one way to wait, and prints a row.
fn row(what: &str, mut wait: impl FnMut() -> Outcome) -> Outcome {
    for _ in 0..ROUNDS {
        wait()?;
    }
    let (mut times, before) = (Vec::with_capacity(ROUNDS), processor_time());
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        wait()?;
        times.push(begin.elapsed());
    }
    let processor = (processor_time() - before).as_secs_f64() * 1e6 / ROUNDS as f64;
    times.sort();
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    let (median, late) = (micros(times[ROUNDS / 2]), micros(times[ROUNDS * 99 / 100]));
    println!("| {what} | {median:.2} | {late:.2} | {processor:.2} |");
    Ok(())
}

fn bench<F: Fixture>(fx: &F, work: impl Fn(&StreamOf<F>, Duration) -> Outcome) -> Outcome {
    let device = fx.devices()?[0];
    let stream = F::Backend::new_stream(device, StreamOptions::new())?;
    println!("backend {}, {ROUNDS} waits each\n", F::Backend::KIND);
    println!("| | median µs | 99 of 100 µs | processor µs |\n|---|---:|---:|---:|");
    row("idle stream: `done().await`", || Ok(block_on(stream.done()?)?))?;
    row("idle stream: `synchronize`", || Ok(stream.synchronize()?))?;
    row("idle stream: `query`", || Ok(black_box(stream.query()).map(drop)?))?;
    row("50 µs of work: `done().await`", || {
        work(&stream, WORK)?;
        Ok(block_on(stream.done()?)?)
    })?;
    row("50 µs of work: `synchronize`", || {
        work(&stream, WORK)?;
        Ok(stream.synchronize()?)
    })?;
    row("50 µs of work: a loop of `query`", || {
        work(&stream, WORK)?;
        while !stream.query()? {}
        Ok(())
    })?;
    row("50 µs of work: a host function that wakes", || {
        work(&stream, WORK)?;
        block_on(HostFunc::launch(&stream)?);
        Ok(())
    })?;
    in_flight(fx)
}

/// A waker that does nothing.
struct Silent;

impl Wake for Silent {
    fn wake(self: Arc<Self>) {}
}

/// Measures 1,000 futures at once, on up to eight streams that gates hold back.
fn in_flight<F: Fixture>(fx: &F) -> Outcome {
    const COUNT: usize = 1_000;
    let count = fx.independent().clamp(1, 8);
    let device = fx.devices()?[0];
    let new = || Ok::<_, Verdict>(F::Backend::new_stream(device, StreamOptions::new())?);
    let streams = (0..count).map(|_| new()).collect::<Result<Vec<_>, _>>()?;
    let (mut made, mut ended) = (Vec::new(), Vec::new());
    let mut processor = Duration::ZERO;
    for round in 0..60 {
        let gates = streams.iter().map(|stream| fx.gate(stream));
        let gates = gates.collect::<Result<Vec<_>, _>>()?;
        let waker = Waker::from(Arc::new(Silent));
        let (before, begin) = (processor_time(), Instant::now());
        let mut futures = Vec::with_capacity(COUNT);
        for index in 0..COUNT {
            let mut future = streams[index % count].done()?;
            if Pin::new(&mut future).poll(&mut Context::from_waker(&waker)).is_ready() {
                return Err(Verdict::failed("a future is ready, and its gate is shut"));
            }
            futures.push(future);
        }
        let all_made = begin.elapsed();
        gates.iter().for_each(|gate| fx.open(gate));
        let begin = Instant::now();
        for future in futures {
            block_on(future)?;
        }
        // The first ten rounds fill the pool of events.
        if round >= 10 {
            processor += processor_time() - before;
            made.push(all_made);
            ended.push(begin.elapsed());
        }
    }
    let rounds = made.len();
    let each = |times: &mut Vec<Duration>| {
        times.sort();
        times[times.len() / 2].as_secs_f64() * 1e6 / COUNT as f64
    };
    let processor = processor.as_secs_f64() * 1e6 / (rounds * COUNT) as f64;
    println!("\n1,000 in flight on {count} streams, {rounds} rounds, for each future:\n");
    println!(
        "| `done()` and the first poll, µs | from the opening to the end, µs | processor µs |"
    );
    println!("|---:|---:|---:|");
    println!("| {:.2} | {:.2} | {processor:.2} |", each(&mut made), each(&mut ended));
    Ok(())
}
