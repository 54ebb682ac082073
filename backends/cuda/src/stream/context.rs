//! The context of a [`CudaStream`], and calls of the driver in it.

use std::sync::atomic::Ordering;

use gpu_stream_core::{
    BackendKind, ContractError, Device, Error as _, ErrorKind, HandleKind, Stream as _,
};

use super::CudaStream;
use crate::driver::code::CudaCode;
use crate::driver::symbols::Ptr;
use crate::driver::{Context, ContextGuard, Driver, PrimaryContext, driver, loaded};
use crate::{CudaError, CudaEvent};

impl CudaStream {
    /// Returns the device's primary context if the stream is of it. Returns `None` also if the driver
    /// does not say.
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
        // SAFETY: only an explicit stream is made without its context, and it is alive as long as
        // this wrapper.
        let primary = loaded()
            .and_then(|driver| unsafe { driver.primary_of(self.raw.as_ptr(), Some(self.device)) });
        Ok(primary.map(|primary| self.cache_primary(primary)))
    }

    /// Returns `true` if the context is known.
    pub(crate) fn is_context_known(&self) -> bool {
        self.context.load(Ordering::Relaxed) != 0
    }

    /// Returns `true` if the stream may have gone with its context, by what calls have seen. Asks the driver
    /// nothing.
    #[inline]
    pub(crate) fn may_be_gone(&self) -> bool {
        self.known_primary().is_some_and(PrimaryContext::may_be_over)
    }

    #[inline]
    fn known_primary(&self) -> Option<&'static PrimaryContext> {
        // SAFETY: it is null, or was made of a `&'static PrimaryContext`. Acquire: what another thread found.
        unsafe { self.primary.load(Ordering::Acquire).as_ref() }
    }

    /// As [`primary`](Self::primary), without a question about the stream: while its context is not
    /// known, this is the device's primary one.
    ///
    /// It does for a record of an event of that context. The driver refuses it if the stream is of
    /// another, and if it does not, the stream is [of this one](Self::found).
    #[inline]
    pub(crate) fn known_or_assumed_primary(&self) -> Option<&'static PrimaryContext> {
        match self.known_primary() {
            Some(primary) => Some(primary),
            None => self.assumed_primary(),
        }
    }

    #[inline]
    fn assumed_primary(&self) -> Option<&'static PrimaryContext> {
        if self.is_context_known() {
            return None;
        }
        // Events of a life of the context that is over must not come near a stream of the next one.
        loaded()?.retained_primary(self.device).filter(|primary| !primary.is_reset())
    }

    /// Notes that the stream has recorded an event of this context, and is of it then.
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

    /// Returns the stream's context. The driver is asked once.
    #[inline]
    pub(crate) fn context(&self, operation: &'static str) -> Result<Context, CudaError> {
        // Acquire: `primary` was stored before it.
        match Context::from_bits(self.context.load(Ordering::Acquire)) {
            Some(known) => Ok(known),
            None => self.find_context(operation),
        }
    }

    #[cold]
    fn find_context(&self, operation: &'static str) -> Result<Context, CudaError> {
        let driver = driver()?;
        // SAFETY: only an explicit stream is made without its context, and it is alive as long as
        // this wrapper.
        let context = match unsafe { driver.context_of(self.raw.as_ptr(), operation) } {
            // The driver cannot tell. The caller gave the device, whose primary context it then is;
            // the driver refuses a record if it is not.
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                return Ok(self.cache_primary(driver.primary(self.device, operation)?).context);
            }
            answer => answer?,
        };
        let actual = Device::new(BackendKind::Cuda, driver.ordinal_of(context, operation)?);
        self.device().check_is(actual, operation)?;
        match driver.live_known_primary(self.device, context, operation)? {
            Some(primary) => drop(self.cache_primary(primary)),
            None => self.context.store(context.to_bits(), Ordering::Release),
        }
        Ok(context)
    }

    /// Returns what host functions and panics know the context by.
    pub(crate) fn scope(&self, operation: &'static str) -> Result<usize, CudaError> {
        let context = self.context(operation)?;
        Ok(self.known_primary().map_or(context.to_bits(), PrimaryContext::scope))
    }

    /// As [`scope`](Self::scope), if the context is known.
    pub(crate) fn known_scope(&self) -> Option<usize> {
        let context = Context::from_bits(self.context.load(Ordering::Acquire))?;
        Some(self.known_primary().map_or(context.to_bits(), PrimaryContext::scope))
    }

    /// Returns an error if the stream is of a context that was reset: the driver would follow a handle
    /// that is gone. A default stream is that of the context's next life.
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

    /// Returns an error if the event went with its context. Asks the driver nothing more if the event is of
    /// this stream's context, of which [`ask`](Self::ask) has seen that it is alive.
    pub(super) fn check_event(
        &self,
        event: &CudaEvent,
        operation: &'static str,
    ) -> Result<(), CudaError> {
        match (self.known_primary(), event.primary()) {
            (Some(own), Some(of_event)) if std::ptr::eq(own, of_event) => Ok(()),
            _ => event.check_reset(operation),
        }
    }

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
        let live = primary.driver.primary(primary.ordinal, operation)?;
        self.seen.reset();
        self.cache_primary(live);
        Ok(())
    }

    /// Calls `ask` with the stream's handle, with the stream's context current where the handle has no
    /// meaning without.
    ///
    /// Explicit handles need nothing on today's drivers; where one does, `ask` is called a second
    /// time.
    #[inline]
    pub(crate) fn with_current<T>(
        &self,
        operation: &'static str,
        ask: impl Fn(&'static Driver, Ptr) -> Result<T, CudaError>,
    ) -> Result<T, CudaError> {
        let (driver, raw) = (driver()?, self.raw.as_ptr());
        self.check_reset(operation)?;
        if self.raw.kind() == HandleKind::Explicit {
            match ask(driver, raw) {
                Err(CudaError::Driver { code: CudaCode::INVALID_CONTEXT, .. }) => {}
                answer => return answer,
            }
        }
        let _current = ContextGuard::enter(driver, self.context(operation)?, operation)?;
        ask(driver, raw)
    }

    /// Returns an error that says why the driver refused an event of another context, if it is of one.
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
