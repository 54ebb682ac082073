//! The variants of a test: [`Target`].

#[cfg(any(feature = "cuda", feature = "hip"))]
use std::env;
use std::ffi::OsString;

use gpu_stream::BackendKind;
#[cfg(any(feature = "cuda", feature = "hip"))]
use gpu_stream_conformance::fixtures;

/// What a test runs on. Each has a test of its own, by this name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// CPU threads.
    Host,
    /// The CUDA driver of the machine.
    #[cfg(feature = "cuda")]
    Cuda,
    /// The simulated CUDA driver.
    #[cfg(feature = "cuda")]
    CudaSim,
    /// The HIP runtime of the machine.
    #[cfg(feature = "hip")]
    Hip,
    /// AMD's HIP runtime over a simulated GPU.
    #[cfg(feature = "hip")]
    HipSim,
}

/// Names and values of environment variables.
pub type Variables = Vec<(&'static str, OsString)>;

/// The devices that a simulator has, unless its variable says another number.
#[cfg(any(feature = "cuda", feature = "hip"))]
const SIMULATED_DEVICES: &str = "2";

impl Target {
    /// Returns the name, which is the last part of the test's name and stands in `GPU_STREAM_REQUIRE`.
    pub fn name(self) -> &'static str {
        match self {
            Target::Host => "host",
            #[cfg(feature = "cuda")]
            Target::Cuda => "cuda",
            #[cfg(feature = "cuda")]
            Target::CudaSim => "cuda_sim",
            #[cfg(feature = "hip")]
            Target::Hip => "hip",
            #[cfg(feature = "hip")]
            Target::HipSim => "hip_sim",
        }
    }

    /// Returns the name as one that `Required` parses. A simulator is required under its own name.
    pub fn kind(self) -> BackendKind {
        let name = self.name();
        let known = BackendKind::KNOWN.iter().copied().find(|kind| kind.name() == name);
        known.unwrap_or(BackendKind::Other(name))
    }

    /// Returns `true` if a simulator stands for the GPU.
    pub fn is_simulated(self) -> bool {
        self.name().ends_with("_sim")
    }

    /// Returns `true` if it is a GPU of the machine, which the tests of a process use one at a time.
    pub fn is_hardware(self) -> bool {
        self != Target::Host && !self.is_simulated()
    }

    /// Returns the variables that a process of this target needs.
    ///
    /// # Errors
    /// A text, if the simulator's library is not found.
    pub fn variables(self) -> Result<Variables, String> {
        match self {
            Target::Host => Ok(Vec::new()),
            #[cfg(feature = "cuda")]
            Target::Cuda => Ok(unless_set(fixtures::CUDA_QUEUES)),
            #[cfg(feature = "cuda")]
            Target::CudaSim => {
                let mut all = unless_set(&[("CUDA_SIM_GPUS", SIMULATED_DEVICES)]);
                if cfg!(target_os = "linux") {
                    all.extend(preload("GPU_STREAM_CUDA_LIBRARY", cuda_sim::library()?));
                }
                Ok(all)
            }
            #[cfg(feature = "hip")]
            Target::Hip => Ok(unless_set(fixtures::HIP_QUEUES)),
            #[cfg(feature = "hip")]
            Target::HipSim => {
                let mut all = unless_set(fixtures::HIP_QUEUES);
                all.extend(unless_set(&[("HSA_SIM_GPUS", SIMULATED_DEVICES)]));
                #[cfg(target_os = "linux")]
                all.extend(preload("HSA_SIM_LIBRARY", hsa_sim::library()?));
                Ok(all)
            }
        }
    }

    /// Loads the simulator of this target into the process. Call it before any code loads the driver.
    ///
    /// # Errors
    /// A text, if it cannot be loaded.
    pub fn load_simulator(self) -> Result<(), String> {
        match self {
            #[cfg(feature = "hip")]
            Target::HipSim => hsa_sim::preload(),
            _ => Ok(()),
        }
    }

    /// Returns `true` if the driver that the process has loaded is a simulator.
    pub fn has_loaded_simulator(self) -> bool {
        match self {
            Target::Host => false,
            #[cfg(feature = "cuda")]
            Target::Cuda | Target::CudaSim => cuda_sim::is_loaded(),
            #[cfg(feature = "hip")]
            Target::Hip | Target::HipSim => hsa_sim::loaded_version().is_some(),
        }
    }
}

/// Returns those of the variables that the user has not set.
#[cfg(any(feature = "cuda", feature = "hip"))]
fn unless_set(variables: &[(&'static str, &str)]) -> Variables {
    let free = variables.iter().filter(|(name, _)| env::var_os(name).is_none());
    free.map(|&(name, value)| (name, value.into())).collect()
}

/// Returns the variables with which the dynamic linker loads a simulator first: under the driver's name, so
/// that a program that is linked to the driver gets the simulator, too. `variable` names it as well.
#[cfg(any(feature = "cuda", feature = "hip"))]
fn preload(variable: &'static str, library: std::path::PathBuf) -> Variables {
    const PRELOAD: &str = "LD_PRELOAD";
    let mut all = vec![(variable, library.clone().into_os_string())];
    // The linker takes both as separators. Only a program that is linked to the driver needs it.
    let is_usable = !library.to_string_lossy().contains([' ', ':']);
    if is_usable {
        let mut list = library.into_os_string();
        if let Some(others) = env::var_os(PRELOAD).filter(|others| !others.is_empty()) {
            list.push(":");
            list.push(others);
        }
        all.push((PRELOAD, list));
    }
    all
}
