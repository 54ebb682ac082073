#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backend;
mod call;
mod code;
mod device;
mod driver;
mod error;
mod event;
mod hip;
mod host_func;
mod host_wait;
pub mod interop;
mod owned_stream;
mod pending_destroy;
mod per_thread;
mod poll;
mod pool;
mod stream;
mod thread;

pub use self::{code::HipCode, error::HipError, event::HipEvent, hip::Hip, stream::HipStream};
