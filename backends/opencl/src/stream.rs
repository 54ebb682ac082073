//! A command queue: [`OpenClStream`].

mod contract;
mod wrap;

use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use gpu_stream_core::{BackendKind, Device, KeepAlive, RawStream, Stream as _};
use gpu_stream_driver_common::{Seen, StreamKey};

pub(crate) use self::wrap::{new_stream, wrap};
use crate::driver::{Driver, Handle, Ptr, driver, loaded};
use crate::error::Result;
use crate::host_func::{InCall, USER_CODE};
use crate::marker::{EventRef, create_user_event, enqueue_barrier, enqueue_marker, flush};
use crate::{OpenCl, OpenClError};

/// A stream of the OpenCL backend: an in-order `cl_command_queue`, usually one that another library created.
///
/// A clone is the same stream. Each stream holds a reference to its queue, which is released with the last clone. The
/// queue's submitted work still runs.
#[derive(Clone)]
pub struct OpenClStream(Arc<Queue>);

/// A queue, and a reference to it.
struct Queue {
    raw: Handle,
    context: Handle,
    /// The queue's device, which can be a part of the one with the ordinal.
    id: Handle,
    /// The ordinal.
    device: u32,
    /// The marker of a query that was not reached. Work before it is pending, so a later query needs no other marker
    /// while it is.
    asked: Mutex<Option<EventRef>>,
    /// `true` if the reference is never released.
    is_kept: AtomicBool,
    /// The latest panic of a host function that the stream was checked against.
    seen: Seen,
    owner: KeepAlive,
}

impl OpenClStream {
    /// Returns the queue's context, `cl_context`. It is valid as long as the stream lives. Does not block.
    ///
    /// Memory and programs belong to a context. A stream can use those of its own context only.
    ///
    /// Origin:
    /// [`clGetCommandQueueInfo`](https://registry.khronos.org/OpenCL/specs/3.0-unified/html/OpenCL_API.html#clGetCommandQueueInfo)
    /// with `CL_QUEUE_CONTEXT`.
    #[doc(alias("cl_context", "CL_QUEUE_CONTEXT", "clGetCommandQueueInfo"))]
    pub fn raw_context(&self) -> *mut std::ffi::c_void {
        self.0.context.0
    }

    pub(crate) fn queue(&self) -> Ptr {
        self.0.raw.0
    }

    /// Returns the queue's context and device, for another queue of the same.
    pub(crate) fn context_and_device(&self) -> (Ptr, Ptr) {
        (self.0.context.0, self.0.id.0)
    }

    pub(crate) fn own_device(&self) -> Device {
        Device::new(BackendKind::OpenCl, self.0.device)
    }

    /// Drops the wrapper at the end of the next public call, if it is the last one: a callback of the driver must neither
    /// release a queue nor run user code.
    pub(crate) fn drop_later(self) {
        if let Some(queue) = Arc::into_inner(self.0) {
            USER_CODE.deferred.push(move || drop(queue));
        }
    }

    /// Never releases the reference to the queue: no other queue gets its handle. Another reference could be refused.
    pub(crate) fn keep_for_ever(&self) {
        self.0.is_kept.store(true, Ordering::Release);
    }

    /// Returns the key of the stream's host functions.
    pub(crate) fn key(&self) -> StreamKey {
        // A handle is not used again while a function is pending: the function holds the queue.
        self.0.key()
    }

    /// Returns an error if a host function of the stream panicked.
    fn check_panics(&self, operation: &'static str) -> Result<()> {
        let StreamKey { scope, handle, .. } = self.key();
        match USER_CODE.panics.check(&self.0.seen, (scope, handle), || None) {
            None => Ok(()),
            Some(message) => Err(OpenClError::HostFunctionPanicked { operation, message }),
        }
    }

    /// Enqueues a marker behind all work so far, and flushes the queue.
    pub(crate) fn marker(&self, driver: &Driver, operation: &'static str) -> Result<EventRef> {
        let marker = self.unflushed_marker(driver, operation)?;
        self.flush(driver, operation)?;
        Ok(marker)
    }

