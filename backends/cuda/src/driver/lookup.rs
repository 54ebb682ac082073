//! Finds the context and the device of a stream.

use gpu_stream_core::{BackendKind, ContractError, Device, ErrorKind};

use super::Driver;
use super::capture::CaptureModeGuard;
use super::check::{check, require};
use super::code::CudaCode;
use super::context::{Context, ContextGuard};
use super::primary::PrimaryContext;
use super::symbols::Ptr;
use crate::CudaError;

impl Driver {
    /// Returns the live primary context of a device.
    ///
    /// # Errors
    /// The device does not exist, or the driver cannot retain its context.
    pub(crate) fn primary(
        &'static self,
        ordinal: u32,
        operation: &'static str,
    ) -> Result<&'static PrimaryContext, CudaError> {
        let found = self.devices.get(ordinal as usize);
        let device = found.ok_or_else(|| {
            let given = Device::new(BackendKind::Cuda, ordinal);
            ContractError::InvalidDevice { operation, given, count: self.count() }
        })?;
        device.live_primary(&self.symbols, ordinal, operation)
    }

    /// Returns the primary context of a device if it was used before. Does not call the driver: the context may have
    /// been reset.
    #[inline]
    pub(crate) fn retained_primary(&self, ordinal: u32) -> Option<&'static PrimaryContext> {
        self.devices.get(ordinal as usize)?.retained_primary()
    }

    /// Returns the primary context of a device if it was used before and has the handle `context`. Does not call the
    /// driver.
    #[inline]
    pub(crate) fn known_primary(
        &self,
        ordinal: u32,
        context: Context,
    ) -> Option<&'static PrimaryContext> {
        self.retained_primary(ordinal).filter(|primary| primary.context == context)
    }

    /// Returns the current lifetime of a device's primary context if it has the handle `context`. For the context of a
    /// live stream.
    pub(crate) fn live_known_primary(
        &'static self,
        ordinal: u32,
        context: Context,
        operation: &'static str,
    ) -> Result<Option<&'static PrimaryContext>, CudaError> {
        if self.known_primary(ordinal, context).is_none() {
            return Ok(None);
        }
        Ok(Some(self.primary(ordinal, operation)?).filter(|live| live.context == context))
    }

    /// Returns the primary context of an explicit stream, with a single driver call.
    ///
    /// Returns `None` if the stream is in another context, if its primary context was not used before or was reset, or
    /// if the driver cannot tell. Also returns `None` if the device is not the given one.
    ///
    /// # Safety
    /// - `stream` is a live, explicit stream.
    #[inline]
    pub(crate) unsafe fn primary_of(
        &self,
        stream: Ptr,
        ordinal: Option<u32>,
    ) -> Option<&'static PrimaryContext> {
        let get = self.symbols.stream_context.function?;
        let mut context = std::ptr::null_mut();
        // SAFETY: `stream` is live (caller contract), and `&mut context` is a valid out-pointer.
        let code = unsafe { get(stream, &mut context) };
        if code != CudaCode::SUCCESS {
            return None;
        }
        let is_it = |primary: &&PrimaryContext| primary.context.to_bits() == context.addr();
        let found = match ordinal {
            Some(ordinal) => self.retained_primary(ordinal).filter(is_it),
            None => self.devices.iter().filter_map(|device| device.retained_primary()).find(is_it),
        };
        found.filter(|primary| !primary.is_reset())
    }

    /// Returns the ordinal of the device that `context` belongs to.
    pub(crate) fn ordinal_of(
        &'static self,
        context: Context,
        operation: &'static str,
    ) -> Result<u32, CudaError> {
        for ordinal in 0..self.count() {
            if self.known_primary(ordinal, context).is_some() {
                return Ok(ordinal);
            }
        }
        let _relaxed = CaptureModeGuard::enter(&self.symbols, operation)?;
        let mut handle = 0;
        {
            let _current = ContextGuard::enter(&self.symbols, context, operation)?;
            // SAFETY: `&mut handle` is a valid out-pointer.
            let code = unsafe { (self.symbols.ctx_device)(&mut handle) };
            check(code, operation, "cuCtxGetDevice")?;
        }
        let position = self.devices.iter().position(|device| device.handle == handle);
        let ordinal = position.and_then(|index| u32::try_from(index).ok()).ok_or_else(|| {
            let reason = "belongs to a context of a device that the driver did not name";
            ContractError::InvalidHandle { operation, bits: context.to_bits(), reason }
        })?;
        // If it is the device's primary context, the next wrapper finds it in the loop above. A context that is not
        // active is not the primary one, and must not be activated here.
        let (mut flags, mut active) = (0, 0);
        // SAFETY: both are valid out-pointers, and the driver returned the device's handle.
        let code = unsafe { (self.symbols.primary_state)(handle, &mut flags, &mut active) };
        check(code, operation, "cuDevicePrimaryCtxGetState")?;
        if active != 0 {
            self.primary(ordinal, operation)?;
        }
        Ok(ordinal)
    }

    /// Returns the context of an explicit stream.
    ///
    /// # Safety
    /// - `stream` is a live, explicit stream.
    pub(crate) unsafe fn context_of(
        &'static self,
        stream: Ptr,
        operation: &'static str,
    ) -> Result<Context, CudaError> {
        // The call leaves every capture intact, also one of this stream, so the capture mode need not change.
        // SAFETY: `stream` is live (caller contract).
        match unsafe { self.stream_context(stream, operation) } {
            // Today's drivers need no current context for this call. A driver that does accepts any.
            Err(CudaError::Driver { code: CudaCode::INVALID_CONTEXT, .. }) => {
                let any = self.primary(0, operation)?.context;
                let _current = ContextGuard::enter(&self.symbols, any, operation)?;
                // SAFETY: `stream` is live (caller contract).
                unsafe { self.stream_context(stream, operation) }
            }
            answer => answer,
        }
    }

    /// Returns the context of a green context.
    ///
    /// # Safety
    /// - `green` is a live green context.
    pub(crate) unsafe fn context_of_green(
        &self,
        green: Ptr,
        operation: &'static str,
    ) -> Result<Context, CudaError> {
        let get = require(self.symbols.ctx_from_green, operation)?;
        let mut context = std::ptr::null_mut();
        // SAFETY: `green` is live (caller contract), and `&mut context` is a valid out-pointer.
        check(unsafe { get(&mut context, green) }, operation, self.symbols.ctx_from_green.name)?;
        Context::new(context).ok_or_else(|| {
            let reason = "is a green context without a context, so it is not alive";
            let bits = green.expose_provenance();
            ContractError::InvalidHandle { operation, bits, reason }.into()
        })
    }

    /// Calls the driver for the context of an explicit stream.
    ///
    /// # Safety
    /// - `stream` is a live, explicit stream.
    unsafe fn stream_context(
        &self,
        stream: Ptr,
        operation: &'static str,
    ) -> Result<Context, CudaError> {
        let mut context = std::ptr::null_mut();
        let mut function = self.symbols.stream_context.name;
        let mut code = match self.symbols.stream_context.function {
            // SAFETY: `stream` is live (caller contract), and `&mut context` is a valid out-pointer.
            Some(get) => unsafe { get(stream, &mut context) },
            None => CudaCode::NOT_SUPPORTED,
        };
        // For a stream of a green context, some drivers support only the newer function. It returns the primary context
        // beneath. Events of the green context itself fit the stream.
        let newer = self.symbols.stream_context_v2;
        if let (CudaCode::NOT_SUPPORTED, Some(get)) = (code, newer.function) {
            let mut green = std::ptr::null_mut();
            // SAFETY: `stream` is live (caller contract), and both out-pointers are valid.
            code = unsafe { get(stream, &mut context, &mut green) };
            function = newer.name;
            let of_green = self.symbols.ctx_from_green.function;
            if code == CudaCode::SUCCESS && !green.is_null() && of_green.is_some() {
                // SAFETY: the green context is alive, because its stream is.
                return unsafe { self.context_of_green(green, operation) };
            }
        }
        if code == CudaCode::NOT_SUPPORTED {
            let reason = "the driver does not tell a stream's context: cuStreamGetCtx is missing or answers 'not supported'; use `stream_from_raw_unchecked`, and give the device";
            let backend = BackendKind::Cuda;
            return Err(ContractError::Unsupported { operation, backend, reason }.into());
        }
        if code.kind() == ErrorKind::InvalidHandle {
            self.check_only_runtime(operation)?;
        }
        check(code, operation, function)?;
        let Some(context) = Context::new(context) else {
            self.check_only_runtime(operation)?;
            let reason = "has no context, so it is not a live stream; pass a stream that has not been destroyed";
            let bits = stream.expose_provenance();
            return Err(ContractError::InvalidHandle { operation, bits, reason }.into());
        };
        Ok(context)
    }
}
