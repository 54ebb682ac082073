//! The handler's own streams: [`of`], [`synchronize`].

use std::sync::{Mutex, PoisonError};

use gpu_stream::prelude::*;
use gpu_stream::{CaptureStatus, CudaError, CudaStream};

/// Two streams of each device that has been used. They live as long as the process: creating one is slow.
static BRANCHES: Mutex<Vec<[CudaStream; 2]>> = Mutex::new(Vec::new());

/// Returns two streams on the device of `caller`.
///
/// All calls there share them, and the first call creates them. Each call orders them with its own caller. That also orders the
/// callers with each other, which is harmless unless work of one waits for later work of another. XLA works in the primary
/// context of each device, so the device names the context.
///
/// A caller that is being captured gets two new streams, because they become part of its capture: until it ends, no other
/// caller could use them. Their drop leaves the capture as it is.
///
/// # Errors
/// Errors of [`Stream::capture_status`] and [`Stream::new_stream`].
pub fn of(caller: &CudaStream) -> Result<[CudaStream; 2], CudaError> {
    let create = || {
        let options = StreamOptions::new();
        Ok([caller.new_stream(options)?, caller.new_stream(options)?])
    };
    if caller.capture_status()? != CaptureStatus::None {
        return create();
    }
    let mut branches = BRANCHES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = branches.iter().find(|pair| pair[0].device() == caller.device()) {
        return Ok(found.clone());
    }
    let pair = create()?;
    branches.push(pair.clone());
    Ok(pair)
}

/// Blocks until all streams of the handler have done their work.
///
/// # Errors
/// The first error of [`Stream::synchronize`]. The other streams are waited for as well.
pub fn synchronize() -> Result<(), CudaError> {
    let branches = BRANCHES.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut first = Ok(());
    for stream in branches.iter().flatten() {
        first = first.and(stream.synchronize());
    }
    first
}
