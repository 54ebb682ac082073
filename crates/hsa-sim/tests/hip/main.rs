//! Runs AMD's own HIP library over the simulator: that it starts, and that each simulated feature
//! is visible through it.
//!
//! Every case runs in its own process, because HIP can be started only once. Without a libamdhip64
//! all cases are skipped. That is a failure if `GPU_STREAM_REQUIRE` names hip.

#[cfg(target_os = "linux")]
mod cases;
#[cfg(target_os = "linux")]
mod hip;

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("all skipped: the simulated HSA runtime is for Linux only");
}

#[cfg(target_os = "linux")]
fn main() {
    std::process::exit(run());
}

#[cfg(target_os = "linux")]
fn run() -> i32 {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, name] = arguments.as_slice()
        && flag == "--case"
    {
        let case = cases::ALL.iter().find(|case| case.name == name).expect("a known case");
        (case.run)();
        return 0;
    }
    // Follows cargo's own conventions to list and filter: a text that the name contains.
    let picked = |case: &&cases::Case| {
        let mut words = arguments.iter().filter(|word| !word.starts_with('-')).peekable();
        words.peek().is_none() || words.any(|word| case.name.contains(word.as_str()))
    };
    let picked: Vec<_> = cases::ALL.iter().filter(picked).collect();
    if arguments.iter().any(|word| word == "--list") {
        picked.iter().for_each(|case| println!("{}: test", case.name));
        return 0;
    }
    if let Err(reason) = hip::library() {
        println!("{} skipped: {reason}", picked.len());
        let required = std::env::var("GPU_STREAM_REQUIRE").unwrap_or_default();
        let must = required.split(',').any(names_hip);
        if must {
            println!("GPU_STREAM_REQUIRE forbids skipping hip");
        }
        return i32::from(must);
    }
    let failed = picked.iter().filter(|case| !passes(case)).count();
    println!("{} passed, {failed} failed, 0 skipped", picked.len() - failed);
    i32::from(failed > 0)
}

/// Returns `true` for `hip`, and for `hip:2`, which also says the number of devices.
#[cfg(target_os = "linux")]
fn names_hip(item: &str) -> bool {
    item.split(':').next().is_some_and(|name| name.trim() == "hip")
}

/// Runs a case in a child process. Returns `true` if it passed.
#[cfg(target_os = "linux")]
fn passes(case: &cases::Case) -> bool {
    let mut command = hsa_sim::this_program().expect("the running program");
    command.args(["--case", case.name]).env("HSA_SIM_GPUS", case.gpus);
    let output = command.output().expect("start the program again");
    let text = String::from_utf8_lossy(&output.stderr);
    let passed =
        output.status.success() && case.expected_stderr.is_none_or(|words| text.contains(words));
    println!("{} ... {}", case.name, if passed { "ok" } else { "FAILED" });
    if !passed {
        println!("{}{text}{}", String::from_utf8_lossy(&output.stdout), output.status);
    }
    passed
}
