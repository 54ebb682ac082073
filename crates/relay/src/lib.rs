#![doc = include_str!("../README.md")]

pub mod library;
mod pool;
mod retry;
mod share;
mod sync;

pub use self::pool::Pool;
pub use self::retry::RetryCell;
pub use self::share::{Calls, Sources};
pub use self::sync::thread_number;
