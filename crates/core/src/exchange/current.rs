//! What the protocols that answer a current stream have in common: DLPack's numbers of devices, and the check of the
//! answer.

use core::ffi::c_void;

use super::{DecodedStream, Protocol};
use crate::{BackendKind, ContractError, Device};

/// DLPack's device types that are backends here: `kDLCPU`, `kDLCUDA` and `kDLROCM`.
const DEVICE_TYPES: [(BackendKind, i32); 3] =
    [(BackendKind::Host, 1), (BackendKind::Cuda, 2), (BackendKind::Hip, 10)];

/// Returns the backend of a device type of DLPack.
pub(super) fn backend_of(device_type: i32) -> Option<BackendKind> {
    DEVICE_TYPES.into_iter().find(|(_, number)| *number == device_type).map(|(backend, _)| backend)
}

/// Returns `Ok` if `device` belongs to `backend`.
pub(super) fn check_backend(
    device: Device,
    backend: BackendKind,
    operation: &'static str,
) -> Result<(), ContractError> {
    let given = device.backend();
    if given == backend {
        return Ok(());
    }
    Err(ContractError::BackendMismatch { operation, expected: backend, given })
}

/// Returns DLPack's two numbers for `device`, if DLPack has streams there.
pub(super) fn numbers(
    device: Device,
    operation: &'static str,
) -> Result<(i32, i32), ContractError> {
    let backend = device.backend();
    let known = DEVICE_TYPES.into_iter().find(|(kind, _)| *kind == backend);
    let Some((_, device_type)) = known.filter(|_| backend != BackendKind::Host) else {
        let reason = "DLPack, whose numbers of devices name the stream, has streams on CUDA and ROCm only; use \
                      `Backend::default_stream`, or pass a stream";
        return Err(ContractError::Unsupported { operation, backend, reason });
    };
    let count = i32::MAX.unsigned_abs();
    let device_id = i32::try_from(device.ordinal());
    let device_id =
        device_id.map_err(|_| ContractError::InvalidDevice { operation, given: device, count })?;
    Ok((device_type, device_id))
}

/// Returns the handle that another library answered, if it can be one: the rules of [`Protocol::Handle`].
pub(super) fn handle(
    stream: *mut c_void,
    device: Device,
    operation: &'static str,
) -> Result<usize, ContractError> {
    let bits = stream.expose_provenance();
    // As signed, so that -1 is the number that C programs mean by it.
    match Protocol::Handle.decode(bits.cast_signed(), device.backend()) {
        Ok(DecodedStream::Stream(bits)) => Ok(bits),
        Ok(DecodedStream::NoSync) | Err(_) => {
            let reason =
                "is negative, so the other library named no stream; pass the stream itself";
            Err(ContractError::InvalidHandle { operation, bits, reason })
        }
    }
}
