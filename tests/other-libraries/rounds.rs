//! Rounds of work on two streams of which one is another library's, with both waits and with one of them left out.
//!
//! The programs of the Rust libraries include this file. A word in pinned memory holds a stream back, so that the
//! program decides what runs first.

use std::error::Error;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};

use cudarc::driver::{result as driver, sys};
use gpu_stream::prelude::*;
use gpu_stream::{Cuda, CudaStream};

/// The number of elements of each array.
pub const COUNT: usize = 1 << 14;

pub type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Work of three steps: `source` to `middle` and `target` to `result` on `outer`, `middle` to `target` on `inner`.
///
/// The context of both streams is current on the thread.
pub trait Chain {
    fn outer(&self) -> &CudaStream;
    fn inner(&self) -> &CudaStream;

    /// Returns the addresses of `source`, `middle`, `target` and `result`: [`COUNT`] numbers each.
    fn addresses(&self) -> [u64; 4];

    /// Returns the result for a number in `source`.
    fn expected(&self, number: f32) -> f32;

    /// Submits the first step. Does not block.
    fn first(&mut self) -> Outcome;

    /// Submits the step in the middle. Does not block.
    fn work(&mut self) -> Outcome;

    /// Submits the last step. Does not block.
    fn last(&mut self) -> Outcome;
}

