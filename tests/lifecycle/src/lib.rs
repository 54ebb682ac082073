#![doc = include_str!("../README.md")]
#![cfg(unix)]

pub mod list;
pub mod run;
pub mod scenarios;
pub mod table;
pub mod watch;
