//! The library's functions on addresses, for memory of another library: [`saxpy_at`], [`sum_at`].

use gpu_stream::prelude::*;

use crate::kernels::{Address, Kernel, Kernels, Launcher};
use crate::span::Span;
use crate::{Error, Result};

/// The numbers of threads of a sum's first two steps. The last has one.
const WIDE: usize = 16384;
const NARROW: usize = 128;

/// The memory that the steps of a sum need for their results.
const STEPS: usize = WIDE + NARROW;

/// Computes `y += a * x` for `len` elements, on `stream`. Does not block.
///
/// # Errors
/// As [`Kernels::launcher`], and the driver's error.
///
/// # Safety
/// - `x` and `y` have `len` elements, which the stream's device can access and which do not overlap.
/// - They stay allocated until the stream has done the work.
/// - Other work that writes `x` or accesses `y` is ordered with the stream.
pub unsafe fn saxpy_at<S: Stream>(
    stream: &S,
    a: f32,
    x: Address,
    y: Address,
    len: usize,
) -> Result<()>
where
    S::Backend: Kernels,
{
    let (x, y) = (Span::foreign("x", x, len), Span::foreign("y", y, len));
    // SAFETY: as this function's contract, word by word.
    unsafe { saxpy_on(stream, a, &x, &y) }
}

/// Does what [`saxpy_at`] does, for spans of equal length.
///
/// # Safety
/// - As [`saxpy_at`].
pub(crate) unsafe fn saxpy_on<S: Stream>(stream: &S, a: f32, x: &Span, y: &Span) -> Result<()>
where
    S::Backend: Kernels,
{
    if x.len == 0 {
        return Ok(());
    }
    let (len, threads) = (x.len as u64, x.len.min(1 << 18) as u64);
    let kernel = Kernel::Saxpy { a, x: x.address, y: y.address, len, threads };
    // SAFETY: as this function's contract, word by word.
    unsafe { launch(stream, &*S::Backend::launcher(stream)?, kernel, x, y) }
}

/// Declares what a kernel reads and writes, and submits it. The declarations do nothing unless the backend is checked.
///
/// # Safety
/// - As [`Launcher::launch`]. `own` is the launcher of `stream`.
unsafe fn launch<S: Stream>(
    stream: &S,
    own: &dyn Launcher,
    kernel: Kernel,
    from: &Span,
    to: &Span,
) -> Result<()> {
    stream.reads(&from.region);
    stream.writes(&to.region);
    // SAFETY: as this function's contract.
    unsafe { own.launch(kernel) }
}

/// Computes the sum of the `len` elements of `x` into the element `to`, on `stream`. Does not block.
///
/// The work is split over `lanes`, the library's own streams, between the earlier and the later work of `stream`. With
/// none, all is done on `stream`. The memory for the parts is allocated and freed in stream order.
///
/// # Errors
/// - As [`saxpy_at`].
/// - [`Argument`](Error::Argument) if a lane is on another device.
/// - The driver's error if `stream` is capturing, and the driver cannot allocate memory in a capture.
///
/// After an error, `lanes` may have work that `stream` does not wait for.
///
/// # Safety
/// - As [`saxpy_at`], with `to` in the place of `y`.
/// - After an error, `x` also stays allocated until all `lanes` have done their work, and other work that writes it is
///   ordered with the lanes.
pub unsafe fn sum_at<S: Stream>(
    stream: &S,
    lanes: &[StreamOf<S>],
    x: Address,
    len: usize,
    to: Address,
) -> Result<()>
where
    S::Backend: Kernels,
{
    let (x, to) = (Span::foreign("x", x, len), Span::foreign("to", to, 1));
    // SAFETY: as this function's contract.
    unsafe { try_sum(stream, lanes, &x, &to) }.map_err(|failed| failed.error)
}

/// An error, and whether the work that was submitted before it is in the order of the caller's stream.
pub(crate) struct SubmitError {
    pub(crate) error: Error,
    /// `false` if lanes may have work that the caller's stream does not wait for.
    pub(crate) is_ordered: bool,
}

impl From<Error> for SubmitError {
    fn from(error: Error) -> Self {
        SubmitError { error, is_ordered: true }
    }
}

