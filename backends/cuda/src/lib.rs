#![doc = include_str!("../README.md")]

mod backend;
mod cuda;
mod device;
mod driver;
mod error;
mod event;
mod host_func;
#[cfg(feature = "cudarc")]
pub mod interop;
pub mod ipc;
mod last_record;
mod ordering;
mod record;
mod stream;

pub use self::{
    cuda::Cuda, driver::CudaCode, error::CudaError, event::CudaEvent, stream::CudaStream,
};
