//! A fake of XLA: its table of functions, and the frame of a call.

use std::ffi::{CStr, CString, c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use gpu_stream_jax_ffi::gpu_stream_jax_copy;
use gpu_stream_jax_ffi::xla::{
    self, Api, Attributes, Buffer, Buffers, ByteSpan, CallFrame, Context, ErrorCreateArgs,
    ErrorDestroyArgs, ErrorDetailsArgs, Metadata, MetadataExtension, Scalar, StreamGetArgs,
    Version, XlaError,
};

/// What `XLA_FFI_Stream_Get` of the fake answers.
pub type Answer = Result<*mut c_void, &'static CStr>;

/// The fake's form of an error.
struct FakeError {
    code: c_int,
    message: CString,
}

/// The number of errors that exist. One that the handler forgets stays.
static ERRORS: AtomicUsize = AtomicUsize::new(0);

fn new_error(code: c_int, message: CString) -> *mut XlaError {
    ERRORS.fetch_add(1, Ordering::SeqCst);
    Box::into_raw(Box::new(FakeError { code, message })).cast()
}

unsafe extern "C" fn error_create(args: *mut ErrorCreateArgs) -> *mut XlaError {
    // SAFETY: the handler passes a struct of this type, with a C string.
    let (args, message) = unsafe { (&*args, CStr::from_ptr((*args).message)) };
    assert!(args.struct_size >= 28 && args.extension_start.is_null());
    new_error(args.code, message.into())
}

/// Writes the code as well if `HAS_CODE`, as since version 0.4. Older versions do not know the field.
unsafe extern "C" fn error_details<const HAS_CODE: bool>(args: *mut ErrorDetailsArgs) {
    // SAFETY: the handler passes a struct of this type, with an error of this fake.
    unsafe {
        let error = &*(*args).error.cast::<FakeError>();
        assert!((*args).struct_size >= if HAS_CODE { 36 } else { 32 });
        (*args).message = error.message.as_ptr();
        if HAS_CODE {
            (*args).code = error.code;
        }
    }
}

unsafe extern "C" fn error_destroy(args: *mut ErrorDestroyArgs) {
    // SAFETY: the caller passes an error of this fake, and uses it no more.
    drop(unsafe { Box::from_raw((*args).error.cast::<FakeError>()) });
    ERRORS.fetch_sub(1, Ordering::SeqCst);
}

unsafe extern "C" fn stream_get(args: *mut StreamGetArgs) -> *mut XlaError {
    // SAFETY: the handler passes a struct of this type, with the context of its frame.
    let answer = unsafe {
        assert!((*args).struct_size >= 32);
        *(*args).ctx.cast::<Answer>()
    };
    match answer {
        Ok(stream) => {
            // SAFETY: the struct is the handler's own.
            unsafe { (*args).stream = stream };
            ptr::null_mut()
        }
        Err(text) => new_error(xla::code::UNIMPLEMENTED, text.into()),
    }
}

/// Returns a table of version 0.`minor`.
pub fn table(minor: c_int) -> Api {
    Api {
        struct_size: size_of::<Api>(),
        extension_start: ptr::null_mut(),
        version: Version {
            struct_size: size_of::<Version>(),
            extension_start: ptr::null_mut(),
            major: 0,
            minor,
        },
        internal: ptr::null(),
        error_create: Some(error_create),
        error_details: Some(if minor < 4 { error_details::<false> } else { error_details::<true> }),
        error_destroy: Some(error_destroy),
        handler_register: ptr::null(),
        stream_get: Some(stream_get),
    }
}

/// An array: its address, and its shape.
#[derive(Clone)]
pub struct FakeArray {
    pub address: u64,
    pub dtype: c_int,
    pub dims: Vec<i64>,
}

impl FakeArray {
    /// Returns an array of `shape` words of 32 bits.
    pub fn words(address: u64, shape: &[i64]) -> Self {
        FakeArray { address, dtype: xla::S32, dims: shape.into() }
    }
}

/// A call of the handler, whose parts a test may change.
pub struct Call {
    pub table: Option<Api>,
    pub answer: Answer,
    pub args: Vec<FakeArray>,
    pub rets: Vec<FakeArray>,
    pub attributes: Vec<(&'static str, i32)>,
    pub attribute_dtype: c_int,
    pub frame_size: usize,
    pub list_size: usize,
    pub attributes_size: usize,
    pub buffer_size: usize,
    pub buffer_kind: c_int,
    pub stage: c_int,
}

/// XLA's code of an error, and its text.
pub type Raised = (c_int, String);

impl Call {
    /// Returns a call that copies `from` to `to`, with the newest table.
    pub fn new(stream: *mut c_void, from: FakeArray, to: FakeArray) -> Self {
        Call {
            table: Some(table(xla::MINORS.1)),
            answer: Ok(stream),
            args: vec![from],
            rets: vec![to],
            attributes: Vec::new(),
            attribute_dtype: xla::S32,
            frame_size: CallFrame::SIZE,
            list_size: size_of::<Buffers>(),
            attributes_size: size_of::<Attributes>(),
            buffer_size: size_of::<Buffer>(),
            buffer_kind: xla::BUFFER,
            stage: xla::STAGE_EXECUTE,
        }
    }

    /// Calls `with` with the frame.
    pub fn frame<T>(&self, with: impl FnOnce(*mut CallFrame) -> T) -> T {
        let buffers: Vec<Buffer> = [&self.args, &self.rets]
            .into_iter()
            .flatten()
            .map(|array| Buffer {
                struct_size: self.buffer_size,
                extension_start: ptr::null_mut(),
                dtype: array.dtype,
                data: ptr::with_exposed_provenance_mut(array.address as usize),
                rank: array.dims.len() as i64,
                dims: array.dims.as_ptr(),
            })
            .collect();
        let items: Vec<_> = buffers.iter().map(|b| (&raw const *b).cast_mut().cast()).collect();
        let kinds = vec![self.buffer_kind; items.len()];
        let list = |range: std::ops::Range<usize>| Buffers {
            struct_size: self.list_size,
            extension_start: ptr::null_mut(),
            size: range.len() as i64,
            types: kinds[range.clone()].as_ptr(),
            items: items[range].as_ptr(),
        };
        let names: Vec<_> = self
            .attributes
            .iter()
            .map(|(name, _)| ByteSpan { ptr: name.as_ptr().cast(), len: name.len() })
            .collect();
        let scalars: Vec<_> = self
            .attributes
            .iter()
            .map(|(_, value)| Scalar {
                dtype: self.attribute_dtype,
                value: (&raw const *value).cast(),
            })
            .collect();
        let name_pointers: Vec<_> = names.iter().map(|name| &raw const *name).collect();
        let scalar_pointers: Vec<*mut c_void> =
            scalars.iter().map(|s| (&raw const *s).cast_mut().cast()).collect();
        let scalar_kinds = vec![xla::SCALAR; scalars.len()];
        let (split, end) = (self.args.len(), items.len());
        let mut frame = CallFrame {
            struct_size: self.frame_size,
            extension_start: ptr::null_mut(),
            api: self.table.as_ref().map_or(ptr::null(), |table| &raw const *table),
            ctx: (&raw const self.answer).cast_mut().cast::<Context>(),
            stage: self.stage,
            args: list(0..split),
            rets: list(split..end),
            attrs: Attributes {
                struct_size: self.attributes_size,
                extension_start: ptr::null_mut(),
                size: scalars.len() as i64,
                types: scalar_kinds.as_ptr(),
                names: name_pointers.as_ptr(),
                items: scalar_pointers.as_ptr(),
            },
        };
        with(&mut frame)
    }

    /// Calls the handler as XLA does.
    ///
    /// # Panics
    /// If an error stays that the handler should have destroyed.
    pub fn run(&self) -> Result<(), Raised> {
        // SAFETY: the fake's frame is valid, and the tests' memory is never freed.
        let error = self.frame(|frame| unsafe { gpu_stream_jax_copy(frame) });
        if error.is_null() {
            assert_eq!(ERRORS.load(Ordering::SeqCst), 0, "errors stay");
            return Ok(());
        }
        // SAFETY: a handler's error is one that this fake's table has created, and is used no more.
        let error = unsafe { Box::from_raw(error.cast::<FakeError>()) };
        assert_eq!(ERRORS.fetch_sub(1, Ordering::SeqCst), 1, "errors stay");
        Err((error.code, error.message.into_string().expect("UTF-8")))
    }
}

/// A handler as XLA knows it.
pub type Handler = unsafe extern "C" fn(*mut CallFrame) -> *mut XlaError;

/// The version and the traits that a handler answers.
pub type Answered = (c_int, c_int, u32);

/// Asks the handler for its metadata. `sizes` are those of the question and of the struct for the metadata.
pub fn ask_metadata(api: Option<&Api>, sizes: [usize; 2]) -> Result<Answered, Raised> {
    ask_metadata_of(gpu_stream_jax_copy, api, sizes)
}

/// Asks any handler for its metadata.
pub fn ask_metadata_of(
    handler: Handler,
    api: Option<&Api>,
    sizes: [usize; 2],
) -> Result<Answered, Raised> {
    let mut metadata = Metadata {
        struct_size: sizes[1],
        version: Version { struct_size: 0, extension_start: ptr::null_mut(), major: -1, minor: -1 },
        traits: 77,
    };
    let mut extension = MetadataExtension {
        base: xla::Extension {
            struct_size: sizes[0],
            kind: xla::EXTENSION_METADATA,
            next: ptr::null_mut(),
        },
        metadata: &mut metadata,
    };
    let call = Call::new(ptr::null_mut(), FakeArray::words(0, &[]), FakeArray::words(0, &[]));
    let error = call.frame(|frame| {
        // SAFETY: the fake's frame and the extension are valid.
        unsafe {
            (*frame).api = api.map_or(ptr::null(), |api| &raw const *api);
            (*frame).extension_start = (&raw mut extension).cast();
            handler(frame)
        }
    });
    if error.is_null() {
        return Ok((metadata.version.major, metadata.version.minor, metadata.traits));
    }
    // SAFETY: the error is one that this fake's table has created, and is used no more.
    let error = unsafe { Box::from_raw(error.cast::<FakeError>()) };
    ERRORS.fetch_sub(1, Ordering::SeqCst);
    Err((error.code, error.message.into_string().expect("UTF-8")))
}
