#![doc = include_str!("../README.md")]

mod backend;
mod code;
mod completion;
mod device;
mod driver;
mod error;
mod event;
mod host_func;
mod marker;
mod stream;

pub use code::OpenClCode;
pub use error::OpenClError;
pub use event::OpenClEvent;
pub use stream::OpenClStream;

/// The OpenCL backend: in-order command queues.
///
/// [`Backend`](gpu_stream_core::Backend) is implemented for this type.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct OpenCl;
