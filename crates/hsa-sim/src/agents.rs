//! The simulated machine: one CPU and the configured number of GPUs.

use std::ffi::{CStr, c_char, c_void};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::abi::*;
use crate::clock;
use crate::config::config;
use crate::handlers;
use crate::memory::{self, Pool};
use crate::queues;
use crate::trace::{trace, trace_line};

/// A processor of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agent {
    Cpu,
    Gpu(usize),
}

/// The number of starts of the runtime, minus the number of ends.
static STARTED: AtomicUsize = AtomicUsize::new(0);

/// The handle of the CPU. The GPUs follow from [`FIRST_GPU`].
const CPU: Handle = 1;
const FIRST_GPU: Handle = 100;

/// The properties of a simulated GPU. They are a Radeon RX 6800's, so that HIP finds what it
/// expects of a gfx1030. They cost no memory and no time.
pub const ARCHITECTURE: &str = "gfx1030";
const ISA_NAME: &str = "amdgcn-amd-amdhsa--gfx1030";
const ISA: Handle = 7;
const PRODUCT: &str = "simulated gfx1030 (no GPU)";
pub const COMPUTE_UNITS: u32 = 60;
pub const WAVES_PER_CU: u32 = 32;
const CHIP_ID: u32 = 0x73BF;

impl Agent {
    /// Returns the agent that a handle names. Returns `None` if there is none.
    pub fn of(handle: Handle) -> Option<Agent> {
        match handle {
            CPU => Some(Agent::Cpu),
            _ => {
                let index = usize::try_from(handle.checked_sub(FIRST_GPU)?).ok()?;
                (index < gpus()).then_some(Agent::Gpu(index))
            }
        }
    }

    /// Returns the agent's handle.
    pub fn handle(self) -> Handle {
        match self {
            Agent::Cpu => CPU,
            Agent::Gpu(index) => FIRST_GPU + index as Handle,
        }
    }

    /// Returns `true` if the agent executes packets.
    pub fn is_gpu(self) -> bool {
        self != Agent::Cpu
    }

    /// Returns the agent's number among all agents.
    fn node(self) -> u32 {
        match self {
            Agent::Cpu => 0,
            Agent::Gpu(index) => index as u32 + 1,
        }
    }
}

impl fmt::Display for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Agent::Cpu => f.write_str("cpu"),
            Agent::Gpu(index) => write!(f, "gpu{index}"),
        }
    }
}

/// Returns the number of GPUs.
pub fn gpus() -> usize {
    config().as_ref().map_or(0, |config| config.gpus)
}

/// Returns all agents, the CPU first.
fn all() -> impl Iterator<Item = Agent> {
    std::iter::once(Agent::Cpu).chain((0..gpus()).map(Agent::Gpu))
}

/// Writes a property of an agent. Returns `None` if the attribute is unknown.
///
/// # Safety
///
/// `to` has room for the type that HSA defines for this attribute.
unsafe fn write_attribute(agent: Agent, attribute: u32, to: *mut c_void) -> Option<Status> {
    let gpu = agent.is_gpu();
    let node = agent.node();
    // SAFETY: `to` has room for the attribute's type (caller contract), and each arm below writes
    // that type.
    let number = |value: u32| unsafe { write_out(to, value) };
    // SAFETY: `to` has room for the attribute's type, a `u16` (caller contract).
    let short = |value: u16| unsafe { write_out(to, value) };
    // SAFETY: `to` has room for the attribute's type, a text of 64 bytes (caller contract).
    let text = |words: &str| unsafe { write_text(to, 64, words) };
    Some(match attribute {
        0 if gpu => text(ARCHITECTURE),
        0 => text("CPU"),
        1 => text(if gpu { "AMD" } else { "CPU" }),
        2 => number(1),                       // FEATURE: kernel dispatch
        3 => number(1),                       // MACHINE_MODEL: large
        4 => number(if gpu { 0 } else { 1 }), // PROFILE: base, full
        5 | 23 => number(2),                  // DEFAULT_FLOAT_ROUNDING_MODE: near
        24 => number(gpu.into()),             // FAST_F16_OPERATION, a byte among zeros
        6 => number(32),                      // WAVEFRONT_SIZE
        // SAFETY: the attribute's type is three `u16`s.
        7 => unsafe { write_out(to, [1024u16; 3]) },
        8 => number(1024), // WORKGROUP_MAX_SIZE
        // SAFETY: the attribute's type is `hsa_dim3_t`.
        9 => unsafe { write_out(to, [i32::MAX as u32, u16::MAX.into(), u16::MAX.into()]) },
        10 => number(u32::MAX), // GRID_MAX_SIZE
        11 => number(32),       // FBARRIER_MAX_SIZE
        12 => number(128),      // QUEUES_MAX
        13 => number(queues::MIN_SIZE),
        14 => number(queues::MAX_SIZE),
        15 => number(0), // QUEUE_TYPE: many producers
        16 => number(node),
        17 => number(gpu.into()), // DEVICE: 0 CPU, 1 GPU
        // SAFETY: the attribute's type is four `u32`s.
        18 => unsafe { write_out(to, [16 << 10, 4 << 20, 128 << 20, 0u32]) },
        // SAFETY: the attribute's type is a handle.
        19 => unsafe { write_out(to, ISA) },
        // SAFETY: the attribute's type is 128 bytes, with a bit for each extension. There are none.
        20 => unsafe { write_out(to, [0u8; 128]) },
        21 | 22 => short(1), // VERSION_MAJOR, VERSION_MINOR
        // SAFETY: `to` has room for the attribute's type (caller contract).
        _ => return unsafe { write_amd_attribute(agent, attribute, to) },
    })
}

