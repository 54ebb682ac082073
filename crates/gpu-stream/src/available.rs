//! The backends and devices of this machine: [`available`].

use core::fmt;

use gpu_stream_core::dynamic::DynBackend;
use gpu_stream_core::{AnyError, Backend, BackendInfo, BackendKind, DeviceInfo, Error, ErrorKind};

use crate::DefaultBackend;
use crate::backends::compiled;

/// Returns what this build and this machine have, for every known backend, in the order of
/// [`BackendKind::KNOWN`].
///
/// It never fails and never panics: what is missing is part of the result. The first call may take
/// long, because it starts every driver that is compiled in. Later calls do not block. Every call
/// probes again.
///
/// ```
/// use gpu_stream::available;
///
/// for backend in available() {
///     println!("{backend}");
/// }
/// assert!(available().iter().any(|backend| backend.is_ready()), "the host always is");
/// ```
///
/// Origin:
/// [`torch.cuda.is_available`](https://docs.pytorch.org/docs/stable/generated/torch.cuda.is_available.html),
/// which says only yes or no.
#[doc(alias("is_available", "device_count"))]
pub fn available() -> Vec<Availability> {
    BackendKind::KNOWN.iter().map(|&kind| Availability::of_kind(kind)).collect()
}

/// The availability of one backend: an item of [`available`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Availability {
    /// The backend.
    pub backend: BackendKind,
    /// `true` if it is the [`DefaultBackend`] of this build.
    pub is_default: bool,
    /// The result of the probe: version, library and devices, or the reason why the backend cannot
    /// be used.
    pub probe: Result<BackendInfo, AnyError>,
}

/// The state of a backend's shared library: [`Availability::library`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Library {
    /// The backend needs none.
    NotNeeded,
    /// The library was not searched for, because the backend is not part of this build.
    NotLookedFor,
    /// The library was loaded. The name is its file, or what was passed to the loader. `None` if
    /// the backend reports neither.
    Found(Option<String>),
    /// The library was not found. The text says where it was searched for.
    NotFound(String),
}

impl Availability {
    /// Probes the backend of this kind, and no other. The first call may take long, because it starts the driver.
    ///
    /// Two vendors' drivers do not always bear each other in one process: some bring a compiler along that ends the
    /// process when it is loaded twice. The second of two such drivers is not started, as far as this can be seen before: its
    /// reason is of kind [`NotPermitted`](ErrorKind::NotPermitted) and names both libraries.
    pub fn of_kind(kind: BackendKind) -> Self {
        match compiled(kind) {
            Ok(backend) => Availability::of(backend),
            Err(error) => Availability::new(kind, Err(error)),
        }
    }

    /// Probes `backend`, which may be one that this crate does not know. The first call may take
    /// long, because it starts the driver.
    pub fn of(backend: &dyn DynBackend) -> Self {
        Availability::new(backend.kind(), backend.probe())
    }

    fn new(backend: BackendKind, probe: Result<BackendInfo, AnyError>) -> Self {
        Availability { backend, is_default: backend == DefaultBackend::KIND, probe }
    }

    /// Returns `true` if the backend is part of this build.
    pub fn is_compiled(&self) -> bool {
        self.why_not() != Some(ErrorKind::NotCompiled)
    }

    /// Returns `true` if the backend can be used: it is compiled in, its library was found, and
    /// there is a device.
    pub fn is_ready(&self) -> bool {
        self.probe.is_ok()
    }

    /// Returns the kind of what is missing; `None` if the backend is ready.
    pub fn why_not(&self) -> Option<ErrorKind> {
        self.probe.as_ref().err().map(Error::kind)
    }

    /// Returns the version of the driver or runtime, if the backend is ready.
    pub fn version(&self) -> Option<&str> {
        self.probe.as_ref().ok().map(|info| info.version.as_str())
    }

    /// Returns the devices; none if the backend is not ready.
    pub fn devices(&self) -> &[DeviceInfo] {
        self.probe.as_ref().map_or(&[], |info| &info.devices)
    }

    /// Returns whether the backend's shared library was found, and where it was searched for.
    pub fn library(&self) -> Library {
        match &self.probe {
            Ok(info) if info.library.is_none() => Library::NotNeeded,
            Ok(info) => Library::Found(info.library.clone()),
            Err(_) if self.backend == BackendKind::Host => Library::NotNeeded,
            Err(error) => match error.kind() {
                ErrorKind::NotCompiled => Library::NotLookedFor,
                ErrorKind::LibraryNotFound => Library::NotFound(error.to_string()),
                _ => Library::Found(library_of(error)),
            },
        }
    }

