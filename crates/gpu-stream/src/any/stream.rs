//! A stream of a backend that is chosen at run time: [`AnyStream`].

use core::any::{Any as Typeless, TypeId};
use core::fmt;
use core::hash::{Hash, Hasher};

use gpu_stream_core::dynamic::{DynStream, SharedStream};
use gpu_stream_core::{
    AnyError, CaptureStatus, ContractError, Device, EventOptions, HostFunc, KnownWork,
    PlainHandles, Region, Stream, StreamOptions,
};

use super::{Any, AnyEvent, AnyRawStream};
use crate::check::{self, placed};

/// A stream of [`Any`] backend.
///
/// It means what the stream inside means. Two are equal if the backend's type, device and handle
/// are equal, however they were made. Cloning one clones a reference to it.
///
/// ```
/// use gpu_stream::prelude::*;
/// use gpu_stream::{Any, AnyStream, Host, HostStream};
///
/// let typed = Host::new_stream(Host::device(0)?, StreamOptions::new())?;
/// let any = AnyStream::new(typed.clone());
/// assert_eq!(any.downcast_ref::<HostStream>(), Some(&typed));
/// # Ok::<(), gpu_stream::HostError>(())
/// ```
#[derive(Clone)]
pub struct AnyStream(SharedStream);

impl AnyStream {
    /// Wraps `stream`, and hides its backend's types. [`downcast_ref`](Self::downcast_ref) returns
    /// the typed stream.
    ///
    /// The backend may be one that this crate does not know. Every call works on the stream,
    /// including its own `new_stream` and `new_event`. A constructor of [`Any`], such as
    /// `Any::new_stream`, returns [`NotCompiled`](crate::ErrorKind::NotCompiled) for its device.
    ///
    /// A thread's default stream stays on its thread, and cannot be wrapped:
    ///
    /// ```compile_fail,E0277
    /// use gpu_stream::prelude::*;
    /// use gpu_stream::{AnyStream, Host};
    ///
    /// let mine = Host::per_thread_stream(Host::device(0).unwrap()).unwrap();
    /// AnyStream::new(mine);
    /// ```
    pub fn new<S>(stream: S) -> Self
    where
        S: Stream<Backend: PlainHandles> + fmt::Debug + Send + Sync,
    {
        AnyStream(check::stream(std::sync::Arc::new(stream)))
    }

    /// Returns the typed stream, if its type is `S`, to launch work as its backend does.
    ///
    /// With a [check](crate::any#a-check-of-the-order), it is the stream inside of the checked one. Records and waits that
    /// are made with the result are not seen, so make those with this stream.
    #[cfg_attr(feature = "checked", track_caller)]
    pub fn downcast_ref<S: Stream>(&self) -> Option<&S> {
        let stream = self.0.as_any();
        match stream.downcast_ref() {
            Some(typed) => Some(typed),
            None => check::stream_inside(stream),
        }
    }

    /// Returns the stream in its object-safe form.
    pub fn as_dyn(&self) -> &(dyn DynStream + Send + Sync) {
        &*self.0
    }

    /// Returns an error of `operation` if `other` belongs to another backend.
    fn check_backend<O: Stream<Backend = Any>>(
        &self,
        other: &O,
        operation: &'static str,
    ) -> Result<(), AnyError> {
        let (expected, given) = (self.0.backend(), other.raw_to_compare().backend());
        let is_another = match (other as &dyn Typeless).downcast_ref::<AnyStream>() {
            Some(other) => self.0.backend_type() != other.0.backend_type(),
            // A foreign wrapper type: only the name of its backend is known.
            None => expected != given,
        };
        if is_another {
            return Err(ContractError::BackendMismatch { operation, expected, given }.into());
        }
        Ok(())
    }

    fn has_type_of(&self, other: &Self) -> bool {
        self.0.as_any().type_id() == other.0.as_any().type_id()
    }

    // Identifies the backend by its type, because two backends can have the name that is in the
    // handle.
    fn identity(&self) -> (TypeId, Device, AnyRawStream) {
        (self.0.backend_type(), self.device(), self.raw_to_compare())
    }
}

/// Converts streams from a [`DynBackend`](crate::dynamic::DynBackend).
impl From<SharedStream> for AnyStream {
    fn from(stream: SharedStream) -> Self {
        AnyStream(check::stream(stream))
    }
}

impl fmt::Debug for AnyStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AnyStream").field(&self.0).finish()
    }
}

impl PartialEq for AnyStream {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for AnyStream {}

impl Hash for AnyStream {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

// SAFETY: every method forwards to the stream inside. `DynStream` is sealed: only a `Stream`
// implements it, and that upholds the contract. `wait_stream` below uses the backend's own
// `wait_stream`, or a record of the other stream.
//
// The lint makes a method that is added to `Stream` an error here until it is forwarded.
#[deny(clippy::missing_trait_methods)]
unsafe impl Stream for AnyStream {
    type Backend = Any;

    #[cfg_attr(feature = "checked", track_caller)]
    fn raw(&self) -> AnyRawStream {
        placed(|| AnyRawStream::new(self.0.backend(), self.0.raw_bits()))
    }

    fn device(&self) -> Device {
        self.0.device()
    }

    #[cfg_attr(feature = "checked", track_caller)]
    fn query(&self) -> Result<bool, AnyError> {
        placed(|| self.0.query())
    }

    #[cfg_attr(feature = "checked", track_caller)]
    fn query_into(&self, known: &mut KnownWork) -> Result<bool, AnyError> {
        placed(|| self.0.query_into(known))
    }

