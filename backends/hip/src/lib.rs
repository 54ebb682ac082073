#![doc = include_str!("../README.md")]

mod backend;
mod call;
mod device;
mod driver;
mod error;
mod event;
mod event_state;
mod host_func;
#[cfg(feature = "hip-sys")]
pub mod interop;
pub mod ipc;
mod keep_alive;
mod number;
mod ordering;
mod owned_event;
mod pending_destroy;
mod pool;
mod stream;
mod sync;
mod thread_exit;

pub use self::{
    backend::Hip, driver::code::HipCode, error::HipError, event::HipEvent, stream::HipStream,
};
