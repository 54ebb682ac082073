//! The conformance suite of gpu-stream: named cases that check that every backend gives a stream
//! and its events one meaning.
//!
//! `gpu-stream-core` defines in words what `query`, `record`, `wait` and the rest mean. A case is a
//! plain function, the same for every vendor, and names the [rules] that it checks.
//!
//! # For users
//! The command `gpu-stream check` runs these cases on every backend of your machine. A case
//! **passed**, **failed** with what was seen, or was **skipped** with the reason: for example, the
//! machine has one device, or the driver would crash. A skip counts as neither pass nor failure.
//!
//! `GPU_STREAM_REQUIRE=cuda,hip` in the environment is for machines that are known to have the
//! hardware. A skip of a backend that it names, for something that the machine lacks, is then a
//! failure.
//!
//! # For backend authors
//! A backend's test needs things that the contract leaves out on purpose. They are work for a
//! stream to do, a way to hold it back, and a stream that was made without the wrapper. A
//! [`Fixture`] provides them. With one, a test target is:
//!
//! ```toml
//! [[test]]
//! name = "conformance"
//! harness = false
//! ```
//!
#![cfg_attr(feature = "host", doc = "```no_run")]
#![cfg_attr(not(feature = "host"), doc = "```ignore")]
//! # use gpu_stream_conformance::fixtures::HostFixture as MyFixture;
//! gpu_stream_conformance::main!(MyFixture::new());
//! ```
//!
//! and `cargo test` runs every case: filters, `--list` and `--skip` work, a skipped case is shown
//! as ignored, with its reason. If making the fixture can fail because a driver is missing, pass
//! the `Result`.
//!
//! ## Writing a fixture
//! This one is for the host backend, whose work is closures. It passes every case that the backend
//! can run. `fixtures::HostFixture` has a few more functions, and needs the feature `host`.
//!
#![cfg_attr(feature = "host", doc = "```")]
#![cfg_attr(not(feature = "host"), doc = "```ignore")]
#![doc = include_str!("worked_example.rs")]
#![cfg_attr(docsrs, feature(doc_cfg))]
//!
//! use gpu_stream_conformance::{Suite, SuiteOf};
//!
//! let suite = SuiteOf::new(MyFixture);
//! for (index, case) in suite.cases().iter().enumerate().filter(|(_, case)| case.area == "order") {
//!     assert_eq!(suite.run(index).outcome, Ok(()), "{}", case.name);
//! }
//! ```
//!
//! ## What a case may do
//! A case runs on a thread of its own, and only one at a time. Gates that the case opens, and data
//! that would be wrong, prove the order. No result depends on the clock. A case that does not end
//! within the [limit](runner::LIMIT) fails, and the run continues without it.
//!
//! The suite is tested by fault seeding: each of many host backends breaks one rule, and a case
//! that names that rule must catch it.

pub mod awaiting;
pub mod cases;
#[cfg(feature = "checked")]
pub mod checked_suite;
pub mod fixture;
pub mod fixtures;
pub mod harness;
mod namesake;
mod null_backend;
pub mod outcome;
pub mod required;
pub mod retention;
pub mod rules;
pub mod runner;

pub use cases::{Case, CaseInfo};
#[cfg(feature = "checked")]
pub use checked_suite::CheckedSuite;
pub use fixture::{CaptureMode, Fixture};
pub use outcome::{Outcome, Skip, Verdict};
pub use required::Required;
pub use rules::Rule;
pub use runner::{CaseReport, Missing, Suite, SuiteOf};
