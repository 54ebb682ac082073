#![doc = include_str!("../README.md")]

mod backend;
mod device;
mod driver;
mod error;
mod event;
mod host_func;
#[cfg(feature = "cudarc")]
pub mod interop;
pub mod ipc;
mod isolation;
mod ordering;
mod record;
mod stream;

pub use self::{
    backend::Cuda, driver::code::CudaCode, error::CudaError, event::CudaEvent, stream::CudaStream,
};
