//! What nearly every user needs: `use gpu_stream::prelude::*;`.
//!
//! The traits, and the types that their methods take and return. It contains no backend, so a
//! library that imports nothing else stays generic. It does not contain the traits of the
//! [object-safe form](crate::dynamic), because their methods have the same names.

pub use gpu_stream_core::{
    Backend, BackendKind, Device, Error as _, ErrorKind, ErrorOf, Event, EventOf, EventOptions,
    EventStatus, Stream, StreamOf, StreamOptions,
};
