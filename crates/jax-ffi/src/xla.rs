//! The part of XLA's C interface that the handler uses: `xla/ffi/api/c_api.h`, in `jax.ffi.include_dir()`.
//!
//! The layouts were compared in the headers of jaxlib 0.5.3 and 0.7.2 (version 0.1 of the interface), 0.10.2 (0.3) and
//! 0.11.2 (0.4). All fields below are the same in them. Each struct begins with its size, which tells what its maker
//! knows of it.

use std::ffi::{c_char, c_int, c_void};

/// The major version whose layouts these are: `XLA_FFI_API_MAJOR`.
pub const MAJOR: c_int = 0;

/// The oldest and the newest minor version whose header was compared: `XLA_FFI_API_MINOR`.
pub const MINORS: (c_int, c_int) = (1, 4);

/// `XLA_FFI_Extension_Metadata`.
pub const EXTENSION_METADATA: c_int = 1;

/// `XLA_FFI_ExecutionStage_EXECUTE`.
pub const STAGE_EXECUTE: c_int = 3;

/// `XLA_FFI_ArgType_BUFFER` and `XLA_FFI_RetType_BUFFER`.
pub const BUFFER: c_int = 1;

/// `XLA_FFI_AttrType_SCALAR`.
pub const SCALAR: c_int = 3;

/// `XLA_FFI_DataType_S32`.
pub const S32: c_int = 4;

/// `XLA_FFI_HANDLER_TRAITS_COMMAND_BUFFER_COMPATIBLE`: XLA may capture a call into a graph, and launch that instead.
pub const COMMAND_BUFFER_COMPATIBLE: u32 = 1;

/// Codes of errors: `XLA_FFI_Error_Code`.
pub mod code {
    use std::ffi::c_int;

    /// `XLA_FFI_Error_Code_INVALID_ARGUMENT`.
    pub const INVALID_ARGUMENT: c_int = 3;
    /// `XLA_FFI_Error_Code_FAILED_PRECONDITION`.
    pub const FAILED_PRECONDITION: c_int = 9;
    /// `XLA_FFI_Error_Code_UNIMPLEMENTED`.
    pub const UNIMPLEMENTED: c_int = 12;
    /// `XLA_FFI_Error_Code_INTERNAL`.
    pub const INTERNAL: c_int = 13;
}

/// An error of XLA, which only XLA's functions read: `XLA_FFI_Error`.
#[repr(C)]
#[derive(Debug)]
pub struct XlaError {
    _opaque: [u8; 0],
}

/// What XLA knows of the current execution: `XLA_FFI_ExecutionContext`, since 0.4 `XLA_FFI_InvokeContext`.
#[repr(C)]
#[derive(Debug)]
pub struct Context {
    _opaque: [u8; 0],
}

/// `XLA_FFI_Extension_Base`, since 0.4 `XLA_FFI_InternalExtension`.
#[repr(C)]
#[derive(Debug)]
#[allow(missing_docs, reason = "the fields of the header")]
pub struct Extension {
    pub struct_size: usize,
    pub kind: c_int,
    pub next: *mut Extension,
}

/// `XLA_FFI_Api_Version`.
#[repr(C)]
#[derive(Debug)]
#[allow(missing_docs, reason = "the fields of the header")]
pub struct Version {
    pub struct_size: usize,
    pub extension_start: *mut Extension,
    pub major: c_int,
    pub minor: c_int,
}

