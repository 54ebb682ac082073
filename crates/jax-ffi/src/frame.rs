//! Reads XLA's call frame, with every size checked: [`Frame`].

use std::ffi::{CStr, c_int, c_void};

use crate::error::HandlerError;
use crate::xla::{
    self, Api, Attributes, Buffer, Buffers, CallFrame, ErrorDestroyArgs, ErrorDetailsArgs,
    Metadata, MetadataExtension, StreamGetArgs, XlaError,
};

type StreamGet = unsafe extern "C" fn(*mut StreamGetArgs) -> *mut XlaError;
type ErrorDetails = unsafe extern "C" fn(*mut ErrorDetailsArgs);
type ErrorDestroy = unsafe extern "C" fn(*mut ErrorDestroyArgs);

/// A call frame whose size, table and version have been checked.
pub struct Frame<'f> {
    frame: &'f CallFrame,
    stream_get: StreamGet,
    error_details: ErrorDetails,
    error_destroy: ErrorDestroy,
}

/// The memory of an array.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Array {
    /// The address on the device.
    pub address: u64,
    /// The size in bytes.
    pub bytes: usize,
}

impl<'f> Frame<'f> {
    /// Checks a frame. Answers XLA's question for the metadata, with `traits`, and then returns `None`.
    ///
    /// # Errors
    /// An error for a frame, a table or a question that is null, too short or of an unknown version, and for another stage
    /// than that of the execution.
    ///
    /// # Safety
    /// - `frame` is null, or a call frame as `c_api.h` describes it. It, its table and what it points to are valid for reads
    ///   until `'f` ends.
    /// - The struct of a question for the metadata is valid for writes.
    pub unsafe fn check(
        frame: *const CallFrame,
        traits: u32,
    ) -> Result<Option<Self>, HandlerError> {
        // SAFETY: the frame is null, or begins with its size (caller contract).
        let found = if frame.is_null() { 0 } else { unsafe { (*frame).struct_size } };
        ensure_size("call frame", found, CallFrame::SIZE)?;
        // SAFETY: the frame has all fields, as its size says.
        let frame = unsafe { &*frame };
        // SAFETY: extensions begin with their kind (caller contract).
        let kind = unsafe { frame.extension_start.as_ref() }.map(|extension| extension.kind);
        if kind == Some(xla::EXTENSION_METADATA) {
            let question = frame.extension_start.cast::<MetadataExtension>();
            // SAFETY: the extension's kind names this type. The table is null or valid (caller contract).
            return unsafe { answer_metadata(question, frame.api, traits) }.map(|()| None);
        }
        if frame.api.is_null() {
            return Err(HandlerError::NoTable);
        }
        // SAFETY: the table is not null and begins with its size (caller contract).
        let found = unsafe { (&raw const (*frame.api).struct_size).read() };
        if found >= Api::SIZE_TO_VERSION {
            // SAFETY: the table has a version, as its size says.
            let (major, minor) =
                unsafe { ((*frame.api).version.major, (*frame.api).version.minor) };
            if major != xla::MAJOR || minor < xla::MINORS.0 {
                return Err(HandlerError::Version { major, minor });
            }
        }
        ensure_size("table of functions", found, Api::SIZE)?;
        // SAFETY: the table has all fields, as its size and its version say.
        let api = unsafe { &*frame.api };
        ensure_present("XLA_FFI_Error_Create", api.error_create)?;
        let checked = Frame {
            frame,
            stream_get: ensure_present("XLA_FFI_Stream_Get", api.stream_get)?,
            error_details: ensure_present("XLA_FFI_Error_GetDetails", api.error_details)?,
            error_destroy: ensure_present("XLA_FFI_Error_Destroy", api.error_destroy)?,
        };
        if frame.stage != xla::STAGE_EXECUTE {
            return Err(HandlerError::Stage { found: frame.stage });
        }
        for (what, list) in [("arguments", &frame.args), ("results", &frame.rets)] {
            ensure_size(what, list.struct_size, size_of::<Buffers>())?;
        }
        ensure_size("attributes", frame.attrs.struct_size, size_of::<Attributes>())?;
        Ok(Some(checked))
    }

