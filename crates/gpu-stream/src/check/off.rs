//! A build without a check.

use std::any::Any;
use std::env;
use std::sync::OnceLock;

use gpu_stream_core::dynamic::{BoxedEvent, DynBackend, SharedStream};
use gpu_stream_core::{Access, AnyError, Event, Region, Stream};

/// The backends of this build that have a check: none.
pub(crate) const COMPILED: &[&dyn DynBackend] = &[];

/// Returns `false`. If the variable asks for a check, prints once that this build has none.
pub(crate) fn is_requested() -> Result<bool, AnyError> {
    const VARIABLE: &str = "GPU_STREAM_CHECK";
    static NOTED: OnceLock<()> = OnceLock::new();
    NOTED.get_or_init(|| {
        let value = env::var_os(VARIABLE).unwrap_or_default();
        if !value.is_empty() && value != "0" {
            eprintln!(
                "gpu-stream: {VARIABLE}={}: this build has no check; build with the feature `checked` of gpu-stream",
                value.display()
            );
        }
    });
    Ok(false)
}

/// Returns the result of `call`.
#[inline]
pub(crate) fn placed<T>(call: impl FnOnce() -> T) -> T {
    call()
}

/// Does nothing.
#[inline]
pub(crate) fn host_access(_: Access, _: &Region) {}

/// Returns `stream`.
#[inline]
pub(crate) fn stream(stream: SharedStream) -> SharedStream {
    stream
}

/// Returns `event`.
#[inline]
pub(crate) fn event(event: BoxedEvent) -> BoxedEvent {
    event
}

/// Returns `None`: no stream is inside of another one.
#[inline]
pub(crate) fn stream_inside<S: Stream>(_: &dyn Any) -> Option<&S> {
    None
}

/// Returns `None`: no event is inside of another one.
#[inline]
pub(crate) fn event_inside<E: Event>(_: &dyn Any) -> Option<&E> {
    None
}
