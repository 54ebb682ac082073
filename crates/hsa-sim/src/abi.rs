//! The part of HSA's binary interface that the simulator implements.
//!
//! Names are those of the HSA Runtime specification and of AMD's `hsa_ext_amd.h`, in Rust's case. A
//! handle is a `u64` everywhere, because the C structs that hold one are passed in one register.

use std::ffi::c_void;
use std::mem::offset_of;
use std::sync::atomic::AtomicU64;

/// The result of an API call. 0 is success.
pub type Status = u32;
pub const SUCCESS: Status = 0;
pub const ERROR: Status = 0x1000;
pub const INVALID_ARGUMENT: Status = 0x1001;
pub const INVALID_QUEUE_CREATION: Status = 0x1002;
pub const INVALID_ALLOCATION: Status = 0x1003;
pub const INVALID_AGENT: Status = 0x1004;
pub const INVALID_SIGNAL: Status = 0x1006;
pub const INVALID_QUEUE: Status = 0x1007;
pub const OUT_OF_RESOURCES: Status = 0x1008;
pub const NOT_INITIALIZED: Status = 0x100B;
pub const INVALID_ISA: Status = 0x100F;
pub const INVALID_CODE_OBJECT: Status = 0x1010;
pub const INVALID_EXECUTABLE: Status = 0x1011;
pub const INVALID_SYMBOL_NAME: Status = 0x1013;
pub const INVALID_EXECUTABLE_SYMBOL: Status = 0x1019;
pub const INVALID_CODE_OBJECT_READER: Status = 0x1021;
pub const INVALID_MEMORY_POOL: Status = 40;

/// An agent, signal, pool or other object: an opaque number to the caller.
pub type Handle = u64;

pub const CONDITION_EQ: u32 = 0;
pub const CONDITION_NE: u32 = 1;
pub const CONDITION_LT: u32 = 2;

/// Packet types, in the low byte of a packet's header.
pub const PACKET_VENDOR_SPECIFIC: u16 = 0;
pub const PACKET_INVALID: u16 = 1;
pub const PACKET_KERNEL_DISPATCH: u16 = 2;
pub const PACKET_BARRIER_AND: u16 = 3;
pub const PACKET_BARRIER_OR: u16 = 5;

/// The format of AMD's vendor packet that waits for a signal's value (`hsa_amd_packet_type8_t`).
pub const AMD_FORMAT_BARRIER_VALUE: u8 = 2;

/// One packet of an AQL ring. Its header says which field is valid.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub union Packet {
    pub head: PacketHead,
    pub dispatch: KernelDispatch,
    pub barrier: Barrier,
    pub value: BarrierValue,
}

/// The common start of every packet.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct PacketHead {
    pub header: u16,
    /// The vendor's format. Valid in vendor packets only.
    pub amd_format: u8,
}

#[derive(Clone, Copy)]
#[repr(C)]
pub struct KernelDispatch {
    pub header: u16,
    pub setup: u16,
    pub workgroup_size: [u16; 3],
    pub reserved0: u16,
    pub grid_size: [u32; 3],
    pub private_segment_size: u32,
    pub group_segment_size: u32,
    pub kernel_object: u64,
    pub kernarg_address: u64,
    pub reserved2: u64,
    pub completion_signal: Handle,
}

/// A barrier-and or barrier-or packet.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Barrier {
    pub header: u16,
    pub reserved0: u16,
    pub reserved1: u32,
    pub dep_signal: [Handle; 5],
    pub reserved2: u64,
    pub completion_signal: Handle,
}

#[derive(Clone, Copy)]
#[repr(C)]
pub struct BarrierValue {
    pub header: u16,
    pub amd_format: u8,
    pub reserved0: u8,
    pub reserved1: u32,
    pub signal: Handle,
    pub value: i64,
    pub mask: i64,
    pub condition: u32,
    pub reserved2: u32,
    pub reserved3: [u64; 2],
    pub completion_signal: Handle,
}

const _: () = assert!(size_of::<Packet>() == 64);
const _: () = assert!(offset_of!(KernelDispatch, completion_signal) == 56);
const _: () = assert!(offset_of!(Barrier, completion_signal) == 56);
const _: () = assert!(offset_of!(BarrierValue, completion_signal) == 56);

