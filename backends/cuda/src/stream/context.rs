//! The context of a [`CudaStream`], and driver calls in it.

use std::sync::atomic::Ordering;

use gpu_stream_core::{BackendKind, Device, Error as _, ErrorKind};

use super::CudaStream;
use crate::driver::{Context, Doubt, DriverCall, PrimaryContext, Ptr, loaded};
use crate::error::Result;

impl CudaStream {
    /// Returns the device's primary context if the stream belongs to it. Also returns `None` if the driver cannot tell.
    ///
    /// # Errors
    /// The context was reset.
    pub(crate) fn primary(
        &self,
        operation: &'static str,
    ) -> Result<Option<&'static PrimaryContext>> {
        if self.is_context_known() {
            self.check_reset(operation)?;
            return Ok(self.known_primary());
        }
        // SAFETY: only an explicit stream is created without its context, and `self` keeps it alive.
        let primary = loaded()
            .and_then(|driver| unsafe { driver.primary_of(self.as_ptr(), Some(self.device)) });
        Ok(primary.inspect(|primary| self.cache_primary(primary)))
    }

    /// Returns `true` if the context is known.
    fn is_context_known(&self) -> bool {
        self.context.load(Ordering::Relaxed) != 0
    }

    /// Returns the context, if it is known. Does not call the driver.
    #[inline]
    pub(crate) fn known_context(&self) -> Option<Context> {
        // Acquire: `primary` was stored before `context`.
        Context::from_bits(self.context.load(Ordering::Acquire))
    }

    /// Returns `true` if a call has observed that the stream's context ended, or may have. Does not call the driver.
    pub(super) fn may_be_gone(&self) -> bool {
        self.known_primary().is_some_and(PrimaryContext::may_be_over)
    }

    #[inline]
    pub(crate) fn known_primary(&self) -> Option<&'static PrimaryContext> {
        // SAFETY: the pointer is null, or was made from a `&'static PrimaryContext`. Acquire: another thread may have
        // stored it.
        unsafe { self.primary.load(Ordering::Acquire).as_ref() }
    }

    /// Returns the known primary context, or the device's primary context while the stream's context is unknown. Does
    /// not call the driver.
    ///
    /// The assumption is safe for recording an event of that context: the driver rejects the record if the stream
    /// belongs to another one. If it accepts, [`learn_context`](Self::learn_context) stores the answer.
    #[inline]
    pub(crate) fn known_or_assumed_primary(&self) -> Option<&'static PrimaryContext> {
        match self.known_primary() {
            Some(primary) => Some(primary),
            None => self.assumed_primary(),
        }
    }

    /// Returns the device's primary context while the stream's context is unknown.
    fn assumed_primary(&self) -> Option<&'static PrimaryContext> {
        if self.is_context_known() {
            return None;
        }
        // An event of an ended lifetime of the context must not be used with a stream of the next one.
        loaded()?.retained_primary(self.device).filter(|primary| !primary.is_reset())
    }

    /// Stores that the stream belongs to this context, because it has recorded an event of it.
    #[inline]
    pub(crate) fn learn_context(&self, primary: &'static PrimaryContext) {
        if !self.is_context_known() {
            self.cache_primary(primary);
        }
    }

    fn cache_primary(&self, primary: &'static PrimaryContext) {
        self.primary.store(std::ptr::from_ref(primary).cast_mut(), Ordering::Release);
        self.context.store(primary.context.to_bits(), Ordering::Release);
    }

    /// Returns the stream's context. Calls the driver only the first time.
    #[inline]
    pub(crate) fn context(&self, operation: &'static str) -> Result<Context> {
        match self.known_context() {
            Some(known) => Ok(known),
            None => self.find_context(DriverCall::begin(operation)?),
        }
    }

    #[cold]
    fn find_context(&self, call: DriverCall) -> Result<Context> {
        // SAFETY: only an explicit stream is created without its context, and `self` keeps it alive.
        let (context, primary) = match unsafe { call.context_of(self.as_ptr()) } {
            Ok(context) => {
                let actual = Device::new(BackendKind::Cuda, call.ordinal_of(context)?);
                self.own_device().check_is(actual, call.operation)?;
                (context, call.live_known_primary(self.device, context)?)
            }
            // The driver cannot tell. The caller gave the device, so the context is its primary one. The driver rejects
            // a record if it is not.
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                let primary = call.primary(self.device)?;
                (primary.context, Some(primary))
            }
            Err(error) => return Err(error),
        };
        match primary {
            Some(primary) => self.cache_primary(primary),
            None => self.context.store(context.to_bits(), Ordering::Release),
        }
        Ok(context)
    }

    /// Returns the key of the context for host functions and panics.
    pub(crate) fn scope(&self, operation: &'static str) -> Result<usize> {
        Ok(self.scope_of(self.context(operation)?))
    }

    /// Returns the key of the context for host functions and panics, if the context is known.
    pub(super) fn known_scope(&self) -> Option<usize> {
        self.known_context().map(|context| self.scope_of(context))
    }

    fn scope_of(&self, context: Context) -> usize {
        self.known_primary().map_or(context.to_bits(), PrimaryContext::scope)
    }

    /// Returns an error if the stream's context was reset: the driver would use a dangling handle. A default stream
    /// becomes that of the context's next lifetime.
    #[inline]
    pub(crate) fn check_reset(&self, operation: &'static str) -> Result<()> {
        let Some(primary) = self.known_primary() else { return Ok(()) };
        match primary.find_doubt() {
            None => Ok(()),
            Some(doubt) => self.resolve(primary, doubt, operation),
        }
    }

    #[cold]
    fn resolve(
        &self,
        primary: &'static PrimaryContext,
        doubt: Doubt,
        operation: &'static str,
    ) -> Result<()> {
        let resolved = primary.resolve(doubt, operation);
        if resolved.is_ok() || self.is_explicit() {
            return resolved;
        }
        let live = DriverCall::begin(operation)?.primary(primary.ordinal)?;
        self.seen.reset();
        self.cache_primary(live);
        Ok(())
    }

    /// Calls `read` with the stream's handle. Makes the stream's context current first where the handle has no meaning
    /// without.
    ///
    /// Today's drivers need no current context for explicit handles. If one does, `read` is called a second time.
    #[inline]
    pub(crate) fn with_current<T>(
        &self,
        operation: &'static str,
        read: impl Fn(DriverCall, Ptr) -> Result<T>,
    ) -> Result<T> {
        let call = DriverCall::begin(operation)?;
        self.check_reset(operation)?;
        let enter = || call.enter(self.context(operation)?);
        let mut current = if self.is_explicit() { None } else { Some(enter()?) };
        // One call site, so that `read` is inlined.
        loop {
            match read(call, self.as_ptr()) {
                Err(error) if current.is_none() && error.needs_context() => {
                    current = Some(enter()?)
                }
                answer => return answer,
            }
        }
    }

    /// Calls `read` as [`with_current`](Self::with_current) does, in the relaxed capture mode.
    ///
    /// # Errors
    /// The stream is being captured.
    #[inline]
    pub(crate) fn ask_uncaptured<T>(
        &self,
        operation: &'static str,
        read: impl Fn(DriverCall, Ptr) -> Result<T>,
    ) -> Result<T> {
        self.with_current(operation, |call, raw| {
            // SAFETY: `self` keeps the stream alive, and `with_current` sets the context that a default one needs.
            unsafe { call.ensure_not_capturing(raw) }?;
            let _relaxed = call.relaxed()?;
            read(call, raw)
        })
    }
}
