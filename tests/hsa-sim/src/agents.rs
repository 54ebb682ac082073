//! The simulated machine: one CPU and as many GPUs as the environment asks for.

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

/// How often the runtime was started, less how often it was ended.
static STARTED: AtomicUsize = AtomicUsize::new(0);

/// The handle of the CPU; the GPUs follow from [`FIRST_GPU`].
const CPU: Handle = 1;
const FIRST_GPU: Handle = 100;

/// What a simulated GPU is: the numbers of a Radeon RX 6800, so that HIP has what it expects of a
/// gfx1030. No memory or time is spent by them.
pub const ARCHITECTURE: &str = "gfx1030";
const ISA_NAME: &str = "amdgcn-amd-amdhsa--gfx1030";
const ISA: Handle = 7;
const PRODUCT: &str = "simulated gfx1030 (no GPU)";
pub const COMPUTE_UNITS: u32 = 60;
pub const WAVES_PER_CU: u32 = 32;
const CHIP_ID: u32 = 0x73BF;

impl Agent {
    /// The agent behind a handle, if there is one.
    pub fn of(handle: Handle) -> Option<Agent> {
        match handle {
            CPU => Some(Agent::Cpu),
            _ => {
                let index = usize::try_from(handle.checked_sub(FIRST_GPU)?).ok()?;
                (index < gpus()).then_some(Agent::Gpu(index))
            }
        }
    }

    /// Its handle.
    pub fn handle(self) -> Handle {
        match self {
            Agent::Cpu => CPU,
            Agent::Gpu(index) => FIRST_GPU + index as Handle,
        }
    }

    /// Whether it plays packets.
    pub fn is_gpu(self) -> bool {
        self != Agent::Cpu
    }

    /// Its number among all agents.
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

/// How many GPUs there are.
pub fn gpus() -> usize {
    config().as_ref().map_or(0, |config| config.gpus)
}

/// All agents, the CPU first.
fn all() -> impl Iterator<Item = Agent> {
    std::iter::once(Agent::Cpu).chain((0..gpus()).map(Agent::Gpu))
}

/// Answers a question about an agent; `None` if it is not known.
///
/// # Safety
///
/// `to` has room for the type that HSA gives to this attribute.
unsafe fn answer(agent: Agent, attribute: u32, to: *mut c_void) -> Option<Status> {
    let gpu = agent.is_gpu();
    let node = agent.node();
    // SAFETY: `to` has room for the attribute's type, by the caller's promise; so for all below.
    let number = |value: u32| unsafe { put(to, value) };
    // SAFETY: as above.
    let short = |value: u16| unsafe { put(to, value) };
    // SAFETY: as above; all texts of agents have 64 bytes unless it is said.
    let text = |words: &str| unsafe { put_text(to, 64, words) };
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
        // SAFETY: three numbers of 16 bits.
        7 => unsafe { put(to, [1024u16; 3]) },
        8 => number(1024), // WORKGROUP_MAX_SIZE
        // SAFETY: `hsa_dim3_t`.
        9 => unsafe { put(to, [i32::MAX as u32, u16::MAX.into(), u16::MAX.into()]) },
        10 => number(u32::MAX), // GRID_MAX_SIZE
        11 => number(32),       // FBARRIER_MAX_SIZE
        12 => number(128),      // QUEUES_MAX
        13 => number(queues::MIN_SIZE),
        14 => number(queues::MAX_SIZE),
        15 => number(0), // QUEUE_TYPE: many producers
        16 => number(node),
        17 => number(gpu.into()), // DEVICE: 0 CPU, 1 GPU
        // SAFETY: four numbers of 32 bits.
        18 => unsafe { put(to, [16 << 10, 4 << 20, 128 << 20, 0u32]) },
        // SAFETY: a handle.
        19 => unsafe { put(to, ISA) },
        // SAFETY: 128 bytes, a bit for each extension: none.
        20 => unsafe { put(to, [0u8; 128]) },
        21 | 22 => short(1), // VERSION_MAJOR, VERSION_MINOR
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
        // SAFETY: two pointers to registers that flush, which nobody needs here.
        0xA00E => unsafe { put(to, [0usize; 2]) },
        0xA00F => number(0), // DOMAIN
        // SAFETY: a `bool`.
        0xA010 => unsafe { put(to, false) }, // COOPERATIVE_QUEUES
        // SAFETY: at most 21 bytes.
        0xA011 => unsafe { put_text(to, 21, &format!("GPU-{:016x}", agent.handle())) },
        0xA012 => number(1), // ASIC_REVISION
        // SAFETY: a `bool`.
        0xA013 => unsafe { put(to, false) }, // SVM_DIRECT_HOST_ACCESS
        // SAFETY: a number of 64 bits.
        0xA015 => unsafe { put(to, memory::available(agent)) },
        // SAFETY: a number of 64 bits.
        0xA016 => unsafe { put(to, clock::FREQUENCY) },
        0xA107 => number(0),          // ASIC_FAMILY_ID
        0xA108 | 0xA109 => number(1), // UCODE_VERSION, SDMA_UCODE_VERSION
        0xA10A => number(2),          // NUM_SDMA_ENG
        0xA10B => number(0),          // NUM_SDMA_XGMI_ENG
        // SAFETY: a `bool`.
        0xA110 => unsafe { put(to, false) }, // IOMMU_SUPPORT
        0xA111 => number(1),                 // NUM_XCC
        0xA112 => number(node),              // DRIVER_UID
        // SAFETY: a handle.
        0xA113 => unsafe { put(to, CPU) }, // NEAREST_CPU
        // SAFETY: numbers of 64 bits.
        0xA116 | 0xA117 => unsafe { put(to, 0u64) }, // SCRATCH_LIMIT_MAX, SCRATCH_LIMIT_CURRENT
        // SAFETY: eight bytes of flags.
        0xA114 | 0xA115 => unsafe { put(to, [0u8; 8]) }, // MEMORY_PROPERTIES, AQL_EXTENSIONS
        _ => return None,
    })
}

