//! The conformance suite of gpu-stream: named cases that hold every backend to the one meaning of a
//! stream and its events.
//!
//! The contract, `gpu-stream-core`, says in words what `query`, `record`, `wait` and the rest mean.
//! Here the words are cases: about a hundred and eighty plain functions, the same for every vendor,
//! each of which names the [rules] that it checks.
//!
//! # For users
//! The command `gpu-stream check` runs these cases on every backend of your machine. A case
//! **passed**, **failed** with what was seen, or was **skipped** with the reason: the machine has
//! one device, or the driver would crash where another tells. A skip counts as neither of the
//! others. With `GPU_STREAM_REQUIRE=cuda,hip` in the environment, a skip of a backend that is named
//! there, for something that the machine lacks, is a failure: for machines that are known to have
//! the hardware.
//!
//! # For backend authors
//! A backend's test needs things that the contract leaves out on purpose: work for a stream to do,
//! a way to hold it back, and a stream that was made without the wrapper. That is a [`Fixture`].
//! With one, a test target is:
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
//! and `cargo test` runs every case: filters, `--list` and `--skip` work, a skipped case is shown as ignored, with its
//! reason. Where making the fixture can fail because a driver is missing, give the `Result`.
//!
//! ## Writing a fixture
//! This one is for the host backend, whose work is closures. `fixtures::HostFixture` is the same with a few more
//! comforts, behind the feature `host`.
//!
#![cfg_attr(feature = "host", doc = "```")]
#![cfg_attr(not(feature = "host"), doc = "```ignore")]
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
//!
//! use gpu_stream_conformance::{Fixture, Outcome, Suite, SuiteOf, Verdict};
//! use gpu_stream_core::{Backend, Device, RawStream, Stream, StreamOptions, StreamOwner};
//! use gpu_stream_host::{Gate, Host, HostStream, raw, settle};
//!
//! struct MyFixture;
//!
//! /// A stream as another library would make it: by the bare driver, destroyed on drop.
//! struct Foreign(RawStream<Host>);
//!
//! impl Drop for Foreign {
//!     fn drop(&mut self) {
//!         let _ = raw::destroy(self.0);
//!     }
//! }
//!
//! // SAFETY: the stream lives as long as the value.
//! unsafe impl StreamOwner<Host> for Foreign {
//!     fn raw_stream(&self) -> RawStream<Host> {
//!         self.0
//!     }
//! }
//!
//! impl Fixture for MyFixture {
//!     type Backend = Host;
//!     type Foreign = Foreign;
//!     type Gate = Gate;
//!     type Data = Arc<AtomicU32>; // on a GPU: an allocation on the device, and a place to copy it to
//!
//!     fn raw_stream(&self, bits: usize) -> RawStream<Host> {
//!         RawStream::from_bits(bits)
//!     }
//!
//!     fn foreign(&self, device: Device, options: StreamOptions) -> Result<Foreign, Verdict> {
//!         Ok(Foreign(raw::create(device, options)?)) // `?` turns any error into a failed case
//!     }
//!
//!     fn foreign_works(&self, foreign: &Foreign) -> Outcome {
//!         if raw::is_alive(foreign.0) { Ok(()) } else { Err(Verdict::failed("it is destroyed")) }
//!     }
//!
//!     // On a GPU: a wait for a value in pinned memory (`cuStreamWaitValue32`), or a host function that blocks.
//!     fn gate<S: Stream<Backend = Host>>(&self, stream: &S) -> Result<Gate, Verdict> {
//!         let gate = Gate::new(stream.device())?;
//!         stream.wait_event(gate.event())?;
//!         Ok(gate)
//!     }
//!
//!     fn open(&self, gate: &Gate) {
//!         gate.open();
//!     }
//!
//!     fn data(&self, _: Device, value: u32) -> Result<Self::Data, Verdict> {
//!         Ok(Arc::new(AtomicU32::new(value)))
//!     }
//!
//!     // On a GPU: an asynchronous memset or copy on `stream.raw()`.
//!     fn store<S>(&self, stream: &S, data: &Self::Data, value: u32) -> Outcome
//!     where
//!         S: Stream<Backend = Host>,
//!     {
//!         let data = Arc::clone(data);
//!         Ok(stream.launch_host_func(Box::new(move || data.store(value, SeqCst)))?)
//!     }
//!
//!     fn copy<S>(&self, stream: &S, from: &Self::Data, to: &Self::Data) -> Outcome
//!     where
//!         S: Stream<Backend = Host>,
//!     {
//!         let (from, to) = (Arc::clone(from), Arc::clone(to));
//!         Ok(stream.launch_host_func(Box::new(move || to.store(from.load(SeqCst), SeqCst)))?)
//!     }
//!
//!     fn load(&self, data: &Self::Data) -> Result<u32, Verdict> {
//!         Ok(data.load(SeqCst))
//!     }
//!
//!     // On a GPU: yield for a few milliseconds. It is exact here.
//!     fn settle(&self, streams: &[&HostStream]) {
//!         let _ = settle(streams); // it may return early, as far as the cases are concerned
//!     }
//!
//!     // On a GPU, failing work takes the context with it: skip, and say so.
//!     fn fault(&self, stream: &HostStream) -> Outcome {
//!         Ok(stream.launch(|| std::panic::resume_unwind(Box::new("meant to fail")))?)
//!     }
//!
//!     // On a GPU: `cudaSetDevice` or `cuCtxSetCurrent`, and what they would give back. The host has none of this.
//!     fn make_current(&self, _: Device) -> Outcome {
//!         Ok(())
//!     }
//!
//!     fn thread_state(&self) -> Result<String, Verdict> {
//!         Ok(String::new())
//!     }
//! }
//!
//! let suite = SuiteOf::new(MyFixture);
//! for (index, case) in suite.cases().iter().enumerate().filter(|(_, case)| case.area == "order") {
//!     assert_eq!(suite.run(index).outcome, Ok(()), "{}", case.name);
//! }
//! ```
//!
//! ## What a case may do
//! A case runs on a thread of its own, and only one at a time. Order is shown by gates that the case opens and by data
//! that would be wrong; no case decides anything by the clock. One that does not end within the [limit](runner::LIMIT)
//! failed, and the run goes on without it.
//!
//! The suite is tested itself: host backends with one rule broken each must be caught, by a case that names that rule.

pub mod cases;
pub mod fixture;
pub mod fixtures;
pub mod harness;
mod namesake;
pub mod outcome;
pub mod required;
pub mod rules;
pub mod runner;
mod stranger;

pub use cases::{Case, CaseInfo};
pub use fixture::{CaptureMode, Fixture};
pub use outcome::{Outcome, Skip, Verdict};
pub use required::Required;
pub use rules::Rule;
pub use runner::{CaseReport, Missing, Suite, SuiteOf};
