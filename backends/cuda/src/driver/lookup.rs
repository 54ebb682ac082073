//! Finds the context and the device of a stream.

use gpu_stream_core::{BackendKind, ContractError, Device, ErrorKind};

use super::Driver;
use super::call::DriverCall;
use super::context::Context;
use super::primary::PrimaryContext;
use super::symbols::Ptr;
use crate::CudaCode;
use crate::error::{Result, invalid_handle};

impl Driver {
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
}

impl DriverCall {
    /// Returns the live primary context of a device.
    ///
    /// # Errors
    /// The device does not exist, or the driver cannot retain its context.
    pub(crate) fn primary(self, ordinal: u32) -> Result<&'static PrimaryContext> {
        match self.driver.devices.get(ordinal as usize) {
            Some(device) => device.live_primary(self, ordinal),
            None => {
                let (given, count) = (Device::new(BackendKind::Cuda, ordinal), self.driver.count());
                let operation = self.operation;
                Err(ContractError::InvalidDevice { operation, given, count }.into())
            }
        }
    }

    /// Returns the current lifetime of a device's primary context if it has the handle `context`. For the context of a
    /// live stream.
    pub(crate) fn live_known_primary(
        self,
        ordinal: u32,
        context: Context,
    ) -> Result<Option<&'static PrimaryContext>> {
        if self.driver.known_primary(ordinal, context).is_none() {
            return Ok(None);
        }
        Ok(Some(self.primary(ordinal)?).filter(|live| live.context == context))
    }

    /// Returns the ordinal of the device that `context` belongs to.
    pub(crate) fn ordinal_of(self, context: Context) -> Result<u32> {
        let driver = self.driver;
        if let Some(known) =
            (0..driver.count()).find(|&n| driver.known_primary(n, context).is_some())
        {
            return Ok(known);
        }
        let _relaxed = self.relaxed()?;
        let mut handle = 0;
        {
            let _current = self.enter(context)?;
            // SAFETY: `&mut handle` is a valid out-pointer.
            self.check(unsafe { (self.symbols().ctx_device)(&mut handle) }, "cuCtxGetDevice")?;
        }
        let position = driver.devices.iter().position(|device| device.handle == handle);
        let ordinal = position.and_then(|index| u32::try_from(index).ok()).ok_or_else(|| {
            let reason = "belongs to a context of a device that the driver did not name";
            invalid_handle(self.operation, context.to_bits(), reason)
        })?;
        // If it is the device's primary context, the next wrapper finds it above. A context that is not active is not
        // the primary one, and must not be activated here.
        let (mut flags, mut active) = (0, 0);
        // SAFETY: both are valid out-pointers, and the driver returned the device's handle.
        let code = unsafe { (self.symbols().primary_state)(handle, &mut flags, &mut active) };
        self.check(code, "cuDevicePrimaryCtxGetState")?;
        if active != 0 {
            self.primary(ordinal)?;
        }
        Ok(ordinal)
    }

    /// Returns the context of an explicit stream.
    ///
    /// # Safety
    /// - `stream` is a live, explicit stream.
    pub(crate) unsafe fn context_of(self, stream: Ptr) -> Result<Context> {
        // The call leaves every capture intact, also one of this stream, so the capture mode need not change.
        // SAFETY: `stream` is live (caller contract).
        match unsafe { self.stream_context(stream) } {
            // Today's drivers need no current context for this call. A driver that does accepts any.
            Err(error) if error.needs_context() => {
                let _current = self.enter(self.primary(0)?.context)?;
                // SAFETY: `stream` is live (caller contract).
                unsafe { self.stream_context(stream) }
            }
            answer => answer,
        }
    }

    /// Calls the driver for the context of an explicit stream.
    ///
    /// # Safety
    /// - `stream` is a live, explicit stream.
    unsafe fn stream_context(self, stream: Ptr) -> Result<Context> {
        let symbols = self.symbols();
        let mut context = std::ptr::null_mut();
        let mut function = symbols.stream_context.name;
        let mut code = match symbols.stream_context.function {
            // SAFETY: `stream` is live (caller contract), and `&mut context` is a valid out-pointer.
            Some(get) => unsafe { get(stream, &mut context) },
            None => CudaCode::NOT_SUPPORTED,
        };
        // For a stream of a green context, some drivers support only the newer function. It returns the primary context
        // beneath. Events of the green context itself fit the stream.
        if let (CudaCode::NOT_SUPPORTED, Some(get)) = (code, symbols.stream_context_v2.function) {
            let mut green = std::ptr::null_mut();
            // SAFETY: `stream` is live (caller contract), and both out-pointers are valid.
            code = unsafe { get(stream, &mut context, &mut green) };
            function = symbols.stream_context_v2.name;
            let of_green = symbols.ctx_from_green;
            if let (CudaCode::SUCCESS, false, Some(get)) =
                (code, green.is_null(), of_green.function)
            {
                // SAFETY: the green context is alive, because its stream is, and `&mut context` is a valid out-pointer.
                self.check(unsafe { get(&mut context, green) }, of_green.name)?;
            }
        }
        if code == CudaCode::NOT_SUPPORTED {
            let reason = "the driver does not tell a stream's context: cuStreamGetCtx is missing or answers 'not supported'; use `stream_from_raw_unchecked`, and give the device";
            let (operation, backend) = (self.operation, BackendKind::Cuda);
            return Err(ContractError::Unsupported { operation, backend, reason }.into());
        }
        if code.kind() == ErrorKind::InvalidHandle || code == CudaCode::SUCCESS && context.is_null()
        {
            self.check_only_runtime()?;
        }
        self.check(code, function)?;
        Context::new(context).ok_or_else(|| {
            let reason = "has no context, so it is not a live stream; pass a stream that has not been destroyed";
            invalid_handle(self.operation, stream.expose_provenance(), reason)
        })
    }
}