    /// Returns the only array of the call.
    ///
    /// # Errors
    /// An error if there is another number of arrays, or if its size is unknown.
    pub fn argument(&self) -> Result<Array, HandlerError> {
        only(&self.frame.args, "argument", "arguments")
    }

    /// Returns the only result of the call.
    ///
    /// # Errors
    /// As [`argument`](Self::argument).
    pub fn result(&self) -> Result<Array, HandlerError> {
        only(&self.frame.rets, "result", "results")
    }

    /// Returns the attributes, whose values must be of type `int32`.
    ///
    /// # Errors
    /// An error for another type.
    pub fn attributes(&self) -> Result<Vec<(String, i32)>, HandlerError> {
        let attributes = &self.frame.attrs;
        let count = usize::try_from(attributes.size).unwrap_or_default();
        let read = |index: usize| {
            // SAFETY: XLA's arrays have `size` items, and each name is a span of bytes that lives as long as the frame.
            let name = unsafe {
                let span = &**attributes.names.add(index);
                if span.len == 0 {
                    &[]
                } else {
                    std::slice::from_raw_parts(span.ptr.cast::<u8>(), span.len)
                }
            };
            let name = String::from_utf8_lossy(name).into_owned();
            // SAFETY: XLA's arrays have `size` items, and an item of this kind points to a scalar.
            let scalar = unsafe {
                let is_scalar = *attributes.types.add(index) == xla::SCALAR;
                is_scalar.then(|| &*(*attributes.items.add(index)).cast::<xla::Scalar>())
            };
            match scalar {
                Some(scalar) if scalar.dtype == xla::S32 => {
                    // SAFETY: a scalar of this type points to four bytes.
                    Ok((name, unsafe { scalar.value.cast::<i32>().read_unaligned() }))
                }
                _ => {
                    let problem = "is no 32-bit integer; pass `numpy.int32(…)`".into();
                    Err(HandlerError::Attribute { name, problem })
                }
            }
        };
        (0..count).map(read).collect()
    }

    /// Returns the handle of the execution stream. `bytes` is the size of the array, for the error's text.
    ///
    /// # Errors
    /// [`NoStream`](HandlerError::NoStream) if XLA has none, as on the CPU, and [`NullStream`](HandlerError::NullStream).
    pub fn stream(&self, bytes: usize) -> Result<*mut c_void, HandlerError> {
        let mut args = StreamGetArgs {
            struct_size: size_of::<StreamGetArgs>(),
            extension_start: std::ptr::null_mut(),
            ctx: self.frame.ctx,
            stream: std::ptr::null_mut(),
        };
        // SAFETY: the function is of XLA's table, gets the context of its own frame, and writes into a live struct.
        let error = unsafe { (self.stream_get)(&mut args) };
        if !error.is_null() {
            // SAFETY: the function has returned the error, which is used no more.
            return Err(HandlerError::NoStream { bytes, reason: unsafe { self.take_text(error) } });
        }
        if args.stream.is_null() { Err(HandlerError::NullStream) } else { Ok(args.stream) }
    }

    /// Returns the text of an error, and destroys it.
    ///
    /// # Safety
    /// - `error` was returned by a function of this frame's table, and is not used afterwards.
    unsafe fn take_text(&self, error: *mut XlaError) -> String {
        // The struct of version 0.4, which older versions take for theirs: it is longer by a field that they leave alone.
        let mut details = ErrorDetailsArgs {
            struct_size: size_of::<ErrorDetailsArgs>(),
            extension_start: std::ptr::null_mut(),
            error,
            message: std::ptr::null(),
            code: 0,
        };
        let mut destroy = ErrorDestroyArgs {
            struct_size: size_of::<ErrorDestroyArgs>(),
            extension_start: std::ptr::null_mut(),
            error,
        };
        // SAFETY: the error belongs to the same table as the functions (caller contract), and the structs live through the
        // calls. The text is a C string that lives as long as the error, and is copied before.
        unsafe {
            (self.error_details)(&mut details);
            let text = if details.message.is_null() {
                "no reason".into()
            } else {
                CStr::from_ptr(details.message).to_string_lossy().into_owned()
            };
            (self.error_destroy)(&mut destroy);
            text
        }
    }
}

