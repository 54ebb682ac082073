//! This program, started again: [`Run`].

use std::process::Command;

/// A run of ignored tests of this program.
pub struct Run {
    command: Command,
}

/// What a run printed, and whether it succeeded.
#[derive(Debug)]
pub struct Output {
    pub is_success: bool,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// Prepares a run of the tests whose names contain `filter`, with none of the test kit's variables.
    /// Hides the CUDA driver and the HIP runtime of the machine from `cuda` and `hip`.
    pub fn of(filter: &str) -> Self {
        let run = Run::on_this_machine(filter);
        run.env("GPU_STREAM_CUDA_LIBRARY", "/no/such/libcuda.so")
    }

    /// Prepares a run of the tests whose names contain `filter`, with none of the test kit's variables.
    pub fn on_this_machine(filter: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args([filter, "--include-ignored"]);
        for variable in
            ["CHECK", "CHECK_REPORT", "REQUIRE", "TESTKIT_LIMIT", "TESTKIT_REPORT", "TESTKIT_CHILD"]
        {
            command.env_remove(format!("GPU_STREAM_{variable}"));
        }
        for (variable, _) in std::env::vars_os() {
            let name = variable.to_string_lossy();
            // The wrapper of the HSA simulator sets the latter, and its tests run over that library.
            let of_simulator =
                ["CUDA_SIM_", "HSA_SIM_"].iter().any(|start| name.starts_with(start));
            if of_simulator && name != "HSA_SIM_LIBRARY" && name != "HSA_SIM_RUNNER" {
                command.env_remove(&variable);
            }
        }
        Run { command }
    }

    /// Sets a variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: &str) -> Self {
        self.command.arg(argument);
        self
    }

    /// Starts the tests, and does not wait for them.
    #[cfg(target_os = "linux")]
    pub fn start(mut self) -> std::process::Child {
        self.command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        self.command.spawn().expect("this program starts")
    }

    /// Runs the tests. Blocks until they have ended.
    pub fn output(mut self) -> Output {
        let output = self.command.output().expect("this program starts");
        Output {
            is_success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Output {
    /// Checks that the run passed as many tests, skipped ones included.
    #[track_caller]
    pub fn passed(self, count: usize) -> Self {
        assert!(self.is_success, "{self:#?}");
        self.says(&format!("test result: ok. {count} passed; 0 failed;"))
    }

    /// Checks that the run failed.
    #[track_caller]
    pub fn failed(self) -> Self {
        assert!(!self.is_success, "{self:#?}");
        self.says("; 1 failed;")
    }

    /// Checks that the run printed a text.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stdout.contains(text) || self.stderr.contains(text), "{text:?}: {self:#?}");
        self
    }

    /// Checks that the run did not print a text.
    #[track_caller]
    pub fn omits(self, text: &str) -> Self {
        assert!(!self.stdout.contains(text) && !self.stderr.contains(text), "{text:?}: {self:#?}");
        self
    }
}
