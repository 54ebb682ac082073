//! The check of streams that are chosen at run time: the variable `GPU_STREAM_CHECK`, and the feature `checked`.
//!
//! The two modules have the same functions. Without the feature they change nothing.

#[cfg(not(feature = "checked"))]
mod off;
#[cfg(feature = "checked")]
mod on;

#[cfg(not(feature = "checked"))]
pub(crate) use off::{
    COMPILED, event, event_inside, host_access, is_requested, placed, stream, stream_inside,
};
#[cfg(feature = "checked")]
pub(crate) use on::{
    COMPILED, event, event_inside, host_access, is_requested, placed, stream, stream_inside,
};
