//! What nearly every user needs: `use gpu_stream::prelude::*;`.
//!
//! The traits and the types that their methods take and give. No backend is in it, so that a
//! library that imports nothing else stays generic, and neither are the traits of the [object-safe
//! form](crate::dynamic), whose methods have the same names.

pub use gpu_stream_core::{
    Backend, BackendKind, Device, Error as _, ErrorKind, ErrorOf, Event, EventOf, EventOptions,
    EventStatus, Stream, StreamOf, StreamOptions,
};
