//! Driver calls that ask about a [`CudaStream`], that wait for it on the host, or that launch a host function on it.

use gpu_stream_core::{CaptureStatus, ContractError, HandleKind, HostFunc};
use gpu_stream_driver_common::StreamKey;
use gpu_stream_driver_common::captures::{CaptureStream, Membership};

use super::CudaStream;
use crate::CudaError;
use crate::driver::capture::{self, CaptureModeGuard};
use crate::driver::check::{check, require};
use crate::driver::code::CudaCode;
use crate::driver::create::NON_BLOCKING;
use crate::driver::driver;
use crate::driver::symbols::{Ptr, Symbols};
use crate::host_func::{self, USER_CODE};

impl CudaStream {
    /// Returns `true` if all submitted work has completed.
    pub(super) fn is_done(&self) -> Result<bool, CudaError> {
        const OPERATION: &str = "Stream::query";
        let done = self.with_current(OPERATION, |symbols, raw| {
            // SAFETY: `self` keeps the stream alive, and `with_current` sets the context that a default one needs.
            unsafe { capture::ensure_not_capturing(symbols, raw, OPERATION) }?;
            let _relaxed = CaptureModeGuard::enter(symbols, OPERATION)?;
            // SAFETY: the stream is alive, and its context is current if it needs one.
            match unsafe { (symbols.stream_query)(raw) } {
                CudaCode::SUCCESS => Ok(true),
                CudaCode::NOT_READY => Ok(false),
                code => {
                    Err(CudaError::Driver { operation: OPERATION, function: "cuStreamQuery", code })
                }
            }
        })?;
        self.check_fault(OPERATION)?;
        Ok(done)
    }

    /// Blocks until all submitted work has completed.
    pub(super) fn wait_on_host(&self) -> Result<(), CudaError> {
        const OPERATION: &str = "Stream::synchronize";
        host_func::ensure_outside_host_func(OPERATION)?;
        self.with_current(OPERATION, |symbols, raw| {
            host_func::ensure_outside_callback(symbols, OPERATION)?;
            // SAFETY: `self` keeps the stream alive, and `with_current` sets the context that a default one needs.
            unsafe { capture::ensure_not_capturing(symbols, raw, OPERATION) }?;
            let _relaxed = CaptureModeGuard::enter(symbols, OPERATION)?;
            // SAFETY: the stream is alive, and its context is current if it needs one.
            let code = unsafe { (symbols.stream_synchronize)(raw) };
            check(code, OPERATION, "cuStreamSynchronize")
        })?;
        self.check_fault(OPERATION)
    }

    /// Returns the driver's priority of the stream.
    pub(super) fn driver_priority(&self) -> Result<i32, CudaError> {
        const OPERATION: &str = "Stream::priority";
        self.with_current(OPERATION, |symbols, raw| {
            // SAFETY: `self` keeps the stream alive, and `with_current` sets the context that a default one needs.
            unsafe { self.ensure_default_not_capturing(symbols, raw, OPERATION) }?;
            let get = require(symbols.stream_priority, OPERATION)?;
            let _relaxed = CaptureModeGuard::enter(symbols, OPERATION)?;
            let mut priority = 0;
            // SAFETY: the stream is alive, its context is current if it needs one, and `&mut priority` is a valid
            // out-pointer.
            let code = unsafe { get(raw, &mut priority) };
            check(code, OPERATION, "cuStreamGetPriority")?;
            Ok(priority)
        })
    }

    /// Returns an error for the default stream while a stream that it synchronizes with is being captured: any other
    /// call on the default stream would invalidate that capture. Makes no call for other streams.
    ///
    /// # Safety
    /// - `raw` is a live stream, or 0, 1 or 2 with the intended context current.
    unsafe fn ensure_default_not_capturing(
        &self,
        symbols: &Symbols,
        raw: Ptr,
        operation: &'static str,
    ) -> Result<(), CudaError> {
        if self.raw.kind() == HandleKind::Default {
            // SAFETY: the intended context is current (caller contract).
            unsafe { capture::status(symbols, raw, operation) }?;
        }
        Ok(())
    }

