//! The kernels on a backend that is chosen at run time: those of the stream's own backend.

use gpu_stream::prelude::*;
use gpu_stream::{Any, BackendKind};

use super::host::OnHost;
use super::{Kernels, Launcher};
use crate::{Error, Result};

// SAFETY: it is the launcher of the stream's own backend.
unsafe impl Kernels for Any {
    fn launcher<S: Stream<Backend = Any>>(stream: &S) -> Result<Box<dyn Launcher + '_>> {
        match stream.raw().backend() {
            BackendKind::Host => Ok(Box::new(OnHost(stream))),
            #[cfg(feature = "cuda")]
            BackendKind::Cuda => {
                Ok(Box::new(super::cuda::OnCuda::new(stream.raw().typed()?, stream.device())?))
            }
            #[cfg(feature = "hip")]
            BackendKind::Hip => {
                Ok(Box::new(super::hip::OnHip::new(stream.raw().typed()?, stream.device())?))
            }
            #[cfg(feature = "opencl")]
            BackendKind::OpenCl => {
                Ok(Box::new(super::opencl::OnOpenCl::new(stream.raw().typed()?)?))
            }
            other => Err(Error::NoKernels(format!(
                "the library has no kernels for {other} in this build; use a stream of another backend, or enable its \
                 feature"
            ))),
        }
    }
}
