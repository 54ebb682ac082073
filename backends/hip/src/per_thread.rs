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
use std::ffi::{c_int, c_void};
use std::mem::ManuallyDrop;
use std::panic::catch_unwind;

use gpu_stream_core::{BackendKind, ContractError, KeepAlive, RawStream};

use crate::code::HipCode;
use crate::driver::{DeviceGuard, Driver, capture, loaded};
use crate::owned_stream::create_for_markers;
use crate::{Hip, HipError, poll, thread};

/// `hipStreamPerThread`.
pub(crate) const PER_THREAD: RawStream<Hip> = RawStream::PER_THREAD;

/// The stream that records events for a thread's default stream on one device.
#[derive(Clone)]
pub(crate) struct Helper {
    pub(crate) raw: RawStream<Hip>,
    pub(crate) owner: KeepAlive,
}

thread_local! {
    // No destructors, so that they are usable until the thread's very end.
    /// The thread's helpers, by the ordinal of the device. [`on_thread_exit`] drops them.
    static HELPERS: RefCell<ManuallyDrop<Vec<Option<Helper>>>> =
        const { RefCell::new(ManuallyDrop::new(Vec::new())) };
    /// Set once the thread's stream exists, and the hook runs before HIP destroys it.
    static IS_NAMED: Cell<bool> = const { Cell::new(false) };
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
        drop(HELPERS.with_borrow_mut(|helpers| helpers[device as usize].take()));
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
    let index = device as usize;
    let known = HELPERS.with_borrow(|helpers| helpers.get(index).cloned().flatten());
    if let Some(helper) = known
        // SAFETY: only a reset can have destroyed the stream: `helper` has its owner.
        && unsafe { driver.ensure_known(helper.raw.as_ptr(), operation) }.is_ok()
    {
        return Ok(helper);
    }
    let (raw, owner) = create_for_markers(driver, device, operation)?;
    let helper = Helper { raw, owner };
    let replaced = HELPERS.with_borrow_mut(|helpers| {
        if helpers.len() <= index {
            helpers.resize(index + 1, None);
        }
        helpers[index].replace(helper.clone())
    });
    drop(replaced);
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
    let known = HELPERS.with_borrow(|helpers| helpers.get(device as usize).cloned().flatten());
    let Some(Helper { raw, owner: _owner }) = known else { return Ok(true) };
    // SAFETY: only a reset can have destroyed the helper, which has an owner. It belongs to the device.
    unsafe {
        if ensure_live(driver, raw, operation).is_err() {
            return Ok(true);
        }
        poll::is_idle(driver, raw.as_ptr(), device, operation)
    }
}

/// Returns an error if a reset of the device has destroyed the helper. Other calls with its handle may crash then.
///
/// # Safety
/// - `helper` was alive when it was last used. Only a reset has destroyed it since.
unsafe fn ensure_live(
    driver: &'static Driver,
    helper: RawStream<Hip>,
    operation: &'static str,
) -> Result<(), HipError> {
    // SAFETY: only a reset can have destroyed the helper (caller contract). Where the second function follows the
    // handle of a destroyed stream, the first returns an error.
    unsafe {
        driver.ensure_known(helper.as_ptr(), operation)?;
        capture::ensure_not_capturing(driver, helper.as_ptr(), operation)
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
    let Some(at_thread_exit) = at_thread_exit() else {
        let reason = "the end of a thread cannot be noticed in time on this system, and HIP would destroy the stream twice; \
                      create a stream with `Backend::new_stream`";
        let backend = BackendKind::Hip;
        return Err(ContractError::Unsupported { operation, backend, reason }.into());
    };
    {
        let _current = DeviceGuard::enter(driver, device, operation)?;
        let mut status = 0;
        // SAFETY: handle 2 is always valid, and its device is current. `&mut status` is a valid out-pointer. A
        // capture does not matter here.
        let code =
            unsafe { (driver.symbols.stream_is_capturing)(PER_THREAD.as_ptr(), &mut status) };
        if code == HipCode::CAPTURE_IMPLICIT {
            driver.discard(code);
        } else {
            // After another error the stream may not exist, and HIP's function would run before the hook.
            driver.check(code, operation, "hipStreamIsCapturing")?;
        }
    }
    // SAFETY: the hook takes any argument, and the last argument is an address of this library.
    if unsafe { at_thread_exit(on_thread_exit, std::ptr::null_mut(), own_address()) } != 0 {
        let (function, code) = ("__cxa_thread_atexit_impl", HipCode::OUT_OF_MEMORY);
        return Err(HipError::Driver { operation, function, code });
    }
    IS_NAMED.set(true);
    Ok(())
}

/// Registers the hook for a thread that has not named its default stream: a function for the end of the process could
/// name it after the thread's end.
#[cold]
pub(crate) fn register_exit_hook() {
    if let Some(at_thread_exit) = at_thread_exit() {
        // SAFETY: the hook takes any argument, and the last argument is an address of this library. Without memory for
        // it, the thread's end is not noticed; there is nothing better to do.
        unsafe { at_thread_exit(on_thread_exit, std::ptr::null_mut(), own_address()) };
    }
}

/// Marks the end of the thread, waits for the work of its helpers, and drops them. So the thread's events are complete
/// from then on. HIP waits for the thread's own stream as well. A later public call of another thread destroys the helpers.
unsafe extern "C" fn on_thread_exit(_: *mut c_void) {
    const OPERATION: &str = "the end of a thread";
    thread::set_ended();
    let helpers = HELPERS.with_borrow_mut(|helpers| std::mem::take(&mut **helpers));
    for (device, helper) in (0..).zip(helpers) {
        if let (Some(driver), Some(Helper { raw, owner: _owner })) = (loaded(), helper) {
            // SAFETY: only a reset can have destroyed the helper, which has an owner. It belongs to the device.
            let finish = || unsafe {
                ensure_live(driver, raw, OPERATION)?;
                poll::finish(driver, raw.as_ptr(), device, OPERATION)
            };
            // Neither an error nor a panic can leave this function.
            drop(catch_unwind(finish));
        }
    }
}

/// Returns an address of this library, which keeps the library loaded until the thread ends.
fn own_address() -> *mut c_void {
    static ADDRESS: u8 = 0;
    std::ptr::from_ref(&ADDRESS).cast_mut().cast()
}

type ExitHook = unsafe extern "C" fn(*mut c_void);
type RegisterExitHook = unsafe extern "C" fn(ExitHook, *mut c_void, *mut c_void) -> c_int;

/// Returns the function that registers a hook for the end of the calling thread, in reverse order. glibc has it since
/// 2.18, and Rust programs run with older ones.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn at_thread_exit() -> Option<RegisterExitHook> {
    static FOUND: std::sync::OnceLock<Option<RegisterExitHook>> = std::sync::OnceLock::new();
    *FOUND.get_or_init(|| {
        let program = libloading::os::unix::Library::this();
        // SAFETY: the type is the function's signature. glibc is never unloaded.
        let found = unsafe { program.get::<RegisterExitHook>("__cxa_thread_atexit_impl") };
        found.ok().map(|found| *found)
    })
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn at_thread_exit() -> Option<RegisterExitHook> {
    None
}
