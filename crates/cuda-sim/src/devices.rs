//! Initialization, version and devices.

use std::ffi::{CStr, c_char, c_int, c_uint};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::call::{exports, write_out};
use crate::codes::Code;
use crate::config::config;
use crate::memory::DEVICE_MEMORY;
use crate::state::{initialize, state};

const NAME: &CStr = c"simulated (no GPU)";

/// The device attributes (`CU_DEVICE_ATTRIBUTE_…`) that this repository queries, with their
/// values.
const ATTRIBUTES: &[(c_int, c_int)] = &[
    (1, 1024),       // threads per block
    (10, 32),        // threads per warp
    (13, 2_000_000), // kHz
    (16, 1),         // multiprocessors
    (31, 1),         // concurrent kernels
    (19, 1),         // host memory can be mapped
    (40, 2),         // copy engines
    (41, 1),         // unified addressing
    (75, 9),         // compute capability
    (76, 0),
    (78, 1),  // stream priorities
    (83, 1),  // managed memory
    (89, 1),  // managed memory is accessible to host and device at the same time
    (115, 1), // memory pools: allocations in the order of a stream
];

/// Returns the identifier of a device: the text `simulated GPU`, a zero and the device's number.
fn uuid_of(device: usize) -> [u8; 16] {
    let mut uuid = *b"simulated GPU\0\0\0";
    uuid[15] = u8::try_from(device).unwrap_or(u8::MAX);
    uuid
}

exports! {
    always cuDriverGetVersion(version: *mut c_int) { write_out(version, config().version) }

    always cuInit(flags: c_uint) {
        if flags != 0 {
            return Err(Code::INVALID_VALUE);
        }
        static CALLS: AtomicU64 = AtomicU64::new(0);
        let (code, count) = config().init_fails;
        if CALLS.fetch_add(1, Ordering::Relaxed) < count {
            return Err(Code(code));
        }
        if config().gpus == 0 {
            return Err(Code::NO_DEVICE);
        }
        initialize();
        Ok(())
    }

    initialized cuDeviceGetCount(count: *mut c_int) {
        write_out(count, c_int::try_from(config().gpus).map_err(|_| Code::UNKNOWN)?)
    }

    initialized cuDeviceGet(device: *mut c_int, ordinal: c_int) {
        state().device(ordinal)?;
        write_out(device, ordinal)
    }

    initialized cuDeviceGetName(name: *mut c_char, length: c_int, device: c_int) {
        state().device(device)?;
        let room = usize::try_from(length).ok().filter(|&room| room > 0 && !name.is_null());
        let count = room.ok_or(Code::INVALID_VALUE)?.min(NAME.count_bytes() + 1) - 1;
        std::ptr::copy_nonoverlapping(NAME.as_ptr(), name, count);
        write_out(name.add(count), 0)
    }

    initialized cuDeviceTotalMem_v2(total: *mut usize, device: c_int) {
        state().device(device)?;
        write_out(total, DEVICE_MEMORY)
    }

    initialized cuDeviceGetUuid(uuid: *mut [u8; 16], device: c_int) {
        write_out(uuid, uuid_of(state().device(device)?))
    }

    initialized cuDeviceGetUuid_v2(uuid: *mut [u8; 16], device: c_int) {
        write_out(uuid, uuid_of(state().device(device)?))
    }

    initialized cuDeviceGetAttribute(value: *mut c_int, attribute: c_int, device: c_int) {
        state().device(device)?;
        let known = ATTRIBUTES.iter().find(|(number, _)| *number == attribute);
        write_out(value, known.map_or(0, |(_, value)| *value))
    }
}

/// Returns a static version string. Only the simulator exports this function, so a program can
/// detect it.
#[unsafe(no_mangle)]
pub extern "C" fn cuda_sim_version() -> *const c_char {
    // After the end of the string: the build, by which a program recognises the file.
    const TEXT: &str = concat!(env!("CARGO_PKG_VERSION"), "\0", env!("OUT_DIR"));
    TEXT.as_ptr().cast()
}
