//! Threads' default streams (handle 2), and the *helper streams* that record events for them.
//!
//! HIP destroys a thread's default stream when the thread ends, by the destructor of a thread-local variable. Events
//! point to the stream that recorded them, can be anywhere then, and no owner can keep a thread alive. So a thread's
//! stream records no event outside of captures. Its helper stream waits for it, and records the event. There is one
//! helper for each thread and device. The thread and the events keep it, as they keep any stream with an owner.
//!
//! A call on handle 2 after HIP's destructor would create a new stream. HIP 7.2 then destroys a stream twice. So a hook
//! marks the thread as ended just before: functions for the end of a thread run in the reverse order of their
//! registration. HIP registers its own at the thread's first call, or, in 5.2, at the first that names handle 2. Such a
//! call is made just before the registration. Rust's `thread_local!` does not promise that order, so glibc's own function
//! is used. Elsewhere threads' default streams are refused.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::{c_int, c_void};
use std::mem::ManuallyDrop;
use std::panic::catch_unwind;

use gpu_stream_core::{BackendKind, ContractError, KeepAlive, RawStream};

use crate::driver::{DeviceGuard, Driver, capture, loaded};
use crate::owned_stream::create_for_markers;
use crate::{Hip, HipError, host_wait, poll, thread};

/// `hipStreamPerThread`.
pub(crate) const PER_THREAD: RawStream<Hip> = RawStream::PER_THREAD;

/// The stream that records events for a thread's default stream on one device.
#[derive(Clone)]
pub(crate) struct Helper {
    pub(crate) raw: RawStream<Hip>,
    pub(crate) owner: KeepAlive,
}

type Helpers = BTreeMap<u32, Helper>;

thread_local! {
    // No destructors, so that they are usable until the thread's very end.
    /// The thread's helpers, by the ordinal of the device. [`on_thread_exit`] drops them.
    static HELPERS: RefCell<ManuallyDrop<Helpers>> =
        const { RefCell::new(ManuallyDrop::new(Helpers::new())) };
    /// Set once the thread's stream exists, and the hook runs before HIP destroys it.
    static IS_NAMED: Cell<bool> = const { Cell::new(false) };
}

/// Returns the calling thread's helper on a device, if it was created.
fn known_helper(device: u32) -> Option<Helper> {
    HELPERS.with_borrow(|helpers| helpers.get(&device).cloned())
}

/// Makes the calling thread's helper wait for the thread's default stream, and returns it. The stream is not captured,
/// and the caller has made the device current.
pub(crate) fn follow(
    driver: &'static Driver,
    device: u32,
    operation: &'static str,
) -> Result<Helper, HipError> {
    let helper = helper(driver, device, operation)?;
    // SAFETY: the thread's default stream is live, since the thread is, and the caller has made its device current.
    let scratch = unsafe { poll::record_marker(driver, PER_THREAD.as_ptr(), device, operation) }?;
    // SAFETY: both streams are live: the thread is, and `helper` has an owner. The event is live, and points to the
    // thread's stream. Flags must be 0.
    let code = unsafe { (driver.symbols.stream_wait_event)(helper.raw.as_ptr(), scratch.raw(), 0) };
    if let Err(error) = driver.check(code, operation, "hipStreamWaitEvent") {
        // A reset of the device may have freed the helper. The next call creates another.
        drop(HELPERS.with_borrow_mut(|helpers| helpers.remove(&device)));
        return Err(error);
    }
    Ok(helper)
}

/// Returns the calling thread's helper on a device, and creates it the first time, or after a reset of the device.
fn helper(
    driver: &'static Driver,
    device: u32,
    operation: &'static str,
) -> Result<Helper, HipError> {
    if let Some(helper) = known_helper(device)
        // SAFETY: only a reset can have destroyed the stream: `helper` has its owner.
        && unsafe { driver.ensure_known(helper.raw.as_ptr(), operation) }.is_ok()
    {
        return Ok(helper);
    }
    let (raw, owner) = create_for_markers(driver, device, operation)?;
    let helper = Helper { raw, owner };
    // The replaced helper is dropped after the borrow.
    drop(HELPERS.with_borrow_mut(|helpers| helpers.insert(device, helper.clone())));
    Ok(helper)
}

