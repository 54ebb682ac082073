//! The handler's work: it copies an array on two streams of its own, between the caller's earlier and later work.

use gpu_stream::CudaStream;
use gpu_stream::prelude::*;

use crate::branches;
use crate::driver::Driver;
use crate::error::HandlerError;
use crate::frame::{Array, Frame};

/// The wait that a call leaves out, as a control: the result must be wrong then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Without {
    /// All waits are made.
    Nothing,
    /// The handler's streams do not wait for XLA's.
    Fork,
    /// XLA's stream does not wait for the handler's.
    Join,
}

/// A call, read from XLA's frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Copy {
    /// Where the result is.
    pub to: Array,
    /// Where the argument is.
    pub from: Array,
    /// How often the result is set to zero before the copy, so that the copy comes late. Attribute `clears`, 0 without it.
    pub clears: u32,
    /// Attribute `without`: 0, 1 or 2. 0 without it.
    pub without: Without,
}

impl Copy {
    /// Reads the arrays and the attributes of a call.
    ///
    /// # Errors
    /// An error that names what is wrong.
    pub fn read(frame: &Frame<'_>) -> Result<Self, HandlerError> {
        let (from, to) = (frame.argument()?, frame.result()?);
        if from.bytes != to.bytes {
            let problem = format!(
                "has {} bytes, and the argument {}; name a result of the argument's shape and type",
                to.bytes, from.bytes
            );
            return Err(HandlerError::Array { what: "result", problem });
        }
        let mut copy = Copy { to, from, clears: 0, without: Without::Nothing };
        for (name, value) in frame.attributes()? {
            let problem = match (name.as_str(), value) {
                ("clears", 0..) => {
                    copy.clears = value.unsigned_abs();
                    continue;
                }
                ("clears", _) => format!("is {value}; pass 0 or more"),
                ("without", 0..=2) => {
                    copy.without = [Without::Nothing, Without::Fork, Without::Join][value as usize];
                    continue;
                }
                ("without", _) => {
                    format!("is {value}; pass 0, 1 (without the fork) or 2 (without the join)")
                }
                _ => "is unknown; pass `clears` or `without`".into(),
            };
            return Err(HandlerError::Attribute { name, problem });
        }
        Ok(copy)
    }

    /// Submits the work in order with `caller`. Blocks only after an error, until the handler's streams have done their work.
    ///
    /// # Errors
    /// Errors of gpu-stream and of the driver.
    ///
    /// # Safety
    /// - The arrays are in the memory of `caller`'s device, and stay allocated until the work is done. Work that is submitted
    ///   to `caller` later may free them.
    pub unsafe fn submit(&self, caller: &CudaStream) -> Result<(), HandlerError> {
        let branches = branches::of(caller)?;
        let forked = if self.without == Without::Fork { Ok(()) } else { caller.fork(&branches) };
        // SAFETY: the memory is as required (caller contract).
        let submitted =
            forked.map_err(HandlerError::from).and_then(|()| unsafe { self.submit_to(&branches) });
        // After an error, too: some of the work may have been submitted, or a capture may have got the branches.
        let joined = if self.without == Without::Join { Ok(()) } else { caller.join(&branches) };
        let outcome = submitted.and(joined.map_err(HandlerError::from));
        if outcome.is_err() {
            // XLA may free the arrays at once, and knows nothing of the branches.
            for branch in &branches {
                let _ = branch.synchronize(); // the first error is the one to report
            }
        }
        outcome
    }

    /// Submits half of the work to each of the two streams.
    ///
    /// # Safety
    /// As [`submit`](Self::submit).
    unsafe fn submit_to(&self, branches: &[CudaStream; 2]) -> Result<(), HandlerError> {
        let driver = Driver::load()?;
        let half = self.from.bytes / 2;
        let parts = [(0, half), (half, self.from.bytes - half)];
        for (branch, (start, bytes)) in branches.iter().zip(parts) {
            if bytes == 0 {
                continue;
            }
            let _current = driver.enter(branch)?;
            let [to, from] = [self.to.address, self.from.address].map(|at| at + start as u64);
            // SAFETY: both parts are within the arrays, which live until the work is done (caller contract).
            unsafe {
                for _ in 0..self.clears {
                    driver.clear(branch, to, bytes)?;
                }
                driver.copy(branch, [to, from], bytes)?;
            }
        }
        Ok(())
    }
}
