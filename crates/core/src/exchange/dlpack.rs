//! DLPack's C exchange API: the table in which a framework names its current stream, [`ExchangeApi`].
//!
//! A framework of Python sets the attribute [`ATTRIBUTE`] on the type of its arrays, a capsule with the name
//! [`CAPSULE_NAME`]. The capsule's pointer is the table, and one function of the table answers the current stream
//! of a device: torch's `torch.cuda.current_stream()`. No Python runs for that:
//!
//! ```
//! use core::ffi::c_void;
//!
//! use gpu_stream_core::exchange::dlpack::{ExchangeApi, device_of};
//! use gpu_stream_core::{ErrorOf, PlainHandles, Stream};
//!
//! /// Makes `ours` wait for the stream on which the framework is working.
//! ///
//! /// `table` is the capsule's pointer, and `(device_type, device_id)` what the array's `__dlpack_device__()` returns.
//! ///
//! /// # Safety
//! /// The calling thread is attached to the interpreter, and the current stream outlives this call.
//! unsafe fn follow<S: Stream<Backend: PlainHandles>>(
//!     ours: &S,
//!     table: *const c_void,
//!     (device_type, device_id): (i32, i32),
//! ) -> Result<(), Box<dyn std::error::Error>> {
//!     let device = device_of(device_type, device_id)?;
//!     // SAFETY: the pointer of such a capsule is a table that lives as long as the process.
//!     let table = unsafe { ExchangeApi::from_ptr(table) }?;
//!     // SAFETY: the thread is attached, and the stream outlives the wrapper, which ends with this call.
//!     let theirs = unsafe { table.current_stream::<S::Backend>(device) }?;
//!     Ok(ours.wait_stream(&theirs)?)
//! }
//! ```
//!
//! torch has such a table, and so have the tensors of `apache-tvm-ffi`, which also builds one for versions of torch
//! without it.
//!
//! Origin: [`dlpack.h`](https://github.com/dmlc/dlpack/blob/main/include/dlpack/dlpack.h), and
//! [its design](https://github.com/dmlc/dlpack/issues/175).

mod error;

pub use self::error::ExchangeApiError;

use core::ffi::{CStr, c_int, c_void};
use core::fmt;
use core::ptr;

use super::current;
use crate::{Backend, ContractError, Device, RawStream};

/// The attribute of an array's type that has the capsule. It is on the type, and not on the array.
pub const ATTRIBUTE: &str = "__dlpack_c_exchange_api__";

/// The name of the capsule, which `PyCapsule_GetPointer` checks.
pub const CAPSULE_NAME: &CStr = c"dlpack_exchange_api";

/// The major version of DLPack whose table this crate reads.
pub const MAJOR_VERSION: u32 = 1;

