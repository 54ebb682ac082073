//! The backends of this build. A new backend is added here; `lib.rs` re-exports its types, and
//! `available.rs` has the advice for its errors.

use gpu_stream_core::dynamic::DynBackend;
use gpu_stream_core::{AnyError, Backend, BackendKind, ContractError};
#[cfg(feature = "cuda")]
use gpu_stream_cuda::Cuda;
#[cfg(feature = "hip")]
use gpu_stream_hip::Hip;
use gpu_stream_host::Host;
#[cfg(feature = "opencl")]
use gpu_stream_opencl::OpenCl;

use crate::{Any, check};

cfg_if::cfg_if! {
    // The first of cuda, hip, opencl and host that is compiled in. A new backend adds a branch.
    if #[cfg(feature = "cuda")] {
        type Chosen = Cuda;
    } else if #[cfg(feature = "hip")] {
        type Chosen = Hip;
    } else if #[cfg(feature = "opencl")] {
        type Chosen = OpenCl;
    } else {
        type Chosen = Host;
    }
}

/// The backend of a program that uses one: the first of cuda, hip, opencl and host that this build has.
/// With the feature `cuda` it is `Cuda`, with `hip` and without `cuda` it is `Hip`, with `opencl` alone
/// it is `OpenCl`, otherwise [`Host`].
///
/// It is for binaries. **A library stays generic** over [`Stream`](crate::Stream). Cargo builds a
/// library once, with the features of all its users, so this alias would change when another crate
/// turns a feature on. The alias does not depend on the machine, either. Where the driver is
/// missing, every call returns [`LibraryNotFound`](crate::ErrorKind::LibraryNotFound). A program
/// with a fallback uses [`Any`](crate::Any), or calls [`available`](crate::available).
pub type DefaultBackend = Chosen;

/// Returns all backends of this build, in the order of [`BackendKind::KNOWN`]. If `GPU_STREAM_CHECK` is set, each has a
/// check.
///
/// # Errors
/// [`InvalidOptions`](crate::ErrorKind::InvalidOptions) if the variable has a value that is not known.
pub(crate) fn in_build() -> Result<&'static [&'static dyn DynBackend], AnyError> {
    Ok(if check::is_requested()? { check::COMPILED } else { COMPILED })
}

/// All backends of this build, in the order of [`BackendKind::KNOWN`].
const COMPILED: &[&'static dyn DynBackend] = &[
    &Host,
    #[cfg(feature = "cuda")]
    &Cuda,
    #[cfg(feature = "hip")]
    &Hip,
    #[cfg(feature = "opencl")]
    &OpenCl,
];

/// `true` if an event of at least one of these backends may keep its stream's owner alive.
pub(crate) const SOME_EVENTS_KEEP_OWNER: bool = Host::EVENTS_KEEP_OWNER
    || CUDA_EVENTS_KEEP_OWNER
    || HIP_EVENTS_KEEP_OWNER
    || OPENCL_EVENTS_KEEP_OWNER;

#[cfg(feature = "cuda")]
const CUDA_EVENTS_KEEP_OWNER: bool = Cuda::EVENTS_KEEP_OWNER;
#[cfg(not(feature = "cuda"))]
const CUDA_EVENTS_KEEP_OWNER: bool = false;

#[cfg(feature = "hip")]
const HIP_EVENTS_KEEP_OWNER: bool = Hip::EVENTS_KEEP_OWNER;
#[cfg(not(feature = "hip"))]
const HIP_EVENTS_KEEP_OWNER: bool = false;

#[cfg(feature = "opencl")]
const OPENCL_EVENTS_KEEP_OWNER: bool = OpenCl::EVENTS_KEEP_OWNER;
#[cfg(not(feature = "opencl"))]
const OPENCL_EVENTS_KEEP_OWNER: bool = false;

/// Returns the backend `kind`, ready for use, in its object-safe form.
///
/// The backend is probed, so that this call reports what is missing, and not the creation of the
/// first stream. The first call for a backend may take long, because it starts the driver. Later
/// calls do not block.
///
/// ```
/// use gpu_stream::{BackendKind, Error, ErrorKind, backend};
///
/// match backend(BackendKind::Cuda) {
///     Ok(cuda) => println!("{:?}", cuda.devices()?),
///     Err(error) if error.kind() == ErrorKind::NotCompiled => println!("the feature is off"),
///     Err(error) => println!("no driver, or no device: {error}"),
/// }
/// # Ok::<(), gpu_stream::AnyError>(())
/// ```
///
/// # Errors
/// [`NotCompiled`](crate::ErrorKind::NotCompiled) if this build does not have the backend,
/// otherwise the errors of [`Backend::probe`]:
/// [`LibraryNotFound`](crate::ErrorKind::LibraryNotFound), [`NoDevice`](crate::ErrorKind::NoDevice)
/// and so on.
pub fn backend(kind: BackendKind) -> Result<&'static dyn DynBackend, AnyError> {
    let found = compiled(kind)?;
    found.probe()?;
    Ok(found)
}

/// Returns the backend `kind` if it is compiled in, without probing it.
///
/// # Errors
/// [`NotCompiled`](crate::ErrorKind::NotCompiled), and the errors of [`in_build`].
pub(crate) fn compiled(kind: BackendKind) -> Result<&'static dyn DynBackend, AnyError> {
    let found = in_build()?.iter().copied().find(|backend| backend.kind() == kind);
    let error = ContractError::NotCompiled { backend: kind, reason: why_not_compiled(kind) };
    found.ok_or_else(|| error.into())
}

/// Returns the end of the sentence "backend … is not part of this build".
fn why_not_compiled(kind: BackendKind) -> &'static str {
    match kind {
        BackendKind::Cuda => {
            "the feature `cuda` of gpu-stream is off; build with it, which needs neither a CUDA toolkit nor a driver"
        }
        BackendKind::Hip => {
            "the feature `hip` of gpu-stream is off; build with it, which needs no ROCm"
        }
        BackendKind::OpenCl => {
            "the feature `opencl` of gpu-stream is off; build with it, which needs no OpenCL"
        }
        Any::KIND => {
            "it is the choice between backends and has no devices of its own; use `Any::device(n)`"
        }
        _ => {
            "gpu-stream does not know it; use the backend's own crate, or one of host, cuda, hip and opencl"
        }
    }
}
