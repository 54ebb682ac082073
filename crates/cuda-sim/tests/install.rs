//! `install` and `library` in processes of their own: they change what the process has loaded, and its environment.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    linux::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    println!("test install ... ignored, the simulator is for Linux only");
    ExitCode::SUCCESS
}

#[cfg(target_os = "linux")]
mod linux {
    use std::env;
    use std::ffi::c_int;
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::process::{Command, ExitCode};

    use cuda_sim::{At, Controls, InjectedFault, Threads};
    use libloading::Library;

    const SONAME: &str = "libcuda.so.1";

    /// The variable that tells a child process which case to run, in which folder.
    const CASE: &str = "GPU_STREAM_TEST_PART";

    type Case = (&'static str, fn(&Path));

    const CASES: [Case; 4] = [
        ("installed_simulator_is_found_by_its_soname", installed_is_found_by_its_soname),
        ("second_install_changes_nothing", second_install_changes_nothing),
        ("other_driver_that_is_loaded_is_reported", other_driver_is_reported),
        ("library_is_the_copy_that_the_process_has_loaded", library_is_the_loaded_copy),
    ];

    pub fn main() -> ExitCode {
        if let Ok(case) = env::var(CASE) {
            let (name, folder) = case.split_once(' ').expect("a case and a folder");
            let (_, case) = CASES.iter().find(|(known, _)| *known == name).expect("a case");
            case(Path::new(folder));
            return ExitCode::SUCCESS;
        }
        let all = CASES.iter().map(|(name, _)| run(name)).collect::<Vec<bool>>();
        if all.contains(&false) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }

    /// Runs a case in a process in which no variable names a library, and `LD_LIBRARY_PATH` the case's folder.
    fn run(name: &str) -> bool {
        let folder = env::temp_dir().join(format!("cuda-sim-install-{}", std::process::id()));
        fs::create_dir_all(folder.join("path")).expect("a folder");
        if name.starts_with("library_is") {
            let library = cuda_sim::library().expect("the library");
            fs::copy(library, folder.join("path").join(SONAME)).expect("a copy");
        }
        let mut command = Command::new(env::current_exe().expect("this program"));
        for variable in ["CUDA_SIM_LIBRARY", "CUDA_SIM_GPUS", "GPU_STREAM_CUDA_LIBRARY"] {
            command.env_remove(variable);
        }
        command.env("LD_LIBRARY_PATH", folder.join("path"));
        command.env(CASE, format!("{name} {}", folder.display()));
        let status = command.status().expect("this program starts");
        println!("test {name} ... {}", if status.success() { "ok" } else { "FAILED" });
        fs::remove_dir_all(&folder).expect("the folder");
        status.success()
    }

    /// Loads the driver as a program without gpu-stream does, and returns the number of its devices.
    fn devices() -> c_int {
        // SAFETY: the initialiser only reads the environment.
        let driver = unsafe { Library::new(SONAME) }.expect("the driver");
        let mut count = 0;
        // SAFETY: the functions have these signatures, and the out-pointer is valid.
        unsafe {
            let init = driver.get::<unsafe extern "C" fn(u32) -> c_int>("cuInit").expect("cuInit");
            assert_eq!(init(0), 0);
            let get = driver.get::<unsafe extern "C" fn(*mut c_int) -> c_int>("cuDeviceGetCount");
            assert_eq!(get.expect("cuDeviceGetCount")(&mut count), 0);
        }
        count
    }

    fn installed_is_found_by_its_soname(_: &Path) {
        assert!(!cuda_sim::is_loaded());
        // SAFETY: no other thread is running.
        unsafe { cuda_sim::install(3) }.expect("the simulator");
        assert!(cuda_sim::is_loaded() && !cuda_sim::no_driver_here());
        assert_eq!(devices(), 3);
        let named = env::var_os("GPU_STREAM_CUDA_LIBRARY").map(PathBuf::from);
        assert_eq!(named, cuda_sim::library().ok());
    }

    fn second_install_changes_nothing(_: &Path) {
        for _ in 0..2 {
            // SAFETY: no other thread is running.
            unsafe { cuda_sim::install(2) }.expect("the simulator");
            assert_eq!(devices(), 2);
        }
    }

    fn other_driver_is_reported(folder: &Path) {
        let other = folder.join("libother.so");
        let mut compiler = Command::new("cc"); // Rust itself links with it
        compiler.args(["-shared", "-Wl,-soname,libcuda.so.1", "-x", "c", "/dev/null", "-o"]);
        assert!(compiler.arg(&other).status().expect("a C compiler").success());
        // SAFETY: the library has no initialiser.
        let other = unsafe { Library::new(&other) }.expect("the other library");
        // SAFETY: no other thread is running.
        let error = unsafe { cuda_sim::install(1) }.expect_err("another driver");
        assert!(error.contains("already loaded another libcuda.so.1"), "{error}");
        assert!(env::var_os("GPU_STREAM_CUDA_LIBRARY").is_none());
        drop(other);
    }

    fn library_is_the_loaded_copy(folder: &Path) {
        assert_ne!(cuda_sim::library().ok(), Some(folder.join("path").join(SONAME)));
        // SAFETY: the initialiser only reads the environment.
        let driver = unsafe { Library::new(SONAME) }.expect("the driver");
        let library = cuda_sim::library().expect("the library");
        assert_eq!(library, folder.join("path").join(SONAME));
        // Faults are set in the copy that the program calls.
        let controls = Controls::of(library).expect("the plan of faults");
        controls.set("cuInit", At::Always, Threads::All, InjectedFault::Answer(999));
        // SAFETY: the function has this signature.
        let init = unsafe { driver.get::<unsafe extern "C" fn(u32) -> c_int>("cuInit") };
        // SAFETY: flags are 0.
        assert_eq!(unsafe { init.expect("cuInit")(0) }, 999);
    }
}
