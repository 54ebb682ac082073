//! The kernels on a backend with a check: those of the backend inside, on the same handle.

use gpu_stream::prelude::*;
use gpu_stream::{Checked, Host};

use super::host::OnHost;
use super::{Kernels, Launcher};
use crate::Result;

// SAFETY: the launcher of the host, which takes any stream.
unsafe impl Kernels for Checked<Host> {
    fn launcher<S: Stream<Backend = Self>>(stream: &S) -> Result<Box<dyn Launcher + '_>> {
        Ok(Box::new(OnHost(stream)))
    }
}

// SAFETY: it is the launcher of CUDA, and the handle is that of the stream inside.
#[cfg(feature = "cuda")]
unsafe impl Kernels for Checked<gpu_stream::Cuda> {
    fn launcher<S: Stream<Backend = Self>>(stream: &S) -> Result<Box<dyn Launcher + '_>> {
        let raw = gpu_stream::RawStream::from_bits(stream.raw().to_bits());
        Ok(Box::new(super::cuda::OnCuda::new(raw, stream.device())?))
    }
}

// SAFETY: it is the launcher of HIP, and the handle is that of the stream inside.
#[cfg(feature = "hip")]
unsafe impl Kernels for Checked<gpu_stream::Hip> {
    fn launcher<S: Stream<Backend = Self>>(stream: &S) -> Result<Box<dyn Launcher + '_>> {
        let raw = gpu_stream::RawStream::from_bits(stream.raw().to_bits());
        Ok(Box::new(super::hip::OnHip::new(raw, stream.device())?))
    }
}

// SAFETY: it is the launcher of OpenCL, and the handle is that of the stream inside.
#[cfg(feature = "opencl")]
unsafe impl Kernels for Checked<gpu_stream::OpenCl> {
    fn launcher<S: Stream<Backend = Self>>(stream: &S) -> Result<Box<dyn Launcher + '_>> {
        let raw = gpu_stream::RawStream::from_bits(stream.raw().to_bits());
        Ok(Box::new(super::opencl::OnOpenCl::new(raw)?))
    }
}
