//! An array of another library: `__cuda_array_interface__`.

use gpu_stream::ErrorKind;
use gpu_stream::exchange::{DecodedStream, Protocol, Value};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::argument::{StreamArg, value};
use crate::error::{of_kind, raise, wrong_type};
use crate::vendor::KIND;

/// `f32` numbers in a row.
///
/// Origin:
/// [Numba](https://nvidia.github.io/numba-cuda/user/cuda_array_interface.html).
pub(crate) struct Array {
    pub(crate) address: u64,
    pub(crate) len: u64,
    pub(crate) read_only: bool,
    /// The stream on which the data becomes ready, if the producer names one.
    pub(crate) producer: Option<StreamArg>,
}

impl Array {
    /// Reads the argument `name`.
    pub(crate) fn of(name: &str, given: &Bound<'_, PyAny>) -> PyResult<Self> {
        let wanted = "give an array on the GPU that has __cuda_array_interface__, as torch's and CuPy's have";
        let Some(interface) = given.getattr_opt("__cuda_array_interface__")? else {
            return Err(wrong_type(name, wanted, given));
        };
        let interface =
            interface.cast::<PyDict>().map_err(|_| wrong_type(name, wanted, &interface))?;
        let entry = |key: &str| -> PyResult<Bound<'_, PyAny>> {
            interface.get_item(key)?.ok_or_else(|| {
                let text = format!("{name}: __cuda_array_interface__ has no entry {key:?}");
                pyo3::exceptions::PyKeyError::new_err(text)
            })
        };
        let misuse = |text: String| {
            of_kind(given.py(), ErrorKind::InvalidHandle, None, format!("{name}: {text}"))
        };
        let typestr: String = entry("typestr")?.extract()?;
        if typestr != "<f4" {
            return Err(misuse(format!(
                "its numbers are of type {typestr:?}, and should be \"<f4\"; convert it to float32"
            )));
        }
        let shape: Vec<u64> = entry("shape")?.extract()?;
        let len = shape.iter().try_fold(1_u64, |len, &size| len.checked_mul(size));
        let len = len.ok_or_else(|| misuse(format!("the shape {shape:?} is too large")))?;
        if let Some(strides) = interface.get_item("strides")?.filter(|strides| !strides.is_none()) {
            let strides: Vec<i64> = strides.extract()?;
            if !is_contiguous(&shape, &strides) {
                return Err(misuse(format!(
                    "it is not contiguous (shape {shape:?}, strides {strides:?}); make it so"
                )));
            }
        }
        if interface.get_item("mask")?.is_some_and(|mask| !mask.is_none()) {
            return Err(misuse("it has a mask, which is not understood here".into()));
        }
        let data = entry("data")?;
        let (address, read_only): (u64, bool) =
            data.cast::<PyTuple>().map_err(|_| wrong_type(name, wanted, &data))?.extract()?;
        let producer = producer(given, interface)?;
        Ok(Array { address, len, read_only, producer })
    }
}

/// The interface has a stream since its version 3.
fn producer(
    given: &Bound<'_, PyAny>,
    interface: &Bound<'_, PyDict>,
) -> PyResult<Option<StreamArg>> {
    let said = match interface.get_item("stream")? {
        Some(stream) => value(&stream)?,
        None => Value::None,
    };
    let meaning = Protocol::CudaArrayInterface.decode(said, KIND);
    match meaning.map_err(|error| raise(given.py(), error))? {
        DecodedStream::NoSync => Ok(None),
        DecodedStream::Stream(bits) => StreamArg::of_handle(bits, given).map(Some),
    }
}

/// Whether the last index runs over neighbours, the one before over their rows, and so on. Strides
/// of sizes 0 and 1 say nothing.
fn is_contiguous(shape: &[u64], strides: &[i64]) -> bool {
    let mut expected = 4;
    shape.len() == strides.len()
        && shape.iter().zip(strides).rev().all(|(&size, &stride)| {
            let fits = size <= 1 || i128::from(stride) == expected;
            expected *= i128::from(size.max(1));
            fits
        })
        || shape.contains(&0)
}
