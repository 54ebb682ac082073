#![doc = include_str!("../README.md")]

mod pool;
mod share;
mod sync;

pub use self::pool::Pool;
pub use self::share::{Calls, Sources};
pub use self::sync::thread_number;
