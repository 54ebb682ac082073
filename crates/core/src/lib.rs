//! One contract for a GPU stream, and its events, that another library allocated.
//!
//! PyTorch, cudarc, CuPy or a C++ program has a stream. A library written in Rust works on it, or
//! beside it, and in order with it. This crate defines what that means, once for all vendors, in
//! the words of [`torch.cuda.ExternalStream`]. It is all traits, names and errors: `no_std` with
//! `alloc`, and no vendor code.
//!
//! - A *backend* crate implements the contract: `gpu-stream-host` does it on CPU threads.
//! - The facade crate `gpu-stream` offers the backends as cargo features.
//! - `gpu-stream-conformance` tests that all backends mean the same.
//!
//! # For users
//!
//! **Authors of portable libraries** write against [`Stream`] and name no vendor. Take the caller's
//! stream, and work on it or on streams of your own. Leave the caller's stream in order after your
//! work, so that the caller need not know which streams you used:
//!
//! ```
//! use gpu_stream_core::{ErrorOf, Stream, StreamOf, StreamOptions};
//!
//! /// Runs two pieces of work in parallel. Its streams are created once, in the caller's context.
//! pub struct SideBySide<S: Stream>([StreamOf<S>; 2]);
//!
//! impl<S: Stream> SideBySide<S> {
//!     pub fn new(caller: &S) -> Result<Self, ErrorOf<S>> {
//!         let side = || caller.new_stream(StreamOptions::new());
//!         Ok(SideBySide([side()?, side()?]))
//!     }
//!
//!     /// Submits both. Later work of the caller's stream starts after both.
//!     pub fn run(&self, caller: &S) -> Result<(), ErrorOf<S>> {
//!         caller.fork(&self.0)?; // both start after what the caller has submitted so far
//!         // … launch on each `side.raw()` …
//!         caller.join(&self.0) // what the caller submits from here on starts after both
//!     }
//! }
//! ```
//!
//! Nothing in it blocks: the device keeps the order, and the host continues.
//!
//! **Authors of applications** pick the vendor, by the facade's cargo features or at run time, and
//! bring the stream. There are two ways to wrap one that another library allocated:
//!
//! - [`Backend::stream_from_owner`] takes something that keeps the stream alive, such as a cudarc
//!   stream or a Python object, and keeps *that* alive. It is safe.
//! - [`Backend::stream_from_raw`] takes the bare handle. It is `unsafe`, because you have to
//!   promise that the stream outlives its wrapper.
//!
//! ```
//! use gpu_stream_core::{Backend, RawStream, Stream};
//!
//! /// Waits, on the host, for whatever another library has submitted to its stream.
//! ///
//! /// # Safety
//! /// `handle` is a live stream of backend `B`, and stays alive during the call.
//! unsafe fn wait_for_them<B>(handle: usize) -> Result<(), B::Error>
//! where
//!     B: Backend<RawStream = RawStream<B>>,
//! {
//!     // SAFETY: the caller promises that the stream is alive, and the wrapper ends with this call.
//!     let theirs = unsafe { B::stream_from_raw(RawStream::from_bits(handle), None)? };
//!     theirs.synchronize()
//! }
//! ```
//!
//! Either way the wrapper never destroys the stream.
//!
//! ## What is where
//!
//! | | |
//! |---|---|
//! | [`Stream`] | order: record, wait, fork, join, query, synchronize |
//! | [`Event`] | a point in a stream's work; elapsed time |
//! | [`Backend`] | a vendor: devices, and the creation and wrapping of streams and events |
//! | [`Error`], [`ErrorKind`] | what went wrong, in the same words everywhere |
//! | [`RawStream`], [`HandleKind`] | handles, and what the values 0, 1 and 2 mean |
//! | [`Device`] | `cuda:0` |
//! | [`EventOptions`], [`StreamOptions`] | how a new event or stream is created |
//! | [`StreamOwner`], [`EventOwner`] | what keeps a foreign stream or event alive |
//! | [`Region`], [`Access`] | memory that a stream's work or the host uses, declared for a check of the order |
//! | [`CaptureStatus`], [`PriorityRange`] | what a stream or a device answers |
//! | [`PerThread`] | a thread's default stream, which stays on its thread |
//! | [`exchange`] | the integers of DLPack, `__cuda_array_interface__` and `__cuda_stream__`; the current stream of torch and tvm-ffi |
//! | [`dynamic`] | the object-safe form |
//!
//! ## Order
//!
//! Work on one stream runs in the order of its submission; streams have no order among each other
//! until a *wait* makes one. A wait is bound to a *record*, and a record is a snapshot:
//!
//! ```text
//! theirs   ──A──B──●──────C────────     ● ours.wait_stream(&theirs): a record after B …
//!                  │
//! ours     ──X─────▼──Y──Z─────────     … which everything later on `ours` waits for
//! ```
//!
//! Y and Z run after A and B. C came later and is not waited for, and X, which was there before,
//! waits for nothing. Recording an event again, dropping it, or dropping the streams' wrappers
//! changes none of this. A wait for an event that was **never recorded has no effect**, and is no
//! error. That is what torch, CUDA and HIP do, and [`Event::status`] detects it.
//!
//! ## Threads
//!
//! All methods take `&self`. Streams and events are `Send + Sync`, and may be used from any thread,
//! whichever device or context is current there. No call changes what is current. The exception is
//! a thread's own default stream: its type [`PerThread`] is neither `Send` nor `Sync`.
//!
//! If two threads submit to one stream, each sees its own submissions in order. The threads must
//! decide between them which comes first.
//!
//! ## Errors
//!
//! Every call that can fail returns the backend's error. [`Error::kind`] names the failure in the
//! same words on all backends. Not ready is not an error: it is `Ok(false)`. A failure is never
//! `false`, and never a panic.
//!
//! | argument | error |
//! |---|---|
//! | a handle that is not a stream, as far as the backend can tell; handle 2 | [`ErrorKind::InvalidHandle`] |
//! | the wrong device; an event of another device | [`ErrorKind::DeviceMismatch`] |
//! | a device that does not exist | [`ErrorKind::InvalidDevice`] |
//! | another vendor's device, stream or event | [`ErrorKind::BackendMismatch`] |
//! | interprocess with timing; a priority out of range | [`ErrorKind::InvalidOptions`] |
//! | events without timing, record or completion to `elapsed_since` | [`ErrorKind::EventNotTimed`], [`EventNotRecorded`](ErrorKind::EventNotRecorded), [`EventPending`](ErrorKind::EventPending) |
//! | a capturing stream, or an event of its capture, to `query` or `synchronize` | [`ErrorKind::Capturing`], and the capture goes on |
//! | an event whose last record was made in a capture that is over | [`ErrorKind::InvalidEvent`] |
//! | a call that blocks, from inside a stream's work | [`ErrorKind::NotPermitted`] |
//! | a stream on which work has failed | [`ErrorKind::StreamFault`], from then on |
//!
//! What a machine lacks has kinds of its own: [`NotCompiled`](ErrorKind::NotCompiled),
//! [`LibraryNotFound`](ErrorKind::LibraryNotFound),
//! [`AmbiguousLibrary`](ErrorKind::AmbiguousLibrary), [`SymbolNotFound`](ErrorKind::SymbolNotFound),
//! [`DriverTooOld`](ErrorKind::DriverTooOld), [`NoDevice`](ErrorKind::NoDevice).
//!
//! # For backend authors
//!
//! A backend is a unit type that implements [`Backend`], with a stream type, an event type and an
//! error type. The required methods are the ones that need the vendor; the rest have defaults.
//!
//! | | required | default, may be overridden | optional: `Unsupported` until overridden |
//! |---|---|---|---|
//! | [`Backend`] | `probe`, `devices`, `new_stream`, `new_event`, `stream_from_raw_with_owner`, `stream_from_raw_with_owner_unchecked` | `device`, `stream_from_raw`, `stream_from_raw_unchecked`, `stream_from_owner`, `event_from_raw`, `event_from_owner`, `host_access` | `default_stream`, `per_thread_stream`, `priority_range`, `event_from_raw_with_owner` |
//! | [`Stream`] | `raw`, `device`, `query`, `synchronize`, `record`, `wait_event` | `new_event`, `new_stream`, `record_event`, `wait_stream`, `fork`, `join`, `is_same`, `reads`, `writes`, `released` | `priority`, `is_blocking`, `id`, `capture_status`, `launch_host_func` |
//! | [`Event`] | `raw`, `device`, `options`, `status`, `synchronize`, `elapsed_unchecked` | `query`, `elapsed_since`, `is_foreign` | |
//!
//! `Backend`, `Stream` and `Event` are `unsafe` traits. Safe code frees memory on the strength of
//! `query() == Ok(true)`, so a wrong answer is undefined behavior in another library's program.
//! Read their *Safety* sections; the rules are few:
//!
//! 1. Done means done and visible to the calling thread. Anything the driver answers that is
//!    neither "done" nor "not ready" is an error. Keep its codes as integers: an enum of the codes
//!    that you know is undefined behavior with a newer driver.
//! 2. A wait binds to the record that is current at the call, and outlives the event.
//! 3. The wrapper holds its [`KeepAlive`]; if the vendor's events refer to their stream, events
//!    hold it too ([`Backend::EVENTS_KEEP_OWNER`]). A backend destroys only what it owns.
//! 4. The device of a handle is compared before a wrapper exists.
//! 5. Every path leaves the thread as it was: current device, context, last error.
//! 6. A call that would destroy a capture is not made.
//! 7. Nothing panics. A missing library, symbol, device or version is an error with a kind.
//!
//! Policy that does not depend on the vendor is in this crate, and all backends share it:
//! [`Device::check_is`] and [`Device::check_exists`], [`PriorityRange::check`] and the order of
//! checks in [`Event::elapsed_since`]. The error of a backend wraps [`ContractError`], whose texts
//! name the call, the value and the remedy.
//!
//! Then run the conformance suite, `gpu-stream-conformance`. It needs a fixture of some hundred
//! lines, which creates a foreign stream, holds a stream back, and copies a number on a stream.
//! `gpu-stream-host` is the worked example, with an executor of its own.
//!
//! [`torch.cuda.ExternalStream`]: https://docs.pytorch.org/docs/stable/generated/torch.cuda.ExternalStream.html

#![no_std]

extern crate alloc;

mod backend;
mod capture_status;
mod device;
pub mod dynamic;
mod error;
mod event;
pub mod exchange;
mod handle;
mod kind;
mod known;
mod options;
mod owner;
mod per_thread;
mod region;
mod stream;

/// The earlier name of [`PlainHandles`], for programs that use it.
#[doc(hidden)]
pub use backend::PlainHandles as Native;
pub use backend::{Backend, ErrorOf, EventOf, PlainHandles, StreamOf};
pub use capture_status::CaptureStatus;
pub use device::{BackendInfo, Device, DeviceInfo};
pub use error::{AnyError, ContractError, Error, ErrorKind};
pub use event::{Event, EventStatus};
pub use handle::{HandleKind, RawEvent, RawHandle, RawStream};
pub use kind::{BackendKind, UnknownBackend};
#[doc(hidden)]
pub use known::{Knowledge, KnownWork};
pub use options::{EventOptions, EventOptionsBuilder, PriorityRange, StreamOptions};
pub use owner::{EventOwner, KeepAlive, StreamOwner};
pub use per_thread::PerThread;
pub use region::{Access, Region};
pub use stream::{HostFunc, Stream};
