//! How late `synchronize` returns after 20 ms of work, and how much of a core it uses, beside the runtime's own wait.
//!
//! ```sh
//! cargo run -q -p gpu-stream-hsa-sim -- --hip 7.2 cargo run --release -p gpu-stream-hip --example waits
//! ```
//!
//! The work is a host function that sleeps. The kinds of waits alternate. The argument is the number of rounds, 100
//! without one.

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gpu_stream_core::{Backend, Event, EventOptions, Stream, StreamOptions};
use gpu_stream_hip::Hip;
use gpu_stream_test_support::hip::driver;

use clock::{CLOCK_MONOTONIC, CLOCK_THREAD_CPUTIME_ID, now};

const WORK: Duration = Duration::from_millis(20);

/// `hipEventDisableTiming`, and `hipEventReleaseToSystem`, as the backend's events have.
const FLAGS: u32 = 2 | 0x8000_0000;

static ENDED: AtomicU64 = AtomicU64::new(0);

#[cfg(unix)]
mod clock {
    pub(crate) use libc::{CLOCK_MONOTONIC, CLOCK_THREAD_CPUTIME_ID};

    /// Returns the nanoseconds of a clock.
    pub(crate) fn now(clock: libc::clockid_t) -> u64 {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `&mut time` is a valid out-pointer.
        unsafe { libc::clock_gettime(clock, &mut time) };
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    }
}

/// Compiles where the simulated runtime does not exist. `main` returns its error there.
#[cfg(not(unix))]
mod clock {
    pub(crate) const CLOCK_MONOTONIC: i32 = 0;
    pub(crate) const CLOCK_THREAD_CPUTIME_ID: i32 = 1;

    pub(crate) fn now(_: i32) -> u64 {
        0
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    hsa_sim::preload()?;
    let rounds: usize = std::env::args().nth(1).map_or(Ok(100), |text| text.parse())?;
    let device = Hip::device(0)?;
    let stream = Hip::new_stream(device, StreamOptions::new())?;
    let raw = stream.raw().as_ptr();
    let mut bare = std::ptr::null_mut();
    // SAFETY: `&mut bare` is a valid out-pointer.
    ok(unsafe { (driver().event_create)(&mut bare, FLAGS) });
    let (plain, blocking) = (
        stream.new_event(EventOptions::new())?,
        stream.new_event(EventOptions::builder().blocking(true).build()?)?,
    );
    // SAFETY: the stream and the event are live.
    let record_bare = || ok(unsafe { (driver().event_record)(bare, raw) });
    // SAFETY: the event is live.
    let wait_bare = || ok(unsafe { (driver().event_synchronize)(bare) });
    type Step<'a> = &'a dyn Fn();
    let kinds: [(&str, Step<'_>, Step<'_>); 5] = [
        ("hipEventSynchronize", &record_bare, &wait_bare),
        ("Stream::synchronize", &|| (), &|| stream.synchronize().expect("synchronize")),
        ("Event::synchronize", &|| stream.record(&plain).expect("record"), &|| {
            plain.synchronize().expect("synchronize")
        }),
        ("Event::synchronize, blocking", &|| stream.record(&blocking).expect("record"), &|| {
            blocking.synchronize().expect("synchronize")
        }),
        // Measured twice: the difference is the noise.
        ("hipEventSynchronize, again", &record_bare, &wait_bare),
    ];
    let mut late = [const { Vec::new() }; 5];
    let mut used = [0; 5];
    for _ in 0..rounds {
        for (index, (_, arm, wait)) in kinds.iter().enumerate() {
            stream.launch_host_func(Box::new(|| {
                std::thread::sleep(WORK);
                ENDED.store(now(CLOCK_MONOTONIC), Ordering::SeqCst);
            }))?;
            arm();
            let before = now(CLOCK_THREAD_CPUTIME_ID);
            wait();
            late[index].push(now(CLOCK_MONOTONIC) - ENDED.load(Ordering::SeqCst));
            used[index] += now(CLOCK_THREAD_CPUTIME_ID) - before;
        }
    }
    println!("HIP {}, {rounds} rounds", Hip::probe()?.version);
    println!("| wait | us late, median | of the first | 90 % | of a core |\n|---|---|---|---|---|");
    let mut first = 0.0;
    for (index, (name, ..)) in kinds.iter().enumerate() {
        late[index].sort_unstable();
        let at = |percent: usize| late[index][rounds * percent / 100] as f64 / 1e3;
        first = if index == 0 { at(50) } else { first };
        let core = used[index] as f64 / rounds as f64 / WORK.as_nanos() as f64 * 100.0;
        println!(
            "| {name} | {:.0} | {:.2} | {:.0} | {core:.2} % |",
            at(50),
            at(50) / first,
            at(90)
        );
    }
    Ok(())
}

fn ok(code: i32) {
    assert_eq!(code, 0, "a code of the runtime");
}