/// Holds a stream back until it is dropped, also on an error.
struct Gate(&'static AtomicU32);

impl Gate {
    /// Enqueues a wait for a word. Not a host function: behind it, those of other streams would wait as well.
    fn shut(stream: &CudaStream, word: &'static AtomicU32) -> Outcome<Self> {
        word.store(0, Ordering::SeqCst);
        let equal_or_greater = 0;
        // SAFETY: `stream` is alive, and the device reads the word at its address on the host: it is mapped and never freed.
        unsafe {
            sys::cuStreamWaitValue32_v2(
                stream.raw().as_ptr().cast(),
                word.as_ptr() as u64,
                1,
                equal_or_greater,
            )
            .result()?
        };
        Ok(Gate(word))
    }

    /// Allocates a word, which is never freed.
    fn word() -> Outcome<&'static AtomicU32> {
        // SAFETY: the memory is aligned to pages, holds a valid number after the write, and is used atomically only.
        unsafe {
            let word = driver::malloc_host(4, sys::CU_MEMHOSTALLOC_DEVICEMAP)?.cast::<u32>();
            word.write(0);
            Ok(AtomicU32::from_ptr(word))
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.0.store(1, Ordering::SeqCst);
    }
}

/// What all rounds of a chain share. Its memory is never freed.
struct Fixture {
    /// What [`Gate`] uses.
    word: &'static AtomicU32,
    /// A stream that waits for no other, and memory for its work.
    other: CudaStream,
    unused: u64,
}

impl Fixture {
    fn new(chain: &dyn Chain) -> Outcome<Self> {
        let other = chain.inner().new_stream(StreamOptions::new())?;
        // SAFETY: the context is current (contract of `Chain`).
        let unused = unsafe { driver::malloc_sync(COUNT * 4)? };
        Ok(Fixture { word: Gate::word()?, other, unused })
    }

    /// Polls until work on a stream of its own is done. Work submitted before has had its turn then, unless it is held.
    fn let_others_run(&self, chain: &dyn Chain) -> Outcome {
        for _ in 0..20 {
            // SAFETY: both are of so many numbers, and stay allocated until the work is done, below.
            unsafe { copy(&self.other, self.unused, chain.addresses()[0])? };
            while !self.other.query()? {
                std::thread::yield_now();
            }
        }
        Ok(())
    }
}

/// The wait that a control leaves out.
#[derive(Clone, Copy, PartialEq)]
enum Wait {
    Before,
    After,
}

/// Prints a row of the table. Returns `true` if all rounds were right with the waits, and wrong without each of them.
pub fn print_row(
    chain: &mut dyn Chain,
    rounds: u32,
    library: &str,
    ordered: &str,
) -> Outcome<bool> {
    warm_up(chain)?;
    let right = count_right(chain, rounds, None)?;
    let before = rounds - count_right(chain, rounds, Some(Wait::Before))?;
    let after = rounds - count_right(chain, rounds, Some(Wait::After))?;
    println!(
        "| {library} | {ordered} | {right} of {rounds} | {before} of {rounds}, {after} of {rounds} |"
    );
    Ok([right, before, after] == [rounds; 3])
}

/// Returns the exit status of a program: 0, or 1 if a row was wrong or could not be made.
pub fn exit_code(outcome: Outcome<bool>) -> ExitCode {
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints why the library cannot run here. Returns the exit status for that.
pub fn skipped(reason: impl std::fmt::Display) -> ExitCode {
    println!("{}", reason.to_string().replace('\n', " "));
    ExitCode::from(77)
}

/// Returns the number of rounds, the first argument. The default is 50.
pub fn rounds_argument() -> Outcome<u32> {
    match std::env::args().nth(1) {
        None => Ok(50),
        Some(given) => given
            .parse()
            .map_err(|error| format!("{given}: {error}; pass the number of rounds").into()),
    }
}

/// Returns the first device, or the reason why there is none.
pub fn device() -> Result<Device, String> {
    Cuda::device(0).map_err(|error| format!("no device: {error}"))
}

/// Copies an array to another on `stream`. Does not block.
///
/// # Safety
/// - The addresses are of [`COUNT`] numbers each, and stay allocated until the work is done.
/// - The stream's context is current.
pub unsafe fn copy(stream: &CudaStream, to: u64, from: u64) -> Outcome {
    // SAFETY: the memory and the context are as the driver requires (caller contract). `stream` is alive.
    unsafe { driver::memcpy_dtod_async(to, from, COUNT * 4, stream.raw().as_ptr().cast())? };
    Ok(())
}

/// Does the work once with no stream held: a library may load its kernels now, which can wait for the device.
fn warm_up(chain: &mut dyn Chain) -> Outcome {
    chain.first()?;
    chain.inner().wait_stream(chain.outer())?;
    chain.work()?;
    chain.outer().wait_stream(chain.inner())?;
    chain.last()?;
    Ok(chain.outer().synchronize()?)
}

fn count_right(chain: &mut dyn Chain, rounds: u32, left_out: Option<Wait>) -> Outcome<u32> {
    let (mut right, fixture) = (0, Fixture::new(chain)?);
    for round in 1..=rounds {
        right += u32::from(is_round_right(chain, round, left_out, &fixture)?);
    }
    Ok(right)
}

/// Runs one round. The stream that lacks a wait runs before the one that it should wait for.
fn is_round_right(
    chain: &mut dyn Chain,
    round: u32,
    left_out: Option<Wait>,
    fixture: &Fixture,
) -> Outcome<bool> {
    let [source, middle, target, result] = chain.addresses();
    let number = round as f32;
    for (address, value) in [(source, number), (middle, 0.0), (target, 0.0), (result, 0.0)] {
        // SAFETY: the address is of so many numbers (contract of `Chain`), and no work is pending.
        unsafe { driver::memcpy_htod_sync(address, &[value; COUNT])? };
    }

    let hold_outer = match left_out {
        Some(Wait::Before) => true,
        Some(Wait::After) => false,
        None => round.is_multiple_of(2),
    };
    let gate = Gate::shut(if hold_outer { chain.outer() } else { chain.inner() }, fixture.word)?;

    chain.first()?;
    if left_out != Some(Wait::Before) {
        chain.inner().wait_stream(chain.outer())?;
    }
    chain.work()?;
    if left_out != Some(Wait::After) {
        chain.outer().wait_stream(chain.inner())?;
    }
    chain.last()?;
    match left_out {
        Some(Wait::Before) => chain.inner().synchronize()?,
        Some(Wait::After) => chain.outer().synchronize()?,
        None => {
            fixture.let_others_run(chain)?;
            if chain.outer().query()? {
                return Err("the work did not wait for a held stream".into());
            }
        }
    }
    drop(gate);
    chain.outer().synchronize()?;
    chain.inner().synchronize()?;

    let mut seen = vec![0.0; COUNT];
    // SAFETY: the address is of so many numbers (contract of `Chain`), and no work is pending.
    unsafe { driver::memcpy_dtoh_sync(&mut seen, result)? };
    Ok(seen.iter().all(|value| *value == chain.expected(number)))
}
