#![doc = include_str!("../README.md")]

mod argument;
mod array;
mod current;
mod dlpack;
mod error;
mod event;
mod interpreter;
mod kept;
mod owner;
mod saxpy;
mod stream;
mod stream_pool;
mod vendor;

use pyo3::prelude::*;

/// Work on streams of torch, CuPy, cuda.core and similar libraries, and streams for them.
#[pymodule]
fn gpu_stream_torch(module: &Bound<'_, PyModule>) -> PyResult<()> {
    interpreter::ensure_only_one(module.py())?;
    module.add_class::<stream::ExternalStream>()?;
    module.add_class::<event::Event>()?;
    error::add_to(module)?;
    module.add_function(wrap_pyfunction!(stream::new_stream, module)?)?;
    module.add_function(wrap_pyfunction!(stream::default_stream, module)?)?;
    module.add_function(wrap_pyfunction!(current::current_stream, module)?)?;
    module.add_function(wrap_pyfunction!(current::tvm_ffi_stream, module)?)?;
    module.add_function(wrap_pyfunction!(stream::probe, module)?)?;
    module.add_function(wrap_pyfunction!(saxpy::saxpy, module)?)?;
    module.add_function(wrap_pyfunction!(kept::collect, module)?)?;
    module.add_function(wrap_pyfunction!(kept::drain, module)?)?;
    module.add_function(wrap_pyfunction!(kept::pending, module)?)?;
    module.add("BACKEND", vendor::KIND.name())?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    Ok(())
}
