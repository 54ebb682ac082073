#![doc = include_str!("../README.md")]

mod backend;
mod engine;
mod event;
mod finding;
mod owner;
mod place;
mod report;
mod scope;
mod settings;
mod sink;
mod stream;
#[cfg(test)]
mod tests;

pub use backend::Checked;
pub use event::CheckedEvent;
pub use finding::{
    Action, Finding, FindingKind, MissingWait, Report, Severity, Site, Step, StreamInfo,
};
#[doc(hidden)]
pub use place::called_from;
pub use scope::{Entered, Hook, Scope};
#[doc(hidden)]
pub use settings::{InvalidLevel, Level, requested_level};
pub use stream::CheckedStream;