/// Returns `true` if all events are complete that the calling thread's default stream has recorded on a device.
///
/// The helper is behind the thread's stream, so the stream can be idle while its events are pending.
pub(crate) fn events_are_complete(
    driver: &'static Driver,
    device: u32,
    operation: &'static str,
) -> Result<bool, HipError> {
    let Some(helper) = known_helper(device) else { return Ok(true) };
    match helper.ensure_live(driver, operation) {
        // SAFETY: the helper is live, and belongs to the device.
        Ok(()) => unsafe { poll::is_idle(driver, helper.raw.as_ptr(), device, operation) },
        Err(_) => Ok(true),
    }
}

impl Helper {
    /// Returns an error if a reset of the device has destroyed the helper. Other calls with its handle may crash then.
    fn ensure_live(
        &self,
        driver: &'static Driver,
        operation: &'static str,
    ) -> Result<(), HipError> {
        // SAFETY: only a reset can have destroyed the helper: it has an owner. Where the second function follows the
        // handle of a destroyed stream, the first returns an error.
        unsafe {
            driver.ensure_known(self.raw.as_ptr(), operation)?;
            capture::ensure_not_capturing(driver, self.raw.as_ptr(), operation)
        }
    }
}

/// Creates the calling thread's default stream on a device, and registers the hook for the thread's end.
pub(crate) fn name_stream(
    driver: &'static Driver,
    device: u32,
    operation: &'static str,
) -> Result<(), HipError> {
    thread::ensure_alive(operation)?;
    if IS_NAMED.get() {
        return Ok(());
    }
    {
        let _current = DeviceGuard::enter(driver, device, operation)?;
        // SAFETY: handle 2 is always valid, and its device is current.
        match unsafe { capture::status(driver, PER_THREAD.as_ptr(), operation) } {
            // A capture does not matter here.
            Ok(_) | Err(HipError::Capturing { .. }) => {}
            // The stream may not exist, and HIP's function would run before the hook.
            Err(error) => return Err(error),
        }
    }
    if !register_exit_hook() {
        let reason = "the end of a thread cannot be noticed in time on this system, and HIP would destroy the stream twice; \
                      create a stream with `Backend::new_stream`";
        let backend = BackendKind::Hip;
        return Err(ContractError::Unsupported { operation, backend, reason }.into());
    }
    IS_NAMED.set(true);
    Ok(())
}

/// Registers the hook for the end of the calling thread. Returns `false` if the system has no function for it, or no
/// memory.
///
/// Also called at the first call of a thread that has not named its default stream: a function for the end of the
/// process could name it after the thread's end.
#[cold]
pub(crate) fn register_exit_hook() -> bool {
    // An address of this library keeps the library loaded until the thread ends.
    static ADDRESS: u8 = 0;
    let address = std::ptr::from_ref(&ADDRESS).cast_mut().cast();
    // SAFETY: the hook takes any argument, and the last argument is an address of this library.
    at_thread_exit().is_some_and(|register| unsafe {
        register(on_thread_exit, std::ptr::null_mut(), address) == 0
    })
}

/// Marks the end of the thread, waits for the work of its helpers, and drops them. So the thread's events are complete
/// from then on. HIP waits for the thread's own stream as well. A later public call of another thread destroys the helpers.
unsafe extern "C" fn on_thread_exit(_: *mut c_void) {
    const OPERATION: &str = "the end of a thread";
    thread::set_ended();
    for (device, helper) in HELPERS.with_borrow_mut(|helpers| std::mem::take(&mut **helpers)) {
        let Some(driver) = loaded() else { continue };
        let finish = || {
            helper.ensure_live(driver, OPERATION)?;
            // SAFETY: the helper is live, and belongs to the device.
            unsafe { host_wait::finish(driver, helper.raw.as_ptr(), device, OPERATION) }
        };
        // Neither an error nor a panic can leave this function.
        drop(catch_unwind(std::panic::AssertUnwindSafe(finish)));
    }
}

type ExitHook = unsafe extern "C" fn(*mut c_void);
type RegisterExitHook = unsafe extern "C" fn(ExitHook, *mut c_void, *mut c_void) -> c_int;

/// Returns the function that registers a hook for the end of the calling thread, in reverse order. glibc has it since
/// 2.18, and Rust programs run with older ones.
fn at_thread_exit() -> Option<RegisterExitHook> {
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    return None;
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        static FOUND: std::sync::OnceLock<Option<RegisterExitHook>> = std::sync::OnceLock::new();
        *FOUND.get_or_init(|| {
            let program = libloading::os::unix::Library::this();
            // SAFETY: the type is the function's signature. glibc is never unloaded.
            let found = unsafe { program.get::<RegisterExitHook>("__cxa_thread_atexit_impl") };
            found.ok().map(|found| *found)
        })
    }
}
