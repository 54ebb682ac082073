#![doc = include_str!("../README.md")]

mod argument;
mod array;
mod error;
mod event;
mod lanes;
mod owner;
mod saxpy;
mod stream;
mod vendor;

use pyo3::prelude::*;

/// Streams of torch, CuPy, cuda.core and the like, taken in, worked on, and handed out.
#[pymodule]
fn gpu_stream_torch(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<stream::ExternalStream>()?;
    module.add_class::<event::Event>()?;
    error::add_to(module)?;
    module.add_function(wrap_pyfunction!(stream::new_stream, module)?)?;
    module.add_function(wrap_pyfunction!(stream::default_stream, module)?)?;
    module.add_function(wrap_pyfunction!(stream::probe, module)?)?;
    module.add_function(wrap_pyfunction!(saxpy::saxpy, module)?)?;
    module.add("BACKEND", vendor::KIND.name())?;
    Ok(())
}