/// Writes a property of AMD's extension. Returns `None` if the attribute is unknown.
///
/// # Safety
///
/// `to` has room for the type that AMD defines for this attribute.
unsafe fn write_amd_attribute(agent: Agent, attribute: u32, to: *mut c_void) -> Option<Status> {
    let gpu = agent.is_gpu();
    let node = agent.node();
    // SAFETY: `to` has room for the attribute's type (caller contract), and each arm below writes
    // that type.
    let number = |value: u32| unsafe { write_out(to, value) };
    // SAFETY: `to` has room for the attribute's type, a text of 64 bytes (caller contract).
    let text = |words: &str| unsafe { write_text(to, 64, words) };
    Some(match attribute {
        0xA000 => number(if gpu { CHIP_ID } else { 0 }),
        0xA001 => number(64),                              // CACHELINE_SIZE
        0xA002 | 0xA014 => number(COMPUTE_UNITS), // COMPUTE_UNIT_COUNT, and for cooperation
        0xA003 => number(2000),                   // MAX_CLOCK_FREQUENCY, in MHz
        0xA004 => number(node),                   // DRIVER_NODE_ID
        0xA005 => number(0),                      // MAX_ADDRESS_WATCH_POINTS
        0xA006 => number(if gpu { node << 8 } else { 0 }), // BDFID
        0xA007 => number(256),                    // MEMORY_WIDTH
        0xA008 => number(1000),                   // MEMORY_MAX_FREQUENCY, in MHz
        0xA009 => text(if gpu { PRODUCT } else { "CPU" }),
        0xA00A => number(WAVES_PER_CU),
        0xA00B => number(4), // NUM_SIMDS_PER_CU
        0xA00C => number(4), // NUM_SHADER_ENGINES
        0xA00D => number(2), // NUM_SHADER_ARRAYS_PER_SE
        // SAFETY: the attribute's type is two pointers to flush registers, which this machine does
        // not need.
        0xA00E => unsafe { write_out(to, [0usize; 2]) },
        0xA00F => number(0), // DOMAIN
        // SAFETY: the attribute's type is a `bool`.
        0xA010 => unsafe { write_out(to, false) }, // COOPERATIVE_QUEUES
        // SAFETY: the attribute's type is a text of at most 21 bytes.
        0xA011 => unsafe { write_text(to, 21, &format!("GPU-{:016x}", agent.handle())) },
        0xA012 => number(1), // ASIC_REVISION
        // SAFETY: the attribute's type is a `bool`.
        0xA013 => unsafe { write_out(to, false) }, // SVM_DIRECT_HOST_ACCESS
        // SAFETY: the attribute's type is a `u64`.
        0xA015 => unsafe { write_out(to, memory::available(agent)) },
        // SAFETY: the attribute's type is a `u64`.
        0xA016 => unsafe { write_out(to, clock::FREQUENCY) },
        0xA107 => number(0),          // ASIC_FAMILY_ID
        0xA108 | 0xA109 => number(1), // UCODE_VERSION, SDMA_UCODE_VERSION
        0xA10A => number(2),          // NUM_SDMA_ENG
        0xA10B => number(0),          // NUM_SDMA_XGMI_ENG
        // SAFETY: the attribute's type is a `bool`.
        0xA110 => unsafe { write_out(to, false) }, // IOMMU_SUPPORT
        0xA111 => number(1),                       // NUM_XCC
        0xA112 => number(node),                    // DRIVER_UID
        // SAFETY: the attribute's type is a handle.
        0xA113 => unsafe { write_out(to, CPU) }, // NEAREST_CPU
        // SAFETY: the attribute's type is a `u64`.
        0xA116 | 0xA117 => unsafe { write_out(to, 0u64) }, // SCRATCH_LIMIT_MAX, SCRATCH_LIMIT_CURRENT
        // SAFETY: the attribute's type is eight bytes of flags.
        0xA114 | 0xA115 => unsafe { write_out(to, [0u8; 8]) }, // MEMORY_PROPERTIES, AQL_EXTENSIONS
        _ => return None,
    })
}

