#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod any;
mod available;
mod backends;
mod check;
pub mod prelude;
#[cfg(feature = "tvm-ffi")]
pub mod tvm_ffi;

#[cfg(feature = "async")]
pub use gpu_stream_async::{Done, DoneExt, DoneWith};
#[cfg(feature = "checked")]
pub use gpu_stream_checked as checked;
#[cfg(feature = "checked")]
pub use gpu_stream_checked::Checked;
#[doc(inline)]
pub use gpu_stream_core::*;
#[cfg(feature = "cuda")]
pub use gpu_stream_cuda as cuda;
#[cfg(feature = "cuda")]
pub use gpu_stream_cuda::{Cuda, CudaError, CudaEvent, CudaStream};
#[cfg(feature = "hip")]
pub use gpu_stream_hip as hip;
#[cfg(feature = "hip")]
pub use gpu_stream_hip::{Hip, HipError, HipEvent, HipStream};
pub use gpu_stream_host as host;
pub use gpu_stream_host::{Host, HostError, HostEvent, HostStream};
#[cfg(feature = "opencl")]
pub use gpu_stream_opencl as opencl;
#[cfg(feature = "opencl")]
pub use gpu_stream_opencl::{OpenCl, OpenClError, OpenClEvent, OpenClStream};
pub use gpu_stream_retain as retain;
pub use gpu_stream_retain::Reclaimer;

pub use any::{Any, AnyEvent, AnyRawEvent, AnyRawStream, AnyStream};
pub use available::{Availability, Library, available};
pub use backends::{DefaultBackend, backend};

/// The examples of the page about memory.
#[cfg(doctest)]
#[doc = include_str!("memory.md")]
pub struct Memory;