/// Does what [`sum_at`] does, and says after an error whether the lanes' work is ordered.
///
/// # Safety
/// - As [`sum_at`]. What that requires after an error is required only if the work is not ordered.
pub(crate) unsafe fn try_sum<S: Stream>(
    stream: &S,
    lanes: &[StreamOf<S>],
    x: &Span,
    to: &Span,
) -> Result<(), SubmitError>
where
    S::Backend: Kernels,
{
    if let Some(other) = lanes.iter().find(|lane| lane.device() != stream.device()) {
        let (lane, stream) = (other.device(), stream.device());
        let text = format!("sum: a lane is on {lane} and the stream on {stream}; use one device");
        return Err(Error::Argument(text).into());
    }
    let own = S::Backend::launcher(stream)?;
    let room = lanes.len().max(1) * STEPS + lanes.len();
    let memory = Span::allocated("parts of a sum", own.allocate(room)?, room);
    // SAFETY: `x` and `to` are as required (caller contract). `memory` has room for all steps and totals, and is freed
    // below, after this work.
    let submitted = unsafe { submit_sum(stream, &*own, lanes, x, &memory, to) };
    if submitted.as_ref().is_err_and(|failed| !failed.is_ordered) {
        // The lanes may still use the memory. It is better lost than freed too early.
        return submitted;
    }
    // Also after another error: what was submitted is ordered before this.
    stream.released(&memory.region);
    // SAFETY: all work on the memory is earlier work of the stream, or was joined by it.
    let freed = unsafe { own.free(memory.address, room) };
    submitted.and(freed.map_err(SubmitError::from))
}

/// Submits all steps of a sum.
///
/// # Safety
/// - As [`sum_at`]. `memory` has the room that is computed there.
unsafe fn submit_sum<S: Stream>(
    stream: &S,
    own: &dyn Launcher,
    lanes: &[StreamOf<S>],
    x: &Span,
    memory: &Span,
    to: &Span,
) -> Result<(), SubmitError>
where
    S::Backend: Kernels,
{
    if lanes.is_empty() {
        // SAFETY: as the caller's contract.
        return unsafe { sum_steps(stream, own, x, memory, to) }.map_err(SubmitError::from);
    }
    let steps = lanes.len() * STEPS;
    let totals = memory.part(steps..steps + lanes.len());
    let part = |index: usize| index * x.len / lanes.len();
    let submit_lane = |(index, lane)| {
        let (from, memory) =
            (x.part(part(index)..part(index + 1)), memory.part(index * STEPS..(index + 1) * STEPS));
        let own = S::Backend::launcher(lane)?;
        // SAFETY: the lane waits for the memory's allocation and for the caller's work, by the fork. The parts and
        // each lane's memory do not overlap.
        unsafe { sum_steps(lane, &*own, &from, &memory, &totals.part(index..index + 1)) }
    };
    let forked = stream.fork(lanes).map_err(Error::from);
    let submitted = forked.and_then(|()| lanes.iter().enumerate().try_for_each(submit_lane));
    // Joins also after an error: a lane may have work already.
    let joined = stream.join(lanes);
    joined.map_err(|error| SubmitError { error: error.into(), is_ordered: false })?;
    submitted?;
    // SAFETY: the stream waits for all lanes, by the join.
    unsafe { launch_sums(stream, own, &totals, &to.part(0..1)) }.map_err(SubmitError::from)
}

/// Submits the three steps of one sum: many sums, few sums, and the sum of these.
///
/// # Safety
/// - As [`sum_at`]. `memory` has [`STEPS`] elements.
unsafe fn sum_steps<S: Stream>(
    stream: &S,
    own: &dyn Launcher,
    x: &Span,
    memory: &Span,
    to: &Span,
) -> Result<()> {
    let wide = memory.part(0..x.len.clamp(1, WIDE));
    let narrow = memory.part(WIDE..WIDE + x.len.clamp(1, NARROW));
    for (from, to) in [(x, &wide), (&wide, &narrow), (&narrow, &to.part(0..1))] {
        // SAFETY: each step reads what the previous one wrote, which is earlier work of the same stream. The numbers of
        // elements are at most the room (caller contract).
        unsafe { launch_sums(stream, own, from, to)? };
    }
    Ok(())
}

/// Submits one step of a sum, with a thread for each element of `to`.
///
/// # Safety
/// - As [`launch`].
unsafe fn launch_sums<S: Stream>(
    stream: &S,
    own: &dyn Launcher,
    from: &Span,
    to: &Span,
) -> Result<()> {
    let (len, threads) = (from.len as u64, to.len as u64);
    let kernel = Kernel::Sums { x: from.address, len, to: to.address, threads };
    // SAFETY: as this function's contract.
    unsafe { launch(stream, own, kernel, from, to) }
}
