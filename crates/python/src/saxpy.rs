//! The Python function [`saxpy()`]: `y += a * x` on the caller's stream.

use gpu_stream::{ErrorKind, Stream};
use pyo3::prelude::*;

use crate::argument::{OnStream, StreamArg};
use crate::array::Array;
use crate::dlpack::{keep_until_done, wait_or_leak};
use crate::error::of_kind;
use crate::kept::{Kept, detach};
use crate::stream_pool::PooledStreams;
use crate::vendor::{Kernels, LaunchStream, Vendor, VendorError, WorkError};

/// Computes y += a * x for two float32 arrays of equal length, on `stream`. Does not block.
///
/// The work runs after all work submitted to `stream` so far, and after the stream that produces an
/// array, if the array names one. Later work of `stream` runs after it. With `branches`, the work is
/// split over that number of internal streams, with the same order.
///
/// An array has `__cuda_array_interface__` or, if it has not, `__dlpack__`.
///
/// The arrays' memory must stay allocated until the work is done. torch guarantees this if `stream` is
/// the current stream, as for its own functions. Otherwise use `ExternalStream.keep_until_done`. An array
/// taken by `__dlpack__` is kept until then, and a later call into this module releases it. In a capture no array
/// is kept: the caller keeps its memory as long as the graph.
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
    let (mut x, mut y) = (Array::of("x", x, &caller)?, Array::of("y", y, &caller)?);
    if x.len != y.len {
        let text = format!(
            "saxpy: x has {} elements and y has {}; pass arrays of equal length",
            x.len, y.len
        );
        return Err(misuse(text));
    }
    if y.read_only {
        return Err(misuse(
            "saxpy: y is read-only, or a copy made for the call; pass a writable array".into(),
        ));
    }
    if branches > MAX_BRANCHES {
        let text = format!("saxpy: branches is {branches}; pass at most {MAX_BRANCHES}");
        return Err(misuse(text));
    }
    let tensors = [x.tensor.take(), y.tensor.take()].into_iter().flatten();
    let tensors = Kept::new(tensors.map(Py::into_any).collect());
    let done = detach(py, || {
        let work = Work { a, x: &x, y: &y, branches, kernels: &*Kernels::of(caller.device())? };
        work.check(&caller)?;
        let launch_stream = work.launch_stream(&caller)?;
        caller.on(OrderedWork { work, launch_stream, tensors })
    });
    done.map_err(|error: WorkError| of_kind(py, error.kind(), error.code(), error.to_string()))
}

const MAX_BRANCHES: usize = 32;

/// The arguments of a call, and the kernels of its device.
#[derive(Clone, Copy)]
struct Work<'w> {
    a: f32,
    x: &'w Array,
    y: &'w Array,
    branches: usize,
    kernels: &'w Kernels,
}

/// Does the work in order with the caller's stream.
struct OrderedWork<'w> {
    work: Work<'w>,
    launch_stream: LaunchStream,
    /// The tensors to keep until the work is done.
    tensors: Kept,
}

impl Work<'_> {
    /// Checks that both arrays are on the caller's device.
    fn check(&self, caller: &StreamArg) -> Result<(), WorkError> {
        if self.x.len == 0 {
            return Ok(());
        }
        self.kernels.check_memory("x", self.x.address, caller.device())?;
        self.kernels.check_memory("y", self.y.address, caller.device())
    }

    fn launch_stream(&self, caller: &StreamArg) -> Result<LaunchStream, WorkError> {
        match caller {
            // SAFETY: `caller` keeps the stream alive during this call, and the result is dropped within
            // the call.
            StreamArg::Shared(stream) => unsafe { self.kernels.launch_stream(stream) },
            StreamArg::PerThread(_) => Ok(self.kernels.per_thread_launch_stream()),
        }
    }

    /// Submits all parts, after the streams that produce the arrays. If the caller cannot wait for all parts, this
    /// call does. If that fails too, `tensors` are leaked.
    fn submit<S: Stream<Backend = Vendor>>(
        &self,
        caller: &S,
        launch_stream: &LaunchStream,
        tensors: &mut Kept,
    ) -> Result<(), WorkError> {
        for array in [self.x, self.y] {
            if let Some(producer) = &array.producer {
                producer.on(AfterProducer(caller))?;
            }
        }
        if self.branches == 0 {
            return self.launch(launch_stream, 0, 1);
        }
        let branches = PooledStreams::take(caller.device(), self.branches)?;
        caller.fork(branches.iter())?;
        let parts = branches.len() as u64;
        let launched = (0..).zip(branches.iter()).try_for_each(|(part, branch)| {
            // SAFETY: `branches` keeps the stream alive, and is dropped after the result.
            let launch_stream = unsafe { self.kernels.launch_stream(branch) }?;
            self.launch(&launch_stream, part, parts)
        });
        // Joins also after a failure, because some parts may have been launched.
        let joined = caller.join(branches.iter());
        if joined.is_err() {
            wait_or_leak(&branches, tensors);
        }
        joined?;
        launched
    }

    /// Launches one of `parts` equal parts on `stream`.
    fn launch(&self, stream: &LaunchStream, part: u64, parts: u64) -> Result<(), WorkError> {
        let each = self.x.len.div_ceil(parts);
        let from = (each * part).min(self.x.len);
        let len = each.min(self.x.len - from);
        let (x, y) = (self.x.address + 4 * from, self.y.address + 4 * from);
        // SAFETY:
        // - Both arrays have at least `from + len` elements, according to their library.
        // - Their memory is on the device: `check` has verified it.
        // - The memory stays allocated until the work is done (documented contract of `saxpy`).
        unsafe { self.kernels.saxpy(stream, self.a, x, y, len) }
    }
}

/// Makes a stream wait for the stream that produces an array.
struct AfterProducer<'s, S>(&'s S);

impl<S: Stream<Backend = Vendor>> OnStream for AfterProducer<'_, S> {
    type Output = Result<(), VendorError>;

    fn run<O: Stream<Backend = Vendor>>(self, producer: &O) -> Self::Output {
        self.0.wait_stream(producer)
    }
}

impl OnStream for OrderedWork<'_> {
    type Output = Result<(), WorkError>;

    fn run<S: Stream<Backend = Vendor>>(self, caller: &S) -> Self::Output {
        let OrderedWork { work, launch_stream, mut tensors } = self;
        let launched = work.submit(caller, &launch_stream, &mut tensors);
        // Also after a failure, because some parts may have been launched.
        let kept = keep_until_done(caller, tensors);
        launched.and(kept.map_err(WorkError::from))
    }
}
