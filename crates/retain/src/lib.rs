#![doc = include_str!("../README.md")]

// The functions that call the backend have `#[track_caller]`: the reports of `gpu_stream_checked` then have the place of
// the program's call.

mod batch;
mod claim;
mod dropped_work;
mod entry;
mod extension;
mod forks;
mod key;
mod process_wide;
mod reclaimer;
mod refused;
mod release;
mod retain;
mod table;
mod value;

pub use extension::RetainUntilDone;
pub use reclaimer::{Collected, Reclaimer};
pub use refused::Refused;
pub use release::release_on;
