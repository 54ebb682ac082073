//! The library for Python: a C interface, which `beside_torch.py` calls with torch's streams and the addresses of its tensors.
//!
//! `cargo build --release -p gpu-stream-portable-library --example beside_torch --features cuda` (or `hip`), then
//! `python3 tests/portable-library/examples/beside_torch.py target/release/examples/libbeside_torch.so`.

use std::ffi::{CStr, c_char};
use std::panic::catch_unwind;

use gpu_stream::prelude::*;
use gpu_stream::{Any, AnyRawStream, AnyStream, BackendKind};
use gpu_stream_portable_library::{Address, Error, Kernels, Result, saxpy_at, sum_at};

/// torch's current stream: the vendor's name, torch's index of the device, and `torch.cuda.current_stream().cuda_stream`.
#[repr(C)]
pub struct TorchStream {
    vendor: *const c_char,
    device: u32,
    handle: usize,
}

/// Computes `y += a * x` on the stream. Returns 0, or -1 and a text in `message`, a buffer of 512 bytes. Does not block.
///
/// # Safety
/// - As [`saxpy_at`], with a live stream.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portable_saxpy(
    stream: TorchStream,
    a: f32,
    x: u64,
    y: u64,
    len: usize,
    message: &mut [u8; 512],
) -> i32 {
    report(message, || {
        // SAFETY: torch keeps the stream and the tensors, as it does for its own functions (caller contract).
        unsafe { saxpy_at(&wrap(&stream)?, a, Address(x), Address(y), len) }
    })
}

/// Computes the sum of `x` into `to`, split over `lanes` streams of the library. Returns as `portable_saxpy`. Blocks only
/// after an error, until the lanes have done their work.
///
/// # Safety
/// - As [`saxpy_at`], with a live stream and with `to` in the place of `y`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portable_sum(
    stream: TorchStream,
    lanes: usize,
    x: u64,
    len: usize,
    to: u64,
    message: &mut [u8; 512],
) -> i32 {
    report(message, || {
        // SAFETY: as in `portable_saxpy`.
        let stream = unsafe { wrap(&stream)? };
        let lanes = pooled_lanes(&stream, lanes)?;
        // SAFETY: as in `portable_saxpy`. After an error, the tensors live until the lanes are done.
        let done = unsafe { sum_at(&stream, &lanes, Address(x), len, Address(to)) };
        if done.is_err() {
            // Torch knows nothing of the lanes, and may free the tensors at once.
            for lane in &lanes {
                let _ = lane.synchronize(); // the first error is the one to report
            }
        }
        done
    })
}

/// Loads the kernels on the stream's device, and creates the lanes. Call it before a capture. Returns as `portable_saxpy`.
///
/// # Safety
/// - The stream is live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portable_load(
    stream: TorchStream,
    lanes: usize,
    message: &mut [u8; 512],
) -> i32 {
    report(message, || {
        // SAFETY: as in `portable_saxpy`.
        let stream = unsafe { wrap(&stream)? };
        pooled_lanes(&stream, lanes)?;
        Any::launcher(&stream).map(drop)
    })
}

/// Wraps torch's stream.
///
/// # Safety
/// - The stream is live until the wrapper is dropped.
unsafe fn wrap(stream: &TorchStream) -> Result<AnyStream> {
    // SAFETY: Python passes a C string (caller contract).
    let vendor = unsafe { CStr::from_ptr(stream.vendor) }.to_string_lossy();
    let vendor = if vendor == "hip" { BackendKind::Hip } else { BackendKind::Cuda };
    let device = Device::new(vendor, stream.device);
    // SAFETY: the stream is live, and of this vendor (caller contract).
    Ok(unsafe { Any::stream_from_raw(AnyRawStream::new(vendor, stream.handle), Some(device))? })
}

/// Returns this library's own streams, which are created once: creating one is slow.
fn pooled_lanes(stream: &AnyStream, count: usize) -> Result<Vec<AnyStream>> {
    use std::sync::{Mutex, PoisonError};
    static LANES: Mutex<Vec<AnyStream>> = Mutex::new(Vec::new());
    let mut lanes = LANES.lock().unwrap_or_else(PoisonError::into_inner);
    let device = stream.device();
    let own = |lanes: &[AnyStream]| -> Vec<AnyStream> {
        lanes.iter().filter(|lane| lane.device() == device).take(count).cloned().collect()
    };
    while own(&lanes).len() < count {
        lanes.push(stream.new_stream(StreamOptions::new())?);
    }
    Ok(own(&lanes))
}

/// Calls `work`, and converts its outcome for C. A panic must not leave Rust.
fn report(
    message: &mut [u8; 512],
    work: impl FnOnce() -> Result<()> + std::panic::UnwindSafe,
) -> i32 {
    let done = catch_unwind(work).unwrap_or_else(|_| Err(Error::Argument("a panic".into())));
    let Err(error) = done else { return 0 };
    let text = error.to_string();
    let length = text.len().min(511);
    message[..length].copy_from_slice(&text.as_bytes()[..length]);
    message[length] = 0;
    -1
}
