#![doc = include_str!("../README.md")]

mod done;
mod ext;
mod pending;
mod unwind;
mod waiting;
mod watcher;

pub use done::{Done, DoneWith};
pub use ext::DoneExt;
