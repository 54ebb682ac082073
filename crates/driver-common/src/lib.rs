#![doc = include_str!("../README.md")]

pub mod captures;
mod coalesce;
pub mod deferred;
mod driver_cell;
pub mod error;
mod forks;
pub mod host_func;
pub mod library;
pub mod ordering;
pub mod panics;
mod pool;
mod process_state;
mod retry;
pub mod symbols;
mod sync;
pub mod texts;
pub mod user_code;

pub use self::coalesce::{EventOps, RecordCoalescer};
pub use self::deferred::Deferred;
pub use self::driver_cell::{DriverCell, DriverStart};
pub use self::error::{DriverError, ResultCode};
pub use self::host_func::HostFuncs;
pub use self::panics::{Panics, Seen, StreamKey};
pub use self::pool::Pool;
pub use self::sync::thread_number;
pub use self::user_code::UserCode;