/// `amd_queue_t`, which begins with `hsa_queue_t`. HIP reads the apertures directly from it.
#[repr(C, align(64))]
pub struct AmdQueue {
    pub queue_type: u32,
    pub features: u32,
    pub base_address: *mut Packet,
    pub doorbell_signal: Handle,
    pub size: u32,
    pub reserved0: u32,
    pub id: u64,
    pub reserved1: [u32; 4],
    pub write_dispatch_id: AtomicU64,
    pub group_segment_aperture_base_hi: u32,
    pub private_segment_aperture_base_hi: u32,
    pub max_cu_id: u32,
    pub max_wave_id: u32,
    pub max_legacy_doorbell: u64,
    pub legacy_doorbell_lock: u32,
    pub reserved2: [u32; 9],
    pub read_dispatch_id: AtomicU64,
    pub read_dispatch_id_offset: u32,
    pub rest: [u32; 29],
}

const _: () = assert!(offset_of!(AmdQueue, write_dispatch_id) == 56);
const _: () = assert!(offset_of!(AmdQueue, read_dispatch_id) == 128);
const _: () = assert!(size_of::<AmdQueue>() == 256);

pub const QUEUE_FEATURE_KERNEL_DISPATCH: u32 = 1;

/// `hsa_amd_pointer_info_t`. Older runtimes have a shorter one, as its `size` says.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct PointerInfo {
    pub size: u32,
    pub kind: u32,
    pub agent_base: *mut c_void,
    pub host_base: *mut c_void,
    pub bytes: usize,
    pub user_data: *mut c_void,
    pub owner: Handle,
    pub global_flags: u32,
    pub registered: bool,
}

pub const POINTER_UNKNOWN: u32 = 0;
pub const POINTER_HSA: u32 = 1;
pub const POINTER_LOCKED: u32 = 2;

/// `hsa_pitched_ptr_t`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct PitchedPtr {
    pub base: *mut u8,
    pub pitch: usize,
    pub slice: usize,
}

/// `hsa_dim3_t`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Dim3 {
    pub x: u32,
    pub y: u32,
    pub z: u32,
}

/// The start and end of a dispatch or a copy, in ticks of the system clock, which are nanoseconds
/// here.
#[repr(C)]
pub struct ProfilingTime {
    pub start: u64,
    pub end: u64,
}

/// Declares functions of the API.
///
/// Each is `extern "C"` and compiled as `simulated_hsa_…`. The build script gives the cdylib the
/// name without the prefix. All are unsafe for one reason: only the caller can ensure that pointers
/// and handles meet the HSA specification.
macro_rules! hsa_api {
    ($($(#[$meta:meta])*
       fn $name:ident($($arg:ident: $ty:ty),* $(,)?) -> $ret:ty $body:block)*) => {
        $(
            $(#[$meta])*
            /// # Safety
            ///
            /// Pointers and handles meet the HSA Runtime specification's requirements for this
            /// function.
            #[unsafe(export_name = concat!("simulated_", stringify!($name)))]
            pub unsafe extern "C" fn $name($($arg: $ty),*) -> $ret $body
        )*
    };
}
pub(crate) use hsa_api;

/// Writes a value to the caller's out-pointer. Returns an error if it is null.
///
/// # Safety
///
/// `to` is null or has room for a `T`, at any alignment.
pub unsafe fn write_out<T>(to: *mut c_void, value: T) -> Status {
    if to.is_null() {
        return INVALID_ARGUMENT;
    }
    // SAFETY: `to` is not null, so it has room for a `T` (caller contract).
    unsafe { to.cast::<T>().write_unaligned(value) };
    SUCCESS
}

/// Writes a text of at most `room - 1` bytes and fills the rest with zeros. Returns an error if
/// `to` is null.
///
/// # Safety
///
/// `to` is null or has room for `room` bytes.
pub unsafe fn write_text(to: *mut c_void, room: usize, text: &str) -> Status {
    if to.is_null() {
        return INVALID_ARGUMENT;
    }
    let length = text.len().min(room - 1);
    // SAFETY: `to` is not null, so it has room for `room` bytes (caller contract), and `length` is
    // less.
    unsafe {
        to.cast::<u8>().write_bytes(0, room);
        to.cast::<u8>().copy_from_nonoverlapping(text.as_ptr(), length);
    }
    SUCCESS
}
