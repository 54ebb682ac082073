#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backend;
mod capture;
mod child;
mod event;
mod findings;
#[doc(hidden)]
pub mod harness;
mod kit;
mod limit;
mod macros;
mod messages;
mod number;
mod place;
mod process;
mod report;
mod required;
#[doc(hidden)]
pub mod run;
mod target;

pub use backend::TestBackend;
pub use capture::Capture;
pub use event::ForeignEvent;
pub use kit::{ForeignOf, Gate, Kit};
pub use number::Number;

pub use gpu_stream;
#[doc(no_inline)]
pub use gpu_stream_conformance::outcome::{check, check_eq, check_err};
#[doc(no_inline)]
pub use gpu_stream_conformance::{CaptureMode, Verdict};

/// `Ok` if the test passed, or why it failed or did not run.
///
/// The operator `?` turns any error into a failure, with its text and the line of the test. A
/// [`Verdict::skipped`] or [`Verdict::inapplicable`] is a skip.
pub type TestResult = gpu_stream_conformance::Outcome;
