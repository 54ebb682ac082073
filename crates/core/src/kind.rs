//! The vendor of a backend: [`BackendKind`].

use core::fmt;
use core::str::FromStr;

/// The vendor, or the CPU, that executes a stream.
///
/// ```
/// use gpu_stream_core::BackendKind;
///
/// assert_eq!("rocm".parse(), Ok(BackendKind::Hip)); // the usual other name
/// assert_eq!(BackendKind::Cuda.to_string(), "cuda");
/// assert!("metal".parse::<BackendKind>().is_err());
/// ```
///
/// Every known backend has a variant in every build. The facade's `available()` says which are
/// *compiled in*. A program can name a backend that it was built without, and gets an error that
/// says so.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum BackendKind {
    /// Streams that run closures on CPU threads. Part of every build.
    Host,
    /// NVIDIA, through the CUDA driver API.
    Cuda,
    /// AMD, through the HIP runtime of ROCm.
    Hip,
    /// OpenCL, of any vendor.
    OpenCl,
    /// A backend of another project, with a name of its own (lower case, no spaces).
    Other(&'static str),
}

impl BackendKind {
    /// The backends that this project has, in the order in which reports list them.
    pub const KNOWN: &'static [BackendKind] =
        &[BackendKind::Host, BackendKind::Cuda, BackendKind::Hip, BackendKind::OpenCl];

    /// Returns the lower-case name, as in `cuda:0`, in a cargo feature and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            BackendKind::Host => "host",
            BackendKind::Cuda => "cuda",
            BackendKind::Hip => "hip",
            BackendKind::OpenCl => "opencl",
            BackendKind::Other(name) => name,
        }
    }
}

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The error for a name that no known backend has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no backend has this name: the known ones are host, cuda, hip and opencl")]
pub struct UnknownBackend;

/// Parses `host`, `cuda`, `hip` or `opencl`; also accepts `cpu` and `rocm`, the other usual names.
impl FromStr for BackendKind {
    type Err = UnknownBackend;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "host" | "cpu" => Ok(BackendKind::Host),
            "cuda" => Ok(BackendKind::Cuda),
            "hip" | "rocm" => Ok(BackendKind::Hip),
            "opencl" => Ok(BackendKind::OpenCl),
            _ => Err(UnknownBackend),
        }
    }
}
