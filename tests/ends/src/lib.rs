#![doc = include_str!("../README.md")]
#![cfg(unix)]

pub mod list;
pub mod play;
pub mod run;
pub mod table;
pub mod watch;
