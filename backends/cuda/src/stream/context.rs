//! The context of a [`CudaStream`], and driver calls in it.

use std::sync::atomic::Ordering;

use gpu_stream_core::{BackendKind, ContractError, Device, Error as _, ErrorKind, HandleKind};

use super::CudaStream;
use crate::driver::code::CudaCode;
use crate::driver::context::{Context, ContextGuard};
use crate::driver::primary::PrimaryContext;
use crate::driver::symbols::{Ptr, Symbols};
use crate::driver::{driver, loaded};
use crate::{CudaError, CudaEvent};

impl CudaStream {
    /// Returns the device's primary context if the stream belongs to it. Also returns `None` if the driver
    /// cannot tell.
    ///
    /// # Errors
    /// The context was reset.
    pub(crate) fn primary(
        &self,
        operation: &'static str,
    ) -> Result<Option<&'static PrimaryContext>, CudaError> {
        if self.is_context_known() {
            self.check_reset(operation)?;
            return Ok(self.known_primary());
        }
        // SAFETY: only an explicit stream is created without its context, and `self` keeps it alive.
        let primary = loaded()
            .and_then(|driver| unsafe { driver.primary_of(self.raw.as_ptr(), Some(self.device)) });
        Ok(primary.map(|primary| self.cache_primary(primary)))
    }

    /// Returns `true` if the context is known.
    pub(crate) fn is_context_known(&self) -> bool {
        self.context.load(Ordering::Relaxed) != 0
    }

    /// Returns `true` if a call has observed that the stream's context ended, or may have. Does not call
    /// the driver.
    #[inline]
    pub(crate) fn may_be_gone(&self) -> bool {
        self.known_primary().is_some_and(PrimaryContext::may_be_over)
    }

    #[inline]
    fn known_primary(&self) -> Option<&'static PrimaryContext> {
        // SAFETY: the pointer is null, or was made from a `&'static PrimaryContext`. Acquire: another
        // thread may have stored it.
        unsafe { self.primary.load(Ordering::Acquire).as_ref() }
    }

    /// Returns the known primary context, or the device's primary context while the stream's context is
    /// unknown. Does not call the driver.
    ///
    /// The assumption is safe for recording an event of that context: the driver rejects the record if the
    /// stream belongs to another one. If it accepts, [`learn_context`](Self::learn_context) stores the
    /// answer.
    #[inline]
    pub(crate) fn known_or_assumed_primary(&self) -> Option<&'static PrimaryContext> {
        match self.known_primary() {
            Some(primary) => Some(primary),
            None => self.assumed_primary(),
        }
    }

    /// Returns the device's primary context while the stream's context is unknown.
    #[inline]
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

    #[inline]
    fn cache_primary(&self, primary: &'static PrimaryContext) -> &'static PrimaryContext {
        self.primary.store(std::ptr::from_ref(primary).cast_mut(), Ordering::Release);
        self.context.store(primary.context.to_bits(), Ordering::Release);
        primary
    }

    /// Returns the stream's context. Calls the driver only the first time.
    #[inline]
    pub(crate) fn context(&self, operation: &'static str) -> Result<Context, CudaError> {
        // Acquire: `primary` was stored before `context`.
        match Context::from_bits(self.context.load(Ordering::Acquire)) {
            Some(known) => Ok(known),
            None => self.find_context(operation),
        }
    }

    #[cold]
    fn find_context(&self, operation: &'static str) -> Result<Context, CudaError> {
        let driver = driver()?;
        // SAFETY: only an explicit stream is created without its context, and `self` keeps it alive.
        let context = match unsafe { driver.context_of(self.raw.as_ptr(), operation) } {
            // The driver cannot tell. The caller gave the device, so the context is its primary one. The
            // driver rejects a record if it is not.
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                return Ok(self.cache_primary(driver.primary(self.device, operation)?).context);
            }
            answer => answer?,
        };
        let actual = Device::new(BackendKind::Cuda, driver.ordinal_of(context, operation)?);
        self.own_device().check_is(actual, operation)?;
        match driver.live_known_primary(self.device, context, operation)? {
            Some(primary) => drop(self.cache_primary(primary)),
            None => self.context.store(context.to_bits(), Ordering::Release),
        }
        Ok(context)
    }

    /// Returns the key of the context for host functions and panics.
    pub(crate) fn scope(&self, operation: &'static str) -> Result<usize, CudaError> {
        let context = self.context(operation)?;
        Ok(self.known_primary().map_or(context.to_bits(), PrimaryContext::scope))
    }

    /// Returns the key of the context for host functions and panics, if the context is known.
    pub(crate) fn known_scope(&self) -> Option<usize> {
        let context = Context::from_bits(self.context.load(Ordering::Acquire))?;
        Some(self.known_primary().map_or(context.to_bits(), PrimaryContext::scope))
    }

    /// Returns an error if the stream's context was reset: the driver would use a dangling handle. A
    /// default stream becomes that of the context's next lifetime.
    #[inline]
    pub(crate) fn check_reset(&self, operation: &'static str) -> Result<(), CudaError> {
        match self.known_primary() {
            Some(primary) => match primary.check_alive(operation) {
                Ok(()) => Ok(()),
                Err(error) => self.renew(primary, error, operation),
            },
            None => Ok(()),
        }
    }

    /// Returns an error if the event's context was reset. Makes no call if the event belongs to this
    /// stream's context, which [`with_current`](Self::with_current) has found alive.
    pub(crate) fn check_event(
        &self,
        event: &CudaEvent,
        operation: &'static str,
    ) -> Result<(), CudaError> {
        match (self.known_primary(), event.primary()) {
            (Some(own), Some(of_event)) if std::ptr::eq(own, of_event) => Ok(()),
            _ => event.check_reset(operation),
        }
    }

    /// Moves a default stream to the live context. Returns `error` for an explicit stream.
    #[cold]
    fn renew(
        &self,
        primary: &'static PrimaryContext,
        error: CudaError,
        operation: &'static str,
    ) -> Result<(), CudaError> {
        if self.raw.kind() == HandleKind::Explicit {
            return Err(error);
        }
        let live = driver()?.primary(primary.ordinal, operation)?;
        self.seen.reset();
        self.cache_primary(live);
        Ok(())
    }

    /// Calls `call` with the stream's handle. Makes the stream's context current first where the handle has
    /// no meaning without.
    ///
    /// Today's drivers need no current context for explicit handles. If one does, `call` is called a second
    /// time.
    #[inline]
    pub(crate) fn with_current<T>(
        &self,
        operation: &'static str,
        call: impl Fn(&'static Symbols, Ptr) -> Result<T, CudaError>,
    ) -> Result<T, CudaError> {
        let (symbols, raw) = (&driver()?.symbols, self.raw.as_ptr());
        self.check_reset(operation)?;
        if self.raw.kind() == HandleKind::Explicit {
            match call(symbols, raw) {
                Err(CudaError::Driver { code: CudaCode::INVALID_CONTEXT, .. }) => {}
                answer => return answer,
            }
        }
        let _current = ContextGuard::enter(symbols, self.context(operation)?, operation)?;
        call(symbols, raw)
    }

    /// Returns `true` if both contexts are known and differ. Does not call the driver.
    #[inline]
    pub(crate) fn is_known_to_differ(&self, event: &CudaEvent) -> bool {
        let context = Context::from_bits(self.context.load(Ordering::Relaxed));
        context.is_some_and(|context| !event.belongs_to(context))
    }

    /// Returns an error that explains the rejected record, if the event belongs to another context.
    pub(crate) fn explain_context(
        &self,
        event: &CudaEvent,
        operation: &'static str,
    ) -> Result<(), CudaError> {
        if event.is_certainly_of(self.context(operation)?) {
            return Ok(());
        }
        let reason = "is an event of another context than the stream's, which cannot record it; make the event with \
                      `Stream::new_event` of that stream";
        Err(ContractError::InvalidHandle { operation, bits: event.bits(), reason }.into())
    }
}