/// A version of DLPack: `DLPackVersion`.
///
/// Tables of one major version have one layout.
#[doc(alias = "DLPackVersion")]
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Version {
    /// The major version.
    pub major: u32,
    /// The minor version.
    pub minor: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The start of every table, whatever its version: `DLPackExchangeAPIHeader`.
#[doc(alias = "DLPackExchangeAPIHeader")]
#[repr(C)]
#[derive(Debug)]
pub struct ExchangeApiHeader {
    /// The version of this table.
    pub version: Version,
    /// The header of a table of an older version, or null.
    pub prev_api: *mut ExchangeApiHeader,
}

/// The function of a table that answers the current stream: `DLPackCurrentWorkStream`.
///
/// Takes a device type and a device id of DLPack, and writes the stream's handle. Returns 0, or -1 with a Python
/// exception set.
#[doc(alias = "DLPackCurrentWorkStream")]
pub type CurrentWorkStream = unsafe extern "C" fn(
    device_type: i32,
    device_id: i32,
    out_current_stream: *mut *mut c_void,
) -> c_int;

/// The table of DLPack's C exchange API: `DLPackExchangeAPI` of major version 1.
///
/// [`from_ptr`](Self::from_ptr) gets it from a capsule's pointer. The fields are public for programs that offer such
/// a table, and for tests. The first four functions exchange tensors, which this crate does not do.
#[doc(alias("DLPackExchangeAPI", "__dlpack_c_exchange_api__", "dlpack_exchange_api"))]
#[repr(C)]
#[derive(Debug)]
pub struct ExchangeApi {
    /// The version, and the older tables.
    pub header: ExchangeApiHeader,
    /// `DLPackManagedTensorAllocator`, never called here.
    pub managed_tensor_allocator: *const c_void,
    /// `DLPackManagedTensorFromPyObjectNoSync`, never called here.
    pub managed_tensor_from_py_object_no_sync: *const c_void,
    /// `DLPackManagedTensorToPyObjectNoSync`, never called here.
    pub managed_tensor_to_py_object_no_sync: *const c_void,
    /// `DLPackDLTensorFromPyObjectNoSync`, never called here.
    pub dltensor_from_py_object_no_sync: *const c_void,
    /// Answers the current stream. The protocol requires it.
    pub current_work_stream: Option<CurrentWorkStream>,
}

// SAFETY: a table is plain data that belongs to no thread, and safe code does not follow its pointers.
unsafe impl Send for ExchangeApi {}
// SAFETY: a table is plain data without interior mutability, so threads that share it only read it.
unsafe impl Sync for ExchangeApi {}

impl ExchangeApi {
    /// Returns the table at `table`, or the newest older table of its chain that has a known layout. Does not block.
    ///
    /// A table of a newer major version may name an older one, which names a still older one. The first of major
    /// version 1 is used, whatever its minor version. Nothing but the header of a table of another version is read.
    ///
    /// # Errors
    /// [`ExchangeApiError`] for a table that is null or misaligned, of no known version, or without the function.
    ///
    /// # Safety
    /// - `table` is null, or the pointer of a capsule with the name [`CAPSULE_NAME`] that a framework set as
    ///   [`ATTRIBUTE`]. Otherwise it points to a table, or a header, that is as `dlpack.h` describes it. This also
    ///   holds for each pointer of the chain.
    /// - The tables stay as they are until the process ends, as the protocol requires.
    ///
    /// Origin: `PyCapsule_GetPointer`, and the walk that `dlpack.h` describes at `prev_api`.
    pub unsafe fn from_ptr(table: *const c_void) -> Result<&'static ExchangeApi, ExchangeApiError> {
        let mut header = check_pointer(table.cast::<ExchangeApiHeader>())?;
        // SAFETY: the pointer is neither null nor misaligned, and every table begins with a header (caller contract).
        let given = unsafe { (*header).version };
        let mut version = given;
        while version.major > MAJOR_VERSION {
            // SAFETY: `header` was read above, and the tables stay as they are (caller contract).
            let older = unsafe { (*header).prev_api };
            if older.is_null() {
                break;
            }
            header = check_pointer(older.cast_const())?;
            // SAFETY: the pointer is neither null nor misaligned, and a chain consists of headers (caller contract).
            let next = unsafe { (*header).version };
            // Each step leads to an older version, so a chain that closes on itself ends here.
            if next >= version {
                return Err(ExchangeApiError::Chain { version, next });
            }
            version = next;
        }
        if version.major != MAJOR_VERSION {
            return Err(ExchangeApiError::Version { given, oldest: version });
        }
        // SAFETY: a header of this major version is the start of a table of this layout, which nothing changes
        // until the process ends (caller contract). The pointer has been checked.
        let table = unsafe { &*header.cast::<ExchangeApi>() };
        if table.current_work_stream.is_none() {
            return Err(ExchangeApiError::MissingFunction { version });
        }
        Ok(table)
    }

    /// Wraps the framework's current stream of `device`. It is the calling thread's: each thread has its own.
    ///
    /// Asks the framework, and then the driver as [`Backend::stream_from_raw`] does. Does not block. If the framework's
    /// stream belongs to a capture, the wrapper does, too.
    ///
    /// Ask for the device on which the framework's arrays are ([`device_of`]). For another vendor's device, a framework
    /// need not fail: torch 2.11 for CUDA takes ROCm's number for its own, and answers null for vendors that it does not
    /// know.
    ///
    /// # Errors
    /// - [`BackendMismatch`](crate::ErrorKind::BackendMismatch) for another vendor's device.
    /// - [`Unsupported`](crate::ErrorKind::Unsupported) for a backend without streams in DLPack, which the host is, and
    ///   for a table that was made by hand without the function.
    /// - [`Driver`](crate::ErrorKind::Driver) if the framework answered a failure. A Python exception is then set.
    /// - [`InvalidHandle`](crate::ErrorKind::InvalidHandle) if the answer can be no stream, or is the thread's own (2).
    ///   For the latter see [`current_work_stream`](Self::current_work_stream).
    /// - Otherwise those of [`Backend::stream_from_raw`].
    ///
    /// # Safety
    /// - The table's function is as `dlpack.h` describes it. It is for a table of [`from_ptr`](Self::from_ptr).
    /// - The framework's own streams belong to the vendor of `device`.
    /// - If the framework is one of Python, the calling thread is attached to the interpreter.
    /// - The stream stays alive until the wrapper, all its clones and every event recorded through one of them are
    ///   dropped. The table keeps nothing alive, and a framework may make another stream current at any time. torch
    ///   never destroys its own streams. One that a program made current lives as long as its owner.
    ///
    /// Origin: `DLPackCurrentWorkStream`,
    /// [`torch.cuda.current_stream`](https://docs.pytorch.org/docs/stable/generated/torch.cuda.current_stream.html).
    #[doc(alias("DLPackCurrentWorkStream", "getCurrentCUDAStream"))]
    pub unsafe fn current_stream<B>(&self, device: Device) -> Result<B::Stream, B::Error>
    where
        B: Backend<RawStream = RawStream<B>>,
    {
        let operation = "ExchangeApi::current_stream";
        current::check_backend(device, B::KIND, operation)?;
        // SAFETY: the function may be called here (caller contract).
        let bits = unsafe { self.ask(device, operation) }?;
        // SAFETY: the framework answered a stream of this vendor, which outlives the wrapper (caller contract).
        unsafe { B::stream_from_raw(RawStream::from_bits(bits), Some(device)) }
    }

    /// Returns the handle of the framework's current stream of `device`, without wrapping it. Does not block.
    ///
    /// 0 and 1 are the default stream, and 2 is the thread's own ([`HandleKind`](crate::HandleKind)). For the latter
    /// use [`Backend::per_thread_stream`].
    ///
    /// # Errors
    /// As [`current_stream`](Self::current_stream), as far as no driver is asked.
    ///
    /// # Safety
    /// As [`current_stream`](Self::current_stream), without the last point.
    pub unsafe fn current_work_stream(&self, device: Device) -> Result<usize, ContractError> {
        // SAFETY: the function may be called here (caller contract).
        unsafe { self.ask(device, "ExchangeApi::current_work_stream") }
    }

    /// Asks the framework for the handle of its current stream.
    ///
    /// # Safety
    /// As [`current_work_stream`](Self::current_work_stream).
    unsafe fn ask(&self, device: Device, operation: &'static str) -> Result<usize, ContractError> {
        let (device_type, device_id) = current::numbers(device, operation)?;
        let Some(function) = self.current_work_stream else {
            let reason = "the other library's table has no function `current_work_stream`; pass the stream itself";
            return Err(ContractError::Unsupported {
                operation,
                backend: device.backend(),
                reason,
            });
        };
        // No stream, and not null, which is one: what stays if the function writes nothing.
        let mut stream = ptr::without_provenance_mut(usize::MAX);
        // SAFETY: the function may be called here (caller contract), and `&raw mut stream` is a valid out-pointer.
        let code = unsafe { function(device_type, device_id, &raw mut stream) };
        if code != 0 {
            return Err(ContractError::CurrentStream { operation, device, code });
        }
        current::handle(stream, device, operation)
    }
}

