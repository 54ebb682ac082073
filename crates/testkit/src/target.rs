//! The variants of a test: [`Target`].

#[cfg(any(feature = "cuda", feature = "hip"))]
use std::env;
#[cfg(any(feature = "cuda", feature = "hip"))]
use std::ffi::OsStr;
use std::ffi::OsString;

use gpu_stream::BackendKind;
#[cfg(any(feature = "cuda", feature = "hip"))]
use gpu_stream_conformance::fixtures;

/// What a test runs on: a variant of the test. Each has a test of its own, by this name.
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
    /// OpenCL: a device of any vendor, or the CPU by PoCL.
    #[cfg(feature = "opencl")]
    OpenCl,
    /// CPU threads, with a check of the order.
    #[cfg(feature = "checked")]
    CheckedHost,
    /// The simulated CUDA driver, with a check of the order.
    #[cfg(all(feature = "checked", feature = "cuda"))]
    CheckedCudaSim,
    /// AMD's HIP runtime over a simulated GPU, with a check of the order.
    #[cfg(all(feature = "checked", feature = "hip"))]
    CheckedHipSim,
    /// OpenCL, with a check of the order.
    #[cfg(all(feature = "checked", feature = "opencl"))]
    CheckedOpenCl,
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
            #[cfg(feature = "opencl")]
            Target::OpenCl => "opencl",
            #[cfg(feature = "checked")]
            Target::CheckedHost => "checked_host",
            #[cfg(all(feature = "checked", feature = "cuda"))]
            Target::CheckedCudaSim => "checked_cuda_sim",
            #[cfg(all(feature = "checked", feature = "hip"))]
            Target::CheckedHipSim => "checked_hip_sim",
            #[cfg(all(feature = "checked", feature = "opencl"))]
            Target::CheckedOpenCl => "checked_opencl",
        }
    }

    /// Returns the variant without a check that runs on the same driver. It is itself if it has no check.
    pub fn unchecked(self) -> Self {
        match self {
            #[cfg(feature = "checked")]
            Target::CheckedHost => Target::Host,
            #[cfg(all(feature = "checked", feature = "cuda"))]
            Target::CheckedCudaSim => Target::CudaSim,
            #[cfg(all(feature = "checked", feature = "hip"))]
            Target::CheckedHipSim => Target::HipSim,
            #[cfg(all(feature = "checked", feature = "opencl"))]
            Target::CheckedOpenCl => Target::OpenCl,
            plain => plain,
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

    /// Returns `true` if it is, or may be, a GPU of the machine, which the tests of a process use one at a time.
    pub fn is_hardware(self) -> bool {
        self.unchecked() != Target::Host && !self.is_simulated()
    }

    /// Returns those of the user's variables that a process of this target must not have: they choose among the GPUs
    /// of the machine, and would hide simulated ones.
    pub fn hidden_variables(self) -> impl Iterator<Item = &'static str> {
        const CHOICES: [&str; 4] = [
            "CUDA_VISIBLE_DEVICES",
            "HIP_VISIBLE_DEVICES",
            "ROCR_VISIBLE_DEVICES",
            "GPU_DEVICE_ORDINAL",
        ];
        CHOICES
            .into_iter()
            .filter(move |name| self.is_simulated() && std::env::var_os(name).is_some())
    }

    /// Returns the variables that a process of this target needs.
    ///
    /// # Errors
    /// A text, if the simulator's library is not found.
    pub fn variables(self) -> Result<Variables, String> {
        match self.unchecked() {
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
            // The host and OpenCL, which need none.
            _ => Ok(Vec::new()),
        }
    }

    /// Loads the simulator of this target into the process. Call it before any code loads the driver.
    ///
    /// # Errors
    /// A text, if it cannot be loaded.
    pub fn load_simulator(self) -> Result<(), String> {
        match self.unchecked() {
            #[cfg(feature = "hip")]
            Target::HipSim => hsa_sim::preload(),
            _ => Ok(()),
        }
    }

    /// Returns `true` if the driver that the process has loaded is a simulator.
    pub fn has_loaded_simulator(self) -> bool {
        match self.unchecked() {
            #[cfg(feature = "cuda")]
            Target::Cuda | Target::CudaSim => cuda_sim::is_loaded(),
            #[cfg(feature = "hip")]
            Target::Hip | Target::HipSim => hsa_sim::loaded_version().is_some(),
            // The host, which has no driver, and OpenCL, which has no simulated one.
            _ => false,
        }
    }
}

/// Returns those of the variables that the user has not set.
#[cfg(any(feature = "cuda", feature = "hip"))]
fn unless_set(variables: &[(&'static str, &str)]) -> Variables {
    let free = variables.iter().filter(|(name, _)| env::var_os(name).is_none());
    free.map(|&(name, value)| (name, value.into())).collect()
}

/// Returns the variables with which the dynamic linker loads a simulator: under the driver's name, so that a program
/// that is linked to the driver gets the simulator, too. `variable` names it as well.
#[cfg(any(feature = "cuda", feature = "hip"))]
fn preload(variable: &'static str, library: std::path::PathBuf) -> Variables {
    const PRELOAD: &str = "LD_PRELOAD";
    let library = library.into_os_string();
    // The linker takes both as separators. Only a program that is linked to the driver needs it.
    let is_usable = !library.to_string_lossy().contains(SEPARATORS);
    let list = is_usable.then(|| preload_list(&env::var_os(PRELOAD).unwrap_or_default(), &library));
    let list = list.map(|list| (PRELOAD, list));
    [(variable, library)].into_iter().chain(list).collect()
}

#[cfg(any(feature = "cuda", feature = "hip"))]
const SEPARATORS: [char; 2] = [' ', ':'];

/// Appends a simulator to the user's `LD_PRELOAD`: a sanitizer's runtime has to come first. Puts it in front if the
/// list has a library of the driver's name, of which the linker takes the first.
#[cfg(any(feature = "cuda", feature = "hip"))]
fn preload_list(of_user: &OsStr, library: &OsStr) -> OsString {
    const DRIVERS: [&str; 4] = ["libcuda.so", "libcuda_sim", "libhsa-runtime64.so", "libhsa_sim"];
    let text = of_user.to_string_lossy();
    let mut names = text.split(SEPARATORS).map(|path| path.rsplit('/').next().unwrap_or(path));
    let has_driver = names.any(|name| DRIVERS.into_iter().any(|driver| name.starts_with(driver)));
    let both = if has_driver { [library, of_user] } else { [of_user, library] };
    both.into_iter().filter(|list| !list.is_empty()).collect::<Vec<_>>().join(OsStr::new(":"))
}

#[cfg(all(test, any(feature = "cuda", feature = "hip")))]
mod tests {
    use super::*;

    #[test]
    fn simulator_comes_after_other_libraries_and_before_drivers() {
        let list = |of_user: &str| preload_list(of_user.as_ref(), "/s/libcuda_sim.so".as_ref());
        assert_eq!(list(""), "/s/libcuda_sim.so");
        assert_eq!(list("libasan.so libm.so"), "libasan.so libm.so:/s/libcuda_sim.so");
        for driver in ["/usr/lib/libcuda.so.1", "/x/libhsa-runtime64.so.1", "/y/libcuda_sim-1.so"] {
            let of_user = format!("libm.so:{driver}");
            assert_eq!(list(&of_user), format!("/s/libcuda_sim.so:{of_user}").as_str());
        }
    }
}
