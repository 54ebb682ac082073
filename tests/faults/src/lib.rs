#![doc = include_str!("../README.md")]

mod built;
mod controls;
mod copies;
mod elf;
#[doc(hidden)]
pub mod exports;
mod objects;
mod plan;
pub mod sweep;

pub use built::{built, built_by};
pub use controls::{At, Controls, InjectedFault, Threads};
pub use copies::copy_as;
pub use elf::{without_symbol, without_symbols};
pub use objects::{gone, made, retained, used};
pub use plan::{Action, PendingHold, on_call};
