//! `done().await` of gpu-stream beside cuda-async 0.5, on the same streams, in one process.
//!
//! A package of its own, with the dependencies cuda-async 0.5, cuda-core 0.5, futures 0.3, libc 0.2, and by path
//! gpu-stream-async, gpu-stream-core, gpu-stream-cuda (no default features) and gpu-stream-test-drivers (feature
//! `cuda`). cuda-core needs CUDA's headers: `CUDA_HOME`.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Wake, Waker};
use std::time::{Duration, Instant};

use cuda_async::device_future::DeviceFuture;
use cuda_async::device_operation::{ExecutionContext, value, with_context};
use cuda_core::{Context, Stream as TheirStream};
use futures::executor::block_on;
use gpu_stream_async::DoneExt;
use gpu_stream_core::{Backend, RawStream, Stream};
use gpu_stream_cuda::{Cuda, CudaStream};
use gpu_stream_test_drivers::Ptr;
use gpu_stream_test_drivers::cuda::Space;

type Res<T = ()> = Result<T, Box<dyn Error>>;
const ROUNDS: usize = 2_000;
const WORK: Duration = Duration::from_micros(50);

fn cpu() -> Duration {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    let time = |v: libc::timeval| {
        Duration::from_secs(v.tv_sec as u64) + Duration::from_micros(v.tv_usec as u64)
    };
    time(usage.ru_utime) + time(usage.ru_stime)
}

fn row(what: &str, mut wait: impl FnMut() -> Res) -> Res {
    for _ in 0..ROUNDS {
        wait()?;
    }
    let (mut times, before) = (Vec::with_capacity(ROUNDS), cpu());
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        wait()?;
        times.push(begin.elapsed());
    }
    let processor = (cpu() - before).as_secs_f64() * 1e6 / ROUNDS as f64;
    times.sort();
    let us = |t: Duration| t.as_secs_f64() * 1e6;
    println!(
        "| {what} | {:.2} | {:.2} | {processor:.2} |",
        us(times[ROUNDS / 2]),
        us(times[ROUNDS * 99 / 100])
    );
    Ok(())
}

fn calibrate(space: &'static Space, number: u64) -> u32 {
    let stream = space.stream(1, 0);
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
    while time(turns) < empty + WORK * 8 && turns < 1 << 28 {
        turns *= 2;
    }
    let each = (time(turns).saturating_sub(empty)).as_secs_f64() / f64::from(turns);
    ((WORK.as_secs_f64() / each) as u32).min(1 << 28)
}

struct Silent;
impl Wake for Silent {
    fn wake(self: Arc<Self>) {}
}

fn main() -> Res {
    let space = Space::primary();
    let number = space.words(1);
    let turns = calibrate(space, number);
    let context = Context::new(0)?;
    let theirs: Arc<TheirStream> = context.new_stream()?;
    let raw = |s: &Arc<TheirStream>| s.cu_stream() as usize;
    let wrap = |s: &Arc<TheirStream>| -> Res<CudaStream> {
        Ok(unsafe { Cuda::stream_from_raw(RawStream::from_bits(raw(s)), None)? })
    };
    let ours = wrap(&theirs)?;
    let bits = raw(&theirs);
    let ptr = move || bits as *mut std::ffi::c_void as Ptr;
    let work = move || space.slow_store(ptr(), number, 1, turns);
    let run = |with_work: bool| -> Res {
        let op = with_context(move |_| {
            if with_work {
                work()
            }
            value(())
        });
        block_on(DeviceFuture::scheduled(op, ExecutionContext::new(Arc::clone(&theirs))))
            .map_err(|e| format!("{e:?}"))?;
        Ok(())
    };
    println!(
        "turns {turns}; CUDA_ASYNC_HOST_SYNC={:?}\n",
        std::env::var("CUDA_ASYNC_HOST_SYNC").ok()
    );
    println!("| | median µs | 99 of 100 µs | processor µs |\n|---|---:|---:|---:|");
    for round in 1..=2 {
        row(&format!("idle, gpu-stream, {round}"), || Ok(block_on(ours.done()?)?))?;
        row(&format!("idle, cuda-async, {round}"), || run(false))?;
        row(&format!("50 µs, gpu-stream, {round}"), || {
            work();
            Ok(block_on(ours.done()?)?)
        })?;
        row(&format!("50 µs, cuda-async, {round}"), || run(true))?;
        row(&format!("50 µs, synchronize, {round}"), || {
            work();
            Ok(ours.synchronize()?)
        })?;
    }
    println!(
        "\n1,000 in flight on 8 streams, per future\n\n| | submit and first poll µs | opening to end µs | processor µs |\n|---|---:|---:|---:|"
    );
    let theirs: Vec<_> = (0..8).map(|_| context.new_stream()).collect::<Result<_, _>>()?;
    let ours = theirs.iter().map(wrap).collect::<Res<Vec<_>>>()?;
    for who in ["gpu-stream", "cuda-async", "gpu-stream", "cuda-async"] {
        let (mut made, mut ended, mut used) = (vec![], vec![], Duration::ZERO);
        for round in 0..60 {
            let gates: Vec<_> =
                theirs.iter().map(|s| space.gate(raw(s) as *mut std::ffi::c_void as Ptr)).collect();
            let waker = Waker::from(Arc::new(Silent));
            let (before, begin) = (cpu(), Instant::now());
            let mut futures: Vec<Pin<Box<dyn Future<Output = Res>>>> = Vec::new();
            for index in 0..1000 {
                let mut future: Pin<Box<dyn Future<Output = Res>>> = if who == "gpu-stream" {
                    let done = ours[index % 8].done()?;
                    Box::pin(async { Ok(done.await?) })
                } else {
                    let op = with_context(|_| value(()));
                    let future = DeviceFuture::scheduled(
                        op,
                        ExecutionContext::new(Arc::clone(&theirs[index % 8])),
                    );
                    Box::pin(async {
                        future.await.map_err(|e| format!("{e:?}"))?;
                        Ok(())
                    })
                };
                if future.as_mut().poll(&mut TaskContext::from_waker(&waker)).is_ready() {
                    return Err("ready too early".into());
                }
                futures.push(future);
            }
            let all = begin.elapsed();
            gates.iter().for_each(|gate| gate.open());
            let begin = Instant::now();
            for future in futures {
                block_on(future)?;
            }
            if round >= 10 {
                used += cpu() - before;
                made.push(all);
                ended.push(begin.elapsed());
            }
        }
        made.sort();
        ended.sort();
        let each = |t: &[Duration]| t[t.len() / 2].as_secs_f64() * 1e3;
        println!(
            "| {who} | {:.3} | {:.3} | {:.3} |",
            each(&made),
            each(&ended),
            used.as_secs_f64() * 1e6 / 50_000.0
        );
    }
    Ok(())
}