/// Writes the newest version that XLA and this handler both know, and the handler's traits.
///
/// # Safety
/// - `question` is an extension of this type, whose struct for the metadata is null or valid for writes.
/// - `api` is null or a table.
unsafe fn answer_metadata(
    question: *mut MetadataExtension,
    api: *const Api,
    traits: u32,
) -> Result<(), HandlerError> {
    // SAFETY: a field is read only if its struct's size includes it (caller contract).
    unsafe {
        let found = (*question).base.struct_size;
        ensure_size("question for the metadata", found, size_of::<MetadataExtension>())?;
        let metadata = (*question).metadata;
        let found = if metadata.is_null() { 0 } else { (*metadata).struct_size };
        ensure_size("metadata", found, Metadata::SIZE)?;
        let (oldest, newest) = xla::MINORS;
        let has_version = !api.is_null() && (*api).struct_size >= Api::SIZE_TO_VERSION;
        let minor = if has_version { (*api).version.minor } else { oldest };
        (*metadata).version.struct_size = size_of::<xla::Version>();
        (*metadata).version.major = xla::MAJOR;
        (*metadata).version.minor = minor.clamp(oldest, newest);
        (*metadata).traits = traits;
    }
    Ok(())
}

/// Returns the only array of a list.
fn only(list: &Buffers, what: &'static str, plural: &'static str) -> Result<Array, HandlerError> {
    if list.size != 1 {
        return Err(HandlerError::Count { what: plural, found: list.size });
    }
    let fails = |problem: String| HandlerError::Array { what, problem };
    // SAFETY: the list has an item, as its size says, and a buffer is one of XLA that lives as long as the frame.
    let buffer = unsafe {
        if *list.types != xla::BUFFER {
            return Err(fails(format!("is of kind {}, and no array; pass an array", *list.types)));
        }
        &*(*list.items).cast::<Buffer>()
    };
    ensure_size(what, buffer.struct_size, size_of::<Buffer>())?;
    let rank = usize::try_from(buffer.rank).unwrap_or_default();
    let dims = if rank == 0 {
        &[]
    } else {
        // SAFETY: a buffer has as many dimensions as its rank.
        unsafe { std::slice::from_raw_parts(buffer.dims, rank) }
    };
    let size = size_of_type(buffer.dtype).ok_or_else(|| {
        fails(format!("has elements of XLA's type {}; pass whole bytes, as float32", buffer.dtype))
    })?;
    let bytes = dims.iter().try_fold(size, |bytes, &dim| bytes.checked_mul(dim.try_into().ok()?));
    let bytes =
        bytes.ok_or_else(|| fails(format!("has the shape {dims:?}; pass a smaller array")))?;
    Ok(Array { address: buffer.data.expose_provenance() as u64, bytes })
}

/// Returns an error unless a struct has the size that is needed.
fn ensure_size(what: &'static str, found: usize, needed: usize) -> Result<(), HandlerError> {
    if found < needed { Err(HandlerError::TooShort { what, found, needed }) } else { Ok(()) }
}

/// Returns a function of the table, or an error if it is null.
fn ensure_present<F>(name: &'static str, function: Option<F>) -> Result<F, HandlerError> {
    function.ok_or(HandlerError::MissingFunction { name })
}

/// Returns the size of an element, a number of `XLA_FFI_DataType`, if it is of whole bytes.
fn size_of_type(dtype: c_int) -> Option<usize> {
    match dtype {
        1 | 2 | 6 => Some(1),         // PRED, S8, U8
        3 | 7 | 10 | 16 => Some(2),   // S16, U16, F16, BF16
        xla::S32 | 8 | 11 => Some(4), // U32, F32
        5 | 9 | 12 | 15 => Some(8),   // S64, U64, F64, C64
        18 => Some(16),               // C128
        _ => None,
    }
}