    #[cfg_attr(feature = "checked", track_caller)]
    fn synchronize(&self) -> Result<(), AnyError> {
        placed(|| self.0.synchronize())
    }

    #[cfg_attr(feature = "checked", track_caller)]
    fn record(&self, event: &AnyEvent) -> Result<(), AnyError> {
        placed(|| self.0.record(event.as_dyn()))
    }

    fn new_event(&self, options: EventOptions) -> Result<AnyEvent, AnyError> {
        self.0.new_event(options).map(AnyEvent::from)
    }

    #[cfg_attr(feature = "checked", track_caller)]
    fn new_stream(&self, options: StreamOptions) -> Result<AnyStream, AnyError> {
        placed(|| self.0.new_stream(options).map(AnyStream::from))
    }

    fn raw_to_compare(&self) -> AnyRawStream {
        AnyRawStream::new(self.0.backend(), self.0.raw_bits_to_compare())
    }

    fn backend_type(&self) -> TypeId {
        self.0.backend_type()
    }

    #[cfg_attr(feature = "checked", track_caller)]
    fn record_event(&self) -> Result<AnyEvent, AnyError> {
        placed(|| self.0.record_event().map(AnyEvent::from))
    }

    #[cfg_attr(feature = "checked", track_caller)]
    fn wait_event(&self, event: &AnyEvent) -> Result<(), AnyError> {
        placed(|| self.0.wait_event(event.as_dyn()))
    }

    /// Makes this stream wait for `other`, by the backend's own [`Stream::wait_stream`].
    ///
    /// # Errors
    /// [`BackendMismatch`](crate::ErrorKind::BackendMismatch) if the other stream belongs to
    /// another backend; otherwise the backend's errors.
    #[cfg_attr(feature = "checked", track_caller)]
    fn wait_stream<O: Stream<Backend = Any>>(&self, other: &O) -> Result<(), AnyError> {
        self.check_backend(other, "Stream::wait_stream")?;
        placed(|| match (other as &dyn Typeless).downcast_ref::<AnyStream>() {
            Some(other) if self == other => Ok(()),
            Some(other) if self.has_type_of(other) => self.0.wait_stream(other.as_dyn()),
            // A `PerThread`, or a foreign wrapper type: the stream inside is not accessible, but a
            // record of it is.
            _ => self.0.wait_event(other.record_event()?.as_dyn()),
        })
    }

    /// Makes each of `branches` wait for this stream, as [`Stream::fork`].
    ///
    /// # Errors
    /// [`BackendMismatch`](crate::ErrorKind::BackendMismatch) if a branch belongs to another backend;
    /// otherwise the backend's errors.
    #[cfg_attr(feature = "checked", track_caller)]
    fn fork<'a, I, O>(&self, branches: I) -> Result<(), AnyError>
    where
        I: IntoIterator<Item = &'a O>,
        O: Stream<Backend = Any>,
    {
        let (mut event, mut outcome) = (None, Ok(()));
        for branch in branches {
            if branch.is_same(self) {
                continue;
            }
            if let Err(error) = self.check_backend(branch, "Stream::fork") {
                outcome = outcome.and(Err(error));
                continue;
            }
            let event = match &event {
                Some(event) => event,
                None => match placed(|| self.record_event()) {
                    Ok(recorded) => event.insert(recorded),
                    // The first error is returned.
                    Err(error) => return outcome.and(Err(error)),
                },
            };
            outcome = outcome.and(placed(|| branch.wait_event(event)));
        }
        outcome
    }

    /// Makes this stream wait for each of `branches`, as [`Stream::join`].
    ///
    /// # Errors
    /// [`BackendMismatch`](crate::ErrorKind::BackendMismatch) if a branch belongs to another backend;
    /// otherwise the backend's errors.
    #[cfg_attr(feature = "checked", track_caller)]
    fn join<'a, I, O>(&self, branches: I) -> Result<(), AnyError>
    where
        I: IntoIterator<Item = &'a O>,
        O: Stream<Backend = Any>,
    {
        let mut outcome = Ok(());
        for branch in branches {
            let checked = self.check_backend(branch, "Stream::join");
            outcome = outcome.and(checked.and_then(|()| placed(|| self.wait_stream(branch))));
        }
        outcome
    }

    fn is_same<O: Stream<Backend = Any>>(&self, other: &O) -> bool {
        self.identity() == (other.backend_type(), other.device(), other.raw_to_compare())
    }

    fn priority(&self) -> Result<i32, AnyError> {
        self.0.priority()
    }

    fn is_blocking(&self) -> Result<bool, AnyError> {
        self.0.is_blocking()
    }

    fn id(&self) -> Result<u64, AnyError> {
        self.0.id()
    }

    fn capture_status(&self) -> Result<CaptureStatus, AnyError> {
        self.0.capture_status()
    }

    #[cfg_attr(feature = "checked", track_caller)]
    fn launch_host_func(&self, func: HostFunc) -> Result<(), AnyError> {
        placed(|| self.0.launch_host_func(func))
    }

    #[cfg_attr(feature = "checked", track_caller)]
    fn reads(&self, region: &Region) {
        placed(|| self.0.reads(region));
    }

    #[cfg_attr(feature = "checked", track_caller)]
    fn writes(&self, region: &Region) {
        placed(|| self.0.writes(region));
    }

    #[cfg_attr(feature = "checked", track_caller)]
    fn released(&self, region: &Region) {
        placed(|| self.0.released(region));
    }
}
