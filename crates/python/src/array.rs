//! Reads an array of another library, by `__cuda_array_interface__` or DLPack: [`Array`].

use gpu_stream::ErrorKind;
use gpu_stream::exchange::{DecodedStream, Protocol, Value};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::argument::{StreamArg, value};
use crate::dlpack::{self, Tensor};
use crate::error::{of_kind, raise, wrong_type};
use crate::vendor::KIND;

/// A contiguous array of `f32` on the GPU.
pub(crate) struct Array {
    pub(crate) address: u64,
    pub(crate) len: u64,
    pub(crate) read_only: bool,
    /// The stream that produces the data, if the array names one.
    pub(crate) producer: Option<StreamArg>,
    /// The tensor that DLPack lent. It must be kept until the work is done.
    pub(crate) tensor: Option<Py<Tensor>>,
}

const REMEDY: &str = "pass an array on the GPU with __cuda_array_interface__ or __dlpack__, such as one of torch, \
                      CuPy or JAX";

impl Array {
    /// Reads the argument `name`, for work on `caller`.
    ///
    /// `__cuda_array_interface__` comes first: it costs less, because its memory is not released by work of
    /// the stream.
    pub(crate) fn of(name: &str, given: &Bound<'_, PyAny>, caller: &StreamArg) -> PyResult<Self> {
        if let Some(interface) = given.getattr_opt("__cuda_array_interface__")? {
            return Self::of_interface(name, given, &interface);
        }
        let found = dlpack::export(name, given, caller)?;
        found.ok_or_else(|| wrong_type(name, REMEDY, given))
    }

    /// Reads the value of `__cuda_array_interface__`.
    ///
    /// Origin:
    /// [Numba](https://nvidia.github.io/numba-cuda/user/cuda_array_interface.html).
    fn of_interface(
        name: &str,
        given: &Bound<'_, PyAny>,
        interface: &Bound<'_, PyAny>,
    ) -> PyResult<Self> {
        let interface =
            interface.cast::<PyDict>().map_err(|_| wrong_type(name, REMEDY, interface))?;
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
                "the element type is {typestr:?}; convert the array to float32 (\"<f4\")"
            )));
        }
        let shape: Vec<u64> = entry("shape")?.extract()?;
        let len = shape.iter().try_fold(1_u64, |len, &size| len.checked_mul(size));
        let len = len.ok_or_else(|| misuse(format!("the shape {shape:?} is too large")))?;
        if let Some(strides) = interface.get_item("strides")?.filter(|strides| !strides.is_none()) {
            let strides: Vec<i64> = strides.extract()?;
            if !is_contiguous(&shape, &strides) {
                return Err(misuse(format!(
                    "not contiguous (shape {shape:?}, strides {strides:?}); pass a contiguous array"
                )));
            }
        }
        if interface.get_item("mask")?.is_some_and(|mask| !mask.is_none()) {
            return Err(misuse("a mask is not supported; pass an array without one".into()));
        }
        let data = entry("data")?;
        let (address, read_only): (u64, bool) =
            data.cast::<PyTuple>().map_err(|_| wrong_type(name, REMEDY, &data))?.extract()?;
        let producer = producer(given, interface)?;
        Ok(Array { address, len, read_only, producer, tensor: None })
    }
}

/// Returns the stream that produces the data, if the array names one. The interface has this entry since
/// version 3.
fn producer(
    given: &Bound<'_, PyAny>,
    interface: &Bound<'_, PyDict>,
) -> PyResult<Option<StreamArg>> {
    let number = match interface.get_item("stream")? {
        Some(stream) => value(&stream)?,
        None => Value::None,
    };
    let decoded = Protocol::CudaArrayInterface.decode(number, KIND);
    match decoded.map_err(|error| raise(given.py(), error))? {
        DecodedStream::NoSync => Ok(None),
        DecodedStream::Stream(bits) => StreamArg::of_handle(bits, given).map(Some),
    }
}

/// Returns `true` if the array is contiguous in row-major order. Ignores the strides of dimensions of
/// size 0 and 1.
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
