//! The application writes a matrix, BLAS multiplies it, FFT transforms the product, and the application reads the result.

use gpu_stream::prelude::*;

use crate::device::{Driver, Failed, Gate, Gpu};
use crate::handles::{Blas, Fft};

const ROUNDS: u16 = 20;
/// The rows of a matrix.
const SIZE: usize = 256;
/// A product has as many complex numbers, half as many as real ones.
const LENGTH: usize = SIZE * SIZE / 2;

/// Which wait a round leaves out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Without {
    Nothing,
    /// The libraries do not wait for the application's work.
    WaitBefore,
    /// The application does not wait for the libraries' work.
    WaitAfter,
}

pub fn run<B: Gpu>() -> Result<(), Failed> {
    let driver = Driver::load::<B>()?;
    let device = B::device(0)?;
    B::make_current(driver, device)?;
    let caller = B::new_stream(device, StreamOptions::new())?; // stands for the application's
    let side = caller.new_stream(StreamOptions::new())?;
    let buffer = || driver.alloc(SIZE * SIZE);
    let (source, matrix, ones) = (buffer()?, buffer()?, buffer()?);
    let (product, spectrum) = (buffer()?, buffer()?);
    let seen = driver.alloc_pinned(SIZE * SIZE)?;
    // Declared after the buffers, and so dropped before them.
    let blas = Blas::new(driver, &side)?;
    let fft = Fft::new(&side, LENGTH)?;
    let submit = || {
        blas.multiply(SIZE, &matrix, &ones, &product)?;
        fft.transform(&product, &spectrum)
    };

    // The first call loads kernels, which can wait for all work of the device, and so for a gate.
    ones.fill(1.0_f32.to_bits(), &caller)?;
    matrix.fill(0, &caller)?;
    side.wait_stream(&caller)?;
    submit()?;
    side.synchronize()?;

    let round = |value: u16, without: Without| -> Result<bool, Failed> {
        for cleared in [&matrix, &product, &spectrum] {
            cleared.fill(0, &caller)?;
        }
        source.fill(f32::from(value).to_bits(), &caller)?;
        caller.synchronize()?;
        // Held until everything is submitted. A gate stands for work that takes long.
        let held = if without == Without::WaitAfter { &side } else { &caller };
        let mut gate = Gate::shut(driver, held)?;
        matrix.copy_from(&source, &caller)?;
        if without != Without::WaitBefore {
            side.wait_stream(&caller)?; // after the application's work
        }
        submit()?;
        match without {
            Without::WaitAfter => (),
            Without::Nothing => caller.wait_stream(&side)?, // before the application's later work
            Without::WaitBefore => {
                side.synchronize()?; // the libraries are done, and the application has not begun
                caller.wait_stream(&side)?;
            }
        }
        spectrum.copy_to_host(&seen, &caller)?;
        if without == Without::WaitAfter {
            caller.synchronize()?; // the application is done, and the libraries have not begun
        }
        gate.open();
        side.synchronize()?;
        caller.synchronize()?;
        // Each number of the product is `value * SIZE`. The transform of a constant is its sum, and then zeros.
        let expected = f32::from(value) * (SIZE * LENGTH) as f32;
        let (first, last) = seen.ends();
        let is_near = |bits, wanted: f32| (f32::from_bits(bits) - wanted).abs() <= expected * 1e-5;
        Ok(is_near(first, expected) && is_near(last, 0.0))
    };

    let mut failed = Vec::new();
    for (without, must_be_right) in
        [(Without::Nothing, true), (Without::WaitBefore, false), (Without::WaitAfter, false)]
    {
        let mut wrong = 0;
        for value in 1..=ROUNDS {
            wrong += u16::from(!round(value, without)?);
        }
        println!("{device}, without {without:?}: {wrong} of {ROUNDS} transforms wrong");
        if wrong != if must_be_right { 0 } else { ROUNDS } {
            failed.push(format!("{without:?}: {wrong} of {ROUNDS} are wrong"));
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("; ").into()) }
}
