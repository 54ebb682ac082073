//! Numbers in a device's memory, and the library's safe functions on them: [`Vector`], [`saxpy`], [`sum`].

use std::sync::atomic::{AtomicBool, Ordering};

use gpu_stream::CaptureStatus;
use gpu_stream::prelude::*;

use crate::blas::{SubmitError, saxpy_on, try_sum};
use crate::kernels::Kernels;
use crate::span::Span;
use crate::{Error, Result};

/// Numbers in a device's memory, allocated and freed in the order of one stream, its *home*.
///
/// Work on any other stream is inserted between the home's earlier and later work. So nothing uses the memory before
/// it is allocated, and the drop can free it at once: the home frees it after all work that uses it. If an error leaves
/// work that the home does not wait for, the memory is never freed, and later calls with the vector return an error.
///
/// A graph that was captured with a vector uses its memory at each launch. The vector must live until the last
/// launch is done.
#[derive(Debug)]
pub struct Vector<B: Kernels> {
    home: B::Stream,
    memory: Span,
    /// `true` if work may run that the home does not wait for. The memory is then never freed, and not used again.
    is_lost: AtomicBool,
}

impl<B: Kernels> Vector<B> {
    /// Allocates a vector, and copies `values` to it. May block until `home` has done its work, because the values are
    /// ordinary memory.
    ///
    /// # Errors
    /// - [`Argument`](Error::Argument) if `home` is capturing: a graph would read `values` at each launch.
    /// - As [`Kernels::launcher`], and the driver's error.
    pub fn new(home: &B::Stream, values: &[f32]) -> Result<Self> {
        let status = home.capture_status()?;
        if status != CaptureStatus::None {
            return Err(Error::Argument(format!(
                "Vector::new: the stream {:?} is capturing (its status is {status:?}), and a graph would read `values` \
                 after this call; create the vector before the capture begins",
                home.raw()
            )));
        }
        let launcher = B::launcher(home)?;
        let memory = Span::allocated("vector", launcher.allocate(values.len())?, values.len());
        let is_lost = AtomicBool::new(false);
        let vector = Vector { home: home.clone(), memory, is_lost };
        home.writes(&memory.region);
        // SAFETY: the memory has room for the values, and is freed by a later drop. The stream is not capturing.
        unsafe { launcher.write(memory.address, values)? };
        Ok(vector)
    }

    /// Returns the numbers. Blocks until the home has done its work.
    ///
    /// # Errors
    /// - [`Argument`](Error::Argument) if an earlier call with this vector failed, and its work is not ordered.
    /// - The driver's error, or that of the stream's work.
    pub fn to_vec(&self) -> Result<Vec<f32>> {
        self.ensure_ordered()?;
        let mut values = vec![0.0; self.len()];
        self.home.reads(&self.memory.region);
        // SAFETY: the memory has so many elements, and work that writes it is ordered before the home's later work.
        unsafe { B::launcher(&self.home)?.read(self.memory.address, &mut values)? };
        Ok(values)
    }

    /// Returns an error if work may run that the home does not wait for.
    fn ensure_ordered(&self) -> Result<()> {
        if self.is_lost.load(Ordering::Relaxed) {
            let text = "an earlier call with this vector failed, and its work may still run; create another vector";
            return Err(Error::Argument(text.into()));
        }
        Ok(())
    }

    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        self.memory.len
    }

    /// Returns `true` if there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<B: Kernels> Drop for Vector<B> {
    fn drop(&mut self) {
        if *self.is_lost.get_mut() {
            return;
        }
        self.home.released(&self.memory.region);
        // SAFETY: all work on the memory is ordered before the home's later work (`in_order`).
        let free =
            |memory: Span| unsafe { B::launcher(&self.home)?.free(memory.address, memory.len) };
        // A drop cannot report an error. The memory is then not freed.
        let _ = free(self.memory);
    }
}

/// Calls `submit`, which submits work on both vectors to `stream`, with the order that [`Vector`] describes.
///
/// If an error leaves work that the homes do not wait for, the vectors' memory is lost.
fn in_order<S: Stream>(
    stream: &S,
    vectors: [&Vector<S::Backend>; 2],
    submit: impl FnOnce() -> Result<(), SubmitError>,
) -> Result<()>
where
    S::Backend: Kernels,
{
    for vector in vectors {
        vector.ensure_ordered()?;
        let (given, memory) = (stream.device(), vector.home.device());
        if given != memory {
            return Err(Error::Argument(format!(
                "the stream is on {given} and a vector on {memory}; pass a stream of the vector's device"
            )));
        }
    }
    let homes = vectors.map(|vector| &vector.home);
    stream.join(homes)?;
    let submitted = submit();
    let forked = stream.fork(homes);
    let is_ordered = submitted.as_ref().err().is_none_or(|failed| failed.is_ordered);
    if forked.is_err() || !is_ordered {
        for vector in vectors {
            vector.is_lost.store(true, Ordering::Relaxed);
        }
    }
    submitted.map_err(|failed| failed.error)?;
    Ok(forked?)
}

/// Computes `y += a * x` on `stream`. Does not block.
///
/// # Errors
/// - [`Argument`](Error::Argument) if the lengths or the devices differ, or as in [`Vector::to_vec`].
/// - As [`saxpy_at`](crate::saxpy_at), and errors of ordering `stream` with the vectors' homes.
pub fn saxpy<S: Stream>(
    stream: &S,
    a: f32,
    x: &Vector<S::Backend>,
    y: &mut Vector<S::Backend>,
) -> Result<()>
where
    S::Backend: Kernels,
{
    if x.len() != y.len() {
        let (x, y) = (x.len(), y.len());
        let text = format!("saxpy: x has {x} elements and y has {y}; pass vectors of equal length");
        return Err(Error::Argument(text));
    }
    in_order(stream, [x, y], || {
        // SAFETY: both vectors have so many elements, of different memory. `in_order` orders the work with all other
        // work on them, and a drop frees them afterwards.
        unsafe { saxpy_on(stream, a, &x.memory, &y.memory) }.map_err(SubmitError::from)
    })
}

/// Computes the sum of `x` into the first element of `to`, on `stream`, and on `lanes` if there are any. Does not
/// block.
///
/// # Errors
/// - [`Argument`](Error::Argument) if `to` is empty or the devices differ, or as in [`Vector::to_vec`].
/// - As [`sum_at`](crate::sum_at), and errors of ordering `stream` with the vectors' homes.
pub fn sum<S: Stream>(
    stream: &S,
    lanes: &[StreamOf<S>],
    x: &Vector<S::Backend>,
    to: &mut Vector<S::Backend>,
) -> Result<()>
where
    S::Backend: Kernels,
{
    if to.is_empty() {
        return Err(Error::Argument("sum: `to` is empty; pass a vector with an element".into()));
    }
    in_order(stream, [x, to], || {
        // SAFETY: as in `saxpy`, with one element of `to`. If the lanes' work is not ordered, `in_order` gives up the
        // memory.
        unsafe { try_sum(stream, lanes, &x.memory, &to.memory) }
    })
}
