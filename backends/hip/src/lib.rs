#![doc = include_str!("../README.md")]

mod backend;
mod busy;
mod call;
mod device;
mod driver;
mod error;
mod event;
mod host_func;
#[cfg(feature = "hip-sys")]
pub mod interop;
pub mod ipc;
mod number;
mod order;
mod pool;
mod slot;
mod stream;
mod sync;
mod thread_end;

pub use self::{
    backend::Hip, driver::code::HipCode, error::HipError, event::HipEvent, stream::HipStream,
};