/// Declares the structs of arguments that begin with a size and extensions.
macro_rules! structs {
    ($($(#[$docs:meta])* $name:ident { $($field:ident: $type:ty,)* })*) => {$(
        $(#[$docs])*
        #[repr(C)]
        #[derive(Debug)]
        #[allow(missing_docs, reason = "the fields of the header")]
        pub struct $name {
            pub struct_size: usize,
            pub extension_start: *mut Extension,
            $(pub $field: $type,)*
        }
    )*};
}

structs! {
    /// `XLA_FFI_Error_Create_Args`.
    ErrorCreateArgs { message: *const c_char, code: c_int, }

    /// `XLA_FFI_Error_GetDetails_Args` of 0.4. Older versions call it `XLA_FFI_Error_GetMessage_Args`, and have no code.
    ErrorDetailsArgs { error: *mut XlaError, message: *const c_char, code: c_int, }

    /// `XLA_FFI_Error_Destroy_Args`.
    ErrorDestroyArgs { error: *mut XlaError, }

    /// `XLA_FFI_Stream_Get_Args`.
    StreamGetArgs { ctx: *mut Context, stream: *mut c_void, }

    /// `XLA_FFI_Buffer`.
    Buffer { dtype: c_int, data: *mut c_void, rank: i64, dims: *const i64, }

    /// `XLA_FFI_Args`, and `XLA_FFI_Rets`, which has the same layout.
    Buffers { size: i64, types: *const c_int, items: *const *mut c_void, }

    /// `XLA_FFI_Attrs`. XLA sorts them by name.
    Attributes {
        size: i64,
        types: *const c_int,
        names: *const *const ByteSpan,
        items: *const *mut c_void,
    }

    /// `XLA_FFI_CallFrame`.
    CallFrame {
        api: *const Api,
        ctx: *mut Context,
        stage: c_int,
        args: Buffers,
        rets: Buffers,
        attrs: Attributes,
    }

    /// `XLA_FFI_Api`, up to the last function that the handler calls.
    Api {
        version: Version,
        internal: *const c_void,
        error_create: Option<unsafe extern "C" fn(*mut ErrorCreateArgs) -> *mut XlaError>,
        error_details: Option<unsafe extern "C" fn(*mut ErrorDetailsArgs)>,
        error_destroy: Option<unsafe extern "C" fn(*mut ErrorDestroyArgs)>,
        handler_register: *const c_void,
        stream_get: Option<unsafe extern "C" fn(*mut StreamGetArgs) -> *mut XlaError>,
    }
}

/// `XLA_FFI_ByteSpan`: text without a terminator.
#[repr(C)]
#[derive(Debug)]
#[allow(missing_docs, reason = "the fields of the header")]
pub struct ByteSpan {
    pub ptr: *const c_char,
    pub len: usize,
}

/// `XLA_FFI_Scalar`.
#[repr(C)]
#[derive(Debug)]
#[allow(missing_docs, reason = "the fields of the header")]
pub struct Scalar {
    pub dtype: c_int,
    pub value: *const c_void,
}

/// `XLA_FFI_Metadata`, without the type of a state, which version 0.1 lacks and this handler has not.
#[repr(C)]
#[derive(Debug)]
#[allow(missing_docs, reason = "the fields of the header")]
pub struct Metadata {
    pub struct_size: usize,
    pub version: Version,
    pub traits: u32,
}

/// `XLA_FFI_Metadata_Extension`: how XLA asks a handler for its version when the handler is registered.
#[repr(C)]
#[derive(Debug)]
#[allow(missing_docs, reason = "the fields of the header")]
pub struct MetadataExtension {
    pub base: Extension,
    pub metadata: *mut Metadata,
}

/// Returns the size of a struct up to its last field, which is what the header calls its size.
macro_rules! size_through {
    ($struct:ident, $last:ident, $type:ty) => {
        std::mem::offset_of!($struct, $last) + size_of::<$type>()
    };
}

impl CallFrame {
    /// The size up to `attrs`, as the header has it. A field for asynchronous results follows.
    pub const SIZE: usize = size_through!(CallFrame, attrs, Attributes);
}

impl Api {
    /// The size up to the version.
    pub const SIZE_TO_VERSION: usize = size_through!(Api, version, Version);
    /// The size up to the function that creates errors.
    pub const SIZE_TO_ERRORS: usize = size_through!(Api, error_create, *const c_void);
    /// The size up to the last function that the handler calls.
    pub const SIZE: usize = size_through!(Api, stream_get, *const c_void);
}

impl Metadata {
    /// The size up to `traits`, as the header of version 0.1 has it.
    pub const SIZE: usize = size_through!(Metadata, traits, u32);
}

// The sizes that a C compiler gives on 64 bits, and where the tables' later fields are.
#[cfg(target_pointer_width = "64")]
const _: () = {
    assert!(size_of::<Extension>() == 24 && size_of::<Version>() == 24);
    assert!(size_of::<ErrorCreateArgs>() == 32 && size_of::<ErrorDetailsArgs>() == 40);
    assert!(size_of::<ErrorDestroyArgs>() == 24 && size_of::<StreamGetArgs>() == 32);
    assert!(size_of::<Buffer>() == 48 && size_of::<Buffers>() == 40);
    assert!(size_of::<Attributes>() == 48 && size_of::<MetadataExtension>() == 32);
    assert!(size_of::<ByteSpan>() == 16 && size_of::<Scalar>() == 16 && Metadata::SIZE == 36);
    assert!(CallFrame::SIZE == 168 && std::mem::offset_of!(CallFrame, args) == 40);
    assert!(Api::SIZE_TO_VERSION == 40 && Api::SIZE_TO_ERRORS == 56 && Api::SIZE == 88);
};
