//! Why the handler did not do its work, and how XLA learns of it: [`HandlerError`].

use std::ffi::{CString, c_int};
use std::fmt;
use std::io::Write;

use gpu_stream::CudaError;

use crate::xla::{self, Api, CallFrame, ErrorCreateArgs, XlaError, code};

/// Why the handler did not do its work. XLA raises the text in Python, after the name of the [code](Self::code).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandlerError {
    /// A struct of XLA is null, or ends before a field that is needed.
    #[error(
        "{NAME}: XLA's struct for the {what} has {found} bytes, and {needed} are needed; use a jaxlib from 0.5 on"
    )]
    TooShort {
        /// Which struct.
        what: &'static str,
        /// The size that XLA names, 0 for a null pointer.
        found: usize,
        /// The size that is needed.
        needed: usize,
    },
    /// The call frame has no table of functions. Without one, no error can be returned to XLA.
    #[error(
        "{NAME}: XLA's call frame has a null pointer for its table of functions; use another version of jaxlib"
    )]
    NoTable,
    /// The table has a version whose layout is unknown here.
    #[error(
        "{NAME}: XLA's FFI has version {major}.{minor}, and {}.{} to {}.x are known here; use another version of jaxlib, \
         or compare `src/xla.rs` with its header",
        xla::MAJOR,
        xla::MINORS.0,
        xla::MAJOR
    )]
    Version {
        /// The major version of the table.
        major: c_int,
        /// The minor version of the table.
        minor: c_int,
    },
    /// A function of the table is null.
    #[error("{NAME}: XLA's table has no function {name}; use another version of jaxlib")]
    MissingFunction {
        /// The function.
        name: &'static str,
    },
    /// XLA calls the handler in a stage that it does not have.
    #[error(
        "{NAME}: called in stage {found}, and the handler has only {}, execute; register it as `execute`",
        xla::STAGE_EXECUTE
    )]
    Stage {
        /// The stage.
        found: c_int,
    },
    /// There are not one array and one result.
    #[error("{NAME}: called with {found} {what}; pass one array, and name one result of its shape")]
    Count {
        /// What there are too many or too few of.
        what: &'static str,
        /// The number.
        found: i64,
    },
    /// An array cannot be read.
    #[error("{NAME}: the {what} {problem}")]
    Array {
        /// Which array.
        what: &'static str,
        /// What is wrong, and the remedy.
        problem: String,
    },
    /// An attribute is unknown or has a wrong type or value.
    #[error("{NAME}: attribute `{name}` {problem}")]
    Attribute {
        /// The name.
        name: String,
        /// What is wrong, and the remedy.
        problem: String,
    },
    /// XLA has no stream, as on the CPU.
    #[error(
        "{NAME}: XLA has no stream for {bytes} bytes: {reason}; run the function on a CUDA device, as within \
         `jax.default_device(jax.devices(\"cuda\")[0])`"
    )]
    NoStream {
        /// The size of the array.
        bytes: usize,
        /// XLA's own text.
        reason: String,
    },
    /// XLA's stream is null: the default stream, whose device the handle does not tell.
    #[error(
        "{NAME}: XLA_FFI_Stream_Get answered a null stream, which names no device; run the function on a CUDA device"
    )]
    NullStream,
    /// A call of gpu-stream failed.
    #[error("{NAME}: {0}")]
    Stream(#[from] CudaError),
    /// A call of the driver failed.
    #[error("{NAME}: {call} returned {code}; look the code up in `cuda.h`")]
    Driver {
        /// The driver's function.
        call: &'static str,
        /// The code that it returned.
        code: c_int,
    },
    /// The driver has no such function, or cannot be opened.
    #[error("{NAME}: no function {name} in NVIDIA's driver: {reason}; update the driver")]
    DriverFunction {
        /// The driver's function.
        name: &'static str,
        /// Why not.
        reason: String,
    },
    /// The handler panicked, which is a mistake in it. Panics do not reach XLA.
    #[error("{NAME}: the handler panicked: {text}; report this as a bug")]
    Panic {
        /// The panic's message.
        text: String,
    },
}

/// The exported function, which begins each text, also where XLA may capture the call.
const NAME: &str = "gpu_stream_jax_copy";

impl HandlerError {
    /// Returns XLA's code, a number of [`xla::code`].
    pub fn code(&self) -> c_int {
        match self {
            HandlerError::Count { .. }
            | HandlerError::Array { .. }
            | HandlerError::Attribute { .. } => code::INVALID_ARGUMENT,
            HandlerError::TooShort { .. }
            | HandlerError::NoTable
            | HandlerError::Version { .. }
            | HandlerError::MissingFunction { .. }
            | HandlerError::NullStream => code::FAILED_PRECONDITION,
            HandlerError::NoStream { .. } | HandlerError::Stage { .. } => code::UNIMPLEMENTED,
            HandlerError::Stream(_)
            | HandlerError::Driver { .. }
            | HandlerError::DriverFunction { .. }
            | HandlerError::Panic { .. } => code::INTERNAL,
        }
    }

    /// Creates XLA's form of the error. XLA destroys it.
    ///
    /// Without a table that creates errors, prints the text to standard error and returns null, which XLA takes for success:
    /// its interface has no other answer.
    ///
    /// # Safety
    /// - `frame` is null, or a call frame as `c_api.h` describes it.
    pub unsafe fn into_xla(self, frame: *const CallFrame) -> *mut XlaError {
        // SAFETY: the frame is null or a call frame (caller contract).
        let Some(create) = (unsafe { creates_errors(frame) }) else {
            say(format_args!(
                "{self} (XLA has no way to learn of this error, so the result is not written)"
            ));
            return std::ptr::null_mut();
        };
        // A text with a zero byte would end there.
        let message = CString::new(self.to_string().replace('\0', " ")).unwrap_or_default();
        let mut args = ErrorCreateArgs {
            struct_size: size_of::<ErrorCreateArgs>(),
            extension_start: std::ptr::null_mut(),
            message: message.as_ptr(),
            code: self.code(),
        };
        // SAFETY: the function is of XLA's table, and copies the text. The struct lives through the call.
        unsafe { create(&mut args) }
    }
}

/// A function that creates errors.
type ErrorCreate = unsafe extern "C" fn(*mut ErrorCreateArgs) -> *mut XlaError;

/// Returns the table's function that creates errors, if the frame has a table with one.
///
/// Tables of all versions begin alike, so the version is not asked: an unknown one is an error itself.
///
/// # Safety
/// - `frame` is null, or a call frame as `c_api.h` describes it.
unsafe fn creates_errors(frame: *const CallFrame) -> Option<ErrorCreate> {
    const NEEDED: usize = std::mem::offset_of!(CallFrame, api) + size_of::<*const Api>();
    // SAFETY: each struct begins with its size, and a field is read only if the size includes it (caller contract).
    unsafe {
        if frame.is_null() || (&raw const (*frame).struct_size).read() < NEEDED {
            return None;
        }
        let api = (&raw const (*frame).api).read();
        if api.is_null() || (&raw const (*api).struct_size).read() < Api::SIZE_TO_ERRORS {
            return None;
        }
        (&raw const (*api).error_create).read()
    }
}

/// Prints a line to standard error. Unlike `eprintln`, it does not panic if that is closed.
pub(crate) fn say(text: fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