    /// Enqueues a marker behind all work so far.
    pub(crate) fn unflushed_marker(
        &self,
        driver: &Driver,
        operation: &'static str,
    ) -> Result<EventRef> {
        // SAFETY: the queue is live and in-order: `self` has a reference, and `wrap` has checked it.
        unsafe { enqueue_marker(driver, self.queue(), operation) }
    }

    /// Gives the queue's commands to the device.
    pub(crate) fn flush(&self, driver: &Driver, operation: &'static str) -> Result<()> {
        // SAFETY: the queue is live: `self` has a reference.
        unsafe { flush(driver, self.queue(), operation) }
    }

    /// Makes later work wait for an event of any context.
    pub(crate) fn wait_for(
        &self,
        driver: &'static Driver,
        event: &EventRef,
        operation: &'static str,
    ) -> Result<()> {
        let recorded_on = event.queue(driver, operation)?;
        if recorded_on == self.queue() {
            // The queue is in-order, so later work is after the event's command anyway.
            return Ok(());
        }
        if event.context(driver, operation)? == self.0.context.0 {
            return self.enqueue_wait(driver, event, operation);
        }
        let bridge = self.user_event(driver, operation)?;
        crate::host_func::complete_after(driver, event, &bridge, operation)?;
        self.enqueue_wait(driver, &bridge, operation)
    }

    /// Creates a user event in the queue's context.
    pub(crate) fn user_event(&self, driver: &Driver, operation: &'static str) -> Result<EventRef> {
        // SAFETY: the context is live: the queue has a reference to it.
        unsafe { create_user_event(driver, self.0.context.0, operation) }
    }

    /// Makes later work wait for an event of this stream's context.
    pub(crate) fn enqueue_wait(
        &self,
        driver: &Driver,
        event: &EventRef,
        operation: &'static str,
    ) -> Result<()> {
        // SAFETY: the queue is live: `self` has a reference. The event belongs to the queue's context: the
        // callers have compared it, or `user_event` has created it there.
        unsafe { enqueue_barrier(driver, self.queue(), event, operation) }
    }

    /// Returns `true` if all work so far is done. Does not block. May return `false` for a moment after it is done: a
    /// marker is work itself, and is not complete at once.
    fn is_idle(&self, operation: &'static str) -> Result<bool> {
        /// How often a new marker is asked.
        const POLLS: u32 = 64;
        let driver = driver()?;
        let asked = || self.0.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let earlier = asked().take();
        if let Some(earlier) = earlier
            && !earlier.is_complete(driver, operation)?
        {
            let replaced = asked().replace(earlier);
            drop(replaced);
            return Ok(false);
        }
        let marker = self.marker(driver, operation)?;
        for _ in 0..POLLS {
            if marker.is_complete(driver, operation)? {
                return Ok(true);
            }
            std::thread::yield_now();
        }
        let replaced = asked().replace(marker);
        drop(replaced);
        Ok(false)
    }
}

impl Queue {
    fn key(&self) -> StreamKey {
        StreamKey { scope: self.context.0.addr(), handle: self.raw.0.addr(), id: None }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        *self.asked.get_mut().unwrap_or_else(PoisonError::into_inner) = None;
        let queue = self.raw;
        let is_kept = *self.is_kept.get_mut();
        // The release may flush the queue or wait for its work, and so may wait for the host function that it is in.
        USER_CODE.run_outside_host_func(move || {
            // In the child of a fork nothing is released.
            let Some(driver) = loaded().filter(|_| !is_kept) else { return };
            let _in_call = InCall::enter();
            // The closure has the handle, which is `Send`, and not the pointer in it.
            let queue = queue;
            // SAFETY: the queue is live, and this was a reference to it.
            unsafe { (driver.symbols.queue_release)(queue.0) };
        });
        USER_CODE.drop_owner(std::mem::take(&mut self.owner));
        USER_CODE.deferred.run();
    }
}

/// Equal if the device and the handle are.
impl PartialEq for OpenClStream {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other)
    }
}

impl Eq for OpenClStream {}

impl Hash for OpenClStream {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.0.device, self.0.raw.0).hash(state);
    }
}

impl std::fmt::Debug for OpenClStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = f.debug_struct("OpenClStream");
        text.field("raw", &RawStream::<OpenCl>::from_ptr(self.queue()));
        text.field("device", &self.own_device()).field("owner", &self.0.owner).finish()
    }
}
