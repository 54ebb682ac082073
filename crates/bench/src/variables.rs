//! The environment variables that change what calls cost.

use crate::report::SetVariable;

/// The variables, each with what it changes.
///
/// Sources: the CUDA programming guide, the documentation of HIP, and this project's host backend.
pub const VARIABLES: &[(&str, &str)] = &[
    ("CUDA_DEVICE_MAX_CONNECTIONS", "hardware queues"),
    ("CUDA_LAUNCH_BLOCKING", "launches block"),
    ("CUDA_MODULE_LOADING", "when kernels are loaded"),
    ("CUDA_SCALE_LAUNCH_QUEUES", "size of the queues"),
    ("CUDA_INJECTION64_PATH", "a profiler or another tool"),
    ("CUDA_MPS_PIPE_DIRECTORY", "a server shared by processes"),
    ("CUDA_MPS_ACTIVE_THREAD_PERCENTAGE", "share of the device"),
    ("GPU_MAX_HW_QUEUES", "hardware queues"),
    ("HIP_LAUNCH_BLOCKING", "launches block"),
    ("HIP_FORCE_QUEUE_PROFILING", "profiling"),
    ("AMD_SERIALIZE_KERNEL", "launches block"),
    ("AMD_SERIALIZE_COPY", "copies block"),
    ("AMD_DIRECT_DISPATCH", "the thread that submits"),
    ("AMD_LOG_LEVEL", "logging"),
    ("HSA_ENABLE_INTERRUPT", "how the runtime waits"),
    ("ROC_ACTIVE_WAIT_TIMEOUT", "how the runtime waits"),
    ("ROC_SIGNAL_POOL_SIZE", "signals"),
    ("GPU_STREAM_HOST_THREADS", "threads of the host backend"),
    ("GPU_STREAM_HOST_HELP", "what waiting threads of the host backend do"),
    ("LD_PRELOAD", "another library's functions"),
];

/// Returns those of [`VARIABLES`] that are set in this process.
pub fn set() -> Vec<SetVariable> {
    let set = VARIABLES.iter().filter_map(|(name, changes)| {
        let value = std::env::var_os(name)?.to_string_lossy().into_owned();
        Some(SetVariable { name: (*name).into(), value, changes: (*changes).into() })
    });
    set.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_variable_is_listed_once() {
        let names: BTreeSet<_> = VARIABLES.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), VARIABLES.len());
    }
}