    /// Returns what to do about what is missing, as a sentence; `None` if nothing is missing.
    pub fn advice(&self) -> Option<&'static str> {
        Some(match self.why_not()? {
            ErrorKind::NotCompiled if self.backend == BackendKind::Cuda => {
                "Build with the feature `cuda` of gpu-stream."
            }
            ErrorKind::NotCompiled if self.backend == BackendKind::Hip => {
                "Build with the feature `hip` of gpu-stream."
            }
            ErrorKind::NotCompiled if self.backend == BackendKind::OpenCl => {
                "Build with the feature `opencl` of gpu-stream."
            }
            ErrorKind::NotCompiled => {
                "Use a backend that is ready, as the host is, or a later version of gpu-stream."
            }
            ErrorKind::LibraryNotFound
                if self.backend == BackendKind::Cuda && is_set("GPU_STREAM_CUDA_LIBRARY") =>
            {
                "Correct or unset GPU_STREAM_CUDA_LIBRARY, which names the only file that is tried."
            }
            ErrorKind::LibraryNotFound
                if self.backend == BackendKind::Hip && is_set("GPU_STREAM_HIP_LIBRARY") =>
            {
                "Correct or unset GPU_STREAM_HIP_LIBRARY, which names the only file that is tried."
            }
            ErrorKind::LibraryNotFound
                if self.backend == BackendKind::OpenCl && is_set("GPU_STREAM_OPENCL_LIBRARY") =>
            {
                "Correct or unset GPU_STREAM_OPENCL_LIBRARY, which names the only file that is tried."
            }
            ErrorKind::LibraryNotFound if self.backend == BackendKind::OpenCl => {
                "Install an OpenCL loader and a driver; without a GPU, PoCL runs OpenCL on the CPU."
            }
            ErrorKind::LibraryNotFound => {
                "If the vendor's driver is installed, add the folder of its library to LD_LIBRARY_PATH; \
                 without such a device, use a backend that is ready, as the host is."
            }
            ErrorKind::AmbiguousLibrary => {
                "Load only one of the two libraries, or set the variable that the error names to the file to use."
            }
            ErrorKind::SymbolNotFound | ErrorKind::DriverTooOld => {
                "Install a newer driver from the vendor."
            }
            ErrorKind::NoDevice if self.backend == BackendKind::OpenCl => {
                "Check that clinfo lists a device, that this user may open it, and what OCL_ICD_VENDORS names; \
                 without a GPU, PoCL runs OpenCL on the CPU."
            }
            ErrorKind::NoDevice => {
                "Check that the vendor's own tool lists a device, that this user may open it, and that no \
                 *_VISIBLE_DEVICES variable hides it."
            }
            ErrorKind::InvalidOptions => "Correct or unset the variable that the error names.",
            ErrorKind::NotPermitted => "Use the backend in another process; the error says why.",
            ErrorKind::OutOfMemory => "Free the resource that the error names, or raise its limit.",
            _ => "Read the driver's error; the vendor's own tool may say more.",
        })
    }
}

/// Returns `true` if the environment variable is set and not empty.
fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| !value.is_empty())
}

/// Returns the library that the error of a probe names.
fn library_of(error: &AnyError) -> Option<String> {
    #[cfg(feature = "cuda")]
    if let Some(error) = error.downcast_ref::<gpu_stream_cuda::CudaError>() {
        return error.library().map(str::to_owned);
    }
    #[cfg(feature = "hip")]
    if let Some(error) = error.downcast_ref::<gpu_stream_hip::HipError>() {
        return error.library().map(str::to_owned);
    }
    #[cfg(feature = "opencl")]
    if let Some(error) = error.downcast_ref::<gpu_stream_opencl::OpenClError>() {
        return error.library().map(str::to_owned);
    }
    let _ = error;
    None
}

/// One line: `host: ready (default), version 0.1.0, 2 devices`.
impl fmt::Display for Availability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let default = if self.is_default { " (default)" } else { "" };
        match &self.probe {
            Ok(info) => {
                let count = info.devices.len();
                let plural = if count == 1 { "" } else { "s" };
                write!(f, "{}: ready{default}, version {}", self.backend, info.version)?;
                write!(f, ", {count} device{plural}")
            }
            Err(error) => write!(f, "{}: not ready{default}: {error}", self.backend),
        }
    }
}