/// Returns the device that DLPack's two numbers name: those of `__dlpack_device__()`, or of a tensor's `DLDevice`.
///
/// ```
/// use gpu_stream_core::exchange::dlpack::device_of;
/// use gpu_stream_core::{BackendKind, Device, Error, ErrorKind};
///
/// assert_eq!(device_of(2, 1)?, Device::new(BackendKind::Cuda, 1)); // kDLCUDA
/// assert_eq!(device_of(10, 0)?, Device::new(BackendKind::Hip, 0)); // kDLROCM
/// assert_eq!(device_of(8, 0).unwrap_err().kind(), ErrorKind::BackendMismatch); // kDLMetal
/// # Ok::<(), gpu_stream_core::ContractError>(())
/// ```
///
/// # Errors
/// [`BackendMismatch`](crate::ErrorKind::BackendMismatch) for a type that is no backend here, or a negative number.
/// Pinned and managed memory are among them: their numbers do not name a device.
#[doc(alias("DLDevice", "__dlpack_device__", "kDLCUDA", "kDLROCM", "kDLCPU"))]
pub fn device_of(device_type: i32, device_id: i32) -> Result<Device, ContractError> {
    match (current::backend_of(device_type), u32::try_from(device_id)) {
        (Some(backend), Ok(ordinal)) => Ok(Device::new(backend, ordinal)),
        _ => {
            let operation = "dlpack::device_of";
            Err(ContractError::DeviceType { operation, device_type, device_id })
        }
    }
}

/// Returns `header` if it can be read as one.
fn check_pointer(
    header: *const ExchangeApiHeader,
) -> Result<*const ExchangeApiHeader, ExchangeApiError> {
    if header.is_null() {
        return Err(ExchangeApiError::Null);
    }
    if !header.is_aligned() {
        return Err(ExchangeApiError::Misaligned { address: header.addr() });
    }
    Ok(header)
}