/// Returns the text for `hsa_status_string`.
fn status_text(status: Status) -> &'static CStr {
    match status {
        SUCCESS => c"success",
        ERROR => c"a general error, or something that is not simulated",
        INVALID_ARGUMENT => c"an argument is invalid",
        INVALID_QUEUE_CREATION => c"the agent has no queues",
        INVALID_AGENT => c"no such agent",
        INVALID_SIGNAL => c"no such signal",
        INVALID_QUEUE => c"no such queue",
        OUT_OF_RESOURCES => c"out of memory, threads or another resource",
        INVALID_CODE_OBJECT => c"not a code object that can be read",
        INVALID_SYMBOL_NAME => c"no symbol of this name",
        _ => c"an error of the simulated HSA runtime",
    }
}

hsa_api! {
    /// Starts the runtime. Reads the environment, and reports an invalid variable.
    fn hsa_init() -> Status {
        match config() {
            Ok(config) => {
                trace!("hsa_init: {} GPUs", config.gpus);
                STARTED.fetch_add(1, Ordering::SeqCst);
                handlers::close(false);
                SUCCESS
            }
            Err(message) => {
                trace_line(format_args!("{message}"));
                INVALID_ARGUMENT
            }
        }
    }

    /// Ends the runtime, once for each start. After the last end, no handler is called. Queues and
    /// memory stay as they are.
    fn hsa_shut_down() -> Status {
        trace!("hsa_shut_down");
        let less = |count: usize| count.checked_sub(1);
        match STARTED.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less) {
            Ok(1) => handlers::close(true),
            Ok(_) => {}
            Err(_) => return NOT_INITIALIZED,
        }
        SUCCESS
    }

    /// Calls `callback` with each agent until it returns an error.
    fn hsa_iterate_agents(
        callback: Option<unsafe extern "C" fn(Handle, *mut c_void) -> Status>, data: *mut c_void,
    ) -> Status {
        let Some(callback) = callback else { return INVALID_ARGUMENT };
        for agent in all() {
            // SAFETY: the caller passed `callback` to be called with these arguments.
            let status = unsafe { callback(agent.handle(), data) };
            if status != SUCCESS {
                return status;
            }
        }
        SUCCESS
    }

    /// Writes a property of an agent.
    fn hsa_agent_get_info(agent: Handle, attribute: u32, value: *mut c_void) -> Status {
        let Some(agent) = Agent::of(agent) else { return INVALID_AGENT };
        // SAFETY: `value` has room for the attribute's type (caller contract).
        unsafe { write_attribute(agent, attribute, value) }.unwrap_or_else(|| {
            trace!("{agent}: attribute 0x{attribute:x} is not supported");
            INVALID_ARGUMENT
        })
    }

    /// Writes a property of the machine.
    fn hsa_system_get_info(attribute: u32, value: *mut c_void) -> Status {
        // SAFETY: `value` has room for the attribute's type (caller contract), and each arm writes
        // that type.
        unsafe {
            match attribute {
                0 | 1 => write_out(value, 1u16), // VERSION_MAJOR, VERSION_MINOR
                2 => write_out(value, clock::now()),
                3 => write_out(value, clock::FREQUENCY),
                4 => write_out(value, u64::MAX), // SIGNAL_MAX_WAIT
                5 => write_out(value, 0u32),     // ENDIANNESS: little
                6 => write_out(value, 1u32),     // MACHINE_MODEL: large
                7 => write_out(value, [0u8; 128]),
                0x200 => write_out(value, c"hsa-sim".as_ptr()), // BUILD_VERSION
                // Shared virtual memory, MWAITX, dma-buf, virtual memory and XNACK are not
                // supported.
                0x201..=0x206 => write_out(value, false),
                0x207 | 0x208 => write_out(value, 1u16), // EXT_VERSION_MAJOR, EXT_VERSION_MINOR
                _ => {
                    trace!("the system's attribute 0x{attribute:x} is not supported");
                    INVALID_ARGUMENT
                }
            }
        }
    }

    /// Writes `false`: no extension is supported.
    fn hsa_system_extension_supported(
        _extension: u16, _major: u16, _minor: u16, yes: *mut bool,
    ) -> Status {
        // SAFETY: the out-pointer is null or has room for a `bool` (caller contract).
        unsafe { write_out(yes.cast(), false) }
    }

    /// Writes `false`: no extension is supported.
    fn hsa_agent_extension_supported(
        _extension: u16, _agent: Handle, _major: u16, _minor: u16, yes: *mut bool,
    ) -> Status {
        // SAFETY: the out-pointer is null or has room for a `bool` (caller contract).
        unsafe { write_out(yes.cast(), false) }
    }

    /// Fills the table of an extension's functions with zeros, because no extension is supported.
    fn hsa_system_get_major_extension_table(
        _extension: u16, _major: u16, length: usize, table: *mut c_void,
    ) -> Status {
        if !table.is_null() {
            // SAFETY: `table` has room for `length` bytes (caller contract).
            unsafe { table.cast::<u8>().write_bytes(0, length) };
        }
        ERROR
    }

    /// Calls `callback` with the instruction set of a GPU.
    fn hsa_agent_iterate_isas(
        agent: Handle, callback: Option<unsafe extern "C" fn(Handle, *mut c_void) -> Status>,
        data: *mut c_void,
    ) -> Status {
        let Some(callback) = callback else { return INVALID_ARGUMENT };
        match Agent::of(agent) {
            None => INVALID_AGENT,
            Some(Agent::Cpu) => SUCCESS,
            // SAFETY: the caller passed `callback` to be called with these arguments.
            Some(Agent::Gpu(_)) => unsafe { callback(ISA, data) },
        }
    }

    /// Writes the name of the instruction set, from which HIP learns the target to compile for.
    fn hsa_isa_get_info_alt(isa: Handle, attribute: u32, value: *mut c_void) -> Status {
        if isa != ISA {
            return INVALID_ISA;
        }
        let room = ISA_NAME.len() + 1;
        match attribute {
            // SAFETY: the type of NAME_LENGTH is a `u32`.
            0 => unsafe { write_out(value, room as u32) },
            // SAFETY: NAME has as much room as NAME_LENGTH reports.
            1 => unsafe { write_text(value, room, ISA_NAME) },
            _ => INVALID_ARGUMENT,
        }
    }

    /// Calls `callback` with each memory pool of an agent.
    fn hsa_amd_agent_iterate_memory_pools(
        agent: Handle, callback: Option<unsafe extern "C" fn(Handle, *mut c_void) -> Status>,
        data: *mut c_void,
    ) -> Status {
        let Some(agent) = Agent::of(agent) else { return INVALID_AGENT };
        let Some(callback) = callback else { return INVALID_ARGUMENT };
        for pool in Pool::of_agent(agent) {
            // SAFETY: the caller passed `callback` to be called with these arguments.
            let status = unsafe { callback(pool.handle(), data) };
            if status != SUCCESS {
                return status;
            }
        }
        SUCCESS
    }

    /// Does nothing: all memory is coherent.
    fn hsa_amd_coherency_set_type(_agent: Handle, _kind: u32) -> Status {
        SUCCESS
    }

    /// Writes the description of a status, in English.
    fn hsa_status_string(status: Status, text: *mut *const c_char) -> Status {
        // SAFETY: the out-pointer is null or has room for a pointer (caller contract). The texts
        // are static.
        unsafe { write_out(text.cast(), status_text(status).as_ptr()) }
    }

    /// Returns the simulator's version. No real runtime exports this function.
    fn hsa_sim_version() -> *const c_char {
        // After the end of the string: the build, by which a program recognises the file.
        concat!(env!("CARGO_PKG_VERSION"), "\0", env!("OUT_DIR")).as_ptr().cast()
    }
}