/// Texts for `hsa_status_string`.
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
    /// Starts the runtime: reads the environment, and says what is wrong with it.
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

    /// Ends the runtime, once for each start: after the last, no handler is called any more. Queues
    /// and memory stay as they are.
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

    /// Calls `callback` with each agent until it answers other than success.
    fn hsa_iterate_agents(
        callback: Option<unsafe extern "C" fn(Handle, *mut c_void) -> Status>, data: *mut c_void,
    ) -> Status {
        let Some(callback) = callback else { return INVALID_ARGUMENT };
        for agent in all() {
            // SAFETY: the caller gave the function to be called with this.
            let status = unsafe { callback(agent.handle(), data) };
            if status != SUCCESS {
                return status;
            }
        }
        SUCCESS
    }

    /// A property of an agent.
    fn hsa_agent_get_info(agent: Handle, attribute: u32, value: *mut c_void) -> Status {
        let Some(agent) = Agent::of(agent) else { return INVALID_AGENT };
        // SAFETY: the caller gives room for the attribute.
        unsafe { answer(agent, attribute, value) }.unwrap_or_else(|| {
            trace!("{agent}: attribute 0x{attribute:x} is not known here");
            INVALID_ARGUMENT
        })
    }

    /// A property of the machine.
    fn hsa_system_get_info(attribute: u32, value: *mut c_void) -> Status {
        // SAFETY: for all: the type is the attribute's, which the caller gives room for.
        unsafe {
            match attribute {
                0 | 1 => put(value, 1u16), // VERSION_MAJOR, VERSION_MINOR
                2 => put(value, clock::now()),
                3 => put(value, clock::FREQUENCY),
                4 => put(value, u64::MAX), // SIGNAL_MAX_WAIT
                5 => put(value, 0u32),     // ENDIANNESS: little
                6 => put(value, 1u32),     // MACHINE_MODEL: large
                7 => put(value, [0u8; 128]),
                0x200 => put(value, c"hsa-sim".as_ptr()), // BUILD_VERSION
                // Shared virtual memory, MWAITX, dma-buf, virtual memory, XNACK: nothing of that.
                0x201..=0x206 => put(value, false),
                0x207 | 0x208 => put(value, 1u16), // EXT_VERSION_MAJOR, EXT_VERSION_MINOR
                _ => {
                    trace!("the system's attribute 0x{attribute:x} is not known here");
                    INVALID_ARGUMENT
                }
            }
        }
    }

    /// No extension is there.
    fn hsa_system_extension_supported(
        _extension: u16, _major: u16, _minor: u16, yes: *mut bool,
    ) -> Status {
        // SAFETY: the caller gives room for a `bool`.
        unsafe { put(yes.cast(), false) }
    }

    /// No extension is there.
    fn hsa_agent_extension_supported(
        _extension: u16, _agent: Handle, _major: u16, _minor: u16, yes: *mut bool,
    ) -> Status {
        // SAFETY: the caller gives room for a `bool`.
        unsafe { put(yes.cast(), false) }
    }

    /// The functions of an extension: none, and the table is left as zeros.
    fn hsa_system_get_major_extension_table(
        _extension: u16, _major: u16, length: usize, table: *mut c_void,
    ) -> Status {
        if !table.is_null() {
            // SAFETY: the caller says how long its table is.
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
            // SAFETY: the caller gave the function to be called with this.
            Some(Agent::Gpu(_)) => unsafe { callback(ISA, data) },
        }
    }

    /// The name of the instruction set, which tells HIP what to compile for.
    fn hsa_isa_get_info_alt(isa: Handle, attribute: u32, value: *mut c_void) -> Status {
        if isa != ISA {
            return INVALID_ISA;
        }
        let room = ISA_NAME.len() + 1;
        match attribute {
            // SAFETY: NAME_LENGTH is a number of 32 bits.
            0 => unsafe { put(value, room as u32) },
            // SAFETY: NAME has the room that NAME_LENGTH tells.
            1 => unsafe { put_text(value, room, ISA_NAME) },
            _ => INVALID_ARGUMENT,
        }
    }

    /// The memory pools of an agent, each given to `callback`.
    fn hsa_amd_agent_iterate_memory_pools(
        agent: Handle, callback: Option<unsafe extern "C" fn(Handle, *mut c_void) -> Status>,
        data: *mut c_void,
    ) -> Status {
        let Some(agent) = Agent::of(agent) else { return INVALID_AGENT };
        let Some(callback) = callback else { return INVALID_ARGUMENT };
        for pool in Pool::of_agent(agent) {
            // SAFETY: the caller gave the function to be called with this.
            let status = unsafe { callback(pool.handle(), data) };
            if status != SUCCESS {
                return status;
            }
        }
        SUCCESS
    }

    /// All memory is coherent here.
    fn hsa_amd_coherency_set_type(_agent: Handle, _kind: u32) -> Status {
        SUCCESS
    }

    /// What a status means, in English.
    fn hsa_status_string(status: Status, text: *mut *const c_char) -> Status {
        // SAFETY: the caller gives room for a pointer; the texts stay for ever.
        unsafe { put(text.cast(), status_text(status).as_ptr()) }
    }

    /// Tells that this is the simulator, and its version. No real runtime has this function.
    fn hsa_sim_version() -> *const c_char {
        concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
    }
}
