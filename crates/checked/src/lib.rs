//! Finds the missing wait.
//!
//! `Checked` is a backend over another backend. Code for `S: Stream` runs under it unchanged. It keeps the order that
//! records and waits make, and reports accesses of memory that no order covers.

mod engine;
mod finding;

pub use finding::{
    Action, Finding, FindingKind, MissingWait, Report, Severity, Site, Step, StreamInfo,
};