    /// Returns `true` if the stream and the default stream of its context wait for each other's work.
    pub(super) fn waits_for_default(&self) -> Result<bool, CudaError> {
        const OPERATION: &str = "Stream::is_blocking";
        if self.raw.kind() != HandleKind::Explicit {
            return Ok(true);
        }
        self.with_current(OPERATION, |symbols, raw| {
            let get = require(symbols.stream_flags, OPERATION)?;
            // The call below would invalidate a capture of the stream.
            // SAFETY: `self` keeps the stream alive.
            unsafe { capture::ensure_not_capturing(symbols, raw, OPERATION) }?;
            let mut flags = 0;
            // SAFETY: the stream is alive, and `&mut flags` is a valid out-pointer.
            check(unsafe { get(raw, &mut flags) }, OPERATION, "cuStreamGetFlags")?;
            Ok(flags & NON_BLOCKING == 0)
        })
    }

    /// Returns the driver's id of the stream.
    pub(super) fn driver_id(&self, operation: &'static str) -> Result<u64, CudaError> {
        let stream_id = require(driver()?.symbols.stream_id, operation)?;
        self.with_current(operation, |symbols, raw| {
            // SAFETY: `self` keeps the stream alive, and `with_current` sets the context that a default one needs.
            unsafe { capture::ensure_not_capturing(symbols, raw, operation) }?;
            let _relaxed = CaptureModeGuard::enter(symbols, operation)?;
            let mut id = 0;
            // SAFETY: the stream is alive, its context is current if it needs one, and `&mut id` is a valid
            // out-pointer.
            check(unsafe { stream_id(raw, &mut id) }, operation, "cuStreamGetId")?;
            Ok(id)
        })
    }

    /// Returns the capture status of the stream.
    pub(super) fn driver_capture_status(
        &self,
        operation: &'static str,
    ) -> Result<CaptureStatus, CudaError> {
        self.with_current(operation, |symbols, raw| {
            // SAFETY: `self` keeps the stream alive, and `with_current` sets the context that a default one needs.
            unsafe { capture::status(symbols, raw, operation) }
        })
    }

    /// Launches a closure as a host function, by key. If a capture takes the function, even one that begins at this
    /// moment, it becomes a graph node, which the driver calls with every launch of the graph.
    pub(super) fn launch(&self, func: HostFunc) -> Result<(), CudaError> {
        const OPERATION: &str = "Stream::launch_host_func";
        self.check_fault(OPERATION)?;
        match self.driver_capture_status(OPERATION)? {
            CaptureStatus::None => {}
            _ => {
                let (operation, bits) = (OPERATION, self.bits());
                return Err(ContractError::CaptureHostFunc { operation, bits }.into());
            }
        }
        let (scope, id) = (self.scope(OPERATION)?, self.find_id(OPERATION)?);
        let stream = StreamKey { scope, handle: self.bits(), id };
        USER_CODE.host_funcs.launch(func, stream, |key| {
            self.with_current(OPERATION, |symbols, raw| {
                let launch = require(symbols.launch_host_func, OPERATION)?;
                // SAFETY: the stream is alive, and its context is current if it needs one. `host_func::run` accepts
                // any number as its argument, any number of times.
                let code = unsafe { launch(raw, host_func::run, key) };
                check(code, OPERATION, "cuLaunchHostFunc")
            })
        })
    }
}

impl CaptureStream for CudaStream {
    type Capture = u64;
    type Error = CudaError;

    fn bits(&self) -> usize {
        self.raw.to_bits()
    }

    fn is_default(&self) -> bool {
        self.raw.kind() == HandleKind::Default
    }

    fn membership(&self, operation: &'static str) -> Result<Membership<u64>, CudaError> {
        self.with_current(operation, |symbols, raw| {
            // SAFETY: `self` keeps the stream alive, and `with_current` sets the context that a default one needs.
            unsafe { capture::membership(symbols, raw, operation) }
        })
    }

    fn is_same(capture: &u64, other: &u64) -> bool {
        capture == other
    }
}
