//! A build with a check.

use std::any::Any;
use std::panic::Location;
use std::sync::Arc;

use gpu_stream_checked::{Checked, CheckedEvent, CheckedStream, called_from, requested_level};
use gpu_stream_core::dynamic::{BoxedEvent, DynBackend, SharedStream};
use gpu_stream_core::{Access, AnyError, Backend, Event, PlainHandles, Region, Stream};
#[cfg(feature = "cuda")]
use gpu_stream_cuda::Cuda;
#[cfg(feature = "hip")]
use gpu_stream_hip::Hip;
use gpu_stream_host::Host;
#[cfg(feature = "opencl")]
use gpu_stream_opencl::OpenCl;

/// All backends of this build with a check, in the order of [`BackendKind::KNOWN`](crate::BackendKind::KNOWN).
pub(crate) const COMPILED: &[&dyn DynBackend] = &[
    &Checked::<Host>::new(),
    #[cfg(feature = "cuda")]
    &Checked::<Cuda>::new(),
    #[cfg(feature = "hip")]
    &Checked::<Hip>::new(),
    #[cfg(feature = "opencl")]
    &Checked::<OpenCl>::new(),
];

/// Returns `true` if the variable asks for a check.
///
/// # Errors
/// [`InvalidOptions`](crate::ErrorKind::InvalidOptions) if it has a value that is not known.
pub(crate) fn is_requested() -> Result<bool, AnyError> {
    requested_level().map(|level| level.is_some()).map_err(AnyError::new)
}

/// Returns the result of `call`. The caller's place stands for the calls of streams in it.
#[inline]
#[track_caller]
pub(crate) fn placed<T>(call: impl FnOnce() -> T) -> T {
    called_from(Location::caller(), call)
}

/// Declares an access of the host to the check of each backend, if the variable asks for a check.
#[track_caller]
pub(crate) fn host_access(access: Access, region: &Region) {
    if matches!(is_requested(), Ok(true)) {
        Checked::<Host>::host_access(access, region);
        #[cfg(feature = "cuda")]
        Checked::<Cuda>::host_access(access, region);
        #[cfg(feature = "hip")]
        Checked::<Hip>::host_access(access, region);
        #[cfg(feature = "opencl")]
        Checked::<OpenCl>::host_access(access, region);
    }
}

/// Returns `stream` with a check, if the variable asks for one and this build has the backend. Otherwise returns it as it
/// is: so also one that has a check, and one of an unknown backend.
#[track_caller]
pub(crate) fn stream(stream: SharedStream) -> SharedStream {
    if !matches!(is_requested(), Ok(true)) {
        return stream;
    }
    let checked = checked_stream::<Host>(&stream);
    #[cfg(feature = "cuda")]
    let checked = checked.or_else(|| checked_stream::<Cuda>(&stream));
    #[cfg(feature = "hip")]
    let checked = checked.or_else(|| checked_stream::<Hip>(&stream));
    #[cfg(feature = "opencl")]
    let checked = checked.or_else(|| checked_stream::<OpenCl>(&stream));
    checked.unwrap_or(stream)
}

#[track_caller]
fn checked_stream<B: PlainHandles>(stream: &SharedStream) -> Option<SharedStream> {
    let native = stream.as_any().downcast_ref::<B::Stream>()?;
    Some(Arc::new(Checked::<B>::wrap(native.clone())))
}

/// Returns `event` with a check, under the conditions of [`stream`].
pub(crate) fn event(event: BoxedEvent) -> BoxedEvent {
    if !matches!(is_requested(), Ok(true)) {
        return event;
    }
    let checked = checked_event::<Host>(event);
    #[cfg(feature = "cuda")]
    let checked = checked.or_else(checked_event::<Cuda>);
    #[cfg(feature = "hip")]
    let checked = checked.or_else(checked_event::<Hip>);
    #[cfg(feature = "opencl")]
    let checked = checked.or_else(checked_event::<OpenCl>);
    checked.unwrap_or_else(|event| event)
}

/// Wraps an event of backend `B`. Returns it as an error if it is another one.
fn checked_event<B: PlainHandles>(event: BoxedEvent) -> Result<BoxedEvent, BoxedEvent> {
    if !event.as_any().is::<B::Event>() {
        return Err(event);
    }
    match event.into_any().downcast::<B::Event>() {
        Ok(native) => Ok(Box::new(Checked::<B>::wrap_event(*native))),
        Err(_) => unreachable!("the type was compared"),
    }
}

/// Returns the stream inside of one with a check, if its type is `S`.
#[track_caller]
pub(crate) fn stream_inside<S: Stream>(stream: &dyn Any) -> Option<&S> {
    let checked = stream.downcast_ref::<CheckedStream<S::Backend>>()?;
    (checked.inner() as &dyn Any).downcast_ref()
}

/// Returns the event inside of one with a check, if its type is `E`.
pub(crate) fn event_inside<E: Event>(event: &dyn Any) -> Option<&E> {
    let checked = event.downcast_ref::<CheckedEvent<E::Backend>>()?;
    (checked.inner() as &dyn Any).downcast_ref()
}
