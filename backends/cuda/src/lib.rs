#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod advice;
mod backend;
mod code;
mod cuda;
mod device;
mod driver;
mod error;
mod event;
mod host_func;
#[cfg(any(feature = "cudarc", feature = "cuda-core"))]
pub mod interop;
pub mod ipc;
mod last_record;
mod record;
mod stream;

pub use self::{
    code::CudaCode, cuda::Cuda, error::CudaError, event::CudaEvent, stream::CudaStream,
};
