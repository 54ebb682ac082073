//! Work of our own: `y += a * x`.

use gpu_stream::{ErrorKind, Stream};
use pyo3::prelude::*;

use crate::argument::{OnStream, StreamArg};
use crate::array::Array;
use crate::error::of_kind;
use crate::lanes::Lanes;
use crate::vendor::{Kernels, Lent, Vendor, VendorError, WorkError};

/// y += a * x, of two arrays of float32 with as many elements, on `stream`. Does not block.
///
/// The work comes after what was submitted to `stream` so far and, if an array names the stream on
/// which it was made, after that; what is submitted to `stream` from here on comes after the work.
/// With `branches`, the work is split over so many streams of our own, and that is as true.
///
/// The arrays' memory must stay theirs until the work is done, as it is for torch's own functions
/// if `stream` is the current stream; else see `ExternalStream.keep_until_done`.
#[pyfunction]
#[pyo3(signature = (a, x, y, *, stream, branches = 0))]
pub(crate) fn saxpy(
    py: Python<'_>,
    a: f32,
    x: &Bound<'_, PyAny>,
    y: &Bound<'_, PyAny>,
    stream: &Bound<'_, PyAny>,
    branches: usize,
) -> PyResult<()> {
    let misuse = |text: String| of_kind(py, ErrorKind::InvalidHandle, None, text);
    let caller = StreamArg::of(stream)?;
    let (x, y) = (Array::of("x", x)?, Array::of("y", y)?);
    if x.len != y.len {
        let text = format!("saxpy: x has {} elements and y has {}; give as many", x.len, y.len);
        return Err(misuse(text));
    }
    if y.read_only {
        return Err(misuse("saxpy: y is read-only, and would be written; give a copy".into()));
    }
    if branches > MOST_BRANCHES {
        let text = format!("saxpy: branches is {branches}, and {MOST_BRANCHES} is the most");
        return Err(misuse(text));
    }
    let done = py.detach(|| {
        let work = Work { a, x: &x, y: &y, branches, kernels: &*Kernels::of(caller.device())? };
        work.check(&caller)?;
        let lent = work.lend(&caller)?;
        caller.on(Ordered { work, lent })
    });
    done.map_err(|error: WorkError| of_kind(py, error.kind(), error.code(), error.to_string()))
}

const MOST_BRANCHES: usize = 32;

#[derive(Clone, Copy)]
struct Work<'w> {
    a: f32,
    x: &'w Array,
    y: &'w Array,
    branches: usize,
    kernels: &'w Kernels,
}

/// The work in its place on the caller's stream.
struct Ordered<'w> {
    work: Work<'w>,
    lent: Lent,
}

impl Work<'_> {
    fn check(&self, caller: &StreamArg) -> Result<(), WorkError> {
        if self.x.len == 0 {
            return Ok(());
        }
        self.kernels.check_memory("x", self.x.address, caller.device())?;
        self.kernels.check_memory("y", self.y.address, caller.device())
    }

    fn lend(&self, caller: &StreamArg) -> Result<Lent, WorkError> {
        match caller {
            // SAFETY: the caller's stream outlives this call, and with it what cudarc has.
            StreamArg::Shared(stream) => unsafe { self.kernels.lend(stream) },
            StreamArg::PerThread(_) => Ok(self.kernels.lend_own()),
        }
    }

    /// One of `parts` equal parts, on one stream.
    fn launch(&self, stream: &Lent, part: u64, parts: u64) -> Result<(), WorkError> {
        let each = self.x.len.div_ceil(parts);
        let from = (each * part).min(self.x.len);
        let len = each.min(self.x.len - from);
        let (x, y) = (self.x.address + 4 * from, self.y.address + 4 * from);
        // SAFETY: both arrays have that many numbers, by what their library says of them, in
        // memory of the device, as was checked; that it stays theirs is the caller's part, as it
        // is with every function that takes a stream.
        unsafe { self.kernels.saxpy(stream, self.a, x, y, len) }
    }
}

/// Makes a stream wait for an array's producer.
struct AfterProducer<'s, S>(&'s S);

impl<S: Stream<Backend = Vendor>> OnStream for AfterProducer<'_, S> {
    type Output = Result<(), VendorError>;

    fn run<O: Stream<Backend = Vendor>>(self, producer: &O) -> Self::Output {
        self.0.wait_stream(producer)
    }
}

impl OnStream for Ordered<'_> {
    type Output = Result<(), WorkError>;

    fn run<S: Stream<Backend = Vendor>>(self, caller: &S) -> Self::Output {
        let Ordered { work, lent } = self;
        for array in [work.x, work.y] {
            if let Some(producer) = &array.producer {
                producer.on(AfterProducer(caller))?;
            }
        }
        if work.branches == 0 {
            return work.launch(&lent, 0, 1);
        }
        let lanes = Lanes::take(caller.device(), work.branches)?;
        caller.fork(lanes.iter())?;
        let parts = lanes.len() as u64;
        let launched = (0..).zip(lanes.iter()).try_for_each(|(part, lane)| {
            // SAFETY: the lane outlives what cudarc has of it.
            let lent = unsafe { work.kernels.lend(lane) }?;
            work.launch(&lent, part, parts)
        });
        // Also after a failure: what was launched is work that the caller's stream comes after.
        caller.join(lanes.iter())?;
        launched
    }
}
