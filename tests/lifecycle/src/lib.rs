#![doc = include_str!("../README.md")]
#![cfg(unix)]

pub mod child;
pub mod list;
pub mod scenarios;
pub mod supervisor;
pub mod table;
